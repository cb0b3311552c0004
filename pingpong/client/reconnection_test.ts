import assert from "node:assert/strict";
import { Reconnection, type ReconnectionOptions } from "./reconnection.ts";

function reconnection(
  { random = () => 0, ...options }: ReconnectionOptions & { random?: () => number } = {},
) {
  const clock = { ms: 0 };
  const world = { monotonicMs: () => clock.ms, random };
  return { clock, it: new Reconnection({ world, ...options }) };
}

Deno.test("failed() gives up after the retries when there never was a session", () => {
  const { it } = reconnection();
  assert.deepEqual([it.failed(), it.failed(), it.failed(), it.failed()], [
    1_000,
    2_000,
    4_000,
    undefined,
  ]);
  assert.equal(it.state.kind, "given-up");
});

Deno.test("a lost stable connection is tried again at once, and longer than a new one", () => {
  const { it, clock } = reconnection();
  it.connected();
  clock.ms = 10_000;
  assert.equal(it.lost(), 0);
  const delays = Array.from({ length: 6 }, () => it.failed());
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
  clock.ms = 129_999;
  assert.equal(it.failed(), 5_000);
  clock.ms = 130_000;
  assert.equal(it.failed(), undefined);
});

Deno.test("a flapping connection spends the budget, a stable one fills it again", () => {
  const { it, clock } = reconnection({ outageBudgetMs: 10_000 });
  it.connected();
  const waits: (number | undefined)[] = [];
  for (let turn = 0; turn < 4; turn++) {
    clock.ms += 100;
    waits.push(it.lost());
    clock.ms += 2_000;
    it.connected();
  }
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 5_000]);
  clock.ms += 100;
  it.lost();
  clock.ms += 1_999;
  assert.equal(it.failed(), 5_000);
  clock.ms += 1;
  assert.equal(it.failed(), undefined, "2 s of outage five times are the budget");

  const second = reconnection({ outageBudgetMs: 10_000 });
  second.it.connected();
  for (let turn = 0; turn < 20; turn++) {
    second.clock.ms += 5_000;
    assert.equal(second.it.lost(), 0);
    second.clock.ms += 2_000;
    second.it.connected();
  }
});

Deno.test("jitter shortens a wait by no more than its part", () => {
  const { it } = reconnection({ jitter: 0.5, random: () => 0.999 });
  const delay = it.failed()!;
  assert.ok(delay > 500 && delay < 502, String(delay));
});

Deno.test("Reconnection refuses waits of zero", () => {
  assert.throws(
    () => new Reconnection({ retryBaseDelayMs: 0 }),
    /'retryBaseDelayMs' must be above 0/,
  );
});
