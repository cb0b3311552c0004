/** What a live topology has under way after many rounds is as much as after one. */
import assert from "node:assert/strict";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { liveTest, testLive } from "./test_live.ts";

liveTest("parts that are killed and started again and again leave no timer behind", async () => {
  const world = new VirtualWorld({ seed: 3 });
  {
    await using test = await testLive({ openBus: () => Promise.resolve(memoryBus({ world })) }, {
      world,
    });
    const { live } = test;
    const names = live.state().parts.map(({ name }) => name).filter((name) => name !== "frontend");
    const round = async () => {
      for (const name of names) live.kill(name);
      for (const name of names) live.startPart(name);
      // Each comes to where it waits, and no further.
      await world.advance(1);
    };
    await round();
    const afterOne = world.pendingTimers;
    for (let i = 0; i < 49; i++) await round();
    assert.equal(world.pendingTimers, afterOne);
    // What is under way when it stops is not a part's alone.
    live.setFaults([{ point: 1, kind: "delay", probability: 1, delayMs: 200 }]);
    live.submitOrders(3);
    await world.advance(1);
    assert.ok(world.pendingTimers > afterOne);
  }
  assert.equal(world.pendingTimers, 0);
});
