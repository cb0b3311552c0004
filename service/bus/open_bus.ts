/**
 * The bus that flags ask for: Kafka where brokers are named, otherwise one inside the process.
 *
 * @module
 */
import { flag, parseDuration, parseInteger } from "../command_line.ts";
import { type ServiceContext, StartError } from "../life_cycle.ts";
import {
  backoffDelayMs,
  pause,
  reasonOf,
  settledWithin,
  timeoutSignal,
  untilAborted,
} from "../resilience.ts";
import { type Bus, BusError, type TopicOptions } from "./bus.ts";
import {
  kafkaConnection,
  type KafkaFlagValues,
  parseBrokers,
  saslMechanisms,
} from "./kafka_connection.ts";
import { memoryBus } from "./memory_bus.ts";

/** The flags that say how to reach the bus, for any program that uses one. */
export const busFlags = {
  brokers: () =>
    flag("--kafka-brokers <host:port,…>", "the brokers to begin with").argParser(parseBrokers),
  tls: () => flag("--kafka-tls", "encrypt the connection to Kafka"),
  tlsCa: () => flag("--kafka-tls-ca <file>", "PEM of the authority that signed the brokers"),
  saslMechanism: () =>
    flag("--kafka-sasl-mechanism <name>", "how to authenticate at Kafka").choices(saslMechanisms),
  saslUsername: () => flag("--kafka-sasl-username <name>", "the name to authenticate with"),
  saslPasswordFile: () =>
    flag("--kafka-sasl-password-file <file>", "a file with the password and nothing else"),
  startTimeout: () =>
    flag("--kafka-start-timeout-ms <ms>", "how long to wait for Kafka at the start")
      .argParser(parseDuration({ unit: "ms", maxMs: 3_600_000 })).default(30_000),
  outageLimit: () =>
    flag("--kafka-outage-limit-ms <ms>", "an outage longer than this ends the process with 1")
      .argParser(parseDuration({ unit: "ms", minMs: 1_000 })).default(300_000),
  maxMessageBytes: () =>
    flag("--max-message-bytes <n>", "the largest message; with its headers below Kafka's limit")
      .argParser(parseInteger({ min: 1, max: 67_108_864 })).default(1_000_000),
};

/** What {@linkcode busFlags} give. */
export interface BusFlagValues extends KafkaFlagValues {
  /** `host:port` each. @default none, which is a bus inside the process */
  kafkaBrokers?: readonly string[] | undefined;
  /** How long a start waits for Kafka, in milliseconds. */
  kafkaStartTimeoutMs: number;
  /** The longest outage that readers wait for, in milliseconds. */
  kafkaOutageLimitMs: number;
  /** The largest value of a record, in bytes. */
  maxMessageBytes: number;
}

/** A topic that a program cannot do without. */
export interface NeededTopic extends TopicOptions {
  name: string;
}

/** Options of {@linkcode openBus}. */
export interface OpenBusOptions {
  /** What the brokers' logs call this program. */
  clientId: string;
  /** Topics that are there when the bus is handed out, made if they are absent. @default none */
  topics?: readonly NeededTopic[];
}

/** How long a bus that could not be used is waited for to close, in milliseconds. */
const closeTimeoutMs = 1_000;

/** The wait between attempts to reach Kafka at the start. */
const startBackoff = { baseDelayMs: 250, maxDelayMs: 1_000, jitter: 0.5 };

/**
 * Opens the bus that the flags ask for.
 *
 * @throws {StartError} Kafka cannot be reached in time, or the program is asked to stop meanwhile
 *
 * @example
 * ```ts
 * const bus = await openBus(options, {
 *   clientId: "orb-worker",
 *   topics: [{ name: "orb.v1.jobs", partitions: 12 }],
 * }, context);
 * ```
 */
export async function openBus(
  flags: BusFlagValues,
  { clientId, topics = [] }: OpenBusOptions,
  context: Pick<ServiceContext, "log" | "stopping" | "world">,
): Promise<Bus> {
  const { kafkaBrokers: brokers = [], maxMessageBytes: maxValueBytes } = flags;
  const { world } = context;
  if (brokers.length === 0) {
    const bus = memoryBus({ maxValueBytes, world });
    for (const { name, ...options } of topics) await bus.createTopic(name, options);
    return bus;
  }
  const connection = await kafkaConnection(brokers, clientId, flags);
  // Only where it is wanted: the client library is large and reads the whole environment.
  const { kafkaBus } = await import("./kafka_bus.ts");
  const bus = kafkaBus({
    connection,
    maxValueBytes,
    startLimitMs: flags.kafkaStartTimeoutMs,
    outageLimitMs: flags.kafkaOutageLimitMs,
    world,
  });
  try {
    await ensureTopics(bus, topics, { timeoutMs: flags.kafkaStartTimeoutMs }, context);
    return bus;
  } catch (error) {
    // A broker that accepts and says nothing would hold up even this.
    await settledWithin(bus.close(), closeTimeoutMs, { world });
    if (context.stopping.aborted) {
      throw new StartError(`Stopped while waiting for Kafka at ${brokers.join(", ")}.`);
    }
    throw new StartError(
      `Cannot use Kafka at ${brokers.join(", ")}: ${
        error instanceof Error ? error.message : error
      }. Start it, or name other brokers with --kafka-brokers.`,
    );
  }
}

/** Options of {@linkcode ensureTopics}. */
export interface EnsureTopicsOptions {
  /** How long a bus that is unavailable is waited for, in milliseconds. @default 30_000 */
  timeoutMs?: number;
}

/**
 * Makes the topics that are absent, waiting for a bus that is unavailable. It ends at once when
 * the program is asked to stop.
 *
 * @throws {BusError} the bus was unavailable all the time, or refuses a topic; or the stop came first
 *
 * @example
 * ```ts
 * await ensureTopics(bus, [{ name: "orb.v1.jobs", partitions: 12 }], { timeoutMs: 5_000 }, context);
 * ```
 */
export async function ensureTopics(
  bus: Bus,
  topics: readonly NeededTopic[],
  { timeoutMs = 30_000 }: EnsureTopicsOptions,
  { log, stopping, world }: Pick<ServiceContext, "log" | "stopping" | "world">,
): Promise<void> {
  using deadline = timeoutSignal(timeoutMs, { signal: stopping, world });
  const { signal } = deadline;
  let failures = 0;
  let lastError: unknown;
  for (const topic of topics) {
    while (true) {
      if (signal.aborted) throw tooLate();
      try {
        // An attempt takes as long as its connections' timeouts: it is not waited for beyond the deadline.
        const made = await untilAborted(bus.createTopic(topic.name, topic), signal);
        if (made === undefined) throw tooLate();
        if (made) log.info("Made a topic", { topic: topic.name });
        break;
      } catch (error) {
        if (signal.aborted || !isUnavailable(error)) throw error;
        lastError = error;
        if (failures++ === 0) log.warn("Waiting for the bus", { reason: reasonOf(error) });
        await pause(backoffDelayMs(failures, startBackoff, world), { signal, world });
      }
    }
  }

  function tooLate(): unknown {
    if (stopping.aborted) return new BusError("unavailable", "the program was asked to stop");
    return lastError ?? new BusError("unavailable", `no answer within ${timeoutMs} ms`);
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof BusError && error.kind === "unavailable";
}
