import assert from "node:assert/strict";
import type { PartitionProgress } from "../../service/bus/bus.ts";
import { keptMetrics } from "../../service/testing/kept_metrics.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { LagGauge } from "./lag_gauge.ts";

Deno.test("LagGauge counts and names the partitions in which requests wait and none is done", async () => {
  const world = new VirtualWorld();
  const { meter, sum, undescribed } = keptMetrics();
  const progress = new Map<number, PartitionProgress>();
  const at = (partition: number, waiting: number, done: number) =>
    progress.set(partition, { waiting, done: BigInt(done) });
  const unread: (readonly number[])[] = [];
  let isAway = false;
  const gauge = new LagGauge({
    reader: {
      lag: () => Promise.resolve(3),
      progress: () => isAway ? Promise.reject(new Error("away")) : Promise.resolve(progress),
    },
    ...{ meter, world, attributes: {}, onUnread: (partitions) => unread.push(partitions) },
  });
  assert.equal(await sum("signer.partitions.unread"), 0);
  at(0, 0, 10);
  at(10, 4, 7);
  at(2, 1, 0);
  await world.advance(5_000);
  assert.equal(await sum("signer.consumer.lag"), 3);
  assert.deepEqual(await undescribed(), []);
  // Partition 1 is slow, and not unread.
  for (let done = 1; done <= 5; done++) {
    at(1, 100, done);
    await world.advance(5_000);
  }
  assert.equal(await sum("signer.partitions.unread"), 0);
  at(1, 100, 6);
  await world.advance(5_000);
  assert.equal(await sum("signer.partitions.unread"), 2);
  assert.deepEqual(unread, [[2, 10]], "in their order, once");
  isAway = true;
  await world.advance(60_000);
  assert.equal(await sum("signer.partitions.unread"), 2);
  isAway = false;
  at(10, 4, 8);
  at(1, 100, 7);
  await world.advance(5_000);
  assert.equal(await sum("signer.partitions.unread"), 1);
  at(2, 0, 1);
  at(1, 100, 8);
  await world.advance(5_000);
  assert.deepEqual(unread.slice(1), [[2], []]);
  assert.equal(await sum("signer.partitions.unread"), 0);
  gauge.stop();
  assert.equal(world.pendingTimers, 0);
});
