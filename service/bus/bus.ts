/**
 * The bus: what programs need of a message broker, and no more. `memory_bus.ts` is one inside the
 * process, `kafka_bus.ts` is Apache Kafka; both pass the suite of `bus_suite.ts`.
 *
 * Promises every bus keeps:
 *
 * - a record that {@linkcode Bus.send} has resolved for is kept for its readers; a rejected one may
 *   or may not be there (the answer may have been lost on the way), so readers must bear doubles;
 * - a group gives each record to one member, at least once: it is done with when `handle` resolves;
 *   when `handle` rejects, this record alone is given out again, after a short wait and perhaps to
 *   another member; when the member is gone, all that it had not done with is;
 * - a follower reads every record, alone, in the order of each partition;
 * - nothing waits for ever and nothing grows without a limit.
 *
 * @module
 */

/** A header: order matters on this wire, names may repeat. */
export type BusHeader = readonly [name: string, value: Uint8Array];

/** What is sent. */
export interface BusRecord {
  /** What compaction goes by. @default none */
  key?: string;
  /** In the order in which they are on the wire. */
  headers: readonly BusHeader[];
  /** `null` is a tombstone: in a compacted topic it ends its key. */
  value: Uint8Array | null;
}

/** What is received. */
export interface ReceivedRecord {
  /** Where it was sent to. */
  readonly topic: string;
  /** The part of the topic that it is in; only within one is there an order. */
  readonly partition: number;
  /** Position within the partition. */
  readonly offset: bigint;
  /** What compaction goes by, if it was sent with one. */
  readonly key: string | undefined;
  /** In the order in which they were on the wire. */
  readonly headers: readonly BusHeader[];
  /** `null` is a tombstone. */
  readonly value: Uint8Array | null;
}

/** What a topic should be like if it has to be made. */
export interface TopicOptions {
  /** How many partitions it gets. @default 1 */
  partitions?: number;
  /** Keeps the last record of each key for ever, instead of all for some time. @default false */
  compacted?: boolean;
}

/** What a topic is like. */
export interface TopicDescription {
  /** Another one once a topic of this name was removed and made again. */
  readonly id: string;
  /** How many partitions it has; it may get more. */
  readonly partitions: number;
}

/**
 * Why the bus could not do something; `kind` is stable, the message is for logs, never for users. The message
 * says all that there is to say, so no `cause` stands behind it that would be shown in its place.
 */
export class BusError extends Error {
  /** Its name in stack traces. */
  override name = "BusError";
  /** Which of the four it is. */
  readonly kind: BusErrorKind;

  /** Makes one. */
  constructor(kind: BusErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/**
 * - `unavailable`: no broker, or it did not answer in time; may work later
 * - `too-large`: the record is over a limit; it never works
 * - `unknown-topic`: there is no such topic, or it may not be written to
 * - `overloaded`: too much is queued already
 */
export type BusErrorKind = "unavailable" | "too-large" | "unknown-topic" | "overloaded";

/** `ok`, or why records do not flow for now. */
export type ReaderState = "ok" | { reason: string };

/** Options that both kinds of reader have. */
export interface ReaderOptions {
  /** What is read. */
  topic: string;
  /** Notified when records stop or resume to flow. */
  onState?: (state: ReaderState) => void;
}

/** Options of {@linkcode Bus.consume}. */
export interface ConsumeOptions extends ReaderOptions {
  /** Members of the same group share the records; a new group begins with the oldest record. */
  group: string;
  /** The most records whose `handle` has not settled. @default 1024 */
  maxInFlight?: number;
  /**
   * Does the work of one record. Rejecting asks for it again, as often as it takes; why it has
   * rejected is for `handle` to log.
   */
  handle: (record: ReceivedRecord) => Promise<void>;
}

/** Options of {@linkcode Bus.follow}. */
export interface FollowOptions extends ReaderOptions {
  /** `end`: only what is sent from now on. */
  from: "beginning" | "end";
  /** Takes one record; must not throw. */
  handle: (record: ReceivedRecord) => void;
}

/** A reader at work. Once it resolved, it is positioned: what is sent from now on is read. */
export interface Reader {
  /** Records that wait to be read, as far as is known. */
  lag(): Promise<number>;
  /** Rejects when the reader has given up for good: the process cannot do its work any more. */
  readonly failed: Promise<never>;
  /** Stops taking records, waits for those under way until `deadline` aborts, and leaves. */
  close(deadline?: AbortSignal): Promise<void>;
}

/** A {@linkcode Reader} that shares a topic with the other members of its group. */
export interface GroupReader extends Reader {
  /**
   * The partitions that are this member's at the moment. None while it waits for its share; where a
   * bus deals by records instead of partitions, all members have all.
   */
  readonly partitions: readonly number[];
  /** How far the group is in every partition of the topic, whoever has it, or nobody. */
  progress(): Promise<ReadonlyMap<number, PartitionProgress>>;
}

/** How far a group is in a partition. */
export interface PartitionProgress {
  /** Records in it that the group is not done with. */
  waiting: number;
  /** Where the group is: it grows with every record that is done with, in turn. */
  done: bigint;
}

/** A {@linkcode Reader} that also knows when it has read what was there when it began. */
export interface Follower extends Reader {
  /** Resolves once every record that was there when it began has been handled. */
  readonly caughtUp: Promise<void>;
}

/** A message broker. */
export interface Bus {
  /** `messaging.system` of the semantic conventions. */
  readonly system: "kafka" | "in_process";
  /** The largest value that is taken, in bytes. */
  readonly maxValueBytes: number;
  /** Makes the topic unless it is there; true if it was made. It can be used at once. */
  createTopic(name: string, options?: TopicOptions): Promise<boolean>;
  /** What the topic is like; nothing if there is none. */
  describeTopic(name: string): Promise<TopicDescription | undefined>;
  /** Topics whose name begins with the prefix and that no follower reads at the moment. */
  unfollowedTopics(prefix: string): Promise<string[]>;
  /** Removes the topic; one that is not there is fine. */
  deleteTopic(name: string): Promise<void>;
  /**
   * Sends, and resolves once the bus has the record.
   *
   * @throws {BusError} it has not, within `timeoutMs`
   */
  send(topic: string, record: BusRecord, timeoutMs?: number): Promise<void>;
  /** Reads as a member of a group. */
  consume(options: ConsumeOptions): Promise<GroupReader>;
  /** Reads alone. */
  follow(options: FollowOptions): Promise<Follower>;
  /** Lets go of everything; readers are to be closed before. */
  close(): Promise<void>;
}

const decoder = new TextDecoder();

/** The header's value as text, if the header at this position has this name. */
export function headerAt(
  headers: readonly BusHeader[],
  position: number,
  name: string,
): string | undefined {
  const header = headers[position];
  return header?.[0] === name ? decoder.decode(header[1]) : undefined;
}

/** The value as text of the first header with this name. */
export function headerNamed(headers: readonly BusHeader[], name: string): string | undefined {
  const header = headers.find((header) => header[0] === name);
  return header && decoder.decode(header[1]);
}

/** Whether the name can be that of a topic, by Kafka's rule. */
export function isTopicName(name: string): boolean {
  return /^[a-zA-Z0-9._-]{1,249}$/.test(name) && name !== "." && name !== "..";
}
