import assert from "node:assert/strict";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { connectToFirst } from "./happy_eyeballs.ts";

/** Addresses that answer, or fail, after so many milliseconds. */
function network(world: VirtualWorld, answers: Record<string, { afterMs: number; fails?: true }>) {
  const tried: { address: string; atMs: number }[] = [];
  const discarded: string[] = [];
  const connect = () =>
    connectToFirst({
      addresses: Object.keys(answers),
      attempt: (address) => {
        tried.push({ address, atMs: world.monotonicMs() });
        const { afterMs, fails } = answers[address]!;
        return new Promise<string>((resolve, reject) =>
          world.setTimeout(
            () => fails ? reject(new Error(`${address} refuses`)) : resolve(address),
            afterMs,
          )
        );
      },
      discard: (address) => discarded.push(address),
      world,
    });
  return { connect, tried, discarded };
}

Deno.test("connectToFirst() takes an address that answers soon, and tries no other", async () => {
  const world = new VirtualWorld();
  const { connect, tried } = network(world, {
    "::1": { afterMs: 10 },
    "127.0.0.1": { afterMs: 1 },
  });
  assert.equal(await world.runUntil(connect()), "::1");
  await world.runUntilIdle();
  assert.equal(tried.length, 1);
});

Deno.test("connectToFirst() tries the next after 250 ms, and lets the late one go", async () => {
  const world = new VirtualWorld();
  const { connect, tried, discarded } = network(world, {
    "::1": { afterMs: 400 },
    "127.0.0.1": { afterMs: 20 },
    "127.0.0.2": { afterMs: 1 },
  });
  assert.equal(await world.runUntil(connect()), "127.0.0.1");
  await world.runUntilIdle();
  assert.deepEqual(tried, [{ address: "::1", atMs: 0 }, { address: "127.0.0.1", atMs: 250 }]);
  assert.deepEqual(discarded, ["::1"]);
});

Deno.test("connectToFirst() goes on at once after a failure, and says the first when all fail", async () => {
  const world = new VirtualWorld();
  const { connect, tried } = network(world, {
    "::1": { afterMs: 5, fails: true },
    "127.0.0.1": { afterMs: 5 },
  });
  assert.equal(await world.runUntil(connect()), "127.0.0.1");
  assert.equal(tried[1]!.atMs, 5);

  const none = network(world, {
    "::1": { afterMs: 300, fails: true },
    "127.0.0.1": { afterMs: 5, fails: true },
  });
  const failed = assert.rejects(none.connect(), /::1 refuses/);
  await world.runUntilIdle();
  await failed;
});
