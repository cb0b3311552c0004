/**
 * Where Kafka is and how to be let in, as flags say it. Kept apart from the client library, which
 * reads the whole environment when it is loaded.
 *
 * @module
 */
import { InvalidArgumentError } from "../command_line.ts";
import { StartError } from "../life_cycle.ts";

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
