import assert from "node:assert/strict";
import type { Bus } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { instanceName, sweepResponseTopics } from "./response_topics.ts";

const prefix = "signer.v1.resp.";

Deno.test("sweepResponseTopics() removes only topics of ours that nobody reads, at the second poll", async () => {
  const bus = memoryBus();
  const dead = `${prefix}mwqbz535-abaab331`;
  const alive = `${prefix}mwqbz536-abaab332`;
  const others = [
    ...["by-hand", "my-mwqbz535-abaab331", "mwqbz535-abaab331-kept", "mwqbz535-abaab3312"]
      .map((name) => prefix + name),
    "signer.v1.resp0",
  ];
  for (const topic of [dead, alive, ...others]) {
    await bus.createTopic(topic);
  }
  await bus.follow({ topic: alive, from: "end", handle: () => {} });
  const removed: [topic: string, atMs: number][] = [];
  const world = new VirtualWorld();
  const sweep = sweepResponseTopics({
    bus,
    prefix,
    intervalMs: 600_000,
    onRemoved: (topic) => removed.push([topic, world.monotonicMs()]),
    world,
  });
  await world.advance(4 * 600_000);
  sweep.stop();
  assert.deepEqual(removed, [[dead, 1_200_000]]);
  assert.equal(world.pendingTimers, 0);
  await bus.close();
});

Deno.test("sweepResponseTopics() forgets its suspects when the broker was away in between", async () => {
  const bus = memoryBus();
  const dead = `${prefix}mwqbz535-abaab331`;
  await bus.createTopic(dead);
  let polls = 0;
  const flaky: Bus = {
    ...bus,
    unfollowedTopics: (prefix) =>
      ++polls === 2 ? Promise.reject(new Error("away")) : bus.unfollowedTopics(prefix),
  };
  const removedAt: number[] = [];
  const world = new VirtualWorld();
  const sweep = sweepResponseTopics({
    bus: flaky,
    prefix,
    intervalMs: 1_000,
    onRemoved: () => removedAt.push(world.monotonicMs()),
    world,
  });
  await world.advance(5_000);
  sweep.stop();
  assert.deepEqual(removedAt, [4_000]);
  await bus.close();
});

Deno.test("a topic that instanceName() has named is swept", async () => {
  const bus = memoryBus();
  const world = new VirtualWorld();
  const topic = `${prefix}${instanceName(world)}`;
  await bus.createTopic(topic);
  const removed: string[] = [];
  const options = { bus, prefix, intervalMs: 1, onRemoved: (one: string) => removed.push(one) };
  const sweep = sweepResponseTopics({ ...options, world });
  await world.advance(2);
  sweep.stop();
  assert.deepEqual(removed, [topic]);
  await bus.close();
});

Deno.test("sweepResponseTopics() polls one at a time, however long the broker takes", async () => {
  const world = new VirtualWorld();
  const answers: PromiseWithResolvers<string[]>[] = [];
  const bus: Bus = {
    ...memoryBus(),
    unfollowedTopics: () => {
      const answer = Promise.withResolvers<string[]>();
      answers.push(answer);
      return answer.promise;
    },
  };
  const sweep = sweepResponseTopics({
    ...{ bus, prefix, intervalMs: 1_000, onRemoved: () => {}, world },
  });
  await world.advance(5_000);
  assert.equal(answers.length, 1);
  answers[0]!.resolve([]);
  await world.advance(1_000);
  assert.equal(answers.length, 2);
  sweep.stop();
  answers[1]!.resolve([]);
});
