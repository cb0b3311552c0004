import assert from "node:assert/strict";
import { Decisions, type Draw, logUniform, seededDraw } from "./decisions.ts";

const dice = (draw: Draw) => Math.floor(draw() * 6);

Deno.test("each name draws by itself", () => {
  const [alone, among] = [new Decisions({ seed: 1 }), new Decisions({ seed: 1 })];
  const rolls = (decisions: Decisions, others: boolean) =>
    Array.from({ length: 20 }, (_, i) => {
      if (others) decisions.decide("other", String(i), dice);
      return decisions.decide("one", String(i), dice);
    });
  assert.deepEqual(rolls(alone, false), rolls(among, true));
});

Deno.test("a replay decides as the record says, and as usual where it says nothing", () => {
  const recorded = new Decisions({ seed: 1, record: true });
  const values = [1, 2, 3].map(() => recorded.decide("point", "o1", dice));
  const replayed = new Decisions({ seed: 99, replay: recorded.record });
  assert.deepEqual([1, 2, 3].map(() => replayed.decide("point", "o1", dice)), values);
  const empty = new Decisions({ seed: 1, replay: [] });
  assert.equal(empty.decide("point", "o1", dice, 4), 4);
});

Deno.test("only what is not usual is recorded, under the name of its occurrence", () => {
  const decisions = new Decisions({ seed: 1, record: true });
  for (const value of [0, 7, 0, 8]) decisions.decide("point", "o1", () => value);
  assert.deepEqual(decisions.record, [["point o1 #2", 7], ["point o1 #4", 8]]);
});

Deno.test("seeds and names give different draws, evenly spread", () => {
  const first = (seed: number, name: string) => seededDraw(seed, name)();
  assert.notEqual(first(1, "a"), first(2, "a"));
  assert.notEqual(first(1, "a"), first(1, "b"));
  const firsts = Array.from({ length: 4_000 }, (_, seed) => first(seed, "a"));
  const mean = firsts.reduce((sum, one) => sum + one, 0) / firsts.length;
  assert.ok(Math.abs(mean - 0.5) < 0.02, String(mean));
  assert.equal(logUniform(() => 0, 2, 200), 2);
  assert.ok(Math.abs(logUniform(() => 0.5, 2, 200) - 20) < 1e-9);
});
