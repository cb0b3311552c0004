import assert from "node:assert/strict";
import type { Fault } from "../live/faults.ts";
import type { LiveState, LiveStep } from "../live/live_state.ts";
import { flightsOfStep, livePicture, liveRates, stepWords, withLiveRates } from "./live_model.ts";

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
  assert.deepEqual(liveRates(faults, 2), { refuse: 0.3 });
  assert.deepEqual(withLiveRates(faults, 2, { refuse: 0.5, outage: 0.1 }), [
    faults[1],
    faults[2],
    { kind: "refuse", point: 2, probability: 0.5, minDurationMs: 5_000 },
    { kind: "outage", point: 2, probability: 0.1 },
  ]);
  assert.deepEqual(withLiveRates(faults, 2, {}), faults.slice(1));
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
