import assert from "node:assert/strict";
import { checkOptions, createRun } from "../simulation/engine.ts";
import { troubleKnobs } from "./run_trouble.ts";
import { drawn } from "./slider_scale.ts";

Deno.test("the simulator takes every place of each slider, and the first is as drawn", () => {
  for (const { option, scale, words } of troubleKnobs) {
    assert.equal(scale.valueOf(0), drawn);
    assert.equal(words(drawn), "as drawn");
    for (let place = 1; place <= scale.last; place++) {
      const value = scale.valueOf(place);
      assert.equal(scale.placeOf(value), place, `${option} ${value}`);
      checkOptions({ [option]: value });
      assert.doesNotMatch(words(value), /undefined|NaN/);
    }
  }
});

Deno.test("what is set happens", () => {
  const given = { orders: 6, faults: {}, crashes: 3, pauses: 0 };
  const { entries } = createRun({ seed: 1, given });
  assert.equal(entries.filter(({ kind }) => kind === "crash").length >= 1, true);
  const { entries: calm } = createRun({ seed: 1, given: { ...given, crashes: 0 } });
  assert.deepEqual(calm.filter(({ kind }) => kind === "crash"), []);
});
