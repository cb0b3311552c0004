/**
 * Topics that change while they are read, on a real Kafka: what is added and what is made again is
 * read, within twice the time between two looks. And what readers leave behind: nothing.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startKafka } from "../../stack/kafka.ts";
import { sharedComponent } from "../../stack/test_with_stack.ts";
import { pause } from "../resilience.ts";
import { eventually } from "../testing/eventually.ts";
import type { Bus, Reader } from "./bus.ts";

const topicPollMs = 1_000;

const kafka = sharedComponent(startKafka);

/** Runs `test` with a bus that looks often, and closes what it has opened. */
async function withBus(test: (bus: Bus, keep: (reader: Reader) => void) => Promise<void>) {
  // Imported when it is needed: the client library reads the whole environment when it is loaded.
  const { kafkaBus } = await import("./kafka_bus.ts");
  const { bootstrapServer } = await kafka.get();
  const bus = kafkaBus({
    connection: { brokers: [bootstrapServer], clientId: "topics" },
    topicPollMs,
  });
  const readers: Reader[] = [];
  try {
    await test(bus, (reader) => void readers.push(reader));
  } finally {
    for (const reader of readers) await reader.close(AbortSignal.timeout(2_000));
    await bus.close();
  }
}

async function addPartitions(topic: string, count: number): Promise<void> {
  const { Admin } = await import("@platformatic/kafka");
  const { bootstrapServer } = await kafka.get();
  const admin = new Admin({ clientId: "test", bootstrapBrokers: [bootstrapServer] });
  await admin.createPartitions({ topics: [{ name: topic, count, assignments: null }] });
  await admin.close();
}

/** Sends one after the other until each has reached everybody: a sender learns late of partitions, too. */
async function reachesEach(
  bus: Bus,
  topic: string,
  partitions: number,
  seen: readonly Set<number>[],
): Promise<void> {
  let sent = 0;
  await eventually(`records of ${partitions} partitions`, async () => {
    for (let i = 0; i < 20; i++) {
      const value = new TextEncoder().encode(String(sent++));
      await bus.send(topic, { key: `k${sent}`, headers: [], value }).catch(() => {});
    }
    return seen.every((partitionsSeen) => partitionsSeen.size === partitions) || undefined;
  }, 90_000);
}

kafka.test(
  "partitions that are added are read, by a group and by a follower",
  () =>
    withBus(async (bus, keep) => {
      const topic = `grown-${crypto.randomUUID()}`;
      await bus.createTopic(topic, { partitions: 1 });
      const byGroup = new Set<number>();
      const byFollower = new Set<number>();
      keep(
        await bus.consume({
          topic,
          group: `${topic}.group`,
          handle: ({ partition }) => Promise.resolve(void byGroup.add(partition)),
        }),
      );
      keep(
        await bus.follow({
          topic,
          from: "end",
          handle: ({ partition }) => void byFollower.add(partition),
        }),
      );
      await reachesEach(bus, topic, 1, [byGroup, byFollower]);
      await addPartitions(topic, 3);
      await reachesEach(bus, topic, 3, [byGroup, byFollower]);
      assert.equal((await bus.describeTopic(topic))?.partitions, 3);
    }),
);

kafka.test(
  "a topic that was removed and made again is read, by a group and by a follower",
  () =>
    withBus(async (bus, keep) => {
      const topic = `again-${crypto.randomUUID()}`;
      await bus.createTopic(topic);
      const byGroup = new Set<string>();
      const byFollower = new Set<string>();
      const text = (value: Uint8Array | null) => new TextDecoder().decode(value!);
      keep(
        await bus.consume({
          topic,
          group: `${topic}.group`,
          handle: ({ value }) => Promise.resolve(void byGroup.add(text(value))),
        }),
      );
      keep(
        await bus.follow({
          topic,
          from: "end",
          handle: ({ value }) => void byFollower.add(text(value)),
        }),
      );
      const send = (value: string) =>
        bus.send(topic, { headers: [], value: new TextEncoder().encode(value) });
      for (let i = 0; i < 5; i++) await send(`before ${i}`);
      await eventually(
        "the first five",
        () => byGroup.size === 5 && byFollower.size === 5 || undefined,
      );
      const { id } = (await bus.describeTopic(topic))!;
      await bus.deleteTopic(topic);
      await eventually("its end", async () => await bus.describeTopic(topic) ? undefined : true);
      assert.equal(await bus.createTopic(topic), true);
      assert.notEqual((await bus.describeTopic(topic))!.id, id);
      await eventually("a record of the new topic", async () => {
        await send("after").catch(() => {});
        return byGroup.has("after") && byFollower.has("after") || undefined;
      }, 90_000);
    }),
);

kafka.test(
  "a group whose members read different topics says so, and which",
  () =>
    withBus(async (bus, keep) => {
      const id = crypto.randomUUID();
      const [first, second] = [`one-${id}`, `other-${id}`];
      const said: string[] = [];
      for (const topic of [first, second]) {
        await bus.createTopic(topic, { partitions: 4 });
        keep(
          await bus.consume({
            topic,
            group: `mixed-${id}`,
            handle: () => Promise.resolve(),
            onState: (state) => void (state !== "ok" && said.push(state.reason)),
          }),
        );
      }
      await eventually(
        "the reason",
        () =>
          said.find((reason) =>
            /members of the group mixed-.* also read (one|other)-/.test(reason)
          ),
        30_000,
      );
    }),
);

kafka.test("a consumer that closes amid heartbeats and questions leaves no timer behind", async () => {
  const { kafkaBus } = await import("./kafka_bus.ts");
  const { platformaticConsumer } = await import("./platformatic_consumer.ts");
  const { bootstrapServer } = await kafka.get();
  const connection = { brokers: [bootstrapServer], clientId: "closing" };
  const topic = `closing-${crypto.randomUUID()}`;
  const bus = kafkaBus({ connection });
  await bus.createTopic(topic);
  await bus.close();
  // One heartbeat after the other: closing meets one that is under way.
  const makeConsumer = platformaticConsumer(connection, 6_000, 1);
  await Promise.all(Array.from({ length: 20 }, async (_, number) => {
    const consumer = makeConsumer({ topic, group: `${topic}.${number}` });
    const ignored = () => {};
    await consumer.read("committed", {
      ...{ onRecord: ignored, onAssigned: ignored, onForeignTopics: ignored },
      ...{ onFetched: ignored, onBroken: ignored },
    });
    consumer.resume();
    await pause(number * 3);
    const asked = consumer.describeTopic().catch(ignored);
    await consumer.close();
    await asked;
  }));
});
