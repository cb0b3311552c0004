import assert from "node:assert/strict";
import { MinuteCounter } from "./minute_counter.ts";

Deno.test("MinuteCounter counts the last minute, slice by slice", () => {
  const counter = new MinuteCounter();
  const startMs = 1_800_000_000_000;
  for (let second = 0; second < 30; second++) counter.add(startMs + second * 1_000);
  assert.equal(counter.count(startMs + 30_000), 30);
  assert.equal(counter.count(startMs + 62_000), 25);
  assert.equal(counter.count(startMs + 90_000), 0);
  assert.equal(counter.isCounting, false);
  counter.add(startMs + 10_000_000);
  assert.equal(counter.count(startMs + 10_000_000), 1);
  assert.equal(counter.count(startMs), 1, "a clock set back changes nothing");
});
