/**
 * What a reader needs of a Kafka consumer, and no more. `platformatic_consumer.ts` is the real one;
 * `test_kafka_consumer.ts` does what a test says, without a broker.
 *
 * @module
 */
import type { ReceivedRecord, TopicDescription } from "./bus.ts";

/** A record with what its commit needs. */
export interface KafkaRecord extends ReceivedRecord {
  readonly leaderEpoch: number;
}

/** Offset of the next record of one partition. */
export interface PartitionOffset {
  partition: number;
  offset: bigint;
  /** Of the record before it. */
  leaderEpoch: number;
}

/**
 * Where reading begins: after what the group has committed (a new group: with the oldest record),
 * or with these offsets, one a partition.
 */
export type ReadFrom = "committed" | readonly bigint[];

/** What a consumer notifies its reader of. */
export interface KafkaConsumerEvents {
  /** A record; never while paused. */
  onRecord(record: KafkaRecord): void;
  /** The group has dealt out the partitions; {@linkcode KafkaConsumer.assigned} says which are here. */
  onAssigned(): void;
  /** The group deals out these topics as well, which are not read here: nobody reads what it gives us of them. */
  onForeignTopics(topics: readonly string[]): void;
  /** One answer of a broker has been handed over, with or without records. */
  onFetched(): void;
  /** Reading has broken off; this consumer is of no more use. May be called several times. */
  onBroken(error: unknown): void;
}

/** One session in a consumer group, for one topic. */
export interface KafkaConsumer {
  /** Joins the group and gets into position; records flow only after {@linkcode resume}. */
  read(from: ReadFrom, events: KafkaConsumerEvents): Promise<void>;
  /** Lets records flow. */
  resume(): void;
  /** Holds records back. */
  pause(): void;
  /** This member's partitions of the topic. */
  readonly assigned: readonly number[];
  /** What the broker calls this member; nothing before it has joined, nor once the broker does not know it. */
  readonly memberId: string | undefined;
  /** What the topic is like by now. */
  describeTopic(): Promise<TopicDescription>;
  /** Offset of the oldest record, or of the next one, of every partition. */
  listOffsets(which: "oldest" | "next"): Promise<readonly bigint[]>;
  /** What the group has committed, by partition; nothing where it has not. */
  listCommitted(partitions: readonly number[]): Promise<ReadonlyMap<number, bigint>>;
  commit(offsets: readonly PartitionOffset[]): Promise<void>;
  /** Leaves the group and lets go of the connections. */
  close(): Promise<void>;
}

/** What a consumer is to be like. */
export interface KafkaConsumerOptions {
  topic: string;
  group: string;
  /** The member that it was before, so that the group need not wait until that one is considered dead. @default a new one */
  memberId?: string | undefined;
}

/** Makes a consumer; it does nothing yet. */
export type MakeKafkaConsumer = (options: KafkaConsumerOptions) => KafkaConsumer;
