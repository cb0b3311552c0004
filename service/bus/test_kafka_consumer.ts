/**
 * For tests: a topic in Kafka as far as a reader can tell, with consumers that do what the test
 * says. Everything happens in microtasks.
 *
 * @module
 */
import type { TopicDescription } from "./bus.ts";
import type {
  KafkaConsumer,
  KafkaConsumerEvents,
  KafkaConsumerOptions,
  KafkaRecord,
  PartitionOffset,
  ReadFrom,
} from "./kafka_consumer.ts";

/** One topic, and all consumers that were ever made for it. */
export class ScriptedTopic {
  /** By partition; nothing where a record has been compacted away. */
  readonly log: (KafkaRecord | undefined)[][];
  /** By partition, of the one group that there is. */
  readonly committed = new Map<number, bigint>();
  /** The newest is the last. */
  readonly consumers: ScriptedConsumer[] = [];
  /** What the next joins end in: an error fails one, a promise holds it up. */
  readonly joins: (Error | Promise<void>)[] = [];

  /** What the next looks at the topic end in, where they fail. */
  readonly looks: Error[] = [];
  /** By partition: what was before it is older than the topic keeps. */
  readonly oldest = new Map<number, bigint>();

  /** Another one when the topic was removed and made again. */
  id = "first";

  constructor(partitions = 1) {
    this.log = Array.from({ length: partitions }, () => []);
  }

  readonly makeConsumer = (options: KafkaConsumerOptions): ScriptedConsumer => {
    const consumer = new ScriptedConsumer(this, options);
    this.consumers.push(consumer);
    return consumer;
  };

  /** The consumer that was made last. */
  get consumer(): ScriptedConsumer {
    return this.consumers.at(-1)!;
  }

  /** Adds partitions, which no consumer that reads already notices. */
  addPartitions(count: number): void {
    for (let i = 0; i < count; i++) this.log.push([]);
  }

  /** Removes it and makes it again, empty: what consumers know of it is of no use. */
  replace(): void {
    this.id = `${this.id}'`;
    for (const log of this.log) log.length = 0;
    this.committed.clear();
    // Their fetches name a topic that is not there any more.
    for (const consumer of this.consumers) consumer.assigned = [];
  }

  /** Adds records, with their offset's number as value unless given. */
  add(count: number, { partition = 0, value }: { partition?: number; value?: string } = {}): void {
    const log = this.log[partition]!;
    for (let i = 0; i < count; i++) {
      const text = value ?? `${partition}:${log.length}`;
      log.push({
        topic: "t",
        partition,
        offset: BigInt(log.length),
        leaderEpoch: 0,
        key: undefined,
        headers: [],
        value: new TextEncoder().encode(text),
      });
    }
    for (const consumer of this.consumers) consumer.flow();
  }
}

/** A consumer that the test can break. */
export class ScriptedConsumer implements KafkaConsumer {
  assigned: readonly number[];
  memberId: string | undefined;
  isPaused = true;
  isClosed = false;
  /** What the next commits reject with. */
  readonly failingCommits: Error[] = [];
  readonly commits: (readonly PartitionOffset[])[] = [];
  #positions: bigint[] = [];
  #events: KafkaConsumerEvents | undefined;
  #isFlowing = false;

  constructor(readonly topic: ScriptedTopic, readonly options: KafkaConsumerOptions) {
    this.assigned = topic.log.map((_, partition) => partition);
  }

  async read(from: ReadFrom, events: KafkaConsumerEvents): Promise<void> {
    const outcome = this.topic.joins.shift();
    if (outcome instanceof Error) throw outcome;
    await outcome;
    this.memberId = this.options.memberId ?? `member-${this.topic.consumers.indexOf(this)}`;
    this.#events = events;
    if (from === "committed") this.#goToCommitted();
    else this.#positions = [...from];
    events.onAssigned();
  }

  resume(): void {
    this.isPaused = false;
    this.flow();
  }

  pause(): void {
    this.isPaused = true;
  }

  /** The connection is lost. */
  break(error: Error = new Error("the connection is lost")): void {
    this.#isFlowing = true;
    this.#events?.onBroken(error);
  }

  /** The group has members that read other topics. */
  dealForeign(topics: readonly string[]): void {
    this.#events?.onForeignTopics(topics);
  }

  /** The group deals anew: reading goes on after what is committed. */
  assign(partitions: readonly number[]): void {
    this.assigned = partitions;
    this.#goToCommitted();
    this.#events?.onAssigned();
    this.flow();
  }

  /** A record that was read before a pause, a rebalance or a close, and is handed over after it. */
  deliverLate(partition: number, offset: number): void {
    this.#events?.onRecord(this.topic.log[partition]![offset]!);
  }

  /** A broker's answer without a record. */
  fetchNothing(): void {
    this.#events?.onFetched();
  }

  /** Hands over what there is, unless paused. */
  flow(): void {
    if (this.#isFlowing || !this.#events) return;
    this.#isFlowing = true;
    queueMicrotask(() => {
      this.#isFlowing = false;
      for (const partition of this.assigned) {
        const log = this.topic.log[partition]!;
        while (!this.isPaused && !this.isClosed && this.assigned.includes(partition)) {
          const position = this.#positions[partition] ?? 0n;
          if (position >= log.length) break;
          this.#positions[partition] = position + 1n;
          const record = log[Number(position)];
          if (record) this.#events!.onRecord(record);
        }
      }
    });
  }

  describeTopic(): Promise<TopicDescription> {
    const failure = this.isClosed ? new Error("closed") : this.topic.looks.shift();
    if (failure) return Promise.reject(failure);
    return Promise.resolve({ id: this.topic.id, partitions: this.topic.log.length });
  }

  listOffsets(which: "oldest" | "next"): Promise<readonly bigint[]> {
    return Promise.resolve(
      this.topic.log.map((log, partition) =>
        which === "oldest" ? this.topic.oldest.get(partition) ?? 0n : BigInt(log.length)
      ),
    );
  }

  listCommitted(partitions: readonly number[]): Promise<ReadonlyMap<number, bigint>> {
    const { committed } = this.topic;
    return Promise.resolve(
      new Map([...committed].filter(([partition]) => partitions.includes(partition))),
    );
  }

  commit(offsets: readonly PartitionOffset[]): Promise<void> {
    const failure = this.isClosed ? new Error("closed") : this.failingCommits.shift();
    if (failure) return Promise.reject(failure);
    this.commits.push(offsets);
    for (const { partition, offset } of offsets) this.topic.committed.set(partition, offset);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  #goToCommitted(): void {
    this.#positions = this.topic.log.map((_, partition) =>
      this.topic.committed.get(partition) ?? 0n
    );
  }
}
