/**
 * Reads from Kafka and goes on reading: a connection or a broker that is lost is waited for, with
 * a stated limit, and reading resumes where it was. The states are `kafka_reader_machine.ts`; what
 * becomes of the records is `kafka_group_reader.ts` and `kafka_follower.ts`.
 *
 * @module
 */
import { checkPositiveIntegers } from "../options.ts";
import { backoffDelayMs, pause, reasonOf, settledWithin } from "../resilience.ts";
import { realWorld, type World } from "../world/world.ts";
import { BusError, type ReaderState, type TopicDescription } from "./bus.ts";
import type {
  KafkaConsumer,
  KafkaConsumerEvents,
  KafkaConsumerOptions,
  MakeKafkaConsumer,
} from "./kafka_consumer.ts";
import {
  initialPhase,
  type ReaderEffect,
  type ReaderEvent,
  type ReaderLimits,
  type ReaderPhase,
  transition,
} from "./kafka_reader_machine.ts";

/** Limits of a reader. */
export interface KafkaReaderOptions {
  /**
   * For how long a first join that fails for a reason that may pass is tried again, in milliseconds: the
   * group's coordinator moves, or is not chosen yet. At 0 the first failure is final.
   *
   * @default 0
   */
  startLimitMs?: number;
  /** The longest outage that is waited for, in milliseconds; then `Reader.failed` rejects. @default 300_000 */
  outageLimitMs?: number;
  /** How often progress is committed, in milliseconds. @default 200 */
  commitIntervalMs?: number;
  /** The longest wait between attempts, in milliseconds; the first is a twentieth of it. @default 1_000 */
  maxRetryDelayMs?: number;
  /** The longest wait of a record that was rejected once, in milliseconds; it doubles from there. @default 100 */
  redeliverDelayMs?: number;
  /** The longest wait of a record that is rejected again and again, in milliseconds. @default 5_000 */
  maxRedeliverDelayMs?: number;
  /**
   * How often it is looked whether the topic has got more partitions or was removed and made again,
   * in milliseconds; reading goes on with all of it within twice this time.
   *
   * @default 10_000
   */
  topicPollMs?: number;
  /** Time and chance. @default realWorld */
  world?: World;
}

/**
 * {@linkcode KafkaReaderOptions} with its defaults filled in.
 *
 * @throws {RangeError} an option is out of range
 */
export function readerOptions(options: KafkaReaderOptions): Required<KafkaReaderOptions> {
  const { outageLimitMs, commitIntervalMs, maxRetryDelayMs } = options;
  const { redeliverDelayMs, maxRedeliverDelayMs, topicPollMs } = options;
  checkPositiveIntegers("read", {
    ...{
      outageLimitMs,
      commitIntervalMs,
      maxRetryDelayMs,
      redeliverDelayMs,
      maxRedeliverDelayMs,
      topicPollMs,
    },
  });
  return {
    startLimitMs: options.startLimitMs ?? 0,
    outageLimitMs: options.outageLimitMs ?? 300_000,
    commitIntervalMs: options.commitIntervalMs ?? 200,
    maxRetryDelayMs: options.maxRetryDelayMs ?? 1_000,
    redeliverDelayMs: options.redeliverDelayMs ?? 100,
    maxRedeliverDelayMs: options.maxRedeliverDelayMs ?? 5_000,
    topicPollMs: options.topicPollMs ?? 10_000,
    world: options.world ?? realWorld,
  };
}

/** A session that lasted this long was a good one. */
const stableAfterMs = 3_000;
/** What a farewell to a broker that does not answer may take. */
const leaveTimeoutMs = 10_000;

/** A topic that is not there, or a mistake of ours, does not come right by waiting. */
function mayHeal(error: unknown): boolean {
  return error instanceof BusError && error.kind === "unavailable";
}

/** What is different between readers. */
export interface SessionOptions {
  /** Topic, and the group, which may be another one for each session. */
  consumer(): Pick<KafkaConsumerOptions, "topic" | "group">;
  /** Gets a new consumer into position. */
  open(consumer: KafkaConsumer, onBroken: KafkaConsumerEvents["onBroken"]): Promise<void>;
  /** The topic was removed and made again: what was known of its positions is of no use. */
  onTopicReplaced?(): void;
  /** A session is over; what was read in it and is not done with is read again. */
  onLeft?(): void;
  /** Whether as many records are under way as may be. */
  isFull?(): boolean;
  /** Waits for what is under way; then the group is left. */
  finish?(deadline: AbortSignal | undefined): Promise<void>;
}

