import assert from "node:assert/strict";
import { createLog } from "../../service/log.ts";
import { otlpReceiver } from "../../service/otlp/otlp_receiver.ts";
import type { OtlpRequests } from "../../service/otlp/otlp_message.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { pointNames } from "../live/faults.ts";
import { noTrouble, type RunOptions } from "../simulation/options.ts";
import { type RunInput, type RunResult, runSimulation } from "../simulation/run.ts";
import { exportSpans, parseEpoch } from "./otlp_export.ts";
import { UsageError } from "./output.ts";
import { RunSpans } from "./run_spans.ts";

const epochMs = Date.parse("2020-02-02T00:00:00Z");

type Span = OtlpRequests["traces"]["resourceSpans"][number]["scopeSpans"][number]["spans"][number];

/** A span as it came, in words. */
interface Seen {
  readonly trace: string;
  readonly id: string;
  readonly parent: string;
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly faults: readonly Readonly<Record<string, unknown>>[];
  readonly isError: boolean;
}

/** Runs, sends the spans to a receiver in this process, and gives what has come there. */
async function exported(input: RunInput): Promise<{ spans: Seen[]; result: RunResult }> {
  const spans: Seen[] = [];
  const { app } = otlpReceiver({
    name: "test",
    log: createLog({ name: "test", write: () => {} }),
    maxBodyBytes: 16 * 1024 ** 2,
    maxDecompressedBytes: 64 * 1024 ** 2,
    take: (signal, message) => {
      assert.equal(signal, "traces");
      const { resourceSpans } = message as OtlpRequests["traces"];
      for (const { scopeSpans } of resourceSpans) {
        for (const one of scopeSpans.flatMap(({ spans }) => spans)) spans.push(seen(one));
      }
      return undefined;
    },
  });
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    app.fetch as (request: Request) => Response | Promise<Response>,
  );
  const watch = new RunSpans();
  const result = runSimulation({ ...input, ...watch.input });
  const endpoint = `http://127.0.0.1:${server.addr.port}/`;
  const sent = await exportSpans(watch, result, { endpoint, epochMs });
  assert.equal(sent, spans.length);
  return { spans, result };
}

function seen(span: Span): Seen {
  const attributesOf = (list: Span["attributes"]) =>
    Object.fromEntries(list.map(({ key, value }) => {
      const known = value?.value;
      return [key, typeof known?.value === "bigint" ? Number(known.value) : known?.value];
    }));
  return {
    trace: span.traceId.toHex(),
    id: span.spanId.toHex(),
    parent: span.parentSpanId.toHex(),
    name: span.name,
    startMs: Number(span.startTimeUnixNano) / 1e6,
    endMs: Number(span.endTimeUnixNano) / 1e6,
    attributes: attributesOf(span.attributes),
    faults: span.events.filter(({ name }) => name === "fault")
      .map(({ attributes }) => attributesOf(attributes)),
    isError: span.status?.code === 2,
  };
}

const quiet: Partial<RunOptions> = { ...noTrouble, orders: 3, capacity: 1_000, faults: {} };

testWith(
  ["net", "env"],
  "an order of a simulated run is one connected trace, without a symptom where nothing is wrong",
  async () => {
    const { spans, result } = await exported({ seed: 7, given: quiet });
    assert.equal(result.verdict, "true");
    const roots = spans.filter(({ parent }) => parent === "");
    assert.deepEqual(roots.map(({ name }) => name), ["order", "order", "order"]);
    assert.deepEqual(
      roots.map(({ attributes }) => attributes["simulator.subject"]).sort(),
      ["o1", "o2", "o3"],
    );
    for (const root of roots) {
      const mine = spans.filter(({ trace }) => trace === root.trace);
      const ids = new Set(mine.map(({ id }) => id));
      assert.equal(ids.size, mine.length);
      for (const { name, parent } of mine) {
        assert.ok(parent === "" ? name === "order" : ids.has(parent), `${name} hangs in the air`);
      }
      const names = new Set(mine.map(({ name }) => name));
      for (const name of [...Object.values(pointNames), "apply billing", "apply stock"]) {
        assert.ok(names.has(name), `no span '${name}'`);
      }
      assert.ok(names.has("apply confirmation"));
      const parts = mine.map(({ attributes }) => String(attributes["simulator.part"]));
      for (const part of ["frontend", "relay-1", "lambda-2", "processor-2", "relay-2"]) {
        assert.ok(parts.some((one) => one.startsWith(part)), part);
      }
      // In the order in which it travels.
      const first = (name: string) => mine.find((one) => one.name === name)!.startMs;
      const way = [1, 2, 4, 5, 6, 8] as const;
      const times = way.map((point) => first(pointNames[point]));
      assert.deepEqual(times, [...times].sort((a, b) => a - b));
      for (const { name, startMs, endMs } of mine) assert.ok(endMs >= startMs, name);
    }
    assert.equal(new Set(roots.map(({ trace }) => trace)).size, 3);
    assert.deepEqual(spans.flatMap(({ faults }) => faults), []);
    assert.deepEqual(spans.filter(({ isError }) => isError), []);
    // Virtual time, from the epoch that was given, finer than a millisecond.
    for (const { startMs, endMs } of spans) {
      assert.ok(startMs >= epochMs && endMs <= epochMs + result.virtualMs + 0.01);
    }
    assert.ok(spans.some(({ startMs }) => startMs % 1 !== 0));
  },
);

