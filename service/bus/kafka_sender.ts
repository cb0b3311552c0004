/**
 * Sends to Kafka in batches: what arrives while a batch is on its way goes with the next one, so a
 * lone record waits for nothing and a flood needs few requests.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { Producer } from "@platformatic/kafka";
import { BusError, type BusRecord } from "./bus.ts";
import { brokerSaid, busError, clientOptions } from "./kafka_client.ts";
import type { KafkaConnection } from "./kafka_connection.ts";

/** Options of {@linkcode KafkaSender}. */
export interface KafkaSenderOptions {
  connection: KafkaConnection;
  /** The largest value of a record, in bytes. */
  maxValueBytes: number;
  /** Records that wait or are on their way, of all topics. @default 32_768 */
  maxRecords?: number;
  /** Their bytes. @default 67_108_864 */
  maxBytes?: number;
  /** Records in one request. @default 2_000 */
  maxBatchRecords?: number;
  /** Bytes in one request; a broker refuses a batch over its `message.max.bytes`, 1_048_588 unless told otherwise. @default 900_000 */
  maxBatchBytes?: number;
  /** Requests under way for one topic. @default 2 */
  maxRequests?: number;
  /** Wait before a request that failed is tried again. @default 100 */
  retryDelayMs?: number;
  /** How long a topic that was not there is not asked for again. @default 1_000 */
  unknownTopicMs?: number;
}

interface Waiting {
  headers: Map<Buffer, Buffer>;
  key: Buffer | undefined;
  value: Buffer | undefined;
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
  /** Whether the last request was told that there is no such topic; the second in a row believes it. */
  unknown: boolean;
  /** Batches sent: each goes to the next partition as a whole, which is far cheaper than dealing records. */
  turns: number;
  lastError: unknown;
}

const names = new Map<string, Buffer>();

/** Header names are few and repeat. */
function nameBytes(name: string): Buffer {
  let bytes = names.get(name);
  if (!bytes) {
    bytes = Buffer.from(name);
    if (names.size < 1_000) names.set(name, bytes);
  }
  return bytes;
}

/** The one producer of a bus. */
export class KafkaSender {
  #options: Required<Omit<KafkaSenderOptions, "connection">>;
  #producer: Producer;
  #lanes = new Map<string, Lane>();
  #unknown = new Map<string, number>();
  #records = 0;
  #bytes = 0;
  #expiry: ReturnType<typeof setInterval> | undefined;
  #timers = new Set<ReturnType<typeof setTimeout>>();
  #closed = false;

