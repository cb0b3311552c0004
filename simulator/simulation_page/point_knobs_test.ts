import assert from "node:assert/strict";
import { parseFaults } from "../live/faults.ts";
import { checkOptions, faultKinds, type FaultKnobs, knobsOfKind } from "../simulation/engine.ts";
import type { PointFault } from "./faults.ts";
import { hasDirection, knobsInWords, slidersOf, valueOf } from "./point_knobs.ts";
import { drawn } from "./slider_scale.ts";

const live = {
  usual: (): FaultKnobs => ({ minDurationMs: 500, delayMs: 200, direction: "both" }),
  maxMs: 3_600_000,
};
const run = { usual: (): FaultKnobs => ({}), maxMs: 600_000 };

Deno.test("each kind has the knobs that it uses, and every place of each slider is taken", () => {
  for (const kind of faultKinds) {
    const fields: string[] = [...slidersOf(kind, live).map(({ field }) => field)];
    if (hasDirection(kind)) fields.push("direction");
    assert.deepEqual(fields.toSorted(), knobsOfKind[kind].toSorted(), kind);
    for (const { field, scale } of slidersOf(kind, live)) {
      for (let place = 0; place <= scale.last; place++) {
        const ms = scale.valueOf(place);
        assert.equal(scale.placeOf(ms), place);
        const faults = [{ kind, point: 2, probability: 1, [field]: ms }];
        assert.deepEqual(parseFaults(JSON.stringify({ faults })), faults);
      }
    }
    for (const { field, scale } of slidersOf(kind, run)) {
      assert.equal(scale.valueOf(0), drawn);
      for (let place = 1; place <= scale.last; place++) {
        checkOptions({ faultKnobs: { 2: { [kind]: { [field]: scale.valueOf(place) } } } });
      }
    }
  }
});

Deno.test("what is not set is what the kind usually is; what is set is said with its unit", () => {
  const delay: PointFault = { kind: "delay", probability: 1 };
  const [lasting, late] = slidersOf("delay", live);
  assert.equal(valueOf(delay, late!, live), 200);
  assert.equal(valueOf(delay, late!, run), drawn);
  assert.equal(late!.words(drawn), "as drawn");
  assert.equal(lasting!.words(0), "one call");
  assert.equal(knobsInWords(delay, live), "");
  const words = knobsInWords(
    { ...delay, delayMs: 300, minDurationMs: 5_000, direction: "back" },
    live,
  );
  assert.equal(
    words.replaceAll("\u202f", " "),
    "goes on for 5 s, late by 300 ms, one way: back",
  );
});
