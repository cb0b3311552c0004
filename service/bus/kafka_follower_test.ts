import assert from "node:assert/strict";
import { drainMicrotasks, VirtualWorld } from "../world/virtual_world.ts";
import type { FollowOptions } from "./bus.ts";
import { KafkaFollower } from "./kafka_follower.ts";
import { readerOptions } from "./kafka_reader.ts";
import { ScriptedTopic } from "./test_kafka_consumer.ts";

interface Scene {
  topic: ScriptedTopic;
  world: VirtualWorld;
  follow(from: FollowOptions["from"]): Promise<Following>;
}

interface Following {
  follower: KafkaFollower;
  read: string[];
  isCaughtUp(): Promise<boolean>;
}

async function scene(partitions: number, run: (scene: Scene) => Promise<void>): Promise<void> {
  const world = new VirtualWorld();
  const topic = new ScriptedTopic(partitions);
  const followers: KafkaFollower[] = [];
  await run({
    topic,
    world,
    async follow(from) {
      const read: string[] = [];
      const handle: FollowOptions["handle"] = ({ value }) =>
        void read.push(new TextDecoder().decode(value!));
      const follower = await new KafkaFollower(
        { topic: "t", from, handle },
        readerOptions({ world }),
        topic.makeConsumer,
      ).start();
      followers.push(follower);
      let caughtUp = false;
      follower.caughtUp.then(() => caughtUp = true);
      return {
        follower,
        read,
        async isCaughtUp() {
          await drainMicrotasks();
          return caughtUp;
        },
      };
    },
  });
  for (const follower of followers) await world.runUntil(follower.close());
  assert.equal(world.pendingTimers, 0, "no timer is left behind");
}

Deno.test("KafkaFollower reads every partition from its beginning, and knows when it has caught up", () =>
  scene(2, async ({ topic, follow }) => {
    topic.add(2, { partition: 0 });
    topic.add(1, { partition: 1 });
    const { read, isCaughtUp, follower } = await follow("beginning");
    assert.equal(await isCaughtUp(), true);
    assert.deepEqual(read, ["0:0", "0:1", "1:0"]);
    assert.equal(await follower.lag(), 0);
  }));

Deno.test("KafkaFollower of the end has caught up at once and reads only what comes", () =>
  scene(1, async ({ topic, follow }) => {
    topic.add(2);
    const { read, isCaughtUp } = await follow("end");
    assert.equal(await isCaughtUp(), true);
    topic.add(1);
    await drainMicrotasks();
    assert.deepEqual(read, ["0:2"]);
  }));

Deno.test("KafkaFollower goes on where it was when its connection was lost, in a group of its own", () =>
  scene(1, async ({ topic, world, follow }) => {
    topic.add(3);
    const { read } = await follow("beginning");
    await drainMicrotasks();
    topic.consumer.break();
    topic.add(2);
    await world.advance(1_100);
    assert.deepEqual(read, ["0:0", "0:1", "0:2", "0:3", "0:4"]);
    const [first, second] = topic.consumers.map(({ options }) => options);
    assert.match(first!.group, /^t\.reader\.[0-9a-f]{8}$/);
    assert.notEqual(second!.group, first!.group);
    assert.equal(second!.memberId, undefined, "nobody is known in a group that is new");
  }));

Deno.test("KafkaFollower begins anew where the topic was made anew", () =>
  scene(1, async ({ topic, world, follow }) => {
    topic.add(5);
    const { read } = await follow("beginning");
    await drainMicrotasks();
    topic.log[0] = [];
    topic.consumer.break();
    await world.advance(1_100);
    topic.add(1, { value: "new" });
    await drainMicrotasks();
    assert.equal(read.at(-1), "new");
    assert.equal(read.length, 6);
  }));

Deno.test("KafkaFollower has caught up when answers bring nothing, as the last records may be compacted away", () =>
  scene(1, async ({ topic, follow }) => {
    topic.add(2);
    topic.log[0]![1] = undefined;
    const { isCaughtUp, read } = await follow("beginning");
    assert.equal(await isCaughtUp(), false);
    assert.deepEqual(read, ["0:0"]);
    // The first brings the record, the others nothing.
    for (let answers = 0; answers < 3; answers++) topic.consumer.fetchNothing();
    assert.equal(await isCaughtUp(), true);
  }));

Deno.test("KafkaFollower takes nothing after its close", () =>
  scene(1, async ({ topic, follow }) => {
    const { follower, read } = await follow("end");
    await follower.close();
    topic.add(1);
    await drainMicrotasks();
    assert.deepEqual(read, []);
    assert.equal(topic.consumer.isClosed, true);
  }));

Deno.test("KafkaFollower reads partitions that were added, from their beginning, within its poll", () =>
  scene(1, async ({ topic, world, follow }) => {
    const { read } = await follow("end");
    topic.addPartitions(1);
    topic.add(1, { partition: 1 });
    await world.advance(11_000);
    assert.deepEqual(read, ["1:0"]);
    topic.add(1, { partition: 0 });
    await drainMicrotasks();
    assert.deepEqual(read, ["1:0", "0:0"]);
  }));

Deno.test("KafkaFollower reads a topic that was made again from its beginning, however much it has by then", () =>
  scene(1, async ({ topic, world, follow }) => {
    topic.add(2);
    const { read } = await follow("beginning");
    topic.replace();
    topic.add(3, { value: "again" });
    await world.advance(11_000);
    assert.deepEqual(read, ["0:0", "0:1", "again", "again", "again"]);
  }));

Deno.test("KafkaFollower has not caught up while one partition has not, nor by answers that bring something", () =>
  scene(2, async ({ topic, follow }) => {
    topic.add(1, { partition: 0 });
    // Compacted away: nothing of it will ever come.
    topic.log[1]!.push(undefined, undefined);
    const { isCaughtUp, follower } = await follow("beginning");
    assert.equal(await isCaughtUp(), false);
    assert.equal(await follower.lag(), 2);
    // The first answers may have been asked for before; one that brings something is no end.
    topic.consumer.fetchNothing();
    topic.consumer.fetchNothing();
    assert.equal(await isCaughtUp(), false, "two");
    topic.add(1, { partition: 0 });
    await drainMicrotasks();
    topic.consumer.fetchNothing();
    assert.equal(await isCaughtUp(), false, "the third with a record");
    topic.consumer.fetchNothing();
    assert.equal(await isCaughtUp(), true);
  }));

Deno.test("KafkaFollower's lag is that of its session, and nothing without one", () =>
  scene(1, async ({ topic, world, follow }) => {
    const { follower, read } = await follow("beginning");
    topic.consumer.pause();
    topic.add(3);
    assert.equal(await follower.lag(), 3);
    topic.joins.push(new Promise(() => {}));
    topic.consumer.break();
    await world.advance(1_000);
    assert.equal(await follower.lag(), 0);
    await follower.close();
    topic.consumers[0]!.deliverLate(0, 0);
    assert.deepEqual(read, [], "nothing is taken after the close");
  }));
