/**
 * Passes accepted requests on to another OTLP/HTTP endpoint, byte for byte, from a bounded queue
 * and with bounded retries (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Throttling").
 *
 * One peer, one state: when it asks for a pause or cannot be reached, all requests wait, not each
 * for itself; that is what a retry library's policies, made for independent calls, do not do.
 *
 * @module
 */
import type { Log } from "../service/log.ts";
import { checkPositiveIntegers } from "../service/options.ts";
import { aborted, backoffDelayMs, reasonOf, timeoutSignal } from "../service/resilience.ts";
import { realWorld, type TimerId, type World } from "../service/world/world.ts";
import type { ForwardStats } from "./page_api/stream_events.ts";
import type { ReceivedRequest } from "../service/otlp/otlp_receiver.ts";
import { Ring } from "./stores/ring.ts";

/** Options of {@linkcode Forwarder}. */
export interface ForwarderOptions {
  /** Base URL of the endpoint; `/v1/traces` and so on are appended. User and password in it become basic authentication. */
  endpoint: string;
  /** Gets a line when the peer fails, and one when it is back. */
  log: Log;
  /** Requests that wait at most, at least 1; one more is dropped. @default 2_000 */
  maxQueuedRequests?: number;
  /** Bytes of requests that wait at most. @default 32 MiB */
  maxQueuedBytes?: number;
  /** Requests under way at once, at least 1. @default 4 */
  maxInFlight?: number;
  /** Attempts for a request, the first included, at least 1. @default 8 */
  maxAttempts?: number;
  /** A request is given up when it is older than this, in milliseconds. @default 120_000 */
  maxAgeMs?: number;
  /** Upper bound of the first pause after a failure, in milliseconds; it doubles with every failure in a row. @default 500 */
  retryBaseDelayMs?: number;
  /** Upper bound of every pause, in milliseconds, one that `Retry-After` asks for included. @default 30_000 */
  retryMaxDelayMs?: number;
  /** How long an attempt may take, in milliseconds. @default 10_000 */
  attemptTimeoutMs?: number;
  /** Sends a request; an answer of any status resolves. @default fetch */
  fetch?: typeof fetch;
  /** Time and chance. @default the real world */
  world?: World;
}

interface Queued extends ReceivedRequest {
  readonly queuedMs: number;
  attempts: number;
}

type DropReason = "queue_full" | "refused" | "retries_exhausted" | "shutdown";

/** Answers that are worth another attempt, as the specification lists them. */
const retryable = new Set([429, 502, 503, 504]);

/**
 * Passes requests on to another endpoint.
 *
 * @example
 * ```ts
 * const forwarder = new Forwarder({ endpoint: "http://collector:4318", log, world });
 * const { app } = otlpReceiver({ ...options, forward: (request) => forwarder.enqueue(request) });
 * // …
 * await forwarder.stop(deadline);
 * ```
 */
