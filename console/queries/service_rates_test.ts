import assert from "node:assert/strict";
import type { RatesAnswer } from "../page_api/api.ts";
import { newSpanId, newTraceId, testConsole, type TestSpan } from "../test_console.ts";

const nowMs = Date.now();
const stepMs = 10_000;
/** In the middle of a step that is over. */
const middleMs = Math.floor((nowMs - 60_000) / stepMs) * stepMs + stepMs / 2;

function at(ms: number, durationMs: number, given: TestSpan = {}): TestSpan {
  const startNs = BigInt(ms) * 1_000_000n;
  const endNs = startNs + BigInt(durationMs) * 1_000_000n;
  return { startTimeUnixNano: startNs, endTimeUnixNano: endNs, ...given };
}

Deno.test("/api/rates gives rate, error share and p95 of what a service was asked, step by step", async () => {
  await using viewer = await testConsole();
  // Spans are held since then.
  await viewer.sendSpans([at(middleMs - 2 * stepMs, 1)], "older");
  const [traceId, root] = [newTraceId(), newSpanId()];
  await viewer.sendSpans([
    at(middleMs, 100, { traceId, spanId: root, kind: 2 }),
    at(middleMs, 900, { traceId, parentSpanId: root, kind: 1 }),
    at(middleMs + 1, 300, { kind: 2, status: { code: 2 } }),
    at(middleMs + 2 * stepMs, 50, { kind: 2 }),
  ], "web");
  await viewer.sendSpans([at(middleMs, 5, { traceId, parentSpanId: root, kind: 2 })], "db");
  const answer: RatesAnswer = await viewer.get("/api/rates?lookback=15m");
  assert.equal(answer.stepMs, stepMs);
  assert.deepEqual(answer.services.map(({ name, calls, errors }) => [name, calls, errors]), [
    ["web", 3, 1],
    ["db", 1, 0],
  ]);
  const web = answer.services[0]!;
  const i = answer.timesMs.indexOf(middleMs + stepMs / 2);
  assert.deepEqual(web.rates.slice(i, i + 3), [0.2, 0, 0.1]);
  assert.deepEqual(web.errorShares.slice(i, i + 3), [0.5, null, 0]);
  assert.deepEqual(web.p95sMs.slice(i, i + 3), [300, null, 50]);
  assert.ok(answer.timesMs.at(-1)! <= Date.now());
  assert.ok(answer.timesMs[0]! > middleMs - stepMs, "a step of which not all is held is not shown");
});

Deno.test("/api/rates shows what came at once, though it lies in one step alone", async () => {
  await using viewer = await testConsole();
  await viewer.sendSpans([at(middleMs, 100, { kind: 2 }), at(middleMs + 1, 200, { kind: 2 })]);
  const { services, timesMs }: RatesAnswer = await viewer.get("/api/rates?lookback=15m");
  assert.equal(services[0]?.calls, 2);
  assert.equal(services[0]?.rates[timesMs.indexOf(middleMs + stepMs / 2)], 0.2);
});
