/**
 * A {@linkcode Bus} inside the process: the same promises as Kafka's, nothing to install, nothing
 * kept when the process ends.
 *
 * It hands records on by microtasks and by its world's timers only. So in a `VirtualWorld` one seed
 * gives one order of everything.
 *
 * @module
 */
import { checkPositiveIntegers } from "../options.ts";
import { realWorld, type World } from "../world/world.ts";
import {
  type Bus,
  BusError,
  type BusRecord,
  type ConsumeOptions,
  type Follower,
  type FollowOptions,
  type GroupReader,
  isTopicName,
  type ReceivedRecord,
  type TopicDescription,
  type TopicOptions,
} from "./bus.ts";
import { type GroupSource, MemoryGroup, Redelivery } from "./memory_group.ts";

/** Options of {@linkcode memoryBus}. */
export interface MemoryBusOptions {
  /** The largest value, in bytes. @default 1_000_000 */
  maxValueBytes?: number;
  /** Records that a topic keeps for groups that have not read them; then it is overloaded. @default 65_536 */
  maxRecords?: number;
  /** How long a record waits that `handle` has rejected, in milliseconds. @default 100 */
  redeliverDelayMs?: number;
  /** Time and chance. @default realWorld */
  world?: World;
}

/** Trimming now and then costs next to nothing a record. */
const trimEvery = 512;
const keptWhenDone = 1_024;
const sent = Promise.resolve();

/**
 * Makes a bus that lives and dies with the process.
 *
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const bus = memoryBus({ maxRecords: 1_000, world });
 * await bus.createTopic("jobs");
 * ```
 */
export function memoryBus(options: MemoryBusOptions = {}): Bus {
  const broker = new MemoryBroker(options);
  // An object whose methods can be replaced one by one, as tests and fault injection do.
  return {
    system: "in_process",
    maxValueBytes: broker.maxValueBytes,
    createTopic: (name, options) => Promise.try(() => broker.createTopic(name, options)),
    describeTopic: (name) => Promise.resolve(broker.describeTopic(name)),
    unfollowedTopics: (prefix) => Promise.resolve(broker.unfollowedTopics(prefix)),
    deleteTopic: (name) => Promise.resolve(broker.deleteTopic(name)),
    send(topic, record) {
      // Not `Promise.try()`: this is the path of every message, and it costs a third more there.
      try {
        broker.send(topic, record);
        return sent;
      } catch (error) {
        return Promise.reject(error);
      }
    },
    consume: (options) => Promise.try(() => broker.consume(options)),
    follow: (options) => Promise.try(() => broker.follow(options)),
    close: () => Promise.resolve(broker.close()),
  };
}

/** The topics and their limits. */
class MemoryBroker {
  readonly maxValueBytes: number;
  readonly #maxRecords: number;
  readonly #topics = new Map<string, MemoryTopic>();
  #topicsMade = 0;
  readonly #redelivery: Redelivery;

  constructor(options: MemoryBusOptions) {
    const { maxValueBytes = 1_000_000, maxRecords = 65_536, redeliverDelayMs = 100 } = options;
    checkPositiveIntegers("make a bus", { maxValueBytes, maxRecords, redeliverDelayMs });
    this.maxValueBytes = maxValueBytes;
    this.#maxRecords = maxRecords;
    this.#redelivery = new Redelivery(redeliverDelayMs, options.world ?? realWorld);
  }

