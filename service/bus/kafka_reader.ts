/**
 * Reads from Kafka and goes on reading: a connection or a broker that is lost is waited for, with
 * a stated limit, and reading resumes where it was.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { Consumer, type Message, type MessagesStream } from "@platformatic/kafka";
import type {
  BusHeader,
  ConsumeOptions,
  Follower,
  FollowOptions,
  Reader,
  ReaderState,
  ReceivedRecord,
} from "./bus.ts";
import { brokerSaid, busError, clientOptions, reasonOf } from "./kafka_client.ts";
import type { KafkaConnection } from "./kafka_connection.ts";
import { OffsetTracker } from "./offset_tracker.ts";

/** Limits of a reader. */
export interface KafkaReaderOptions {
  connection: KafkaConnection;
  /** An outage longer than this is not waited for: {@linkcode Reader.failed} rejects. @default 300_000 */
  outageLimitMs?: number;
  /** When a member that is silent is held for dead. @default 6_000 */
  sessionTimeoutMs?: number;
  /** How often progress is committed. @default 200 */
  commitIntervalMs?: number;
  /** The longest wait between attempts; the first is a twentieth of it. @default 1_000 */
  maxRetryDelayMs?: number;
}

/** Bytes that one answer of a broker may bring, and so what a reader may hold. */
const maxFetchBytes = 4_194_304;
const maxWaitTimeMs = 500;
/** A session that lasted this long was a good one. */
const stableAfterMs = 3_000;

type Stream = MessagesStream<Buffer, Buffer, Buffer, Buffer>;
type KafkaMessage = Message<Buffer, Buffer, Buffer, Buffer>;

/** A stay in the group, until an error or the end; `run` ends it by throwing. */
interface Session {
  consumer: Consumer;
  stream: Stream;
  /** Resolves when the stream is closed, rejects when it breaks. */
  ended: Promise<void>;
}

/** What the two kinds of reader share: sessions one after the other, within the outage limit. */
abstract class KafkaReader implements Reader {
  readonly failed: Promise<never>;
  protected closing = false;
  protected session: Session | undefined;
  #fail!: (error: Error) => void;
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #memberId: string | null = null;

  constructor(
    protected readonly options: Required<Omit<KafkaReaderOptions, "connection">> & {
      connection: KafkaConnection;
    },
    protected readonly topic: string,
    private readonly onState: (state: ReaderState) => void,
  ) {
    this.failed = new Promise<never>((_, reject) => this.#fail = reject);
    // Whoever cares has a handler of their own.
    this.failed.catch(() => {});
  }

  abstract lag(): Promise<number>;
  protected abstract group(): string;
  /** Positions a new stream. */
  protected abstract open(consumer: Consumer): Promise<Stream>;
  protected abstract take(message: KafkaMessage, session: Session): void;

  /** The first session; rejects when it cannot be had. */
  async start(): Promise<this> {
    this.session = await this.#join();
    this.onState("ok");
    this.#running = this.#run();
    return this;
  }

  async close(deadline?: AbortSignal): Promise<void> {
    this.closing = true;
    await this.finish(deadline);
    this.#wake?.();
    if (this.session) await this.#leave(this.session);
    await this.#running;
  }

  /** What is to be done before leaving. */
  protected async finish(_deadline?: AbortSignal): Promise<void> {}

  async #run(): Promise<void> {
    let outageSinceMs: number | undefined;
    let attempt = 0;
    while (!this.closing) {
      let joinedMs = Infinity;
      try {
        this.session ??= await this.#join();
        joinedMs = performance.now();
        if (outageSinceMs !== undefined) this.onState("ok");
        await this.session.ended;
      } catch (error) {
        if (this.closing) return;
        // A session that breaks at once does not end an outage.
        if (performance.now() - joinedMs > stableAfterMs) {
          outageSinceMs = undefined;
          attempt = 0;
        }
        outageSinceMs ??= performance.now();
        this.onState({ reason: reasonOf(error) });
        const lastedMs = performance.now() - outageSinceMs;
        if (lastedMs > this.options.outageLimitMs) {
          this.#fail(
            new Error(
              `Reading ${this.topic} from Kafka has failed for ${
                Math.round(lastedMs / 1_000)
              } s, longer than the limit of ${this.options.outageLimitMs} ms: ${reasonOf(error)}`,
              { cause: error },
            ),
          );
          return;
        }
        if (brokerSaid(error, "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID")) this.#memberId = null;
      }
      if (this.session) await this.#leave(this.session);
      this.session = undefined;
      if (!this.closing) await this.#pause(attempt++);
    }
  }

  async #join(): Promise<Session> {
    const consumer = new Consumer({
      ...clientOptions(this.options.connection),
      groupId: this.group(),
      sessionTimeout: this.options.sessionTimeoutMs,
      rebalanceTimeout: Math.max(10_000, this.options.sessionTimeoutMs),
      heartbeatInterval: Math.floor(this.options.sessionTimeoutMs / 3),
      autocommit: false,
      minBytes: 1,
      maxBytes: maxFetchBytes,
      maxBytesPerPartition: 1_048_576,
      maxWaitTime: maxWaitTimeMs,
      // Groups are joined again and again by their own rule: the coordinator may be loading.
      retries: 5,
      retryDelay: 200,
    });
    // Each is told again by the call that it broke.
    consumer.on("consumer:heartbeat:error", () => {});
    // The same member as before: the group need not wait until the one before is held for dead.
    if (this.#memberId) consumer.memberId = this.#memberId;
    try {
      const stream = await this.open(consumer);
      this.#memberId = consumer.memberId;
      const ended = new Promise<void>((resolve, reject) => {
        stream.once("error", reject);
        stream.once("close", resolve);
      });
      ended.catch(() => {});
      const session = { consumer, stream, ended };
      stream.on("data", (message: KafkaMessage) => this.take(message, session));
      return session;
    } catch (error) {
      await closeQuietly(consumer);
      throw busError(error, `read ${this.topic}`);
    }
  }

  async #leave(session: Session): Promise<void> {
    if (this.session === session) this.session = undefined;
    await closeQuietly(session.consumer);
  }

  #pause(attempt: number): Promise<void> {
    const { maxRetryDelayMs } = this.options;
    const delayMs = Math.min(maxRetryDelayMs, (maxRetryDelayMs / 20) * 2 ** attempt);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Reads as a member of a group and commits what is done with. */
