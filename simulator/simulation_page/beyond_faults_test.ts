import assert from "node:assert/strict";
import { type Fault, FaultsError, parseFaults } from "../live/faults.ts";
import type { PartState } from "../live/live_state.ts";
import {
  type BeyondFault,
  beyondKinds,
  beyondRows,
  isOn,
  partChoices,
  rowAmong,
  startOf,
  valueOf,
  withBeyond,
  withValue,
} from "./beyond_faults.ts";
import { rateScale, steps } from "./slider_scale.ts";

const takes = (fault: object) => parseFaults(JSON.stringify({ faults: [fault] }));

Deno.test("the API takes what each switch turns on, and every place of each slider", () => {
  for (const kind of beyondKinds) {
    assert.deepEqual(takes(kind.usual), [kind.usual], kind.name);
    for (const knob of [kind.strength, kind.duration]) {
      if (knob === undefined) continue;
      for (let place = 0; place <= knob.scale.last; place++) {
        const value = knob.scale.valueOf(place);
        assert.equal(knob.scale.placeOf(value), place, `${kind.name}, ${knob.label} ${value}`);
        const fault = withValue(kind, kind.usual, knob, value);
        if (fault === undefined) assert.equal(value, kind.strength.off);
        else assert.equal(valueOf(takes(fault)[0] as BeyondFault, knob), value);
      }
    }
  }
});

Deno.test("sliders end where the API's limits are", () => {
  for (const kind of beyondKinds) {
    for (const knob of [kind.strength, kind.duration]) {
      if (knob === undefined) continue;
      const { scale, field } = knob;
      const ends = [0, scale.last - 1, scale.last].map(scale.valueOf).filter(Number.isFinite);
      const beyond = [Math.min(...ends) - 1, Math.max(...ends) + 1];
      for (const value of beyond) {
        assert.throws(() => takes({ ...kind.usual, [field]: value }), FaultsError);
      }
    }
  }
});

const faults: readonly Fault[] = [
  { kind: "refuse", point: 2, probability: 0.3 },
  { kind: "crash", part: "relay-1", probability: 0.1 },
  { kind: "full-queue", topic: "results", capacity: 0 },
  { kind: "crash", part: "lambda-2.1", probability: 0 },
];

Deno.test("every fault beyond the points has a row, and so has every kind that is off", () => {
  const rows = beyondRows(faults);
  assert.deepEqual(
    rows.map((row) => [row.kind.name, row.nth, row.fault && faults.indexOf(row.fault), isOn(row)]),
    [
      ["full-queue orders", 0, undefined, false],
      ["full-queue results", 0, 2, true],
      ["poison", 0, undefined, false],
      ["slow-consumer", 0, undefined, false],
      ["clock-skew", 0, undefined, false],
      ["crash", 0, 1, true],
      ["crash", 1, 3, false],
      ["pause", 0, undefined, false],
    ],
  );
});

Deno.test("what a row sets leaves all other faults as they were", () => {
  const [orders, results, poison, , , first, second] = beyondRows(faults);
  const crash: Fault = { kind: "crash", part: "*", probability: 1 };
  assert.deepEqual(withBeyond(faults, second!, crash), [...faults.slice(0, 3), crash]);
  assert.deepEqual(withBeyond(faults, first!, undefined), faults.toSpliced(1, 1));
  assert.deepEqual(withBeyond(faults, results!, undefined), faults.toSpliced(2, 1));
  assert.deepEqual(withBeyond(faults, poison!, poison!.kind.usual as BeyondFault), [
    ...faults,
    { kind: "poison", probability: 0.1 },
  ]);
  assert.deepEqual(withBeyond(faults, orders!, undefined), faults);
});

Deno.test("a switch turns on what was there before, or the usual strength of what is set", () => {
  const [, results, poison, , , first, second] = beyondRows(faults);
  assert.equal(startOf(results!, undefined), faults[2]);
  assert.equal(startOf(first!, { kind: "crash", part: "*", probability: 1 }), faults[1]);
  assert.deepEqual(startOf(poison!, undefined), { kind: "poison", probability: 0.1 });
  assert.deepEqual(startOf(second!, undefined), {
    ...{ kind: "crash", part: "lambda-2.1", probability: 0.05, minDurationMs: 2_000 },
  });
  const before: Fault = { kind: "crash", part: "*", probability: 1 };
  assert.equal(startOf(second!, before), before);
  assert.deepEqual(rowAmong([faults[1]!], second!), { ...second, fault: undefined });
});

Deno.test("a value that was not said is the usual one, and each is said with its unit", () => {
  const words = beyondKinds.flatMap(({ usual, strength, duration }) =>
    [strength, duration].flatMap((knob) => knob ? [knob.words(valueOf(usual, knob))] : [])
  );
  assert.deepEqual(words.map((one) => one.replaceAll("\u202f", " ")), [
    ...["4 messages", "4 messages", "10 % of messages", "10 % of messages", "4 s", "3 s behind"],
    ...["5 % each second", "2 s or more", "5 % each second", "5 s"],
  ]);
  const slow = beyondKinds.find(({ name }) => name === "slow-consumer")!;
  assert.equal(valueOf({ kind: "slow-consumer", probability: 1 }, slow.duration!), 4_000);
});

Deno.test("a part is all, all instances of one, or an instance, and what was set otherwise", () => {
  const parts = ["frontend", "relay-1.0", "relay-1.1", "janitor-1.0"].map((name) =>
    ({ name }) as PartState
  );
  const all = [["*", "every part"], ["relay-1", "Relay 1"], ["relay-1.0", "Relay 1a"]];
  const rest = [["relay-1.1", "Relay 1b"], ["janitor-1", "Janitor 1"]];
  assert.deepEqual(partChoices(parts, "*"), [...all, ...rest]);
  assert.deepEqual(partChoices(parts, "relay-2.0").at(-1), ["relay-2.0", "Relay 2a"]);
});

Deno.test("what lies between two places of a slider is at one of them", () => {
  assert.equal(steps([-10, 0, 10]).placeOf(-3), 0);
  assert.equal(steps([5, 10]).placeOf(1), 0);
  assert.equal(steps([0, 1, Infinity]).placeOf(7), 1);
  assert.equal(rateScale.placeOf(0.0001), 1);
});
