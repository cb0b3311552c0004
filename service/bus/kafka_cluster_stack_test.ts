/**
 * A Kafka of several brokers, one of which is killed, and then comes back at its address under another
 * id, with the topics intact: every record that was kept reaches group and follower.
 *
 * KRaft binds a node's id to its folder and the copies of a partition to ids, so a broker cannot take
 * another id over its own data: it comes with an empty folder and is given copies, as here.
 *
 * @module
 */
import { type RunningKafka, startKafka } from "../../stack/kafka.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { eventually } from "../testing/eventually.ts";
import type { Bus } from "./bus.ts";

// Imported when it is needed: the client library reads the whole environment when it is loaded.
const loadClient = () => import("@platformatic/kafka");

/** Moving a partition takes the controller up to nine seconds by itself, and all waits for the machine. */
const patienceMs = 120_000;

/** Gives all partitions of all topics to these nodes, and waits until one of them leads each. */
async function assignAll(kafka: RunningKafka, nodes: readonly number[]): Promise<void> {
  const { Admin, alterPartitionReassignmentsV0, metadataV12 } = await loadClient();
  const admin = new Admin({ clientId: "mover", bootstrapBrokers: [kafka.bootstrapServer] });
  try {
    const connection = (await admin.connectToBrokers([1])).get(1)!;
    // The client's own call leaves out the topic of the groups' positions.
    const topics = async () =>
      (await metadataV12.api.async(connection, null, false, false)).topics
        .map(({ name, partitions }) => ({ name: name!, partitions }));
    const wanted = (await topics()).map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({
        partitionIndex,
        replicas: [...nodes],
      })),
    }));
    await alterPartitionReassignmentsV0.api.async(connection, 30_000, true, wanted);
    await eventually("the new leaders", async () => {
      const leaders = (await topics()).flatMap(({ partitions }) => partitions)
        .map(({ leaderId }) => leaderId);
      return leaders.every((leader) => nodes.includes(leader)) || undefined;
    }, patienceMs);
  } finally {
    await admin.close();
  }
}

/** So many keys that each partition has some. */
const keys = Array.from({ length: 20 }, (_, number) => `key ${number}`);

/** Sends numbers, one after the other, and knows which of them are kept. */
class Numbers {
  readonly kept: string[] = [];
  #next = 0;

  constructor(readonly bus: Bus, readonly topic: string) {}

  /** Until one more of each key is kept, so of each partition. */
  async send(): Promise<void> {
    for (const key of keys) {
      await eventually(`a record of ${key} that is kept`, async () => {
        const number = String(this.#next++);
        const value = new TextEncoder().encode(number);
        const sent = this.bus.send(this.topic, { key, headers: [], value });
        if (!await sent.then(() => true, () => false)) return undefined;
        return this.kept.push(number);
      }, patienceMs);
    }
  }

  /** Waits until all that are kept were seen. */
  reached(who: string, seen: ReadonlySet<string>): Promise<true> {
    return eventually(
      `all records at the ${who}`,
      () => this.kept.every((number) => seen.has(number)) || undefined,
      patienceMs,
    );
  }
}

testWithStack(
  "a broker that is killed, and one at its address with another id, cost no reader a record that was kept",
  async () => {
    const { kafkaBus } = await import("./kafka_bus.ts");
    await using nodes = new AsyncDisposableStack();
    // A node that hands its partitions over to nobody tries for long: nothing of it is needed.
    const options = { replicas: 2, stopTimeoutMs: 500 };
    const first = nodes.use(await startKafka(options));
    const joining = { ...options, joins: first.cluster };
    const second = nodes.use(await startKafka({ ...joining, nodeId: 2 }));
    await using clients = new AsyncDisposableStack();
    const brokers = [second.bootstrapServer, first.bootstrapServer];
    const bus = kafkaBus({ connection: { brokers, clientId: "cluster" }, replicas: 2 });
    clients.defer(() => bus.close());
    const topic = "moved";
    // KRaft spreads their leaders: each broker leads two.
    await bus.createTopic(topic, { partitions: 4 });
    const [byGroup, byFollower] = [new Set<string>(), new Set<string>()];
    const text = (value: Uint8Array | null) => new TextDecoder().decode(value!);
    const readers = [
      await bus.consume({
        topic,
        group: "readers",
        handle: ({ value }) => Promise.resolve(void byGroup.add(text(value))),
      }),
      await bus.follow({
        topic,
        from: "end",
        handle: ({ value }) => void byFollower.add(text(value)),
      }),
    ];
    clients.defer(async () => {
      for (const reader of readers) await reader.close(AbortSignal.timeout(2_000));
    });
    const numbers = new Numbers(bus, topic);
    const allArrive = async () => {
      await numbers.send();
      await numbers.reached("group", byGroup);
      await numbers.reached("follower", byFollower);
    };
    await allArrive();

    Deno.kill(second.pid, "SIGKILL");
    await second.exited;
    await allArrive();

    const port = Number(second.bootstrapServer.split(":")[1]);
    nodes.use(await startKafka({ ...joining, nodeId: 3, port }));
    // All of what is sent now goes through it.
    await assignAll(first, [3]);
    await allArrive();
  },
);
