import assert from "node:assert/strict";
import fc from "fast-check";
import { PreciseClock } from "./precise_clock.ts";

/** Clocks as a machine has them: a wall of whole milliseconds, a monotonic one of any. */
function machine(startMs: number) {
  let trueMs = startMs;
  let setMs = 0;
  const clock = new PreciseClock({ nowMs: () => Math.floor(trueMs + setMs) });
  return {
    advance: (ms: number) => trueMs += ms,
    /** Sets the wall clock. */
    set: (ms: number) => setMs += ms,
    wallMs: () => Math.floor(trueMs + setMs),
    read: () => clock.nowMs(trueMs - startMs + 5),
  };
}

Deno.test("PreciseClock agrees with the wall clock to the millisecond, and never goes back by itself", () => {
  fc.assert(fc.property(
    fc.double({ min: 1e12, max: 2e12, noNaN: true }),
    fc.array(fc.double({ min: 0, max: 40, noNaN: true }), { maxLength: 60 }),
    (startMs, steps) => {
      const { advance, wallMs, read } = machine(startMs);
      let before = -Infinity;
      for (const step of steps) {
        advance(step);
        const now = read();
        assert.ok(now >= wallMs() && now < wallMs() + 1, `${now} at ${wallMs()}`);
        assert.ok(now >= before - 0.001, `${before} then ${now}`);
        before = now;
      }
    },
  ));
});

Deno.test("PreciseClock measures within a millisecond, and follows a wall clock that was set", () => {
  const { advance, set, read, wallMs } = machine(1_000_000.2);
  const first = read();
  advance(0.3);
  assert.ok(Math.abs(read() - first - 0.3) < 1e-6);
  for (const jumpMs of [3_600_000, -7_200_000, 5]) {
    set(jumpMs);
    assert.ok(Math.abs(read() - wallMs()) < 1);
  }
});

Deno.test("PreciseClock comes back where it is a little ahead, and is set where it is far off", () => {
  for (
    const [wallMs, monotonicMs, nowMs] of [
      [1_000, 5.5, 1_000.5],
      [1_000, 5.999, 1_000.999],
      [1_000, 6, 1_000.999],
      [1_000, 6.9, 1_000.999],
      [1_000, 7, 1_000],
      [1_000, 9, 1_000],
      [1_000.9995, 6.5, 1_000.9995],
      [1_001, 5.5, 1_001],
      [999, 5.5, 999.999],
      [998, 5.5, 998],
    ] as const
  ) {
    let now = 1_000;
    const clock = new PreciseClock({ nowMs: () => now });
    assert.equal(clock.nowMs(5), 1_000);
    now = wallMs;
    assert.equal(clock.nowMs(monotonicMs), nowMs, `${wallMs} at ${monotonicMs}`);
    // It goes on from there.
    const before = clock.nowMs(monotonicMs);
    assert.ok(clock.nowMs(monotonicMs + 0.0001) >= before);
  }
});
