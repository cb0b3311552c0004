/**
 * The bus that flags ask for.
 *
 * @module
 */
import { flag, parseInteger } from "../command_line.ts";
import { type ServiceContext, StartError } from "../life_cycle.ts";
import { type Bus, BusError, isTopicName } from "./bus.ts";
import {
  kafkaConnection,
  type KafkaFlagValues,
  parseBrokers,
  saslMechanisms,
} from "./kafka_connection.ts";
import { memoryBus } from "./memory_bus.ts";
import { requestPartitions } from "../../signer/work/wire.ts";

/** The flags of both programs that say how to reach the bus. */
export const busFlags = {
  brokers: () =>
    flag("--kafka-brokers <host:port,…>", "the brokers to begin with").argParser(parseBrokers),
  requestTopic: () => flag("--req-topic <name>", "the topic of requests").default("signer.v1"),
  tls: () => flag("--kafka-tls", "encrypt the connection to Kafka"),
  tlsCa: () => flag("--kafka-tls-ca <file>", "PEM of the authority that signed the brokers"),
  saslMechanism: () =>
    flag("--kafka-sasl-mechanism <name>", "how to authenticate at Kafka").choices(saslMechanisms),
  saslUsername: () => flag("--kafka-sasl-username <name>", "the name to authenticate with"),
  saslPasswordFile: () =>
    flag("--kafka-sasl-password-file <file>", "a file with the password and nothing else"),
  startTimeout: () =>
    flag("--kafka-start-timeout-ms <ms>", "how long to wait for Kafka at the start")
      .argParser(parseInteger({ max: 3_600_000 })).default(30_000),
  outageLimit: () =>
    flag("--kafka-outage-limit-ms <ms>", "an outage longer than this ends the process with 1")
      .argParser(parseInteger({ min: 1_000 })).default(300_000),
  maxMessageBytes: () =>
    flag("--max-message-bytes <n>", "the largest message; with its headers below Kafka's limit")
      .argParser(parseInteger({ min: 1, max: 67_108_864 })).default(1_000_000),
};

/** What {@linkcode busFlags} give. */
export interface BusFlagValues extends KafkaFlagValues {
  kafkaBrokers?: readonly string[] | undefined;
  reqTopic: string;
  kafkaStartTimeoutMs: number;
  kafkaOutageLimitMs: number;
  maxMessageBytes: number;
}

/**
 * Opens the bus: Kafka where brokers are named, otherwise one inside the process. The topic of
 * requests is there when it resolves.
 *
 * @throws {StartError} Kafka cannot be reached in time
 */
export async function openBus(
  flags: BusFlagValues,
  clientId: string,
  { log, stopping }: Pick<ServiceContext, "log" | "stopping">,
): Promise<Bus> {
  if (!isTopicName(flags.reqTopic)) {
    throw new StartError(
      `'${flags.reqTopic}' cannot name a topic: use letters, digits, '.', '_' and '-' (--req-topic).`,
    );
  }
  const { kafkaBrokers: brokers = [], maxMessageBytes: maxValueBytes } = flags;
  if (brokers.length === 0) {
    const bus = memoryBus({ maxValueBytes });
    await bus.createTopic(flags.reqTopic);
    return bus;
  }
  // Only where it is wanted: the client library is large and reads the whole environment.
  const { kafkaBus } = await import("./kafka_bus.ts");
  const bus = kafkaBus({
    connection: await kafkaConnection(brokers, clientId, flags),
    maxValueBytes,
    outageLimitMs: flags.kafkaOutageLimitMs,
  });
  const untilMs = performance.now() + flags.kafkaStartTimeoutMs;
  for (let attempt = 0;; attempt++) {
    try {
      const made = await bus.createTopic(flags.reqTopic, { partitions: requestPartitions });
      if (made) log.info("Made the topic of requests", { topic: flags.reqTopic });
      return bus;
    } catch (error) {
      const hopeless = error instanceof BusError && error.kind !== "unavailable";
      if (hopeless || performance.now() > untilMs || stopping.aborted) {
        await bus.close();
        throw new StartError(
          `Cannot use Kafka at ${brokers.join(", ")}: ${
            error instanceof Error ? error.message : error
          }. Start it, or name other brokers with --kafka-brokers.`,
        );
      }
      if (attempt === 0) log.warn("Waiting for Kafka", { brokers: brokers.join(",") });
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}