  createTopic(name: string, { compacted = false }: TopicOptions = {}): boolean {
    if (!isTopicName(name)) {
      throw new BusError("unknown-topic", `'${name.slice(0, 100)}' cannot name a topic.`);
    }
    if (this.#topics.has(name)) return false;
    this.#topics.set(
      name,
      new MemoryTopic(name, compacted, this.#maxRecords, String(this.#topicsMade++)),
    );
    return true;
  }

  describeTopic(name: string): TopicDescription | undefined {
    const topic = this.#topics.get(name);
    return topic && { id: topic.id, partitions: 1 };
  }

  unfollowedTopics(prefix: string): string[] {
    return [...this.#topics.values()]
      .filter((topic) => topic.name.startsWith(prefix) && topic.followers.size === 0)
      .map((topic) => topic.name);
  }

  deleteTopic(name: string): void {
    this.#topics.delete(name);
  }

  send(name: string, record: BusRecord): void {
    const topic = this.#existing(name);
    const bytes = record.value?.length ?? 0;
    if (bytes > this.maxValueBytes) {
      throw new BusError(
        "too-large",
        `${bytes} bytes are more than the ${this.maxValueBytes} that a record may have.`,
      );
    }
    if (topic.isFull) {
      throw new BusError("overloaded", `${this.#maxRecords} records wait in '${name}' already.`);
    }
    topic.append(record);
  }

  consume(options: ConsumeOptions): GroupReader {
    const topic = this.#existing(options.topic);
    if (topic.compacted) throw new TypeError("A compacted topic is for followers, not groups.");
    const reader = topic.group(options.group, this.#redelivery).join(options);
    options.onState?.("ok");
    return reader;
  }

  follow(options: FollowOptions): Follower {
    const follower = new MemoryFollower(this.#existing(options.topic), options);
    options.onState?.("ok");
    return follower;
  }

  close(): void {
    this.#redelivery.close();
    this.#topics.clear();
  }

  #existing(name: string): MemoryTopic {
    const topic = this.#topics.get(name);
    if (!topic) throw new BusError("unknown-topic", `There is no topic '${name.slice(0, 100)}'.`);
    return topic;
  }
}

/** One topic: its records, the groups that share them, and the followers that read all. */
class MemoryTopic implements GroupSource {
  /** Kept records, oldest first; unless compacted, the first has offset {@linkcode base}. */
  #log: ReceivedRecord[] = [];
  #base = 0;
  /** Offset of the next record. */
  #end = 0;
  readonly #groups = new Map<string, MemoryGroup>();
  readonly followers = new Set<MemoryFollower>();

  constructor(
    readonly name: string,
    readonly compacted: boolean,
    private readonly maxRecords: number,
    readonly id: string,
  ) {}

  get base(): number {
    return this.#base;
  }

  get end(): number {
    return this.#end;
  }

  /** What is kept, oldest first. */
  get records(): readonly ReceivedRecord[] {
    return this.#log;
  }

  /** Whether so much waits for the slowest group, or has been kept by key, that no more is taken. */
  get isFull(): boolean {
    if (this.compacted) return this.#log.length > this.maxRecords * 2;
    for (const group of this.#groups.values()) {
      if (group.lag >= this.maxRecords) return true;
    }
    return false;
  }

  recordAt(offset: number): ReceivedRecord | undefined {
    return this.#log[offset - this.#base];
  }

  append({ key, headers, value }: BusRecord): void {
    const offset = BigInt(this.#end++);
    const record = { topic: this.name, partition: 0, offset, key, headers, value };
    this.#log.push(record);
    for (const follower of this.followers) queueMicrotask(() => follower.take(record));
    for (const group of this.#groups.values()) group.deal();
    if (this.#end % trimEvery === 0) this.#trim();
  }

  /** The group of this name; a new one begins with the oldest record. */
  group(name: string, redelivery: Redelivery): MemoryGroup {
    let group = this.#groups.get(name);
    if (!group) {
      group = new MemoryGroup(this, redelivery);
      this.#groups.set(name, group);
    }
    return group;
  }

  #trim(): void {
    if (this.compacted) {
      const last = new Map(this.#log.map((record) => [record.key, record]));
      this.#log = [...last.values()].filter((record) => record.value !== null);
      return;
    }
    // Where every group is done with a record, or there is no group, a few are kept for one to come.
    const next = Math.min(this.#end, ...this.#groups.values().map((group) => group.next));
    const cut = Math.max(this.#log.length - this.maxRecords, next - this.#base - keptWhenDone);
    if (cut <= 0) return;
    this.#log.splice(0, cut);
    this.#base += cut;
  }
}

/** Reads a topic alone. */
class MemoryFollower implements Follower {
  readonly failed = new Promise<never>(() => {});
  readonly caughtUp: Promise<void>;
  #closed = false;

  constructor(private readonly topic: MemoryTopic, private readonly options: FollowOptions) {
    const past = options.from === "beginning" ? [...topic.records] : [];
    this.caughtUp = Promise.resolve().then(() => past.forEach((record) => this.take(record)));
    topic.followers.add(this);
  }

  take(record: ReceivedRecord): void {
    if (!this.#closed) this.options.handle(record);
  }

  lag(): Promise<number> {
    return Promise.resolve(0);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.topic.followers.delete(this);
    return Promise.resolve();
  }
}