export class KafkaGroupReader extends KafkaReader {
  readonly #options: ConsumeOptions;
  readonly #maxInFlight: number;
  #inFlight = 0;
  #partitions = new Map<number, { tracker: OffsetTracker; epoch: number; committed: number }>();
  #committing: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setInterval> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(
    readerOptions: ConstructorParameters<typeof KafkaReader>[0],
    options: ConsumeOptions,
  ) {
    super(readerOptions, options.topic, options.onState ?? (() => {}));
    this.#options = options;
    this.#maxInFlight = options.maxInFlight ?? 1024;
  }

  override async start(): Promise<this> {
    await super.start();
    this.#timer = setInterval(() => {
      this.#committing = this.#committing.then(() => this.#commit());
    }, this.options.commitIntervalMs);
    return this;
  }

  async lag(): Promise<number> {
    const consumer = this.session?.consumer;
    const partitions = consumer?.assignments
      ?.find((assignment) => assignment.topic === this.topic)?.partitions;
    if (!consumer || !partitions?.length) return 0;
    const ends = await consumer.listOffsets({ topics: [this.topic] });
    const committed = await consumer
      .listCommittedOffsets({ topics: [{ topic: this.topic, partitions }] });
    let lag = 0;
    for (const partition of partitions) {
      const end = ends.get(this.topic)?.[partition] ?? 0n;
      const done = committed.get(this.topic)?.[partition] ?? -1n;
      lag += Number(end - (done < 0n ? 0n : done));
    }
    return lag;
  }

  protected override group(): string {
    return this.#options.group;
  }

  protected override async open(consumer: Consumer): Promise<Stream> {
    this.#partitions.clear();
    consumer.on("consumer:group:join", () => this.#keepOnlyAssigned(consumer));
    return await consumer.consume({
      topics: [this.topic],
      mode: "committed",
      fallbackMode: "earliest",
      autocommit: false,
    });
  }

  protected override take(message: KafkaMessage, session: Session): void {
    const { partition } = message;
    const { assignments } = session.consumer;
    const assigned = assignments?.some((one) =>
      one.topic === this.topic && one.partitions.includes(partition)
    );
    // Read before a rebalance, delivered after it: somebody else's now.
    if (!assigned || this.session !== undefined && this.session !== session) return;
    let state = this.#partitions.get(partition);
    if (!state) {
      state = { tracker: new OffsetTracker(), epoch: message.leaderEpoch, committed: -1 };
      this.#partitions.set(partition, state);
    }
    state.epoch = message.leaderEpoch;
    const offset = Number(message.offset);
    if (!state.tracker.begin(offset)) return;
    this.#inFlight++;
    if (this.#inFlight >= this.#maxInFlight) session.stream.pause();
    this.#work(message, state.tracker, offset, session);
  }

  async #work(message: KafkaMessage, tracker: OffsetTracker, offset: number, session: Session) {
    try {
      await this.#options.handle(received(message));
      tracker.finish(offset);
    } catch (error) {
      // Its offset stays uncommitted: reading begins anew from there.
      session.stream.destroy(error instanceof Error ? error : new Error(String(error)));
    }
    this.#inFlight--;
    if (this.#inFlight === this.#maxInFlight >> 1 && !this.closing) session.stream.resume();
    if (this.#inFlight === 0) this.#onIdle?.();
  }

  #keepOnlyAssigned(consumer: Consumer): void {
    const mine = consumer.assignments?.find((one) => one.topic === this.topic)?.partitions ?? [];
    for (const partition of this.#partitions.keys()) {
      if (!mine.includes(partition)) this.#partitions.delete(partition);
    }
  }

  async #commit(): Promise<void> {
    const consumer = this.session?.consumer;
    if (!consumer?.assignments) return;
    const done = [...this.#partitions].flatMap(([partition, state]) => {
      const offset = state.tracker.committable;
      return offset === undefined || offset <= state.committed
        ? []
        : [{ partition, state, offset }];
    });
    if (done.length === 0) return;
    try {
      await consumer.commit({
        offsets: done.map(({ partition, state, offset }) => ({
          topic: this.topic,
          partition,
          offset: BigInt(offset),
          leaderEpoch: state.epoch,
        })),
      });
      for (const { state, offset } of done) state.committed = Math.max(state.committed, offset);
    } catch {
      // Tried again at the next tick; until then the records may be given out twice, as promised.
    }
  }

  protected override async finish(deadline?: AbortSignal): Promise<void> {
    clearInterval(this.#timer);
    this.session?.stream.pause();
    if (this.#inFlight > 0) {
      const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
      const cut = new Promise<void>((resolve) => {
        if (deadline?.aborted) resolve();
        else deadline?.addEventListener("abort", () => resolve(), { once: true });
      });
      await Promise.race([idle, cut]);
    }
    await this.#committing;
    await this.#commit();
  }
}

