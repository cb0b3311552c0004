import assert from "node:assert/strict";
import { drawOptions, faultKinds, faultPoints, noTrouble, type RunOptions } from "./options.ts";

const seeds = Array.from({ length: 200 }, (_, index) => index + 1);

/** In how many seeds each kind of fault is at no point, and each other trouble is none. */
function absences(isSwarm: boolean): number[] {
  const all = seeds.map((seed) => drawOptions({ seed, isSwarm, given: { ordering: "sequence" } }));
  const ofFaults = faultKinds.map((kind) =>
    all.filter(({ faults }) => faultPoints.every((point) => faults[point]?.[kind] === undefined))
      .length
  );
  const ofOthers = Object.keys(noTrouble).map((name) =>
    all.filter((options) => options[name as keyof RunOptions] === 0).length
  );
  return [...ofFaults, ...ofOthers];
}

Deno.test("each kind of trouble is absent in half of the seeds: swarm testing", () => {
  for (const count of absences(true)) assert.ok(count > 70 && count < 130, `${count} of 200 seeds`);
});

Deno.test("without a swarm each kind of trouble is there in every seed", () => {
  assert.deepEqual(absences(false), absences(false).map(() => 0));
});
