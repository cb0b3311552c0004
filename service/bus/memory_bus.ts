/**
 * A {@linkcode Bus} inside the process: the same promises as Kafka's, nothing to install, nothing
 * kept when the process ends.
 *
 * It hands records on by microtasks and by its world's timers only. So in a `VirtualWorld` one seed
 * gives one order of everything.
 *
 * @module
 */
import { aborted } from "../resilience.ts";
import { realWorld, type TimerId, type World } from "../world/world.ts";
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
  type TopicOptions,
} from "./bus.ts";

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
const defaultMaxInFlight = 1_024;
const never = new Promise<never>(() => {});

/**
 * Makes a bus that lives and dies with the process.
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
    unfollowedTopics: (prefix) => Promise.resolve(broker.unfollowedTopics(prefix)),
    deleteTopic: (name) => Promise.resolve(broker.deleteTopic(name)),
    send: (topic, record) => Promise.try(() => broker.send(topic, record)),
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
  readonly #redelivery: Redelivery;

  constructor(options: MemoryBusOptions) {
    const { maxValueBytes = 1_000_000, maxRecords = 65_536 } = options;
    this.maxValueBytes = maxValueBytes;
    this.#maxRecords = maxRecords;
    this.#redelivery = new Redelivery(options.redeliverDelayMs ?? 100, options.world ?? realWorld);
  }

  createTopic(name: string, { compacted = false }: TopicOptions = {}): boolean {
    if (!isTopicName(name)) {
      throw new BusError("unknown-topic", `'${name.slice(0, 100)}' cannot name a topic.`);
    }
    if (this.#topics.has(name)) return false;
    this.#topics.set(name, new MemoryTopic(name, compacted, this.#maxRecords));
    return true;
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
class MemoryTopic {
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
    return this.#groups.values().some((group) => group.lag >= this.maxRecords);
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

/** Members that share a topic. */
class MemoryGroup {
  /** Offset of the next record that nobody in the group has been given. */
  #next: number;
  /** Given back by members, oldest first; these go before anything new. */
  readonly #again: ReceivedRecord[] = [];
  readonly #members = new Set<MemoryMember>();
  #dealing = false;

  constructor(private readonly topic: MemoryTopic, private readonly redelivery: Redelivery) {
    this.#next = topic.base;
  }

  get next(): number {
    return this.#next;
  }

  /** Records that wait for a member. */
  get lag(): number {
    return this.topic.end - Math.max(this.#next, this.topic.base) + this.#again.length;
  }

  join(options: ConsumeOptions): MemoryMember {
    const member = new MemoryMember(this, options, this.redelivery);
    this.#members.add(member);
    this.deal();
    return member;
  }

  leave(member: MemoryMember): void {
    this.#members.delete(member);
  }

  giveBack(records: Iterable<ReceivedRecord>): void {
    this.#again.push(...records);
    this.deal();
  }

  /** Deals out in the next microtask, so that no client's `send` runs another's `handle`. */
  deal(): void {
    if (this.#dealing || this.#members.size === 0) return;
    this.#dealing = true;
    queueMicrotask(() => {
      this.#dealing = false;
      this.#dealNow();
    });
  }

  #dealNow(): void {
    while (true) {
      const member = this.#leastBusy();
      const record = member && this.#takeNext();
      if (!record) return;
      if (this.#members.size > 1) this.#toTheEnd(member);
      member.work(record);
    }
  }

  #takeNext(): ReceivedRecord | undefined {
    const given = this.#again.shift();
    if (given) return given;
    // Trimmed away means lost to this group, as retention does it in a real broker.
    this.#next = Math.max(this.#next, this.topic.base);
    const record = this.topic.recordAt(this.#next);
    if (record) this.#next++;
    return record;
  }

  #toTheEnd(member: MemoryMember): void {
    this.#members.delete(member);
    this.#members.add(member);
  }

  /** The member with room that has the least to do; where several have, the one served longest ago. */
  #leastBusy(): MemoryMember | undefined {
    let best: MemoryMember | undefined;
    for (const member of this.#members) {
      if (member.hasRoom && (!best || member.inFlight < best.inFlight)) best = member;
    }
    return best;
  }
}

/** One member's reader. */
class MemoryMember implements GroupReader {
  readonly failed: Promise<never> = never;
  readonly partitions = [0];
  readonly #inFlight = new Set<ReceivedRecord>();
  readonly #maxInFlight: number;
  #closing = false;
  #onIdle = () => {};

  constructor(
    private readonly group: MemoryGroup,
    private readonly options: ConsumeOptions,
    private readonly redelivery: Redelivery,
  ) {
    this.#maxInFlight = options.maxInFlight ?? defaultMaxInFlight;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get hasRoom(): boolean {
    return this.#inFlight.size < this.#maxInFlight;
  }

  lag(): Promise<number> {
    return Promise.resolve(this.group.lag);
  }

  async work(record: ReceivedRecord): Promise<void> {
    this.#inFlight.add(record);
    try {
      await this.options.handle(record);
      this.#settle(record);
    } catch {
      // `handle` says why in its own log; here it only means: again, and not at once.
      if (this.#closing) this.#settle(record, "give back");
      else this.redelivery.later(() => this.#settle(record, "give back"));
    }
  }

  async close(deadline?: AbortSignal): Promise<void> {
    this.#closing = true;
    this.group.leave(this);
    if (this.#inFlight.size > 0) {
      const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
      await Promise.race([idle, aborted(deadline)]);
    }
    // What is still under way is another member's now.
    const rest = [...this.#inFlight];
    this.#inFlight.clear();
    this.group.giveBack(rest);
  }

  #settle(record: ReceivedRecord, how: "done" | "give back" = "done"): void {
    // False where the member has left at its deadline: then it has been given back already.
    if (!this.#inFlight.delete(record)) return;
    if (how === "give back") this.group.giveBack([record]);
    else this.group.deal();
    if (this.#inFlight.size === 0) this.#onIdle();
  }
}

/** Reads a topic alone. */
class MemoryFollower implements Follower {
  readonly failed: Promise<never> = never;
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

/** The timers of records that wait to be given out again. */
class Redelivery {
  readonly #timers = new Set<TimerId>();

  constructor(private readonly delayMs: number, private readonly world: World) {}

  later(callback: () => void): void {
    const timer = this.world.setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, this.delayMs);
    this.#timers.add(timer);
  }

  close(): void {
    for (const timer of this.#timers) this.world.clearTimeout(timer);
    this.#timers.clear();
  }
}