/** Carries out what the machine says: sessions in a group, one after the other. */
export class KafkaSessions {
  /** Rejects when the reader has given up. */
  readonly failed: Promise<never>;
  readonly #options: Required<KafkaReaderOptions>;
  readonly #limits: ReaderLimits;
  readonly #session: SessionOptions;
  readonly #topic: string;
  readonly #makeConsumer: MakeKafkaConsumer;
  readonly #onState: (state: ReaderState) => void;
  readonly #started = Promise.withResolvers<void>();
  readonly #failure = Promise.withResolvers<never>();
  readonly #closed = Promise.withResolvers<void>();
  #state: ReaderPhase = initialPhase;
  readonly #events: ReaderEvent[] = [];
  #isSending = false;
  /** Of the present session, or of the one that is being joined, and its group. */
  #consumer: KafkaConsumer | undefined;
  #group = "";
  #hasJoined = false;
  /** Who we were in the last session: coming back as the same, the group need not wait for a timeout. */
  #member: { group: string; id: string } | undefined;
  /** Aborted when the present session is left. */
  #left = new AbortController();
  #leaving: Promise<unknown> = Promise.resolve();
  #backOff = new AbortController();
  /** What the topic was like when this session or the one before it began. */
  #topicSeen: TopicDescription | undefined;
  #deadline: AbortSignal | undefined;

  constructor(
    session: SessionOptions,
    options: Required<KafkaReaderOptions>,
    makeConsumer: MakeKafkaConsumer,
    onState: (state: ReaderState) => void = () => {},
  ) {
    this.#session = session;
    this.#options = options;
    const { startLimitMs, outageLimitMs } = options;
    this.#limits = { startLimitMs, outageLimitMs, stableAfterMs };
    this.#topic = session.consumer().topic;
    this.#makeConsumer = makeConsumer;
    this.#onState = onState;
    this.failed = this.#failure.promise;
    // The client that cares has a handler of its own.
    this.failed.catch(() => {});
  }

  /** The consumer of the present session, if there is one. */
  get consumer(): KafkaConsumer | undefined {
    return this.#hasJoined ? this.#consumer : undefined;
  }

  /** Whether no more records are to be taken. */
  get isClosing(): boolean {
    return this.#state.name === "closing" || this.#state.name === "closed";
  }

  /** Joins for the first time; rejects when that fails for as long as a start may take. */
  start(): Promise<void> {
    this.#send({ type: "start", nowMs: this.#options.world.monotonicMs() });
    return this.#started.promise;
  }

  /** As many records are under way as may be. */
  full(): void {
    this.#send({ type: "full" });
  }

  /** There is room for records again. */
  room(): void {
    this.#send({ type: "room" });
  }

  /** Ends it; waits for what is under way until `deadline` aborts. */
  async close(deadline?: AbortSignal): Promise<void> {
    this.#deadline ??= deadline;
    this.#send({ type: "close" });
    await this.#closed.promise;
    await this.#leaving;
  }

