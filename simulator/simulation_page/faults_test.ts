import assert from "node:assert/strict";
import { createRun, faultKinds } from "../simulation/engine.ts";
import {
  faultsAt,
  kindsOf,
  type PointFaults,
  scaled,
  startOf,
  totalRate,
  withFault,
  withFaults,
  withKind,
  withKinds,
  withTrouble,
} from "./faults.ts";
import { watchableRun } from "./scenario.ts";
import { rateScale } from "./slider_scale.ts";

const input = watchableRun();
const { result: { options } } = createRun(input);
const info = { input, options };
const refuse = (probability: number): PointFaults => [{ kind: "refuse", probability }];

Deno.test("a switch at the beginning is an option of the run, later on something done to it", () => {
  const first = withFaults(info, 2, refuse(0.5), 0);
  assert.deepEqual(first.given!.faults, { 2: { refuse: 0.5 } });
  const later = withFaults(info, 2, refuse(0.5), 700);
  assert.deepEqual(later.given, input.given);
  const set = { input: later, options };
  assert.deepEqual(faultsAt(set, 699)[2], []);
  assert.deepEqual(faultsAt(set, 700)[2], refuse(0.5));
  // What comes later at this point is changed by it, what comes at others is not.
  const delay: PointFaults = [{ kind: "delay", probability: 1 }];
  const other = withFaults({ input: withFaults(set, 3, delay, 900), options }, 2, [], 500);
  assert.deepEqual(faultsAt({ input: other, options }, 1_000)[2], []);
  assert.deepEqual(faultsAt({ input: other, options }, 1_000)[3], delay);
});

Deno.test("faults that are switched on leave the past as it was", () => {
  const base = createRun(input);
  const changed = createRun(withFaults(info, 2, refuse(0.9), 700));
  const isPast = ({ atUs }: { atUs: number }) => atUs < 700_000;
  const bare = ({ event: _, ...entry }: (typeof base.entries)[number]) => entry;
  assert.deepEqual(
    changed.entries.filter(isPast).map(bare),
    base.entries.filter(isPast).map(bare),
  );
  assert.ok(changed.entries.some(({ kind, atUs }) => kind === "fault-2" && atUs >= 700_000));
});

Deno.test("a part that is killed is down from then on, and comes back", () => {
  const run = createRun(withTrouble(info, "crash", "relay-1.0", 700, 300));
  const [crash, restart] = ["crash", "restart"].map((kind) =>
    run.entries.find((entry) => entry.kind === kind && entry.part === "relay-1.0")!
  );
  assert.equal(crash!.atUs, 700_000);
  assert.equal(restart!.atUs, 1_000_000);
});

Deno.test("the slider scales what is set, the kinds share it", () => {
  const both: PointFaults = [...refuse(0.1), { kind: "delay", probability: 0.3, delayMs: 50 }];
  assert.equal(totalRate(scaled(both, 0.2)), 0.2);
  assert.deepEqual(kindsOf(scaled(both, 0.2)), ["delay", "refuse"]);
  assert.equal(totalRate(scaled([], 0.2)), 0.2);
  const { placeOf, valueOf, last } = rateScale;
  for (let place = 1; place <= last; place++) {
    const set = scaled([], valueOf(place));
    assert.equal(placeOf(totalRate(set)), place, "an arrow key gets further from each place");
    const sixths = withKinds(set, faultKinds.slice(0, 6));
    const sum = sixths.reduce((sum, { probability }) => sum + probability, 0);
    assert.ok(sum <= 1, "the API takes it");
  }
  assert.deepEqual(withKinds(both, ["delay", "outage"]), [
    { kind: "delay", probability: 0.2, delayMs: 50 },
    { kind: "outage", probability: 0.2 },
  ]);
});

Deno.test("knobs are part of what is set, at the beginning and later on; none of them is left over", () => {
  const faults: PointFaults = [
    { kind: "delay", probability: 0.5, minDurationMs: 200, delayMs: 40, direction: "back" },
    { kind: "refuse", probability: 0.1 },
  ];
  for (const atMs of [0, 700]) {
    const set = withFaults(info, 2, faults, atMs);
    const run = createRun(set);
    const shown = { input: set, options: run.result.options };
    assert.deepEqual(faultsAt(shown, atMs)[2], faults);
    assert.deepEqual(run.decisions.filter(({ name }) => /^delay-way 2/.test(name)).at(0)?.value, 1);
    const healed = withFaults(shown, 2, [], atMs);
    assert.doesNotMatch(JSON.stringify(healed), /delayMs/);
  }
});

Deno.test("one of several is changed, taken back, or added, within what there is room for", () => {
  const both: PointFaults = [...refuse(0.6), { kind: "delay", probability: 0.3, delayMs: 50 }];
  assert.deepEqual(withFault(both, 1, { probability: 1, direction: "back" }), [
    both[0],
    { kind: "delay", probability: 0.4, delayMs: 50, direction: "back" },
  ]);
  assert.deepEqual(withFault(both, 1, { delayMs: undefined })[1], {
    kind: "delay",
    probability: 0.3,
  });
  assert.deepEqual(withKind(both, "outage")[2], { kind: "outage", probability: 0.1 });
  assert.deepEqual(startOf([], both), both);
  assert.deepEqual(startOf([{ kind: "delay", probability: 0, delayMs: 9 }], undefined), [
    { kind: "delay", probability: 0.2, delayMs: 9 },
  ]);
  assert.equal(startOf(both, refuse(1)), both);
});