export class Forwarder {
  readonly #options: Required<ForwarderOptions>;
  readonly #base: string;
  readonly #authorization: string | undefined;
  readonly #cut = new AbortController();
  readonly #stats = {
    delivered: 0,
    dropped: new Map<DropReason, number>(),
    retries: 0,
    lastError: null as string | null,
  };
  #queue = new Ring<Queued>();
  #queuedBytes = 0;
  #inFlight = 0;
  #failuresInRow = 0;
  #unreachable = false;
  #pausedUntilMs = 0;
  #timer: TimerId | undefined;
  #stopping = false;
  #idle = Promise.withResolvers<void>();

  constructor(options: ForwarderOptions) {
    this.#options = {
      maxQueuedRequests: 2_000,
      maxQueuedBytes: 32 * 1024 ** 2,
      maxInFlight: 4,
      maxAttempts: 8,
      maxAgeMs: 120_000,
      retryBaseDelayMs: 500,
      retryMaxDelayMs: 30_000,
      attemptTimeoutMs: 10_000,
      fetch: (input, init) => fetch(input, init),
      world: realWorld,
      ...options,
    };
    const { maxQueuedRequests, maxQueuedBytes, maxInFlight, maxAttempts } = options;
    const { maxAgeMs, retryBaseDelayMs, retryMaxDelayMs, attemptTimeoutMs } = options;
    checkPositiveIntegers("forward telemetry", {
      ...{ maxQueuedRequests, maxQueuedBytes, maxInFlight, maxAttempts },
      ...{ maxAgeMs, retryBaseDelayMs, retryMaxDelayMs, attemptTimeoutMs },
    });
    const url = new URL(options.endpoint);
    if (url.username !== "") {
      const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
      this.#authorization = `Basic ${new TextEncoder().encode(credentials).toBase64()}`;
      url.username = url.password = "";
    }
    this.#base = url.href.replace(/\/+$/, "");
  }

  /** The endpoint without credentials. */
  get endpoint(): string {
    return this.#base;
  }

  /** Takes a request to pass on. Never waits; drops it when the queue is full. */
  enqueue(request: ReceivedRequest): void {
    const { maxQueuedRequests, maxQueuedBytes } = this.#options;
    const full = this.#queue.length >= maxQueuedRequests ||
      this.#queuedBytes + request.body.length > maxQueuedBytes;
    if (this.#stopping) return this.#drop("shutdown");
    if (full) return this.#drop("queue_full");
    this.#queue.push({ ...request, queuedMs: this.#options.world.monotonicMs(), attempts: 0 });
    this.#queuedBytes += request.body.length;
    this.#work();
  }

  /** What has become of the requests. */
  stats(): ForwardStats {
    return {
      endpoint: this.#base,
      delivered: this.#stats.delivered,
      dropped: Object.fromEntries(this.#stats.dropped),
      retries: this.#stats.retries,
      queuedRequests: this.#queue.length + this.#inFlight,
      queuedBytes: this.#queuedBytes,
      lastError: this.#stats.lastError,
    };
  }

  /**
   * Delivers what is queued until `deadline` aborts or the peer cannot be reached; the rest is
   * dropped and counted. A peer that answers, though it asks for a pause, is waited for.
   */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping = true;
    if (this.#unreachable) {
      // It may be back: one attempt without a pause tells.
      this.#pausedUntilMs = 0;
      this.#options.world.clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#work();
    }
    if (this.#queue.length + this.#inFlight > 0 && !deadline.aborted) {
      await Promise.race([this.#idle.promise, aborted(deadline)]);
    }
    this.#options.world.clearTimeout(this.#timer);
    this.#cut.abort();
    this.#giveUp();
  }

  #giveUp(): void {
    while (this.#queue.length > 0) {
      this.#queuedBytes -= this.#queue.shift()!.body.length;
      this.#drop("shutdown");
    }
  }

  #work(): void {
    const { world } = this.#options;
    if (this.#inFlight === 0 && this.#queue.length === 0) {
      this.#idle.resolve();
      this.#idle = Promise.withResolvers<void>();
      return;
    }
    const waitMs = this.#pausedUntilMs - world.monotonicMs();
    if (waitMs > 0) {
      this.#timer ??= world.setTimeout(() => {
        this.#timer = undefined;
        this.#work();
      }, waitMs);
      return;
    }
    // While the peer fails, one request at a time finds out whether it is back.
    const most = this.#failuresInRow > 0 ? 1 : this.#options.maxInFlight;
    while (this.#inFlight < most && this.#queue.length > 0) {
      this.#inFlight++;
      void this.#deliver(this.#queue.shift()!);
    }
  }

  async #deliver(request: Queued): Promise<void> {
    const outcome = await this.#attempt(request);
    this.#inFlight--;
    if (outcome.kind === "retry") this.#retryLater(request, outcome);
    else {
      this.#queuedBytes -= request.body.length;
      this.#peerAnswers();
      if (outcome.kind === "delivered") this.#stats.delivered++;
      else {
        this.#stats.lastError = outcome.reason;
        this.#drop("refused");
      }
    }
    this.#work();
  }

  async #attempt(request: Queued): Promise<Outcome> {
    const { world, attemptTimeoutMs, fetch } = this.#options;
    if (request.attempts++ > 0) this.#stats.retries++;
    using deadline = timeoutSignal(attemptTimeoutMs, { world, signal: this.#cut.signal });
    try {
      const response = await fetch(`${this.#base}/v1/${request.signal}`, {
        method: "POST",
        headers: {
          "content-type": request.contentType,
          ...(request.contentEncoding && { "content-encoding": request.contentEncoding }),
          ...(this.#authorization && { authorization: this.#authorization }),
        },
        body: request.body,
        redirect: "error",
        signal: deadline.signal,
      });
      await response.body?.cancel();
      if (response.ok) return { kind: "delivered" };
      const reason = `status ${response.status}`;
      if (!retryable.has(response.status)) return { kind: "refused", reason };
      return {
        kind: "retry",
        reason,
        afterMs: retryAfterMs(response.headers.get("retry-after"), world),
        unreachable: false,
      };
    } catch (error) {
      // One that takes too long is there; one that the deadline cuts is dropped anyway.
      const unreachable = !deadline.signal.aborted;
      return { kind: "retry", reason: reasonOf(error), afterMs: undefined, unreachable };
    }
  }

  #retryLater(request: Queued, { reason, afterMs, unreachable }: Retry): void {
    const { maxAttempts, maxAgeMs, retryBaseDelayMs, retryMaxDelayMs, log, world } = this.#options;
    this.#stats.lastError = reason;
    this.#unreachable = unreachable;
    if (this.#failuresInRow++ === 0) {
      log.warn("Telemetry cannot be forwarded; it waits in a bounded queue", {
        endpoint: this.#base,
        reason,
      });
    }
    const backoffMs = backoffDelayMs(
      this.#failuresInRow,
      { baseDelayMs: retryBaseDelayMs, maxDelayMs: retryMaxDelayMs },
      world,
    );
    const delayMs = Math.min(retryMaxDelayMs, Math.max(afterMs ?? 0, backoffMs));
    const againMs = world.monotonicMs() + delayMs;
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, againMs);
    const tooOld = againMs - request.queuedMs > maxAgeMs;
    if (this.#cut.signal.aborted) {
      this.#queuedBytes -= request.body.length;
      this.#drop("shutdown");
    } else if (request.attempts >= maxAttempts || tooOld) {
      this.#queuedBytes -= request.body.length;
      this.#drop("retries_exhausted");
    } else this.#queue.push(request);
    if (this.#stopping && unreachable) this.#giveUp();
  }

  #peerAnswers(): void {
    if (this.#failuresInRow > 0) {
      this.#options.log.info("Telemetry is forwarded again", {
        endpoint: this.#base,
        retries: this.#stats.retries,
      });
    }
    this.#failuresInRow = 0;
    this.#unreachable = false;
    this.#stats.lastError = null;
  }

  #drop(reason: DropReason): void {
    this.#stats.dropped.set(reason, (this.#stats.dropped.get(reason) ?? 0) + 1);
  }
}

interface Retry {
  kind: "retry";
  reason: string;
  afterMs: number | undefined;
  /** No answer of any kind, and not for want of time. */
  unreachable: boolean;
}
type Outcome = { kind: "delivered" } | { kind: "refused"; reason: string } | Retry;

/**
 * `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110, section 10.2.3).
 *
 * @example
 * ```ts
 * retryAfterMs("3"); // 3000
 * retryAfterMs("soon"); // undefined
 * ```
 */
export function retryAfterMs(
  text: string | null,
  world: Pick<World, "nowMs"> = realWorld,
): number | undefined {
  if (text === null) return undefined;
  if (/^\d+$/.test(text.trim())) return Number(text) * 1_000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - world.nowMs());
}
