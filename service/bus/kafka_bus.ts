/**
 * A {@linkcode Bus} on Apache Kafka, by `@platformatic/kafka`.
 *
 * @module
 */
import { Admin } from "@platformatic/kafka";
import { pause } from "../resilience.ts";
import { realWorld, type World } from "../world/world.ts";
import {
  type Bus,
  BusError,
  isTopicName,
  type TopicDescription,
  type TopicOptions,
} from "./bus.ts";
import { brokerSaid, busError, clientOptions, ClientRetries } from "./kafka_client.ts";
import type { KafkaConnection } from "./kafka_connection.ts";
import { followerGroupPrefix, KafkaFollower } from "./kafka_follower.ts";
import { KafkaGroupReader } from "./kafka_group_reader.ts";
import { type KafkaReaderOptions, readerOptions } from "./kafka_reader.ts";
import { KafkaSender } from "./kafka_sender.ts";
import { platformaticConsumer } from "./platformatic_consumer.ts";
import { platformaticProducer } from "./platformatic_producer.ts";

/** Options of {@linkcode kafkaBus}. */
export interface KafkaBusOptions extends KafkaReaderOptions {
  /** Where the brokers are. */
  connection: KafkaConnection;
  /** When a member that is silent is considered dead, in milliseconds. @default 6_000 */
  sessionTimeoutMs?: number;
  /** The largest value, in bytes; with its headers it must stay below the brokers' `message.max.bytes`. @default 1_000_000 */
  maxValueBytes?: number;
  /** Copies of each topic that is made here; `-1` is the cluster's default. @default -1 */
  replicas?: number;
  /** How long records stay in a topic that is made here and not compacted, in milliseconds. @default 3_600_000 */
  retentionMs?: number;
}

/**
 * Makes a bus; nothing is connected until it is used.
 *
 * @example
 * ```ts
 * const bus = kafkaBus({ connection: { brokers: ["127.0.0.1:9092"], clientId: "orb-worker" } });
 * ```
 */
export function kafkaBus(options: KafkaBusOptions): Bus {
  const { connection, maxValueBytes = 1_000_000 } = options;
  const reading = readerOptions(options);
  const makeConsumer = platformaticConsumer(connection, options.sessionTimeoutMs ?? 6_000);
  const topics = new KafkaTopics(options);
  const sender = new KafkaSender({
    producer: platformaticProducer(connection),
    maxValueBytes,
    world: reading.world,
  });
  return {
    system: "kafka",
    maxValueBytes,
    createTopic: (name, options) => topics.create(name, options),
    describeTopic: (name) => topics.describe(name),
    unfollowedTopics: (prefix) => topics.unfollowed(prefix),
    deleteTopic: (name) => topics.delete(name),
    send: (topic, record, timeoutMs = 5_000) => sender.send(topic, record, timeoutMs),
    consume: (consume) => new KafkaGroupReader(consume, reading, makeConsumer).start(),
    follow: (follow) => new KafkaFollower(follow, reading, makeConsumer).start(),
    async close() {
      await sender.close();
      await topics.close();
    },
  };
}

/** How long brokers may take to learn of a new topic, and how often they are asked. */
const visibleTimeoutMs = 5_000;
const visiblePauseMs = 20;

/** Topics of a cluster, by its admin protocol. */
class KafkaTopics {
  readonly #admin: Admin;
  readonly #retries = new ClientRetries(3, 300);
  readonly #replicas: number;
  readonly #retentionMs: number;
  readonly #world: World;

  constructor(options: KafkaBusOptions) {
    const { connection, replicas = -1, retentionMs = 3_600_000, world = realWorld } = options;
    this.#admin = new Admin({ ...clientOptions(connection), ...this.#retries.options });
    this.#replicas = replicas;
    this.#retentionMs = retentionMs;
    this.#world = world;
  }

  async create(
    name: string,
    { partitions = 1, compacted = false }: TopicOptions = {},
  ): Promise<boolean> {
    if (!isTopicName(name)) {
      throw new BusError("unknown-topic", `'${name.slice(0, 249)}' cannot name a topic.`);
    }
    // Whoever may only use topics, and not make them, finds them here.
    if (await this.describe(name)) return false;
    try {
      await this.#admin.createTopics({
        topics: [name],
        partitions,
        replicas: this.#replicas,
        configs: compacted
          ? [{ name: "cleanup.policy", value: "compact" }]
          : [{ name: "retention.ms", value: String(this.#retentionMs) }],
      });
    } catch (error) {
      if (!brokerSaid(error, "TOPIC_ALREADY_EXISTS")) {
        throw busError(error, `make the topic ${name}`, { topic: `CREATE topic ${name}` });
      }
      // Perhaps another program has made it this moment.
      await this.#awaitVisible(name);
      return false;
    }
    await this.#awaitVisible(name);
    return true;
  }

  async describe(name: string): Promise<TopicDescription | undefined> {
    try {
      const { topics } = await this.#admin.metadata({ topics: [name], forceUpdate: true });
      const topic = topics.get(name);
      return topic && { id: topic.id, partitions: topic.partitionsCount };
    } catch (error) {
      // It may be there without our knowing: then making it fails with the broker's own reason.
      if (busError(error, "").kind === "unknown-topic") return undefined;
      throw busError(error, `find the topic ${name}`);
    }
  }

  /**
   * The controller has made the topic; brokers learn of it a moment later, and until then they say
   * that there is none. Resolves at the latest when that takes too long.
   */
  async #awaitVisible(name: string): Promise<void> {
    const world = this.#world;
    const untilMs = world.monotonicMs() + visibleTimeoutMs;
    while (world.monotonicMs() < untilMs) {
      try {
        await this.#admin.metadata({ topics: [name], forceUpdate: true, retries: 0 });
        return;
      } catch (error) {
        const isMissing = busError(error, `find the topic ${name}`).kind === "unknown-topic" &&
          !brokerSaid(error, "TOPIC_AUTHORIZATION_FAILED");
        // Whatever else is wrong, the topic is there: the first to use it will hear of it.
        if (!isMissing && !brokerSaid(error, "LEADER_NOT_AVAILABLE")) return;
        await pause(visiblePauseMs, { world });
      }
    }
  }

  async delete(name: string): Promise<void> {
    try {
      await this.#admin.deleteTopics({ topics: [name] });
    } catch (error) {
      if (brokerSaid(error, "UNKNOWN_TOPIC_OR_PARTITION")) return;
      throw busError(error, `remove the topic ${name}`, { topic: `DELETE topic ${name}` });
    }
  }

  async unfollowed(prefix: string): Promise<string[]> {
    try {
      const topics = (await this.#admin.listTopics()).filter((topic) => topic.startsWith(prefix));
      if (topics.length === 0) return [];
      const groups = [...(await this.#admin.listGroups()).values()]
        .filter((group) => !/^(empty|dead)$/i.test(group.state));
      return topics.filter((topic) =>
        !groups.some((group) => group.id.startsWith(followerGroupPrefix(topic)))
      );
    } catch (error) {
      throw busError(error, "list topics and groups");
    }
  }

  async close(): Promise<void> {
    await this.#retries.end(() => this.#admin.close());
  }
}