testWith(
  ["net", "env"],
  "whoever watches a run does not change it, and ids follow from it",
  async () => {
    const input = { seed: 12, given: { orders: 5 } };
    const [one, other] = [await exported(input), await exported(input)];
    assert.equal(one.result.hash, runSimulation(input).hash);
    assert.deepEqual(one.spans, other.spans);
    const another = await exported({ ...input, given: { orders: 4 } });
    const traces = new Set(one.spans.map(({ trace }) => trace));
    assert.ok(another.spans.every(({ trace }) => !traces.has(trace)));
  },
);

for (const [text, name] of Object.entries(pointNames)) {
  const point = Number(text) as keyof typeof pointNames;
  testWith(
    ["net", "env"],
    `a fault at point ${point} is an event of the span it hits`,
    async () => {
      const given = { ...quiet, faults: { [point]: { refuse: 0.3 } }, orders: 10 };
      const { spans } = await exported({ seed: 3, given });
      const hit = spans.filter(({ faults }) => faults.length > 0);
      assert.ok(hit.length > 0);
      for (const one of hit) {
        assert.equal(one.name, name);
        assert.deepEqual(one.faults, [
          { "simulator.fault.kind": "refuse", "simulator.point": point },
        ]);
        assert.equal(one.attributes["error.type"], "refused");
        assert.ok(one.isError);
      }
    },
  );
}

testWith(["net", "env"], "what goes wrong beside calls has a span of its own", async () => {
  const given = { ...quiet, orders: 10, crashes: 3, pauses: 2, poison: 0.5, slow: 0.5 };
  const { spans, result } = await exported({ seed: 3, given });
  const named = (name: string) => spans.filter((one) => one.name === name);
  for (const kind of ["crash", "pause", "poison", "slow-consumer"]) {
    const [first] = named(`fault ${kind}`);
    assert.ok(first, `no ${kind}: ${[...result.reached]}`);
    assert.equal(first.faults[0]!["simulator.fault.kind"], kind);
  }
  // What a message suffers belongs to its trace.
  const orders = new Set(named("order").map(({ trace }) => trace));
  assert.ok(named("fault poison").every(({ trace }) => orders.has(trace)));
});

testWith(["net", "env"], "a call whose caller crashes ends with it", async () => {
  const given = { ...quiet, orders: 10, faults: { 2: { "crash-before": 0.3 } } };
  const { spans } = await exported({ seed: 3, given });
  const hit = spans.filter(({ faults }) =>
    faults.length > 0 && faults[0]!["simulator.point"] === 2
  );
  assert.ok(hit.length > 0);
  for (const { attributes, faults } of hit) {
    assert.equal(attributes["error.type"], "crashed");
    assert.equal(faults[0]!["simulator.fault.kind"], "crash-before");
  }
});

testWith(["net", "env"], "an order that is lost is a trace with an error", async () => {
  const { spans, result } = await exported({ seed: 2, plant: 11, given: { orders: 24 } });
  assert.ok(result.violations.some(({ invariant }) => invariant === "no-lost-effect"));
  const lost = spans.filter(({ name, isError }) => name === "order" && isError);
  assert.ok(lost.length > 0);
  assert.ok(lost.every(({ attributes }) => attributes["error.type"] === "not-confirmed"));
});

testWith(["net", "env"], "a collector that refuses is named", async () => {
  const watch = new RunSpans();
  const result = runSimulation({ seed: 7, given: quiet, ...watch.input });
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("no", { status: 400 }),
  );
  const endpoint = `http://127.0.0.1:${server.addr.port}`;
  await assert.rejects(
    exportSpans(watch, result, { endpoint, epochMs }),
    (error) => error instanceof UsageError && error.message.includes(endpoint),
  );
});

Deno.test("an epoch says its zone", () => {
  assert.equal(parseEpoch("2020-02-02T00:00:00Z"), epochMs);
  assert.equal(parseEpoch("2020-02-02T01:00:00+01:00"), epochMs);
  assert.ok(parseEpoch("now") > epochMs);
  for (const text of ["2020-02-02", "2020-02-02T00:00:00", "soon", "1960-01-01T00:00:00Z", ""]) {
    assert.throws(() => parseEpoch(text), /Give a time since 1970/, text);
  }
});
