/**
 * A {@linkcode Bus} on Apache Kafka, by `@platformatic/kafka`.
 *
 * @module
 */
import { Admin } from "@platformatic/kafka";
import { type Bus, BusError, isTopicName, type TopicOptions } from "./bus.ts";
import { brokerSaid, busError, clientOptions } from "./kafka_client.ts";
import type { KafkaConnection } from "./kafka_connection.ts";
import { KafkaFollower, KafkaGroupReader, type KafkaReaderOptions } from "./kafka_reader.ts";
import { KafkaSender } from "./kafka_sender.ts";
import type { World } from "../world/world.ts";

/** Options of {@linkcode kafkaBus}. */
export interface KafkaBusOptions extends KafkaReaderOptions {
  connection: KafkaConnection;
  /** The largest value, in bytes; with its headers it must stay below the brokers' `message.max.bytes`. @default 1_000_000 */
  maxValueBytes?: number;
  /** Copies of each topic that is made here; `-1` is the cluster's default. @default -1 */
  replicas?: number;
  /** How long records stay in a topic that is made here and not compacted. @default 3_600_000 */
  retentionMs?: number;
  /** Time and chance. @default realWorld */
  world?: World;
}

/** Makes a bus; nothing is connected until it is used. */
export function kafkaBus(options: KafkaBusOptions): Bus {
  const { connection, maxValueBytes = 1_000_000, replicas = -1, retentionMs = 3_600_000 } = options;
  const admin = new Admin({ ...clientOptions(connection), retries: 3, retryDelay: 300 });
  const sender = new KafkaSender({ connection, maxValueBytes });
  const readerOptions = {
    connection,
    outageLimitMs: options.outageLimitMs ?? 300_000,
    sessionTimeoutMs: options.sessionTimeoutMs ?? 6_000,
    commitIntervalMs: options.commitIntervalMs ?? 200,
    maxRetryDelayMs: options.maxRetryDelayMs ?? 1_000,
  };

  return {
    system: "kafka",
    maxValueBytes,

    async createTopic(name, { partitions = 1, compacted = false }: TopicOptions = {}) {
      if (!isTopicName(name)) {
        throw new BusError("unknown-topic", `'${name.slice(0, 249)}' cannot name a topic.`);
      }
      try {
        await admin.createTopics({
          topics: [name],
          partitions,
          replicas,
          configs: compacted
            ? [{ name: "cleanup.policy", value: "compact" }]
            : [{ name: "retention.ms", value: String(retentionMs) }],
        });
        return true;
      } catch (error) {
        if (brokerSaid(error, "TOPIC_ALREADY_EXISTS")) return false;
        throw busError(error, `make the topic ${name}`);
      }
    },

    async deleteTopic(name) {
      try {
        await admin.deleteTopics({ topics: [name] });
      } catch (error) {
        if (brokerSaid(error, "UNKNOWN_TOPIC_OR_PARTITION")) return;
        throw busError(error, `remove the topic ${name}`);
      }
    },

    send(topic, record, timeoutMs = 5_000) {
      return sender.send(topic, record, timeoutMs);
    },

    consume: (consume) => new KafkaGroupReader(readerOptions, consume).start(),
    follow: (follow) => new KafkaFollower(readerOptions, follow).start(),

    async unfollowedTopics(prefix) {
      try {
        const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
        if (topics.length === 0) return [];
        const groups = [...(await admin.listGroups()).values()]
          .filter((group) => !/^(empty|dead)$/i.test(group.state));
        return topics.filter((topic) =>
          !groups.some((group) => group.id.startsWith(`${topic}.reader.`))
        );
      } catch (error) {
        throw busError(error, "list topics and groups");
      }
    },

    async close() {
      await sender.close();
      await admin.close();
    },
  };
}
