/**
 * Who decides signups: takes them from the queue, a few at a time, reads and compares each image,
 * and writes down what became of it.
 *
 * An attempt that fails comes again after a back-off; the last one leaves a dead letter. A worker
 * that dies loses its lease, and the fence keeps it from deciding what another one has by now. So a
 * signup is worked on at least once, and decided once.
 *
 * @module
 */
import {
  context,
  type Meter,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { Log } from "../../service/log.ts";
import {
  backoffDelayMs,
  pause,
  reasonOf,
  settledWithin,
  timeoutSignal,
} from "../../service/resilience.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import { type ImageStore, ImageStoreError } from "../stores/image_store.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { StoreError } from "../stores/store_error.ts";
import { ClaimedSignups } from "./claimed_signups.ts";
import { Decisions, logDecision } from "./decisions.ts";
import { checkImage, type ImageLimits, imageLimits } from "../uniqueness/image_header.ts";
import { SignupInstruments } from "./signup_instruments.ts";
import type { SignupRecord, Verdict } from "./signup_record.ts";
import { ImageRefusedError, type Uniqueness } from "./uniqueness.ts";

/** Options of {@linkcode SignupWorkers}. */
export interface SignupWorkersOptions {
  store: Pick<RecordStore, "run" | "onQueued">;
  images: Pick<ImageStore, "get">;
  uniqueness: Uniqueness;
  log: Log;
  tracer: Tracer;
  meter: Meter;
  /** What is measured. @default those of `meter` */
  instruments?: SignupInstruments;
  world: World;
  /** Who it is, in records and logs; another name each time. */
  name: string;
  /** Signups worked on at once, at least 1. @default 8 */
  concurrency?: number;
  /** How long one attempt may take, in milliseconds. @default 20_000 */
  attemptTimeoutMs?: number;
  /** After so long another worker may have it, in milliseconds; longer than an attempt. @default 30_000 */
  leaseMs?: number;
  /** Attempts until a signup becomes a dead letter, at least 1. @default 5 */
  maxAttempts?: number;
  /** The longest wait after the first failure, in milliseconds; it doubles from there. @default 200 */
  retryBaseDelayMs?: number;
  /** The longest wait between attempts, in milliseconds. @default 30_000 */
  retryMaxDelayMs?: number;
  /** How often the queue is looked at when nobody says that there is work, in milliseconds. @default 1_000 */
  pollIntervalMs?: number;
  /** Limits of an image. @default those of {@linkcode checkImage} */
  imageLimits?: ImageLimits;
}

/** How long what another server has queued is left to that one, in milliseconds. */
const elsewhereDelayMs = 25;
/** Verdicts that wait to be written down; then no more signups are begun. */
const maxUndecided = 64;

/** Works until it is stopped. */
export class SignupWorkers {
  readonly #options: Required<Omit<SignupWorkersOptions, "instruments">>;
  readonly #decisions: Decisions;
  readonly #instruments: SignupInstruments;
  readonly #claimed = new ClaimedSignups();
  /** Those that are begun, until they are decided. */
  readonly #underWay = new Map<SignupRecord, Promise<void>>();
  /** Those of them that are judged: what is judged waits for the disk, and keeps nobody. */
  #judging = 0;
  readonly #stopping = new AbortController();
  /** Resolves when there may be work, or room for it. */
  #woken = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #endNotices = () => {};
  #wakeTimer: TimerId | undefined;
  /** Of the store or the images, in a row: then it is not asked for more at once. */
  #outages = 0;

  constructor(options: SignupWorkersOptions) {
    this.#options = {
      concurrency: 8,
      attemptTimeoutMs: 20_000,
      leaseMs: 30_000,
      maxAttempts: 5,
      retryBaseDelayMs: 200,
      retryMaxDelayMs: 30_000,
      pollIntervalMs: 1_000,
      imageLimits,
      ...options,
    };
    const { attemptTimeoutMs, leaseMs, concurrency, maxAttempts } = this.#options;
    if (!(attemptTimeoutMs < leaseMs)) {
      throw new RangeError(
        `Cannot work as 'leaseMs' must be longer than 'attemptTimeoutMs': they are ${leaseMs} and ${attemptTimeoutMs}`,
      );
    }
    for (const [name, value] of Object.entries({ concurrency, maxAttempts })) {
      if (!Number.isSafeInteger(value) || value < 1) {
        throw new RangeError(
          `Cannot work as '${name}' must be a positive integer: current value is ${value}`,
        );
      }
    }
    this.#decisions = new Decisions(options.store, options.uniqueness);
    this.#instruments = options.instruments ?? new SignupInstruments(options.meter);
  }

  /** Begins to work. */
  start(): void {
    this.#endNotices = this.#options.store.onQueued((where) =>
      where === "here" ? this.#woken.resolve() : this.#wakeLater()
    );
    this.#running ??= this.#run();
  }

  /**
   * The server that took it in begins with it, as a rule: if all asked for it at once, they would all
   * ask in vain but one. What is left after a moment is for everybody.
   */
  #wakeLater(): void {
    this.#wakeTimer ??= this.#options.world.setTimeout(() => {
      this.#wakeTimer = undefined;
      this.#woken.resolve();
    }, elsewhereDelayMs);
  }

  /** Takes nothing new, finishes what is under way until `deadline` aborts, and gives back the rest. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    this.#woken.resolve();
    this.#endNotices();
    this.#options.world.clearTimeout(this.#wakeTimer);
    await this.#running;
    const released = this.#claimed.takeAll().map((record) => this.#release(record));
    const all = Promise.all([...this.#underWay.values(), ...released]);
    await settledWithin(all, this.#options.leaseMs, {
      signal: deadline,
      world: this.#options.world,
    });
  }

  async #run(): Promise<void> {
    const { world, pollIntervalMs, retryMaxDelayMs, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#woken = Promise.withResolvers();
      try {
        const wanted = this.#claimed.wanted(this.#idle);
        const claimed = wanted > 0 ? await this.#claim(wanted) : 0;
        this.#begin();
        if (claimed < wanted || wanted <= 0) await this.#untilWoken(pollIntervalMs);
      } catch (error) {
        this.#outages++;
        if (!(error instanceof StoreError)) {
          log.error("The queue cannot be read", { reason: reasonOf(error) });
        }
      }
      if (this.#outages > 0) {
        const delayMs = backoffDelayMs(this.#outages, {
          baseDelayMs: pollIntervalMs,
          maxDelayMs: retryMaxDelayMs,
        }, world);
        await pause(delayMs, { signal, world });
      }
    }
  }

  async #untilWoken(timeoutMs: number): Promise<void> {
    await settledWithin(this.#woken.promise, timeoutMs, { world: this.#options.world });
  }

  /** Workers that have nothing to do, and may begin something. */
  get #idle(): number {
    const { concurrency } = this.#options;
    const undecided = this.#underWay.size - this.#judging;
    return undecided >= maxUndecided ? 0 : concurrency - this.#judging;
  }

  #claim(max: number): Promise<number> {
    const { store, name: worker, leaseMs, maxAttempts, world } = this.#options;
    return this.#claimed.fill(
      () => store.run({ type: "claim", worker, max, leaseMs, maxAttempts }),
      () => world.monotonicMs(),
    );
  }

  /** Begins with what is claimed, as many as there are workers for. */
  #begin(): void {
    const { world, leaseMs, attemptTimeoutMs } = this.#options;
    while (this.#idle > 0 && !this.#stopping.signal.aborted) {
      // Of a lease so much must be left as an attempt may take.
      const staleMs = world.monotonicMs() - (leaseMs - attemptTimeoutMs);
      const record = this.#claimed.begin(staleMs, (stale) => void this.#release(stale));
      if (record === undefined) break;
      this.#judging++;
      const done = this.#work(record).finally(() => {
        this.#underWay.delete(record);
        this.#goOn();
      });
      this.#underWay.set(record, done);
    }
  }

  #goOn(): void {
    this.#begin();
    this.#woken.resolve();
  }

  /** Gives back what was not begun. Never rejects. */
  async #release({ id, fence }: SignupRecord): Promise<void> {
    try {
      await this.#options.store.run({ type: "release", id, fence });
    } catch (error) {
      // Its lease will end, and it comes again.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  /** One attempt. Never rejects. */
  async #work(record: SignupRecord): Promise<void> {
    const { tracer, log, world } = this.#options;
    const parent = parentOf(record);
    const span = tracer.startSpan("process signup", {
      kind: SpanKind.CONSUMER,
      attributes: { "orb.signup.id": record.id, "orb.signup.attempt": record.attempts },
    }, parent);
    const startMs = world.monotonicMs();
    await context.with(trace.setSpan(parent, span), async () => {
      try {
        const verdict = await this.#judge(record);
        const { id, fence } = record;
        const reply = await this.#decisions.decide({ id, fence, verdict });
        if (reply.result === "lost") {
          log.warn("Another worker has this signup by now", { id, worker: this.#options.name });
          span.setAttribute("orb.outcome", "lost");
        } else this.#decided(reply.record, span);
        this.#outages = 0;
      } catch (error) {
        await this.#failed(record, error, span);
      }
    });
    this.#instruments.duration.record((world.monotonicMs() - startMs) / 1_000);
    span.end();
  }

  async #judge(record: SignupRecord): Promise<Verdict> {
    try {
      return await this.#verdictOf(record);
    } finally {
      this.#judging--;
      this.#goOn();
    }
  }

  /** Reads the image and what it is compared by. */
  async #verdictOf(record: SignupRecord): Promise<Verdict> {
    const { images, uniqueness, attemptTimeoutMs, world, imageLimits: limits } = this.#options;
    using time = timeoutSignal(attemptTimeoutMs, { world });
    const judging = async (): Promise<Verdict> => {
      const bytes = await images.get(record.sha256, time.signal);
      const image = checkImage(bytes, limits);
      const fingerprint = await uniqueness.fingerprint(image, time.signal);
      return { state: "accepted", ...(fingerprint !== undefined && { fingerprint }) };
    };
    try {
      return await within(judging(), time.signal);
    } catch (error) {
      if (!(error instanceof ImageRefusedError)) throw error;
      return { state: "rejected", reason: error.message };
    }
  }

  #decided(record: SignupRecord, span: Span): void {
    span.setAttribute("orb.outcome", record.state);
    this.#instruments.decided(record);
    logDecision(this.#options.log, record);
  }

  async #failed(record: SignupRecord, error: unknown, span: Span): Promise<void> {
    const { store, log, world, maxAttempts, retryBaseDelayMs, retryMaxDelayMs } = this.#options;
    const reason = reasonOf(error);
    span.recordException(error instanceof Error ? error : reason);
    span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
    const isOutage = error instanceof StoreError ||
      error instanceof ImageStoreError && error.kind === "unavailable";
    this.#outages = isOutage ? this.#outages + 1 : 0;
    const { id, fence, attempts } = record;
    const backoff = { baseDelayMs: retryBaseDelayMs, maxDelayMs: retryMaxDelayMs };
    try {
      const reply = await store.run({
        ...{ type: "retry", id, fence, reason, maxAttempts },
        delayMs: Math.ceil(backoffDelayMs(isOutage ? this.#outages : attempts, backoff, world)),
        counts: !isOutage,
      });
      if (reply.result === "lost") return;
      const { state } = reply.record;
      this.#instruments.failed(state);
      const fields = { id, attempt: attempts, reason };
      if (state === "dead_letter") {
        log.error("A signup is a dead letter: mend what is wrong, then requeue it", fields);
      } else log.warn("An attempt to decide a signup failed; it comes again", fields);
    } catch (cause) {
      // Its lease will end, and it comes again.
      if (!(cause instanceof StoreError)) throw cause;
    }
  }
}

/** Rejects with the signal's reason when it aborts first: what ignores it is left alone. */
function within<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function parentOf({ traceparent }: SignupRecord) {
  return traceparent === undefined
    ? context.active()
    : propagation.extract(context.active(), { traceparent });
}
