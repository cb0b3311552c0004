import assert from "node:assert/strict";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { realWorld } from "../../service/world/world.ts";
import { Pace } from "./pace.ts";

Deno.test("Pace hands on at once what costs nothing, and gathers for as long as it took", async () => {
  const world = new VirtualWorld({ seed: 1 });
  const seen: number[][] = [];
  let costMs = 0;
  let spentMs = 0;
  const pace = new Pace<number>((items) => {
    seen.push([...items]);
    spentMs += costMs;
  }, {
    ...realWorld,
    // Handing on takes time, which a virtual world does not have by itself.
    monotonicMs: () => world.monotonicMs() + spentMs,
    setTimeout: (run, ms) => world.setTimeout(run, ms),
    clearTimeout: (timer) => world.clearTimeout(timer),
  });
  pace.take([1]);
  pace.take([2, 3]);
  assert.deepEqual(seen, [[1], [2, 3]]);
  costMs = 5;
  pace.take([4]);
  pace.take([5]);
  pace.take([6]);
  assert.deepEqual(seen.slice(2), [[4]]);
  await world.advance(4.9);
  assert.deepEqual(seen.slice(2), [[4]]);
  await world.advance(0.2);
  assert.deepEqual(seen.slice(2), [[4], [5, 6]]);
  pace.take([7]);
  pace.flush();
  assert.deepEqual(seen.slice(4), [[7]]);
  await world.advance(100);
  assert.equal(seen.length, 5, "what was flushed does not come again");
});
