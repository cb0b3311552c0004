import assert from "node:assert/strict";
import { ProblemError } from "../../service/problem.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { TokenBuckets } from "./token_buckets.ts";

/** Whether a device may call. */
function may(buckets: TokenBuckets, device: string): boolean {
  try {
    buckets.take(device);
    return true;
  } catch (error) {
    assert.ok(error instanceof ProblemError);
    assert.equal(error.status, 429);
    return false;
  }
}

Deno.test("TokenBuckets gives a device its burst, then its rate, and no more than the burst after a rest", async () => {
  const world = new VirtualWorld();
  const buckets = new TokenBuckets({ name: "signups", perSecond: 2, burst: 3, world });
  const burst = () => Array.from({ length: 5 }, () => may(buckets, "a"));
  assert.deepEqual(burst(), [true, true, true, false, false]);
  await world.advance(500);
  assert.deepEqual(burst(), [true, false, false, false, false]);
  await world.advance(60_000);
  assert.deepEqual(burst(), [true, true, true, false, false]);
});

Deno.test("TokenBuckets forgets the device that has rested for longest, not who calls", async () => {
  const world = new VirtualWorld();
  const buckets = new TokenBuckets({ name: "x", perSecond: 0.001, burst: 1, maxDevices: 2, world });
  assert.ok(may(buckets, "a"));
  await world.advance(1);
  assert.ok(may(buckets, "b"));
  await world.advance(1);
  // Refused, and the latest to call all the same.
  assert.ok(!may(buckets, "a"));
  assert.ok(may(buckets, "c"));
  assert.equal(buckets.size, 2);
  assert.ok(!may(buckets, "a"), "a is remembered");
  assert.ok(may(buckets, "b"), "b was forgotten, and begins anew");
});
