/**
 * The {@linkcode KafkaConsumer} of `@platformatic/kafka`.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { Consumer, type Message, type MessagesStream } from "@platformatic/kafka";
import type { BusHeader, TopicDescription } from "./bus.ts";
import {
  brokerSaid,
  busError,
  clientOptions,
  ClientRetries,
  type NeededAcls,
} from "./kafka_client.ts";
import type { KafkaConnection } from "./kafka_connection.ts";
import type {
  KafkaConsumer,
  KafkaConsumerEvents,
  KafkaConsumerOptions,
  KafkaRecord,
  MakeKafkaConsumer,
  PartitionOffset,
  ReadFrom,
} from "./kafka_consumer.ts";

/** Bytes that one answer of a broker may bring, and so what a reader may hold. */
const maxFetchBytes = 4_194_304;
const maxPartitionBytes = 1_048_576;
const maxWaitTimeMs = 500;

/**
 * Makes consumers of `@platformatic/kafka`.
 *
 * @param sessionTimeoutMs when a member that is silent is considered dead
 * @param heartbeatIntervalMs how often a member says that it is not
 */
export function platformaticConsumer(
  connection: KafkaConnection,
  sessionTimeoutMs: number,
  heartbeatIntervalMs: number = Math.floor(sessionTimeoutMs / 3),
): MakeKafkaConsumer {
  const times = { sessionTimeoutMs, heartbeatIntervalMs };
  return (options) => new PlatformaticConsumer(connection, times, options);
}

class PlatformaticConsumer implements KafkaConsumer {
  readonly #topic: string;
  readonly #needed: NeededAcls;
  readonly #consumer: Consumer<Buffer, Buffer, Buffer, Buffer>;
  #stream: MessagesStream<Buffer, Buffer, Buffer, Buffer> | undefined;
  #onRecord: KafkaConsumerEvents["onRecord"] = () => {};
  #isFlowing = false;
  #isUnknown = false;
  #isReading = false;
  #isBroken = false;
  // Joining has retries of its own: the coordinator may be loading its groups.
  readonly #retries = new ClientRetries(5, 200);

