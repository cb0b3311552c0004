/**
 * Lets the bus deal signups, where flags name one.
 *
 * @module
 */
import type { Command, OptionValues } from "@commander-js/extra-typings";
import { busFlags, openBus } from "../../../service/bus/open_bus.ts";
import type { KafkaFlagValues } from "../../../service/bus/kafka_connection.ts";
import { flag, type FlagValues, withFlags } from "../../../service/command_line.ts";
import type { ServiceContext } from "../../../service/life_cycle.ts";
import type { RecordBackend } from "../record_backend.ts";
import { openBusQueue } from "./bus_queue.ts";

/** Where the bus is. */
export interface QueueBusFlags extends KafkaFlagValues {
  /** Brokers of Kafka, `host:port` each. @default none: the database deals signups */
  kafkaBrokers?: readonly string[] | undefined;
  /** The topic by which they are dealt. @default "orb.v2.queue" */
  kafkaQueueTopic?: string;
  /** How long a start waits for Kafka, in milliseconds. @default 30_000 */
  kafkaStartTimeoutMs?: number;
}

/** As many servers can share the work. */
const partitions = 12;
/** The bus is read anew after an outage that is longer, in milliseconds; the database deals meanwhile. */
const outageLimitMs = 300_000;

/** Adds the flags of {@linkcode QueueBusFlags}. */
export function withQueueBusFlags<Options extends OptionValues>(command: Command<[], Options>) {
  return withFlags(command, [
    busFlags.brokers(),
    flag("--kafka-queue-topic <name>", "the topic by which Kafka deals v2 signups to workers")
      .default("orb.v2.queue"),
    busFlags.startTimeout(),
    busFlags.tls(),
    busFlags.tlsCa(),
    busFlags.saslMechanism(),
    busFlags.saslUsername(),
    busFlags.saslPasswordFile(),
  ]) as Command<[], Options & FlagValues<QueueBusFlags>>;
}

/**
 * The same records, dealt by the bus if there is one.
 *
 * @throws {StartError} Kafka cannot be reached in time; then the records are closed
 */
export async function withQueueBus(
  backend: RecordBackend,
  { takes, ...flags }: QueueBusFlags & { takes: boolean },
  { log, stopping, world }: Pick<ServiceContext, "log" | "stopping" | "world">,
): Promise<RecordBackend> {
  if (flags.kafkaBrokers === undefined || flags.kafkaBrokers.length === 0) return backend;
  const topic = flags.kafkaQueueTopic ?? "orb.v2.queue";
  try {
    const bus = await openBus(
      {
        ...flags,
        kafkaStartTimeoutMs: flags.kafkaStartTimeoutMs ?? 30_000,
        kafkaOutageLimitMs: outageLimitMs,
        maxMessageBytes: 1_024,
      },
      { clientId: "orb-server", topics: [{ name: topic, partitions }] },
      { log, stopping, world },
    );
    return openBusQueue({ backend, bus, topic, takes, log, world });
  } catch (error) {
    await backend.close();
    throw error;
  }
}
