/**
 * Reads from Kafka as a member of a group, and commits what is done with.
 *
 * @module
 */
import { aborted, backoffDelayMs, pause, settledWithin } from "../resilience.ts";
import type { TimerId } from "../world/world.ts";
import type { ConsumeOptions, GroupReader, PartitionProgress } from "./bus.ts";
import type { KafkaConsumer, KafkaRecord, MakeKafkaConsumer } from "./kafka_consumer.ts";
import { type KafkaReaderOptions, KafkaSessions } from "./kafka_reader.ts";
import { OffsetTracker } from "./offset_tracker.ts";

/** What the last commit may take: a broker that does not answer holds up no farewell. */
const lastCommitTimeoutMs = 5_000;
const defaultMaxInFlight = 1_024;

/** A partition for as long as it is this member's. */
interface Assignment {
  readonly tracker: OffsetTracker;
  /** Of the last record. */
  leaderEpoch: number;
  committed: number;
  /** Aborts when the partition, or the session in the group, has gone: then the group gives its records out again. */
  readonly gone: AbortController;
}

/** One member of a group. */
export class KafkaGroupReader implements GroupReader {
  readonly failed: Promise<never>;
  readonly #options: ConsumeOptions;
  readonly #readerOptions: Required<KafkaReaderOptions>;
  readonly #maxInFlight: number;
  readonly #sessions: KafkaSessions;
  readonly #assignments = new Map<number, Assignment>();
  /** Records whose `handle` has not resolved, of this session and of those before it. */
  #inFlight = 0;
  #isFull = false;
  #onIdle = () => {};
  #committing: Promise<void> | undefined;
  #commitTimer: TimerId | undefined;

