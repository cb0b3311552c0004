import assert from "node:assert/strict";
import { Outages } from "./outages.ts";

const working = { resting: false };

Deno.test("Outages counts the time from the last answer to the next one, however few pings it cost", () => {
  const outages = new Outages();
  for (let atMs = 0; atMs <= 10_000; atMs += 100) {
    outages.answered(atMs);
    outages.look(atMs, working);
  }
  assert.deepEqual(outages.figures(10_050), { count: 0, totalMs: 0, current: undefined });
  outages.look(12_000, working);
  assert.equal(outages.figures(12_000).count, 0, "a ping may be slow");
  outages.look(13_000, working);
  outages.look(14_000, working);
  assert.deepEqual(outages.figures(15_000), {
    count: 1,
    totalMs: 5_000,
    current: { fromMs: 10_000, toMs: 15_000 },
  });
  outages.answered(41_000);
  assert.deepEqual(outages.figures(50_000), { count: 1, totalMs: 31_000, current: undefined });
  assert.deepEqual(outages.since(20_000, 50_000), [{ fromMs: 10_000, toMs: 41_000 }]);
  assert.deepEqual(outages.since(42_000, 50_000), []);
});

Deno.test("Outages knows at once what the connection says, and counts it once", () => {
  const outages = new Outages();
  outages.lost();
  assert.equal(outages.figures(1_000).count, 0, "there was none before the first answer");
  outages.answered(1_000);
  outages.lost();
  outages.lost();
  outages.look(9_000, working);
  assert.equal(outages.figures(9_000).count, 1);
  outages.answered(2_000);
  outages.answered(2_100);
  assert.equal(outages.figures(9_000).totalMs, 1_000);
});

Deno.test("Outages takes a pause for no outage, and an outage that was there before it for one", () => {
  const outages = new Outages();
  outages.answered(1_000);
  outages.look(60_000, { resting: true });
  outages.look(61_000, working);
  assert.equal(outages.figures(61_000).count, 0);
  outages.look(63_000, working);
  outages.look(70_000, { resting: true });
  outages.answered(80_000);
  assert.deepEqual(outages.since(0, 80_000), [{ fromMs: 60_000, toMs: 80_000 }]);
});
