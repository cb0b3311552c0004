import assert from "node:assert/strict";
import { drainMicrotasks, VirtualWorld } from "../world/virtual_world.ts";
import { Heartbeat, type HeartbeatOptions } from "./heartbeat.ts";
import { virtualPlatform } from "./test_platform.ts";

/** A heartbeat in virtual time, and what it said. */
function scene(ask: HeartbeatOptions["ask"]) {
  const world = new VirtualWorld();
  const said: string[] = [];
  const platform = virtualPlatform(world);
  const heartbeat = new Heartbeat({
    onSilent: (sinceMs) => said.push(`silent since ${sinceMs - startMs}`),
    onHeard: () => said.push("heard"),
    ask: ask!,
    platform,
  });
  const startMs = platform.now();
  return { world, said, platform, heartbeat };
}

Deno.test("Heartbeat asks again and again, and is quiet while it is answered", async () => {
  let asked = 0;
  const { world, said, heartbeat } = scene(() => Promise.resolve(asked++));
  heartbeat.start();
  await world.advance(20_000);
  heartbeat.stop();
  assert.deepEqual(said, []);
  assert.equal(asked, 11);
  await world.advance(20_000);
  assert.equal(asked, 11, "stopped");
});

Deno.test("Heartbeat says once that nothing comes, gives each question up, and says when something does", async () => {
  let standsStill = false;
  let aborted = 0;
  const { world, said, heartbeat } = scene((signal) => {
    if (!standsStill) return Promise.resolve();
    return new Promise((_, reject) =>
      signal.addEventListener("abort", () => {
        aborted++;
        reject(new Error("aborted"));
      })
    );
  });
  heartbeat.start();
  await world.advance(1_000);
  standsStill = true;
  await world.advance(30_000);
  assert.deepEqual(said, ["silent since 0"]);
  assert.equal(aborted, 4);
  standsStill = false;
  await world.advance(10_000);
  assert.deepEqual(said, ["silent since 0", "heard"]);
  heartbeat.stop();
});

Deno.test("Heartbeat takes what comes by another way for an answer", async () => {
  const { world, said, heartbeat } = scene(() => Promise.reject(new Error("refused")));
  heartbeat.start();
  for (let i = 0; i < 5; i++) {
    await world.advance(4_000);
    heartbeat.heard();
  }
  assert.deepEqual(said, []);
  await world.advance(6_000);
  assert.deepEqual(said, ["silent since 20000"]);
  heartbeat.heard();
  assert.equal(said[1], "heard");
  heartbeat.stop();
});

Deno.test("Heartbeat asks nothing for a page that nobody sees, and begins anew when it is seen", async () => {
  let asked = 0;
  const { world, said, platform, heartbeat } = scene(() => Promise.resolve(asked++));
  heartbeat.start();
  platform.see(false);
  await drainMicrotasks();
  const before = asked;
  await world.advance(60_000);
  assert.equal(asked, before);
  platform.see(true);
  await world.advance(3_000);
  assert.equal(asked, before + 2);
  assert.deepEqual(said, []);
  heartbeat.stop();
});