/** Reads every record, by positions of its own: nothing is committed. */
export class KafkaFollower extends KafkaReader implements Follower {
  readonly caughtUp: Promise<void>;
  readonly #options: FollowOptions;
  /** Offset of the next record of each partition. */
  #positions: number[] = [];
  #ends: number[] = [];
  #onCaughtUp!: () => void;
  #sinceFetch = 0;
  #fetches = 0;

  constructor(readerOptions: ConstructorParameters<typeof KafkaReader>[0], options: FollowOptions) {
    super(readerOptions, options.topic, options.onState ?? (() => {}));
    this.#options = options;
    this.caughtUp = new Promise((resolve) => this.#onCaughtUp = resolve);
  }

  async lag(): Promise<number> {
    const ends = await this.session?.consumer.listOffsets({ topics: [this.topic] });
    return (ends?.get(this.topic) ?? [])
      .reduce((sum, end, partition) => sum + Number(end) - (this.#positions[partition] ?? 0), 0);
  }

  /** One of its own for each session: nobody to wait for, nobody to share with. */
  protected override group(): string {
    return `${this.topic}.reader.${crypto.randomUUID().slice(0, 8)}`;
  }

  protected override async open(consumer: Consumer): Promise<Stream> {
    const ends = (await consumer.listOffsets({ topics: [this.topic], timestamp: -1n }))
      .get(this.topic) ?? [];
    const begins = (await consumer.listOffsets({ topics: [this.topic], timestamp: -2n }))
      .get(this.topic) ?? [];
    const first = this.#positions.length === 0;
    const from = this.#options.from === "beginning" ? begins : ends;
    this.#positions = ends.map((end, partition) => {
      const position = this.#positions[partition] ?? Number(from[partition] ?? 0n);
      // A topic that was made anew begins anew.
      return Math.min(Math.max(position, Number(begins[partition] ?? 0n)), Number(end));
    });
    if (first) this.#ends = ends.map(Number);
    this.#checkCaughtUp();
    const stream = await consumer.consume({
      topics: [this.topic],
      mode: "manual",
      autocommit: false,
      offsets: this.#positions.map((offset, partition) => ({
        topic: this.topic,
        partition,
        offset: BigInt(offset),
      })),
    });
    this.#fetches = 0;
    // The last records may be gone by compaction: an answer without any says so too.
    stream.on("fetch", () => {
      if (++this.#fetches > 2 && this.#sinceFetch === 0) this.#onCaughtUp();
      this.#sinceFetch = 0;
    });
    return stream;
  }

  protected override take(message: KafkaMessage): void {
    if (this.closing) return;
    this.#sinceFetch++;
    this.#positions[message.partition] = Number(message.offset) + 1;
    this.#options.handle(received(message));
    this.#checkCaughtUp();
  }

  #checkCaughtUp(): void {
    if (this.#ends.every((end, partition) => (this.#positions[partition] ?? 0) >= end)) {
      this.#onCaughtUp();
    }
  }
}

function received(message: KafkaMessage): ReceivedRecord {
  return {
    topic: message.topic,
    partition: message.partition,
    offset: message.offset,
    // A record without key or value has `undefined` there, whatever the type says.
    key: (message.key as Buffer | undefined)?.toString(),
    headers: message.headerEntries
      .map(([name, value]): BusHeader => [name?.toString() ?? "", value ?? new Uint8Array()]),
    value: (message.value as Buffer | undefined) ?? null,
  };
}

async function closeQuietly(consumer: Consumer): Promise<void> {
  try {
    await consumer.close(true);
  } catch {
    // Leaving a broker that is gone: it finds out by itself.
  }
}