  /** One event after the other, also where an effect brings about the next. */
  #send(event: ReaderEvent): void {
    this.#events.push(event);
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) {
        const { next: state, effects } = transition(this.#state, next, this.#limits);
        this.#state = state;
        for (const effect of effects) this.#perform(effect);
        if (state.name === "closed") this.#closed.resolve();
      }
    } finally {
      this.#isSending = false;
    }
  }

  #perform(effect: ReaderEffect): void {
    switch (effect.do) {
      case "join":
        return void this.#join();
      case "resume":
        return this.#consumer?.resume();
      case "pause":
        return this.#consumer?.pause();
      case "leave":
        return this.#leave();
      case "back-off":
        return void this.#waitFor(effect.failures);
      case "cancel-back-off":
        return this.#backOff.abort();
      case "notify":
        return this.#onState({ reason: reasonOf(effect.error) });
      case "notify-ok":
        this.#onState("ok");
        return this.#started.resolve();
      case "finish":
        return void this.#finish();
      case "fail":
        return this.#fail(effect.error, effect.outageMs);
    }
  }

  async #join(): Promise<void> {
    const { topic, group } = this.#session.consumer();
    const memberId = this.#member?.group === group ? this.#member.id : undefined;
    const consumer = this.#makeConsumer({ topic, group, memberId });
    this.#consumer = consumer;
    this.#group = group;
    /** False once this consumer has been left: what it says does not count any more. */
    const isCurrent = () => this.#consumer === consumer;
    const onBroken = (error: unknown) => {
      if (!isCurrent()) return;
      const nowMs = this.#options.world.monotonicMs();
      this.#send({ type: "broke", nowMs, error, mayHeal: mayHeal(error) });
    };
    try {
      await this.#lookAtTopic(consumer);
      await this.#session.open(consumer, onBroken);
    } catch (error) {
      return onBroken(error);
    }
    if (!isCurrent()) return;
    this.#hasJoined = true;
    const full = this.#session.isFull?.() ?? false;
    this.#send({ type: "joined", nowMs: this.#options.world.monotonicMs(), full });
    this.#watchTopic(consumer, isCurrent, onBroken);
  }

  async #lookAtTopic(consumer: KafkaConsumer): Promise<void> {
    const before = this.#topicSeen;
    const topic = this.#topicSeen = await consumer.describeTopic();
    if (before && before.id !== topic.id) this.#session.onTopicReplaced?.();
  }

  /** The client reads the partitions that it found when it joined, and no others ever. */
  async #watchTopic(
    consumer: KafkaConsumer,
    isCurrent: () => boolean,
    onBroken: (error: unknown) => void,
  ): Promise<void> {
    const { world, topicPollMs } = this.#options;
    const seen = this.#topicSeen!;
    while (isCurrent()) {
      await pause(topicPollMs, { signal: this.#left.signal, world });
      if (!isCurrent() || this.isClosing) return;
      try {
        const { id, partitions } = await consumer.describeTopic();
        if (id === seen.id && partitions === seen.partitions) continue;
        const what = id === seen.id
          ? `it has ${partitions} partitions, and had ${seen.partitions}`
          : "it was removed and made again";
        return onBroken(new Error(`The topic ${this.#topic} has changed: ${what}`));
      } catch (error) {
        // An outage is for the session to notice; a topic that is gone it may never hear of.
        if (error instanceof BusError && error.kind === "unknown-topic") return onBroken(error);
      }
    }
  }

  #leave(): void {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    this.#left.abort();
    this.#left = new AbortController();
    this.#hasJoined = false;
    if (!consumer) return;
    const { memberId } = consumer;
    this.#member = memberId === undefined ? undefined : { group: this.#group, id: memberId };
    this.#session.onLeft?.();
    // Leaving a broker that is gone fails: it finds out by itself.
    this.#leaving = settledWithin(consumer.close(), leaveTimeoutMs, { world: this.#options.world });
  }

  async #waitFor(failures: number): Promise<void> {
    const { world, maxRetryDelayMs } = this.#options;
    this.#backOff = new AbortController();
    const { signal } = this.#backOff;
    // The same member comes back: it must have left before.
    await this.#leaving;
    const baseDelayMs = maxRetryDelayMs / 20;
    const delayMs = backoffDelayMs(failures, { baseDelayMs, maxDelayMs: maxRetryDelayMs }, world);
    if (await pause(delayMs, { signal, world })) this.#send({ type: "waited" });
  }

  async #finish(): Promise<void> {
    try {
      await this.#session.finish?.(this.#deadline);
    } finally {
      this.#send({ type: "finished" });
    }
  }

  #fail(error: unknown, outageMs: number | undefined): void {
    const failure = outageMs === undefined ? error : new Error(
      `Reading ${this.#topic} from Kafka has failed for ${
        Math.round(outageMs / 1_000)
      } s, longer than the limit of ${this.#options.outageLimitMs} ms: ${reasonOf(error)}`,
      { cause: error },
    );
    this.#started.reject(failure);
    this.#failure.reject(failure);
  }
}
