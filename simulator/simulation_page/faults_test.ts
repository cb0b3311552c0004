import assert from "node:assert/strict";
import { createRun, faultKinds } from "../simulation/engine.ts";
import {
  kindsOf,
  ratesAt,
  scaled,
  totalRate,
  withKinds,
  withRates,
  withTrouble,
} from "./faults.ts";
import { watchableRun } from "./scenario.ts";
import { rateScale } from "./slider_scale.ts";

const input = watchableRun();
const { result: { options } } = createRun(input);
const info = { input, options };

Deno.test("a switch at the beginning is an option of the run, later on something done to it", () => {
  const first = withRates(info, 2, { refuse: 0.5 }, 0);
  assert.deepEqual(first.given!.faults, { 2: { refuse: 0.5 } });
  const later = withRates(info, 2, { refuse: 0.5 }, 700);
  assert.deepEqual(later.given, input.given);
  const set = { input: later, options };
  assert.deepEqual(ratesAt(set, 699)[2], {});
  assert.deepEqual(ratesAt(set, 700)[2], { refuse: 0.5 });
  // What comes later at this point is changed by it, what comes at others is not.
  const other = withRates({ input: withRates(set, 3, { delay: 1 }, 900), options }, 2, {}, 500);
  assert.deepEqual(ratesAt({ input: other, options }, 1_000)[2], {});
  assert.deepEqual(ratesAt({ input: other, options }, 1_000)[3], { delay: 1 });
});

Deno.test("faults that are switched on leave the past as it was", () => {
  const base = createRun(input);
  const changed = createRun(withRates(info, 2, { refuse: 0.9 }, 700));
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
  assert.equal(totalRate(scaled({ refuse: 0.1, delay: 0.3 }, 0.2)), 0.2);
  assert.deepEqual(kindsOf(scaled({ refuse: 0.1, delay: 0.3 }, 0.2)), ["delay", "refuse"]);
  assert.equal(totalRate(scaled({}, 0.2)), 0.2);
  const { placeOf, valueOf, last } = rateScale;
  for (let place = 1; place <= last; place++) {
    const set = scaled({}, valueOf(place));
    assert.equal(placeOf(totalRate(set)), place, "an arrow key gets further from each place");
    const sixths = withKinds(set, faultKinds.slice(0, 6));
    const sum = Object.values(sixths).reduce((sum, rate) => sum + rate, 0);
    assert.ok(sum <= 1, "the API takes it");
  }
  assert.deepEqual(withKinds({ refuse: 0.2 }, ["delay", "outage"]), { delay: 0.1, outage: 0.1 });
});