  constructor(options: KafkaSenderOptions) {
    const {
      maxRecords = 32_768,
      maxBytes = 67_108_864,
      maxBatchRecords = 2_000,
      maxBatchBytes = 900_000,
      maxRequests = 2,
      retryDelayMs = 100,
      unknownTopicMs = 1_000,
      maxValueBytes,
    } = options;
    this.#options = {
      maxRecords,
      maxBytes,
      maxBatchRecords,
      maxBatchBytes,
      maxRequests,
      retryDelayMs,
      unknownTopicMs,
      maxValueBytes,
    };
    this.#producer = new Producer({
      ...clientOptions(options.connection),
      acks: -1,
      maxInflights: 100,
    });
  }

  /** Sends; rejects with a {@linkcode BusError} unless the broker has it within `timeoutMs`. */
  send(topic: string, record: BusRecord, timeoutMs: number): Promise<void> {
    const value = record.value ?? undefined;
    const bytes = (value?.length ?? 0) + (record.key?.length ?? 0) +
      record.headers.reduce((sum, header) => sum + header[0].length + header[1].length + 4, 20);
    const refusal = this.#refusal(topic, value?.length ?? 0, bytes);
    if (refusal) return Promise.reject(refusal);

    // One object for each header even of the same name: the library takes a map, and keeps its order.
    const headers = new Map<Buffer, Buffer>();
    for (const [name, value] of record.headers) {
      const key = nameBytes(name);
      headers.set(headers.has(key) ? Buffer.from(key) : key, asBuffer(value));
    }
    return new Promise((resolve, reject) => {
      this.#records++;
      this.#bytes += bytes;
      const lane = this.#lane(topic);
      lane.queue.push({
        headers,
        key: record.key === undefined ? undefined : Buffer.from(record.key),
        value: value && asBuffer(value),
        bytes,
        deadlineMs: performance.now() + timeoutMs,
        settled: false,
        resolve,
        reject,
      });
      this.#expiry ??= setInterval(() => this.#expire(), 100);
      // At the end of the turn: all that one read of a socket has brought goes in one batch.
      if (lane.queue.length === 1) queueMicrotask(() => this.#flush(topic, lane));
    });
  }

  /** Rejects what waits and closes the connections. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#expiry);
    for (const timer of this.#timers) clearTimeout(timer);
    for (const lane of this.#lanes.values()) {
      for (const waiting of [...lane.requests, lane.queue].flat()) {
        this.#settle(waiting, new BusError("unavailable", "The bus was closed."));
      }
    }
    this.#lanes.clear();
    await this.#producer.close();
  }

  #refusal(topic: string, valueBytes: number, bytes: number): BusError | undefined {
    const { maxValueBytes, maxRecords, maxBytes } = this.#options;
    if (this.#closed) return new BusError("unavailable", "The bus was closed.");
    if (valueBytes > maxValueBytes) {
      return new BusError(
        "too-large",
        `${valueBytes} bytes are more than the ${maxValueBytes} that a record may have.`,
      );
    }
    if (this.#records >= maxRecords || this.#bytes + bytes > maxBytes) {
      return new BusError("overloaded", `${this.#records} records wait to be sent already.`);
    }
    const unknownUntilMs = this.#unknown.get(topic);
    if (unknownUntilMs === undefined) return undefined;
    if (performance.now() < unknownUntilMs) {
      return new BusError("unknown-topic", `There is no topic '${topic.slice(0, 249)}'.`);
    }
    this.#unknown.delete(topic);
    return undefined;
  }

  #lane(topic: string): Lane {
    let lane = this.#lanes.get(topic);
    if (!lane) {
      // Begin anywhere: programs that start together must not all begin with partition 0.
      const turns = Math.floor(Math.random() * 1_000);
      lane = { queue: [], requests: new Set(), unknown: false, turns, lastError: undefined };
      this.#lanes.set(topic, lane);
    }
    return lane;
  }

  #flush(topic: string, lane: Lane): void {
    while (
      lane.queue.length > 0 && lane.requests.size < this.#options.maxRequests && !this.#closed
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
      await this.#produce(topic, lane, batch);
      for (const waiting of batch) this.#settle(waiting);
      lane.lastError = undefined;
      lane.unknown = false;
    } catch (error) {
      await this.#failed(topic, lane, batch, error);
    }
    lane.requests.delete(batch);
    this.#flush(topic, lane);
  }

  async #produce(topic: string, lane: Lane, batch: Waiting[]): Promise<void> {
    // The library takes any number and divides it by the topic's partitions.
    const partition = lane.turns++;
    await this.#producer.send({
      acks: -1,
      messages: batch.map(({ key, value, headers }) => ({
        topic,
        ...(key === undefined ? { partition } : { key }),
        // A null value, which a tombstone is, is `undefined` to the library; its type forgets that.
        value: value as Buffer,
        headers,
      })),
    });
  }

  async #failed(topic: string, lane: Lane, batch: Waiting[], error: unknown): Promise<void> {
    lane.lastError = error;
    const meaning = busError(error, `send to ${topic}`);
    if (meaning.kind === "too-large" && batch.length > 1) {
      // One of them is, or all together: in halves nobody is refused for somebody else.
      const half = batch.length >> 1;
      this.#request(topic, lane, batch.slice(0, half));
      await this.#request(topic, lane, batch.slice(half));
      return;
    }
    if (meaning.kind === "too-large" || (meaning.kind === "unknown-topic" && lane.unknown)) {
      if (meaning.kind === "unknown-topic") this.#rememberUnknown(topic);
      for (const waiting of batch) this.#settle(waiting, meaning);
      return;
    }
    // A topic made a moment ago may not be known to every broker yet: one second chance.
    lane.unknown = meaning.kind === "unknown-topic";
    if (brokerSaid(error, "NOT_LEADER_OR_FOLLOWER")) this.#producer.clearMetadata();
    await this.#pause();
    lane.queue.unshift(...batch.filter((waiting) => !waiting.settled));
  }

  #rememberUnknown(topic: string): void {
    if (this.#unknown.size >= 1_000) this.#unknown.delete(this.#unknown.keys().next().value!);
    this.#unknown.set(topic, performance.now() + this.#options.unknownTopicMs);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, this.#options.retryDelayMs);
      this.#timers.add(timer);
    });
  }

  /** Ends every wait at its deadline, also of what is on its way to a broker that does not answer. */
  #expire(): void {
    const nowMs = performance.now();
    for (const [topic, lane] of this.#lanes) {
      for (const waiting of [...lane.requests, lane.queue].flat()) {
        if (nowMs < waiting.deadlineMs) continue;
        this.#settle(waiting, busError(lane.lastError ?? "no answer in time", `send to ${topic}`));
      }
      if (lane.queue.some((waiting) => waiting.settled)) {
        lane.queue = lane.queue.filter((waiting) => !waiting.settled);
      }
    }
    if (this.#records === 0) {
      clearInterval(this.#expiry);
      this.#expiry = undefined;
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

function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