  constructor(
    connection: KafkaConnection,
    times: { sessionTimeoutMs: number; heartbeatIntervalMs: number },
    { topic, group, memberId }: KafkaConsumerOptions,
  ) {
    const { sessionTimeoutMs, heartbeatIntervalMs } = times;
    this.#topic = topic;
    this.#needed = { topic: `READ topic ${topic}`, group: `READ group ${group}` };
    this.#consumer = new Consumer({
      ...clientOptions(connection),
      groupId: group,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: Math.max(10_000, sessionTimeoutMs),
      heartbeatInterval: heartbeatIntervalMs,
      autocommit: false,
      minBytes: 1,
      maxBytes: maxFetchBytes,
      maxBytesPerPartition: maxPartitionBytes,
      maxWaitTime: maxWaitTimeMs,
      ...this.#retries.options,
    });
    if (memberId !== undefined) this.#consumer.memberId = memberId;
  }

  get memberId(): string | undefined {
    return this.#isUnknown ? undefined : this.#consumer.memberId ?? undefined;
  }

  get assigned(): readonly number[] {
    const topic = this.#topic;
    return this.#consumer.assignments?.find((one) => one.topic === topic)?.partitions ?? [];
  }

  async read(from: ReadFrom, events: KafkaConsumerEvents): Promise<void> {
    const topic = this.#topic;
    const onBroken = (error: unknown) => {
      this.#isBroken = true;
      events.onBroken(this.#meaning(error));
    };
    this.#isReading = true;
    this.#listenToGroup(events, onBroken);
    try {
      const stream = this.#stream = await this.#consumer.consume({
        topics: [topic],
        autocommit: false,
        ...(from === "committed" ? { mode: "committed", fallbackMode: "earliest" } : {
          mode: "manual",
          offsets: from.map((offset, partition) => ({ topic, partition, offset })),
        }),
      });
      stream.once("error", onBroken);
      stream.once("close", () => onBroken(new Error("the stream of records has ended")));
      stream.on("fetch", () => events.onFetched());
      this.#onRecord = events.onRecord;
    } catch (error) {
      throw this.#meaning(error);
    }
  }

  #listenToGroup(events: KafkaConsumerEvents, onBroken: (error: unknown) => void): void {
    const consumer = this.#consumer;
    consumer.on("consumer:group:join", () => {
      events.onAssigned();
      const foreign = consumer.assignments?.map(({ topic }) => topic)
        .filter((topic) => topic !== this.#topic) ?? [];
      if (foreign.length > 0) events.onForeignTopics(foreign);
    });
    // A single heartbeat may fail. When none gets through for long, or the member cannot join again
    // after a rebalance, the stream would go on with what is another member's.
    consumer.on("consumer:heartbeat:error", () => {});
    consumer.on("consumer:heartbeat:stalled", ({ lastError }) => {
      onBroken(lastError ?? new Error("no heartbeat has been answered for too long"));
    });
    consumer.on("error", onBroken);
  }

  #meaning(error: unknown): unknown {
    if (brokerSaid(error, "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID")) this.#isUnknown = true;
    return busError(error, `read ${this.#topic}`, this.#needed);
  }

  resume(): void {
    if (this.#isFlowing) this.#stream?.resume();
    else {
      this.#isFlowing = true;
      // The first listener lets the stream flow.
      this.#stream?.on("data", (message) => this.#onRecord(received(message)));
    }
  }

  pause(): void {
    if (this.#isFlowing) this.#stream?.pause();
  }

  async describeTopic(): Promise<TopicDescription> {
    const topic = this.#topic;
    try {
      const { topics } = await this.#consumer.metadata({ topics: [topic], forceUpdate: true });
      const { id, partitionsCount } = topics.get(topic)!;
      return { id, partitions: partitionsCount };
    } catch (error) {
      throw busError(error, `find the topic ${topic}`, this.#needed);
    }
  }

  async listOffsets(which: "oldest" | "next"): Promise<readonly bigint[]> {
    const timestamp = which === "oldest" ? -2n : -1n;
    try {
      const offsets = await this.#consumer.listOffsets({ topics: [this.#topic], timestamp });
      return offsets.get(this.#topic) ?? [];
    } catch (error) {
      throw busError(error, `find the offsets of ${this.#topic}`, this.#needed);
    }
  }

  async listCommitted(partitions: readonly number[]): Promise<ReadonlyMap<number, bigint>> {
    const committed = await this.#consumer.listCommittedOffsets({
      topics: [{ topic: this.#topic, partitions: [...partitions] }],
    });
    const offsets = committed.get(this.#topic) ?? [];
    return new Map(
      partitions.map((partition) => [partition, offsets[partition] ?? -1n] as const)
        .filter(([, offset]) => offset >= 0n),
    );
  }

  async commit(offsets: readonly PartitionOffset[]): Promise<void> {
    await this.#consumer.commit({
      offsets: offsets.map((one) => ({ topic: this.#topic, ...one })),
    });
  }

  async close(): Promise<void> {
    if (this.#isReading && !this.#isBroken) await this.#endMembership();
    await this.#retries.end(() => this.#consumer.close(true));
  }

  /**
   * A client that is closed goes on with a heartbeat or a rejoin that is under way, and times it for ten
   * seconds and more; one that has left its group before does not.
   */
  async #endMembership(): Promise<void> {
    try {
      await this.#consumer.leaveGroup(true);
    } catch {
      // Closing leaves it, too; at worst the group finds out by the session's time-out.
    }
    // A rejoin that waits for its next attempt comes to nothing then.
    await this.#retries.next();
  }
}

function received(message: Message<Buffer, Buffer, Buffer, Buffer>): KafkaRecord {
  return {
    topic: message.topic,
    partition: message.partition,
    offset: message.offset,
    leaderEpoch: message.leaderEpoch,
    // A record without key or value has `undefined` there, whatever the type says.
    key: (message.key as Buffer | undefined)?.toString(),
    headers: message.headerEntries
      .map(([name, value]): BusHeader => [name?.toString() ?? "", value ?? new Uint8Array()]),
    value: (message.value as Buffer | undefined) ?? null,
  };
}
