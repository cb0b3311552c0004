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

Deno.test("TokenBuckets says what is left, and when there is more", async () => {
  const world = new VirtualWorld();
  const buckets = new TokenBuckets({ name: "signups", perSecond: 0.4, burst: 2, world });
  const policy = { "ratelimit-policy": '"signups";q=2;w=5' };
  assert.deepEqual(buckets.take("a"), { ...policy, ratelimit: '"signups";r=1;t=0' });
  assert.deepEqual(buckets.take("a"), { ...policy, ratelimit: '"signups";r=0;t=3' });
  await world.advance(1_000);
  // 0.4 of a token: 0.6 are missing, which take 1.5 s.
  assert.throws(() => buckets.take("a"), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.match(
      error.problem.detail!,
      /0\.4 times a second, 2 times at once\. Try again in 2 s\./,
    );
    assert.equal(error.problem.title, "Too many requests");
    const { headers } = error.getResponse();
    assert.equal(headers.get("retry-after"), "2");
    assert.equal(headers.get("ratelimit"), '"signups";r=0;t=2');
    assert.equal(headers.get("ratelimit-policy"), policy["ratelimit-policy"]);
    return true;
  });
  const quick = new TokenBuckets({ name: "x", perSecond: 100, burst: 10, world });
  assert.match(quick.take("a")["ratelimit-policy"]!, /w=1$/);
});

Deno.test("TokenBuckets refuses options that are out of range, by their name", () => {
  const good = { name: "x", perSecond: 0.001, burst: 1, maxDevices: 1 };
  new TokenBuckets(good);
  for (
    const [bad, message] of [
      [{ burst: 0 }, /'burst' must be an integer of at least 1: current value is 0/],
      [{ burst: 1.5 }, /'burst' must be an integer/],
      [{ maxDevices: 0 }, /'maxDevices' must be an integer/],
      [{ maxDevices: NaN }, /'maxDevices' must be an integer/],
      [{ perSecond: 0 }, /'perSecond' must be above 0: current value is 0/],
      [{ perSecond: NaN }, /'perSecond' must be above 0/],
    ] as const
  ) {
    assert.throws(
      () => new TokenBuckets({ ...good, ...bad }),
      (error) => error instanceof RangeError && message.test(error.message),
      JSON.stringify(bad),
    );
  }
});
