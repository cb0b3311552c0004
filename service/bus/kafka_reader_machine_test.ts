import assert from "node:assert/strict";
import {
  initialPhase,
  type ReaderEffect,
  type ReaderEvent,
  type ReaderLimits,
  type ReaderPhase,
  transition,
} from "./kafka_reader_machine.ts";

const limits = { startLimitMs: 0, outageLimitMs: 1_000, stableAfterMs: 100 };
const error = new Error("lost");

/** Feeds events in, and gives the last state and all effects. */
function play(...events: ReaderEvent[]): { state: ReaderPhase; effects: ReaderEffect[] } {
  return playWithin(limits, ...events);
}

function playWithin(
  within: ReaderLimits,
  ...events: ReaderEvent[]
): { state: ReaderPhase; effects: ReaderEffect[] } {
  let state = initialPhase;
  const effects: ReaderEffect[] = [];
  for (const event of events) {
    const { next, effects: more } = transition(state, event, within);
    state = next;
    effects.push(...more);
  }
  return { state, effects };
}

const joined = (nowMs: number, full = false): ReaderEvent => ({ type: "joined", nowMs, full });
const broke = (nowMs: number): ReaderEvent => ({ type: "broke", nowMs, error, mayHeal: true });
const waited: ReaderEvent = { type: "waited" };
const names = (effects: readonly ReaderEffect[]) => effects.map((effect) => effect.do);

Deno.test("a reader that joins reads, and lets its records flow", () => {
  const { state, effects } = play({ type: "start", nowMs: 0 }, joined(5));
  assert.deepEqual(state, { name: "reading", sinceMs: 5, stream: "flowing" });
  assert.deepEqual(names(effects), ["join", "notify-ok", "resume"]);
});

Deno.test("a first join that fails is final: whoever started the reader is there to decide", () => {
  const { state, effects } = play(broke(5));
  assert.deepEqual(state, { name: "failed" });
  assert.deepEqual(effects, [{ do: "leave" }, { do: "fail", error }]);
});

Deno.test("a first join is tried again for as long as a start may take, if that may help", () => {
  const within = { ...limits, startLimitMs: 100 };
  const start: ReaderEvent = { type: "start", nowMs: 10 };
  const late = playWithin(within, start, broke(20), waited, broke(109), waited, joined(150));
  // It is no outage, neither while it lasts nor after it.
  assert.deepEqual(late.state, { name: "reading", sinceMs: 150, stream: "flowing" });
  assert.deepEqual(names(late.effects), [
    ...["join", "leave", "notify", "back-off", "join", "leave", "notify", "back-off", "join"],
    ...["notify-ok", "resume"],
  ]);
  const waits = late.effects.flatMap((one) => one.do === "back-off" ? [one.failures] : []);
  assert.deepEqual(waits, [1, 2]);

  const tooLate = playWithin(within, start, broke(20), waited, broke(110));
  assert.deepEqual(tooLate.state, { name: "failed" });
  assert.deepEqual(tooLate.effects.slice(-2), [{ do: "leave" }, { do: "fail", error }]);

  const inVain = playWithin(within, start, { type: "broke", nowMs: 20, error, mayHeal: false });
  assert.deepEqual(inVain.effects.slice(1), [{ do: "leave" }, { do: "fail", error }]);
});

Deno.test("a reader that was started late has the whole of its limit for each outage", () => {
  const within = { ...limits, startLimitMs: 5_000 };
  const { state } = playWithin(
    within,
    ...[{ type: "start", nowMs: 0 } as const, broke(10), waited, joined(4_000)],
    ...[broke(4_010), waited, broke(5_010)],
  );
  assert.deepEqual(state, {
    ...{ name: "backing-off", first: false },
    outage: { sinceMs: 4_010, failures: 2 },
  });
});

Deno.test("a session that breaks off is left, said, and followed by another after a wait", () => {
  const { state, effects } = play(joined(0), broke(5), waited, joined(50));
  assert.deepEqual(names(effects).slice(2), [
    ...["leave", "notify", "back-off", "join", "notify-ok", "resume"],
  ]);
  assert.deepEqual(state, {
    name: "reading",
    sinceMs: 50,
    stream: "flowing",
    outage: { sinceMs: 5, failures: 1 },
  });
});

Deno.test("each failure in a row makes the wait longer, until a session was a good one", () => {
  const events = [joined(0), broke(5), waited, broke(20), waited, joined(30), broke(40), waited];
  const { effects } = play(...events, joined(50), broke(500));
  const failures = effects.flatMap((effect) => effect.do === "back-off" ? [effect.failures] : []);
  assert.deepEqual(failures, [1, 2, 3, 1]);
});

Deno.test("an outage over its limit is a failure, counted from its beginning", () => {
  const short = play(joined(0), broke(5), waited, broke(1_005));
  assert.equal(short.state.name, "backing-off");
  const { state, effects } = play(joined(0), broke(5), waited, broke(1_006));
  assert.deepEqual(state, { name: "failed" });
  assert.deepEqual(effects.slice(-3), [
    { do: "leave" },
    { do: "notify", error },
    { do: "fail", error, outageMs: 1_001 },
  ]);
});

Deno.test("a session that breaks at once does not end the outage before it", () => {
  const { state } = play(
    joined(0),
    broke(5),
    waited,
    joined(900),
    broke(990),
    waited,
    broke(1_006),
  );
  assert.equal(state.name, "failed");
});

Deno.test("a stream is paused when it is full and resumed when there is room, once each", () => {
  const full: ReaderEvent = { type: "full" };
  const room: ReaderEvent = { type: "room" };
  const { effects } = play(joined(0), room, full, full, room, room);
  assert.deepEqual(names(effects), ["notify-ok", "resume", "pause", "resume"]);
});

Deno.test("a session that begins while records are under way begins paused, and room resumes it", () => {
  const { effects, state } = play(joined(0, true));
  assert.deepEqual(names(effects), ["notify-ok"]);
  assert.deepEqual(state, { name: "reading", sinceMs: 0, stream: "paused" });
  assert.deepEqual(names(transition(state, { type: "room" }, limits).effects), ["resume"]);
});

Deno.test("whatever a reader does, a close lets it finish, leave and end, once", () => {
  const ways: [string, ReaderEvent[], string[]][] = [
    ["joining", [], ["finish"]],
    ["reading", [joined(0)], ["pause", "finish"]],
    ["backing off", [joined(0), broke(5)], ["cancel-back-off", "finish"]],
    ["joining again", [joined(0), broke(5), waited], ["finish"]],
    ["failed", [broke(5)], ["finish"]],
  ];
  for (const [way, events, expected] of ways) {
    const before = play(...events).effects.length;
    const { state, effects } = play(
      ...events,
      { type: "close" },
      { type: "close" },
      { type: "finished" },
      { type: "close" },
    );
    assert.deepEqual(state, { name: "closed" }, way);
    assert.deepEqual(names(effects.slice(before)), [...expected, "leave"], way);
  }
});

Deno.test("a reader that is closing lets nothing distract it", () => {
  const { state } = play(joined(0), { type: "close" });
  const events: ReaderEvent[] = [joined(5), broke(6), waited, { type: "full" }, { type: "room" }];
  for (const event of events) {
    assert.deepEqual(transition(state, event, limits), { next: state, effects: [] }, event.type);
  }
});
