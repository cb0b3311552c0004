/**
 * Sends to Kafka in batches: what arrives while a batch is on its way goes with the next one, so a
 * lone record waits for nothing and a flood needs few requests.
 *
 * @module
 */
import { checkPositiveIntegers } from "../options.ts";
import { backoffDelayMs, pause } from "../resilience.ts";
import { realWorld, type TimerId, type World } from "../world/world.ts";
import { BusError, type BusRecord } from "./bus.ts";

/** What the sender needs of a Kafka producer: `platformatic_producer.ts` is the real one. */
export interface KafkaProducer {
  /**
   * Sends records in one request, and resolves once the broker has them.
   *
   * @param turn names the partition of records without a key, modulo their number
   * @throws {BusError} it has not, or may not have
   */
  send(topic: string, records: readonly BusRecord[], turn: number): Promise<void>;
  close(): Promise<void>;
}

/** Options of {@linkcode KafkaSender}. */
export interface KafkaSenderOptions {
  producer: KafkaProducer;
  /** The largest value of a record, in bytes. */
  maxValueBytes: number;
  /** Records that wait or are on their way, of all topics. @default 32_768 */
  maxRecords?: number;
  /** The same in bytes. @default 67_108_864 */
  maxBytes?: number;
  /** Records in one request. @default 2_000 */
  maxBatchRecords?: number;
  /** Bytes in one request; a broker refuses a batch over its `message.max.bytes`, by default 1_048_588. @default 900_000 */
  maxBatchBytes?: number;
  /** Requests on their way at once for one topic. @default 2 */
  maxRequests?: number;
  /** The longest wait after a request that failed, in milliseconds; it doubles from there. @default 100 */
  retryDelayMs?: number;
  /** The longest wait after requests that fail again and again, in milliseconds. @default 1_000 */
  maxRetryDelayMs?: number;
  /** How long a topic that was not there is not asked for again, in milliseconds. @default 1_000 */
  unknownTopicMs?: number;
  /** Time and chance. @default realWorld */
  world?: World;
}

/** A record whose `send` has not settled. */
interface Waiting {
  record: BusRecord;
  bytes: number;
  deadlineMs: number;
  settled: boolean;
  resolve: () => void;
  reject: (error: BusError) => void;
}

/** The records of one topic that wait or are on their way. */
interface Lane {
  queue: Waiting[];
  requests: Set<Waiting[]>;
  /** Requests that have failed in a row. */
  failures: number;
  /** Whether the last request was answered that there is no such topic; the second in a row is believed. */
  unknown: boolean;
  /** Batches sent: each goes to the next partition as a whole, which is far cheaper than dealing records. */
  turns: number;
  lastError: BusError | undefined;
}

/** How often deadlines are looked after. */
const expiryIntervalMs = 100;
/** Topics that are remembered as unknown. */
const maxUnknownTopics = 1_000;

/** The queues before the one producer of a bus. */
export class KafkaSender {
  readonly #options: Required<KafkaSenderOptions>;
  readonly #lanes = new Map<string, Lane>();
  /** When a topic that was not there may be asked for again. */
  readonly #unknownUntilMs = new Map<string, number>();
  readonly #closing = new AbortController();
  #records = 0;
  #bytes = 0;
  #expiryTimer: TimerId | undefined;

