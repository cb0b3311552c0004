import assert from "node:assert/strict";
import type { Fault } from "../live/faults.ts";
import type { LiveState, LiveStep } from "../live/live_state.ts";
import { flightsOfStep, liveFaults, livePicture, withLiveFaults } from "./live_model.ts";
import { isTold, stepWords } from "./live_words.ts";

const step = (event: string, part: string, more: Partial<LiveStep> = {}): LiveStep => ({
  ...{ atMs: 0, part, event, subject: "o17" },
  ...more,
});

Deno.test("what is set at one point leaves the others, and what else was said of a kind, as they were", () => {
  const faults: Fault[] = [
    { kind: "refuse", point: 2, probability: 0.3, minDurationMs: 5_000 },
    { kind: "delay", point: 3, probability: 1, delayMs: 9 },
    { kind: "poison", probability: 0.1 },
  ];
  const refuse = { kind: "refuse", probability: 0.3, minDurationMs: 5_000 } as const;
  assert.deepEqual(liveFaults(faults, 2), [refuse]);
  const outage = { kind: "outage", probability: 0.1, direction: "back" } as const;
  assert.deepEqual(withLiveFaults(faults, 2, [{ ...refuse, probability: 0.5 }, outage]), [
    faults[1],
    faults[2],
    { kind: "refuse", point: 2, probability: 0.5, minDurationMs: 5_000 },
    { kind: "outage", point: 2, probability: 0.1, direction: "back" },
  ]);
  assert.deepEqual(withLiveFaults(faults, 2, []), faults.slice(1));
});

Deno.test("a step flies where its message goes, and is a sentence", () => {
  const cases: readonly [LiveStep, readonly string[], RegExp][] = [
    [step("placed", "backend-1.0"), ["frontend", "backend-1", "outbox-1"], /1a committed order 17/],
    [
      step("delivered", "lambda-2.1", { detail: "orders, attempt 2" }),
      ["orders", "lambda-2"],
      /Lambda 2b got order 17 from the bus, attempt 2/,
    ],
    [
      step("effect", "processor-1.0", { subject: "r17", detail: "confirmation" }),
      ["inbox-1", "processor-1", "done"],
      /applied result 17: confirmation/,
    ],
    [
      step("fault", "relay-1.0", { point: 2, detail: "refuse" }),
      ["relay-1", "orders"],
      /Point 2, Outbox 1 to bus: order 17 was refused/,
    ],
    [
      step("call", "relay-1.0", { point: 2, detail: "timeout" }),
      [],
      /did not get through at point 2.*timeout/,
    ],
    [step("kill", "relay-1.0", { subject: "relay-1.0" }), [], /Relay 1a was killed/],
  ];
  for (const [one, way, words] of cases) {
    assert.deepEqual(flightsOfStep(one).flatMap((flight) => flight.way), way, one.event);
    assert.match(stepWords(one), words);
  }
});

Deno.test("a fault that has hit is said in plain words, with how long, how late, which way", () => {
  const at = (detail: string) => step("fault", "lambda-1.0", { point: 8, subject: "r9", detail });
  const handler = (detail: string) => step("fault", "processor-2.0", { detail });
  const cases: readonly [LiveStep, string][] = [
    [at("delay, 200 ms, both"), "result 9 was delayed by 200 ms, half of it each way"],
    [at("delay, 1500 ms, back"), "result 9 was delayed by 1.5 s, on the way back"],
    [at("time-out, the answer is lost"), "result 9 arrived, but its answer was lost"],
    [at("outage, it never arrives"), "never arrived; whoever sent it waits in vain (an outage)"],
    [at("outage, both ways"), "result 9 met an outage that lasts for a while"],
    [at("duplicate, again after 50 ms"), "result 9 will arrive twice, again after 50 ms"],
    [at("reorder, 20 ms"), "result 9 was overtaken: held for 20 ms"],
    [
      handler("poison, billing"),
      "Processor 2a cannot handle order 17 for billing: it is a poison message",
    ],
    [
      handler("slow-consumer, 4000 ms"),
      "Processor 2a takes 4 s for order 17, longer than its lease of 2 s",
    ],
    [handler("slow-consumer, 500 ms"), "Processor 2a takes 500 ms for order 17"],
    [
      step("fault", "relay-1.0", { subject: "relay-1.0", detail: "pause, 5000 ms" }),
      "Relay 1a stands still for 5 s",
    ],
    [
      step("crash", "relay-1.0", { subject: "relay-1.0", detail: "down for 4312000 ms" }),
      "Relay 1a crashed; it is down for 1 h 12 min",
    ],
  ];
  for (const [one, words] of cases) {
    const said = stepWords(one).replaceAll("\u202f", " ");
    assert.ok(said.endsWith(words), said);
    assert.ok(isTold(one));
  }
  assert.ok(!isTold(step("fault", "relay-1.0", { detail: "crash, 750 ms" })), "a step says so");
});

Deno.test("the picture has what is in boxes, and parts as they are", () => {
  const state = {
    keys: ["k1", "k2"],
    pattern: "outbox",
    counters: { placed: 5, confirmed: 3 },
    boxes: [{ name: "inbox-2", depth: 4, parked: 1, oldestMs: 10 }],
    parts: [
      { name: "relay-1.0", state: "killed" },
      { name: "relay-1.1", state: "running" },
      { name: "lambda-1.0", state: "paused" },
    ],
  } as unknown as LiveState;
  const picture = livePicture(state);
  assert.deepEqual(picture.boxes["inbox-2"], { count: 4, parked: 1, items: [] });
  assert.equal(picture.boxes["inbox-1"].count, 0);
  assert.deepEqual(picture.parts.map(({ state }) => state), ["down", "up", "paused"]);
  assert.deepEqual([picture.placed, picture.confirmed], ["5", "3"]);
});
