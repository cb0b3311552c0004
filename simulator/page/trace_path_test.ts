import assert from "node:assert/strict";
import { type SeenEvent, seenEvent } from "./stage_model.ts";
import { sharedTraces, slowness, stepAt, stepWords, tracePath } from "./trace_path.ts";

let id = 0;

function eventOf(
  client: number,
  timeUnixNano: string,
  attributes: Record<string, string> = {},
  traceId = "t",
): SeenEvent {
  return seenEvent({
    id: `${++id}`,
    client,
    atMs: 1_000,
    data: {
      ...{ traceId, name: `A::part-${client}`, event: "processingPerformed", timeUnixNano },
      attributes: Object.entries(attributes).map(([key, value]) => ({
        key,
        value: { stringValue: value },
      })),
    },
  })!;
}

const words = (events: readonly SeenEvent[]) => {
  const path = tracePath(events, "t")!;
  return path.steps.map((step) => stepWords(path, step).replaceAll(/\s/g, " "));
};

Deno.test("a trace of events goes from each sprite to that of the next, by their own clocks", () => {
  assert.deepEqual(
    words([
      eventOf(1, "1795798574686000001", { args: "ask", pid: "7" }),
      eventOf(3, "1795798574686700001", { args: "note" }, "another"),
      eventOf(2, "1795798574687200001", { args: "answer" }),
      eventOf(2, "1795798574687200001", { args: "and tidy" }),
      eventOf(1, "1795798574686500001", { args: "wait" }),
    ]),
    [
      "0 ms, part-1 7, ask",
      "500 µs, part-1 7, wait",
      "1.2 ms, part-1 7 to part-2 #2, answer",
      "1.2 ms, part-2 #2, and tidy",
    ],
  );
});

Deno.test("a trace of spans begins with whom all come from, though it ends last", () => {
  assert.deepEqual(
    words([
      eventOf(2, "3000000", { spanId: "b", parentSpanId: "a", duration: "1000000", args: "child" }),
      eventOf(3, "3500000", { spanId: "c", parentSpanId: "gone", args: "stray" }),
      eventOf(1, "4000000", { spanId: "a", duration: "4000000", args: "root" }),
    ]),
    ["0 ms, part-1 #1, root", "2 ms, part-1 #1 to part-2 #2, child", "3.5 ms, part-3 #3, stray"],
  );
});

Deno.test("times that are none fall back to when the server got them, and nothing throws", () => {
  for (const time of ["", "-1", "1e9", "x".repeat(40)]) {
    assert.equal(tracePath([eventOf(1, time, { duration: "NaN" })], "t")?.durationMs, 0);
  }
  assert.equal(tracePath([], "t"), undefined);
});

Deno.test("traces to follow are those that sprites share", () => {
  const events = [
    eventOf(1, "1", {}, "alone"),
    eventOf(1, "2", {}, "first"),
    eventOf(1, "3", {}, "second"),
    eventOf(2, "4", {}, "second"),
    eventOf(2, "5", {}, "first"),
    eventOf(1, "6", {}, "alone"),
  ];
  assert.deepEqual(sharedTraces(events), ["first", "second"]);
});

Deno.test("a trace is slowed by a power of ten until it takes two seconds, and never sped up", () => {
  assert.deepEqual([0, 0.004, 6.3, 200, 1_999, 2_000, 90_000].map(slowness), [
    ...[1, 1_000_000, 1_000, 10, 10, 1, 1],
  ]);
  const path = tracePath([eventOf(1, "1000000"), eventOf(2, "3000000")], "t")!;
  assert.deepEqual([0, 1.9, 2, 9].map((atMs) => stepAt(path, atMs)), [0, 0, 1, 1]);
});
