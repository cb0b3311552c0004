/**
 * The options every client of `@platformatic/kafka` gets, and what its errors mean here.
 *
 * @module
 */
import { type BaseOptions, findErrorBy } from "@platformatic/kafka";
import { pause, reasonOf } from "../resilience.ts";
import { realWorld } from "../world/world.ts";
import { BusError } from "./bus.ts";
import type { KafkaConnection } from "./kafka_connection.ts";

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
    // A sender learns within this time of partitions that were added.
    metadataMaxAge: 10_000,
    ...(tls && { tls: tls.ca ? { ca: [tls.ca] } : {} }),
    ...(sasl && { sasl }),
  };
}

/** After a close: what is tried again at once has then found out that its client is closed. */
const settleMs = 10;

/**
 * The retries of a client of the library. What is under way when a client closes it tries again, and times
 * that, though it is closed: this ends with the client.
 */
export class ClientRetries {
  readonly options: Required<Pick<BaseOptions, "retries" | "retryDelay">>;
  #isEnding = false;
  /** When the last retry begins, by the library's clock, which is the real one. */
  #nextAtMs = 0;

  constructor(retries: number, delayMs: number) {
    this.options = {
      retries,
      retryDelay: () => {
        const waitMs = this.#isEnding ? 0 : delayMs;
        this.#nextAtMs = realWorld.monotonicMs() + waitMs;
        return waitMs;
      },
    };
  }

  /** Waits until the retry that is due next has begun, if there is one. */
  async next(): Promise<void> {
    const waitMs = this.#nextAtMs - realWorld.monotonicMs();
    // The library's timer is set a moment after its time was asked for.
    if (waitMs > 0) await pause(Math.ceil(waitMs) + 5);
  }

  /** Closes the client; no retry is left when it resolves. */
  async end(close: () => Promise<unknown>): Promise<void> {
    this.#isEnding = true;
    try {
      await close();
    } finally {
      await pause(settleMs);
    }
  }
}

/** Whether the broker, or one of them, said this, by the name of its error code. */
export function brokerSaid(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && names.some((name) => findErrorBy(error, "apiId", name) !== null);
}

/** What must be allowed for a call, to be named where it is not, as Kafka's tools spell it. */
export interface NeededAcls {
  /** What must be allowed on a topic: `WRITE topic jobs`. */
  topic?: string;
  /** What must be allowed on a group: `READ group workers`. */
  group?: string;
}

/** What a client's error means to the users of the bus. */
export function busError(error: unknown, doing: string, needed: NeededAcls = {}): BusError {
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
  const missing = brokerSaid(error, "GROUP_AUTHORIZATION_FAILED")
    ? needed.group
    : brokerSaid(error, "TOPIC_AUTHORIZATION_FAILED")
    ? needed.topic
    : undefined;
  const advice = missing === undefined ? "" : ` Its user needs the ACL: ${missing}.`;
  return new BusError(kind, `Cannot ${doing}: ${reasonOf(error)}${advice}`);
}

/** The library's own finding, when the metadata that it asked for has no such topic. */
function isUnknownTopic(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "PLT_KFK_USER" &&
    error.message.startsWith("Unknown topic");
}
