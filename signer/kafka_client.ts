/**
 * How to reach Kafka: the options every client of `@platformatic/kafka` gets, and what
 * its errors mean here.
 *
 * @module
 */
import { type BaseOptions, findErrorBy } from "@platformatic/kafka";
import { InvalidArgumentError } from "../service/command_line.ts";
import { StartError } from "../service/life_cycle.ts";
import { BusError } from "./bus.ts";

/** Where the brokers are and how to be let in. */
export interface KafkaConnection {
  /** `host:port` each. */
  brokers: readonly string[];
  /** What the brokers' logs call this program. */
  clientId: string;
  /** Encrypts; `ca` is a PEM of the authorities to trust instead of the system's. @default none */
  tls?: { ca?: string };
  /** Authenticates. @default none */
  sasl?: { mechanism: SaslMechanism; username: string; password: string };
  /** How long a connection may take. @default 3_000 */
  connectTimeoutMs?: number;
  /** How long a broker may take for an answer. @default 5_000 */
  requestTimeoutMs?: number;
}

/** The mechanisms that need no more than a name and a password. */
export const saslMechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const;
/** One of {@linkcode saslMechanisms}. */
export type SaslMechanism = typeof saslMechanisms[number];

/** What the flags of `open_bus.ts` say of the connection. */
export interface KafkaFlagValues {
  kafkaTls?: true | undefined;
  kafkaTlsCa?: string | undefined;
  kafkaSaslMechanism?: SaslMechanism | undefined;
  kafkaSaslUsername?: string | undefined;
  kafkaSaslPasswordFile?: string | undefined;
}

/** `host:port`, or several with commas between. */
export function parseBrokers(text: string): string[] {
  const brokers = text.split(",").map((broker) => broker.trim()).filter((broker) => broker !== "");
  for (const broker of brokers) {
    if (!/^[^\s:]+:\d{1,5}$/.test(broker) && !/^\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(broker)) {
      throw new InvalidArgumentError("Give host:port, or several with commas between.");
    }
  }
  return brokers;
}

/**
 * Turns flags into a connection, reading the files that they name.
 *
 * @throws {StartError} a file cannot be read, or a flag is missing beside another
 */
export async function kafkaConnection(
  brokers: readonly string[],
  clientId: string,
  flags: KafkaFlagValues,
): Promise<KafkaConnection> {
  const { kafkaSaslMechanism: mechanism, kafkaSaslUsername: username } = flags;
  const passwordFile = flags.kafkaSaslPasswordFile;
  const given = [mechanism, username, passwordFile].filter((part) => part !== undefined).length;
  if (given !== 0 && given !== 3) {
    throw new StartError(
      "Cannot authenticate at Kafka: --kafka-sasl-mechanism, --kafka-sasl-username and --kafka-sasl-password-file go together.",
    );
  }
  const ca = flags.kafkaTlsCa && await readFlagFile(flags.kafkaTlsCa, "--kafka-tls-ca");
  const password = passwordFile &&
    (await readFlagFile(passwordFile, "--kafka-sasl-password-file")).replace(/\r?\n$/, "");
  return {
    brokers,
    clientId,
    ...((flags.kafkaTls || ca) && { tls: ca ? { ca } : {} }),
    ...(mechanism && username && password && { sasl: { mechanism, username, password } }),
  };
}

async function readFlagFile(path: string, flagName: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new StartError(
      `Cannot read ${path} (${flagName}): ${error instanceof Error ? error.message : error}.`,
    );
  }
}

/** The options of every client; each caller retries by its own rule, so the library does not. */
export function clientOptions(connection: KafkaConnection): BaseOptions {
  const { brokers, clientId, tls, sasl } = connection;
  return {
    clientId,
    bootstrapBrokers: [...brokers],
    connectTimeout: connection.connectTimeoutMs ?? 3_000,
    timeout: connection.requestTimeoutMs ?? 5_000,
    requestTimeout: (connection.requestTimeoutMs ?? 5_000) + 5_000,
    retries: 0,
    metadataMaxAge: 60_000,
    ...(tls && { tls: tls.ca ? { ca: [tls.ca] } : {} }),
    ...(sasl && { sasl }),
  };
}

/** Whether the broker, or one of them, said this, by the name of its error code. */
export function brokerSaid(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && names.some((name) => findErrorBy(error, "apiId", name) !== null);
}

/** What a client's error means to the users of the bus. */
export function busError(error: unknown, doing: string): BusError {
  if (error instanceof BusError) return error;
  const kind = brokerSaid(error, "MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE")
    ? "too-large"
    : isUnknownTopic(error) || brokerSaid(
        error,
        "UNKNOWN_TOPIC_OR_PARTITION",
        "UNKNOWN_TOPIC_ID",
        "INVALID_TOPIC_EXCEPTION",
        "TOPIC_AUTHORIZATION_FAILED",
      )
    ? "unknown-topic"
    : "unavailable";
  return new BusError(kind, `Cannot ${doing}: ${reasonOf(error)}`, error);
}

/** The library's own finding, when the metadata that it asked for has no such topic. */
function isUnknownTopic(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "PLT_KFK_USER" &&
    error.message.startsWith("Unknown topic");
}

/** The innermost reasons of a client's error on one line: its own message says little. */
export function reasonOf(error: unknown): string {
  const reasons: string[] = [];
  const visit = (one: unknown, depth: number): void => {
    if (!(one instanceof Error) || depth > 6) return;
    const inner = one instanceof AggregateError ? one.errors : one.cause ? [one.cause] : [];
    if (inner.length === 0) reasons.push(one.message || one.name);
    for (const next of inner.slice(-2)) visit(next, depth + 1);
  };
  visit(error, 0);
  return [...new Set(reasons)].join("; ").slice(0, 300) || String(error).slice(0, 300);
}
