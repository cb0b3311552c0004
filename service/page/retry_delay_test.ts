import assert from "node:assert/strict";
import { retryDelayMs } from "./retry_delay.ts";

const options = { baseDelayMs: 500, maxDelayMs: 8_000 };

Deno.test("retryDelayMs() doubles up to the cap, and keeps at least half of each wait", () => {
  const attempts = [1, 2, 3, 4, 5, 6, 2_000];
  const longest = attempts.map((attempt) => retryDelayMs(attempt, options, { random: () => 0 }));
  assert.deepEqual(longest, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
  const shortest = attempts.map((attempt) => retryDelayMs(attempt, options, { random: () => 1 }));
  assert.deepEqual(shortest, longest.map((delayMs) => delayMs / 2));
});

Deno.test("retryDelayMs() draws by itself where no chance is handed in", () => {
  const delaysMs = Array.from({ length: 100 }, () => retryDelayMs(1, options));
  assert.ok(delaysMs.every((delayMs) => delayMs > 250 && delayMs <= 500), `${delaysMs}`);
  assert.ok(new Set(delaysMs).size > 1);
});