  constructor(
    options: ConsumeOptions,
    readerOptions: Required<KafkaReaderOptions>,
    makeConsumer: MakeKafkaConsumer,
  ) {
    this.#options = options;
    this.#readerOptions = readerOptions;
    this.#maxInFlight = options.maxInFlight ?? defaultMaxInFlight;
    this.#sessions = new KafkaSessions(
      {
        consumer: () => ({ topic: options.topic, group: options.group }),
        open: (consumer, onBroken) =>
          consumer.read("committed", {
            onRecord: (record) => this.#take(record, consumer),
            onAssigned: () => this.#keepOnly(consumer.assigned),
            onForeignTopics: (topics) =>
              options.onState?.({
                reason: `members of the group ${options.group} also read ${
                  topics.join(", ")
                }: what is dealt out of one topic to readers of the other is read by nobody. Give each topic a group of its own`,
              }),
            onFetched: () => {},
            onBroken,
          }),
        onLeft: () => this.#keepOnly([]),
        isFull: () => this.#isFull,
        finish: (deadline) => this.#finish(deadline),
      },
      readerOptions,
      makeConsumer,
      options.onState,
    );
    this.failed = this.#sessions.failed;
  }

  /** Joins the group; rejects when that fails for as long as a start may take. */
  async start(): Promise<this> {
    await this.#sessions.start();
    const { world, commitIntervalMs } = this.#readerOptions;
    this.#commitTimer = world.setInterval(() => void this.#commit(), commitIntervalMs);
    return this;
  }

  get partitions(): readonly number[] {
    return this.#sessions.consumer?.assigned ?? [];
  }

  async lag(): Promise<number> {
    const partitions = this.partitions;
    if (partitions.length === 0) return 0;
    const progress = await this.progress();
    return partitions.reduce((sum, one) => sum + (progress.get(one)?.waiting ?? 0), 0);
  }

  async progress(): Promise<ReadonlyMap<number, PartitionProgress>> {
    const { consumer } = this.#sessions;
    if (!consumer) return new Map();
    const [oldest, next] = await Promise.all([
      consumer.listOffsets("oldest"),
      consumer.listOffsets("next"),
    ]);
    const committed = await consumer.listCommitted([...next.keys()]);
    return new Map(next.map((end, partition) => {
      // What was older than the topic keeps waits no more.
      const begin = oldest[partition] ?? 0n;
      const at = committed.get(partition) ?? begin;
      const done = at < begin ? begin : at;
      return [partition, { waiting: Number(end - done), done }];
    }));
  }

  async close(deadline?: AbortSignal): Promise<void> {
    await this.#sessions.close(deadline);
  }

  #take(record: KafkaRecord, consumer: KafkaConsumer): void {
    if (this.#sessions.isClosing || this.#sessions.consumer !== consumer) return;
    const { partition } = record;
    // Read before a rebalance, delivered after it: another member's now.
    if (!consumer.assigned.includes(partition)) return;
    let assignment = this.#assignments.get(partition);
    if (!assignment) {
      assignment = {
        tracker: new OffsetTracker(),
        leaderEpoch: record.leaderEpoch,
        committed: -1,
        gone: new AbortController(),
      };
      this.#assignments.set(partition, assignment);
    }
    assignment.leaderEpoch = record.leaderEpoch;
    if (!assignment.tracker.begin(Number(record.offset))) return;
    if (++this.#inFlight >= this.#maxInFlight && !this.#isFull) {
      this.#isFull = true;
      this.#sessions.full();
    }
    this.#work(record, assignment);
  }

  async #work(record: KafkaRecord, assignment: Assignment): Promise<void> {
    for (let failures = 1; !await this.#handle(record, assignment); failures++) {
      if (!await this.#waitToRedeliver(failures, assignment.gone.signal)) break;
    }
    this.#inFlight--;
    if (this.#isFull && this.#inFlight <= this.#maxInFlight >> 1) {
      this.#isFull = false;
      this.#sessions.room();
    }
    if (this.#inFlight === 0) this.#onIdle();
  }

  /** True when the record is done with. */
  async #handle(record: KafkaRecord, { tracker }: Assignment): Promise<boolean> {
    try {
      await this.#options.handle(record);
      tracker.finish(Number(record.offset));
      return true;
    } catch {
      // `handle` says why in its own log. Its offset stays uncommitted, so nothing after it is
      // committed either: whatever happens to this process, the group sees the record again.
      return false;
    }
  }

  /** False when it is the group's to give the record out again. */
  #waitToRedeliver(failures: number, gone: AbortSignal): Promise<boolean> {
    const { redeliverDelayMs, maxRedeliverDelayMs, world } = this.#readerOptions;
    const delayMs = backoffDelayMs(failures, {
      baseDelayMs: redeliverDelayMs,
      maxDelayMs: maxRedeliverDelayMs,
      // Never at once: what has just failed fails again.
      jitter: 0.5,
    }, world);
    return pause(delayMs, { signal: gone, world });
  }

  #keepOnly(partitions: readonly number[]): void {
    for (const [partition, assignment] of this.#assignments) {
      if (partitions.includes(partition)) continue;
      this.#assignments.delete(partition);
      assignment.gone.abort();
    }
  }

  /** Commits what is done with, unless a commit is on its way. */
  #commit(): Promise<void> {
    this.#committing ??= this.#commitNow().finally(() => this.#committing = undefined);
    return this.#committing;
  }

  async #commitNow(): Promise<void> {
    const consumer = this.#sessions.consumer;
    if (!consumer) return;
    const done = [...this.#assignments].flatMap(([partition, assignment]) => {
      const offset = assignment.tracker.committable ?? -1;
      return offset > assignment.committed ? [{ partition, assignment, offset }] : [];
    });
    if (done.length === 0) return;
    try {
      await consumer.commit(done.map(({ partition, assignment, offset }) => ({
        partition,
        offset: BigInt(offset),
        leaderEpoch: assignment.leaderEpoch,
      })));
      for (const { assignment, offset } of done) assignment.committed = offset;
    } catch {
      // Tried again at the next tick; until then the records may be given out twice, as promised.
    }
  }

  async #finish(deadline: AbortSignal | undefined): Promise<void> {
    const { world } = this.#readerOptions;
    world.clearInterval(this.#commitTimer);
    // What waits to be worked on again is the group's now.
    for (const { gone } of this.#assignments.values()) gone.abort();
    if (this.#inFlight > 0) {
      const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
      await Promise.race([idle, aborted(deadline)]);
    }
    const committed = Promise.resolve(this.#committing).then(() => this.#commit());
    await settledWithin(committed, lastCommitTimeoutMs, { world });
  }
}