  /** @throws {RangeError} an option is out of range */
  constructor(options: KafkaSenderOptions) {
    const { producer: _producer, world: _world, ...limits } = options;
    checkPositiveIntegers("make a sender", limits);
    this.#options = {
      maxRecords: 32_768,
      maxBytes: 67_108_864,
      maxBatchRecords: 2_000,
      maxBatchBytes: 900_000,
      maxRequests: 2,
      retryDelayMs: 100,
      maxRetryDelayMs: 1_000,
      unknownTopicMs: 1_000,
      world: realWorld,
      ...options,
    };
  }

  /** Sends; rejects with a {@linkcode BusError} unless the broker has it within `timeoutMs`. */
  send(topic: string, record: BusRecord, timeoutMs: number): Promise<void> {
    const bytes = bytesOf(record);
    const refusal = this.#refusal(topic, record.value?.length ?? 0, bytes);
    if (refusal) return Promise.reject(refusal);
    const { world } = this.#options;
    return new Promise((resolve, reject) => {
      this.#records++;
      this.#bytes += bytes;
      const lane = this.#lane(topic);
      const deadlineMs = world.monotonicMs() + timeoutMs;
      lane.queue.push({ record, bytes, deadlineMs, settled: false, resolve, reject });
      this.#expiryTimer ??= world.setInterval(() => this.#expire(), expiryIntervalMs);
      // At the end of the turn: all that one read of a socket has brought goes in one batch.
      if (lane.queue.length === 1) queueMicrotask(() => this.#flush(topic, lane));
    });
  }

  /** Rejects what waits and closes the connections. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#options.world.clearInterval(this.#expiryTimer);
    for (const lane of this.#lanes.values()) {
      for (const waiting of [...lane.requests, lane.queue].flat()) {
        this.#settle(waiting, new BusError("unavailable", "The bus was closed."));
      }
    }
    this.#lanes.clear();
    await this.#options.producer.close();
  }

  #refusal(topic: string, valueBytes: number, bytes: number): BusError | undefined {
    const { maxValueBytes, maxRecords, maxBytes, world } = this.#options;
    if (this.#closing.signal.aborted) return new BusError("unavailable", "The bus was closed.");
    if (valueBytes > maxValueBytes) {
      return new BusError(
        "too-large",
        `${valueBytes} bytes are more than the ${maxValueBytes} that a record may have.`,
      );
    }
    if (this.#records >= maxRecords || this.#bytes + bytes > maxBytes) {
      return new BusError("overloaded", `${this.#records} records wait to be sent already.`);
    }
    const unknownUntilMs = this.#unknownUntilMs.get(topic);
    if (unknownUntilMs === undefined) return undefined;
    if (world.monotonicMs() < unknownUntilMs) {
      return new BusError("unknown-topic", `There is no topic '${topic.slice(0, 249)}'.`);
    }
    this.#unknownUntilMs.delete(topic);
    return undefined;
  }

  #lane(topic: string): Lane {
    let lane = this.#lanes.get(topic);
    if (!lane) {
      // Begin anywhere: programs that start together must not all begin with partition 0.
      const turns = Math.floor(this.#options.world.random() * 1_000);
      lane = {
        queue: [],
        requests: new Set(),
        failures: 0,
        unknown: false,
        turns,
        lastError: undefined,
      };
      this.#lanes.set(topic, lane);
    }
    return lane;
  }

  #flush(topic: string, lane: Lane): void {
    while (
      lane.queue.length > 0 && lane.requests.size < this.#options.maxRequests &&
      !this.#closing.signal.aborted
    ) {
      const batch = this.#takeBatch(lane);
      if (batch.length > 0) this.#request(topic, lane, batch);
    }
    if (lane.queue.length === 0 && lane.requests.size === 0) this.#lanes.delete(topic);
  }

  #takeBatch(lane: Lane): Waiting[] {
    const { maxBatchRecords, maxBatchBytes } = this.#options;
    let bytes = 0;
    let count = 0;
    for (const waiting of lane.queue) {
      if (count === maxBatchRecords || (count > 0 && bytes + waiting.bytes > maxBatchBytes)) break;
      bytes += waiting.bytes;
      count++;
    }
    return lane.queue.splice(0, count).filter((waiting) => !waiting.settled);
  }

  async #request(topic: string, lane: Lane, batch: Waiting[]): Promise<void> {
    lane.requests.add(batch);
    try {
      const records = batch.map((waiting) => waiting.record);
      await this.#options.producer.send(topic, records, lane.turns++);
      for (const waiting of batch) this.#settle(waiting);
      lane.failures = 0;
      lane.lastError = undefined;
      lane.unknown = false;
    } catch (error) {
      const reason = error instanceof BusError ? error : new BusError("unavailable", String(error));
      await this.#failed(topic, lane, batch, reason);
    }
    lane.requests.delete(batch);
    this.#flush(topic, lane);
  }

  async #failed(topic: string, lane: Lane, batch: Waiting[], error: BusError): Promise<void> {
    lane.lastError = error;
    if (error.kind === "too-large" && batch.length > 1) {
      // One of them is, or all together: in halves none is refused because of another.
      const half = batch.length >> 1;
      this.#request(topic, lane, batch.slice(0, half));
      await this.#request(topic, lane, batch.slice(half));
      return;
    }
    if (error.kind === "too-large" || (error.kind === "unknown-topic" && lane.unknown)) {
      if (error.kind === "unknown-topic") this.#rememberUnknown(topic);
      for (const waiting of batch) this.#settle(waiting, error);
      return;
    }
    // A topic made a moment ago may not be known to every broker yet: one second chance.
    lane.unknown = error.kind === "unknown-topic";
    await this.#backOff(++lane.failures);
    lane.queue.unshift(...batch.filter((waiting) => !waiting.settled));
  }

  #rememberUnknown(topic: string): void {
    const topics = this.#unknownUntilMs;
    if (topics.size >= maxUnknownTopics) topics.delete(topics.keys().next().value!);
    topics.set(topic, this.#options.world.monotonicMs() + this.#options.unknownTopicMs);
  }

  async #backOff(failures: number): Promise<void> {
    const { retryDelayMs, maxRetryDelayMs, world } = this.#options;
    const delayMs = backoffDelayMs(failures, {
      baseDelayMs: retryDelayMs,
      maxDelayMs: maxRetryDelayMs,
      jitter: 0.5,
    }, world);
    await pause(delayMs, { signal: this.#closing.signal, world });
  }

  /** Ends every wait at its deadline, also of what is on its way to a broker that does not answer. */
  #expire(): void {
    const nowMs = this.#options.world.monotonicMs();
    for (const [topic, lane] of this.#lanes) {
      for (const waiting of [...lane.requests, lane.queue].flat()) {
        if (nowMs < waiting.deadlineMs) continue;
        this.#settle(
          waiting,
          lane.lastError ??
            new BusError("unavailable", `Cannot send to ${topic}: no answer in time`),
        );
      }
      if (lane.queue.some((waiting) => waiting.settled)) {
        lane.queue = lane.queue.filter((waiting) => !waiting.settled);
      }
    }
    if (this.#records === 0) {
      this.#options.world.clearInterval(this.#expiryTimer);
      this.#expiryTimer = undefined;
    }
  }

  #settle(waiting: Waiting, error?: BusError): void {
    if (waiting.settled) return;
    waiting.settled = true;
    this.#records--;
    this.#bytes -= waiting.bytes;
    if (error) waiting.reject(error);
    else waiting.resolve();
  }
}

/** What a record takes in a request, roughly: a few bytes more a header. */
function bytesOf({ key, value, headers }: BusRecord): number {
  return headers.reduce(
    (sum, [name, value]) => sum + name.length + value.length + 4,
    (value?.length ?? 0) + (key?.length ?? 0) + 20,
  );
}
