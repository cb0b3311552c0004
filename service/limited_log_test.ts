import assert from "node:assert/strict";
import { limitedLog } from "./limited_log.ts";
import type { Log, LogFields } from "./log.ts";
import { VirtualWorld } from "./world/virtual_world.ts";

function setUp(options: { maxLinesPerSecond?: number } = {}) {
  const world = new VirtualWorld();
  const lines: [string, LogFields | undefined][] = [];
  const warn = (message: string, fields?: LogFields) => void lines.push([message, fields]);
  const log: Log = { debug: warn, info: warn, error: warn, warn };
  return { world, lines, warn: limitedLog(log, { ...options, world }) };
}

Deno.test("limitedLog() writes so many lines in a second, and tells with the next what it left out", async () => {
  const { world, lines, warn } = setUp({ maxLinesPerSecond: 2 });
  for (let number = 1; number <= 5; number++) warn(`${number}`, { number });
  assert.deepEqual(lines, [["1", { number: 1 }], ["2", { number: 2 }]]);
  await world.advance(999);
  warn("6");
  assert.equal(lines.length, 2, "the same second");
  await world.advance(1);
  warn("7", { number: 7 });
  warn("8");
  warn("9");
  assert.deepEqual(lines.slice(2), [["7", { number: 7, leftOut: 4 }], ["8", {}]]);
  await world.advance(5_000);
  warn("10");
  assert.deepEqual(lines.at(-1), ["10", { leftOut: 1 }]);
  warn("11");
  assert.deepEqual(lines.at(-1), ["11", {}], "it is told once");
});

Deno.test("limitedLog() writes twenty lines in a second unless told otherwise", () => {
  const { lines, warn } = setUp();
  for (let number = 0; number < 30; number++) warn("again");
  assert.equal(lines.length, 20);
});
