/**
 * Reads every record of a topic from Kafka, by positions of its own: nothing is committed.
 *
 * @module
 */
import type { World } from "../world/world.ts";
import type { Follower, FollowOptions } from "./bus.ts";
import type {
  KafkaConsumer,
  KafkaConsumerEvents,
  KafkaRecord,
  MakeKafkaConsumer,
} from "./kafka_consumer.ts";
import { type KafkaReaderOptions, KafkaSessions } from "./kafka_reader.ts";

/** What the groups of a topic's followers are called: a follower is a group of its own. */
export function followerGroupPrefix(topic: string): string {
  return `${topic}.reader.`;
}

/** One follower. */
export class KafkaFollower implements Follower {
  readonly caughtUp: Promise<void>;
  readonly failed: Promise<never>;
  readonly #options: FollowOptions;
  readonly #sessions: KafkaSessions;
  readonly #caughtUp = Promise.withResolvers<void>();
  /** Offset of the next record of each partition. */
  #positions: number[] = [];
  #isPositioned = false;
  /** Where each partition ended at the start. */
  #ends: number[] = [];
  /** Answers of the broker in this session, and records since the last one. */
  #fetches = 0;
  #recordsSinceFetch = 0;

  constructor(
    options: FollowOptions,
    readerOptions: Required<KafkaReaderOptions>,
    makeConsumer: MakeKafkaConsumer,
  ) {
    this.#options = options;
    this.caughtUp = this.#caughtUp.promise;
    this.#sessions = new KafkaSessions(
      {
        consumer: () => ({ topic: options.topic, group: ownGroup(options, readerOptions.world) }),
        open: (consumer, onBroken) => this.#open(consumer, onBroken),
        onTopicReplaced: () => this.#begunAnew(),
      },
      readerOptions,
      makeConsumer,
      options.onState,
    );
    this.failed = this.#sessions.failed;
  }

  /** Gets into position; rejects when that fails. */
  async start(): Promise<this> {
    await this.#sessions.start();
    return this;
  }

  async lag(): Promise<number> {
    const next = await this.#sessions.consumer?.listOffsets("next") ?? [];
    return next.reduce((sum, end, partition) => {
      return sum + Number(end) - (this.#positions[partition] ?? 0);
    }, 0);
  }

  async close(): Promise<void> {
    await this.#sessions.close();
  }

  async #open(consumer: KafkaConsumer, onBroken: KafkaConsumerEvents["onBroken"]): Promise<void> {
    const ends = await consumer.listOffsets("next");
    const begins = await consumer.listOffsets("oldest");
    const isFirst = !this.#isPositioned;
    this.#isPositioned = true;
    // What a partition has that was added later was all sent since this reader began.
    const from = this.#options.from === "beginning" || !isFirst ? begins : ends;
    this.#positions = ends.map((end, partition) => {
      const position = this.#positions[partition] ?? Number(from[partition] ?? 0n);
      // A topic that was made anew begins anew.
      return Math.min(Math.max(position, Number(begins[partition] ?? 0n)), Number(end));
    });
    if (isFirst) this.#ends = ends.map(Number);
    this.#checkCaughtUp();
    this.#fetches = 0;
    this.#recordsSinceFetch = 0;
    await consumer.read(this.#positions.map(BigInt), {
      onRecord: (record) => this.#take(record),
      onAssigned: () => {},
      // Its group is its own.
      onForeignTopics: () => {},
      onFetched: () => this.#onFetched(),
      onBroken,
    });
  }

  #begunAnew(): void {
    this.#positions = [];
  }

  #take(record: KafkaRecord): void {
    if (this.#sessions.isClosing) return;
    this.#recordsSinceFetch++;
    this.#positions[record.partition] = Number(record.offset) + 1;
    this.#options.handle(record);
    this.#checkCaughtUp();
  }

  /** The last records may be gone by compaction: an answer without any says so too. */
  #onFetched(): void {
    if (++this.#fetches > 2 && this.#recordsSinceFetch === 0) this.#caughtUp.resolve();
    this.#recordsSinceFetch = 0;
  }

  #checkCaughtUp(): void {
    if (this.#ends.every((end, partition) => (this.#positions[partition] ?? 0) >= end)) {
      this.#caughtUp.resolve();
    }
  }
}

/** Another one for each session: nobody to wait for, nobody to share with. */
function ownGroup({ topic }: FollowOptions, world: World): string {
  return followerGroupPrefix(topic) + world.randomUuid().slice(0, 8);
}
