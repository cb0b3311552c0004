/**
 * Request and reply over the bus: every request ends in exactly one answer or one error, whatever
 * the bus loses, doubles or brings late.
 *
 * A request is known here before it is sent, and sent only when the topic of answers is being
 * read. What is under way is bounded; so is its time.
 *
 * @module
 */
import type { Context, Counter, Histogram, Meter, UpDownCounter } from "@opentelemetry/api";
import type { Bus, Follower, ReaderState, ReceivedRecord } from "../../service/bus/bus.ts";
import { headerAt } from "../../service/bus/bus.ts";
import {
  type MessagingTelemetry,
  messagingTelemetry,
  type Processing,
  withContext,
} from "../../service/bus/messaging_telemetry.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { limitedLog } from "../../service/limited_log.ts";
import type { Log } from "../../service/log.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import { aborted, reasonOf } from "../../service/resilience.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import { type Ending, type PendingRequest, PendingRequests } from "./pending_requests.ts";
import { instanceName, type Sweep, sweepResponseTopics } from "./response_topics.ts";
import { SignError, toSignError } from "./sign_error.ts";
import { decodeAnswer, encodeRequest, responsePrefix, type SignAnswer } from "./wire.ts";

/** Options of {@linkcode startRequester}. */
export interface RequesterOptions {
  /** The bus that is used; it stays open. */
  bus: Bus;
  /** Topic of the requests; it must be there. */
  requestTopic: string;
  /** Topic of the answers; this process must be the only one that it is for. @default one of its own, removed on stop */
  responseTopic?: string;
  /** How long an answer may take, in milliseconds. @default 5_000 */
  timeoutMs?: number;
  /** Requests under way at once; one more is refused as overloaded. @default 16_384 */
  maxInFlight?: number;
  /** Their messages together, in bytes. @default 67_108_864 */
  maxInFlightBytes?: number;
  /** The largest message, in bytes. @default what the bus takes */
  maxMessageBytes?: number;
  /** Time between two searches for topics of instances that died, in milliseconds. @default 600_000 */
  sweepIntervalMs?: number;
  /** Notified when answers stop or resume to flow. @default nobody is */
  onState?: (state: ReaderState) => void;
}

/** What to sign, for whom. */
export interface RequestedSignature {
  message: Uint8Array;
  /** Whether it need not be UTF-8. @default false */
  binary?: boolean;
  /** Who asks. @default "anonymous" */
  actor?: string;
}

/** The REST API's end of the bus. */
export interface Requester {
  /** Topic of the answers. */
  readonly responseTopic: string;
  /** Requests under way. */
  readonly inFlight: number;
  /** The largest message that is taken, in bytes. */
  readonly maxMessageBytes: number;
  /** How long an answer may take, in milliseconds. */
  readonly timeoutMs: number;
  /**
   * Has a message signed.
   *
   * @throws {SignError} it was not; the one error that this request ends in
   */
  request(wanted: RequestedSignature, parent: Context): Promise<SignAnswer>;
  /** Rejects when answers cannot be read for good. */
  readonly failed: Promise<never>;
  /** Waits for what is under way until `deadline` aborts; the rest ends as unavailable. */
  close(deadline?: AbortSignal): Promise<void>;
}

/** How often requests whose time is up are ended. */
const expiryIntervalMs = 25;

/**
 * Makes the topic of answers if need be, reads it, and is ready when it resolves.
 *
 * @throws {RangeError} an option is out of range
 * @throws {BusError} the topic of answers cannot be made or read
 *
 * @example
 * ```ts
 * const requester = await startRequester({ bus, requestTopic: "signer.v1" }, context);
 * const answer = await requester.request({ message: encoder.encode("hi") }, ROOT_CONTEXT);
 * await requester.close();
 * ```
 */
export async function startRequester(
  options: RequesterOptions,
  context: Pick<ServiceContext, "log" | "telemetry" | "world">,
): Promise<Requester> {
  const { timeoutMs, maxInFlight, maxInFlightBytes, maxMessageBytes, sweepIntervalMs } = options;
  checkPositiveIntegers("start a requester", {
    ...{ timeoutMs, maxInFlight, maxInFlightBytes, maxMessageBytes, sweepIntervalMs },
  });
  const requester = new BusRequester(options, context);
  await requester.open();
  return requester;
}

class BusRequester implements Requester {
  readonly responseTopic: string;
  readonly maxMessageBytes: number;
  readonly timeoutMs: number;
  readonly #options: RequesterOptions;
  /** Whether the topic of answers is this instance's own, to be made again and removed. */
  readonly #ownsTopic: boolean;
  /** What the topic is called where it must not make a series of metrics of its own. */
  readonly #topicTemplate: string | undefined;
  readonly #log: Log;
  readonly #warn: ReturnType<typeof limitedLog>;
  readonly #world: World;
  readonly #messaging: MessagingTelemetry;
  readonly #instruments: Instruments;
  readonly #pending: PendingRequests;
  #follower!: Follower;
  #expiryTimer: TimerId | undefined;
  #sweep: Sweep | undefined;
  #closing = false;

  constructor(
    options: RequesterOptions,
    context: Pick<ServiceContext, "log" | "telemetry" | "world">,
  ) {
    const { log, telemetry, world } = context;
    const prefix = responsePrefix(options.requestTopic);
    this.#options = options;
    this.timeoutMs = options.timeoutMs ?? 5_000;
    this.maxMessageBytes = options.maxMessageBytes ?? options.bus.maxValueBytes;
    this.#ownsTopic = options.responseTopic === undefined;
    this.responseTopic = options.responseTopic ?? `${prefix}${instanceName(world)}`;
    if (this.responseTopic.startsWith(prefix)) this.#topicTemplate = `${prefix}{instance}`;
    this.#log = log;
    this.#warn = limitedLog(log, { world });
    this.#world = world;
    this.#messaging = messagingTelemetry(options.bus, context);
    this.#instruments = makeInstruments(telemetry.meter);
    this.#pending = new PendingRequests({
      maxRequests: options.maxInFlight ?? 16_384,
      maxBytes: options.maxInFlightBytes ?? 67_108_864,
    });
  }

  get failed(): Promise<never> {
    return this.#follower.failed;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  async open(): Promise<void> {
    const { bus, requestTopic, sweepIntervalMs = 600_000 } = this.#options;
    await bus.createTopic(this.responseTopic);
    try {
      this.#follower = await bus.follow({
        topic: this.responseTopic,
        from: "end",
        handle: (record) => this.#take(record),
        onState: (state) => this.#onState(state),
      });
    } catch (error) {
      // The reason why answers cannot be read says more than that a topic is left over.
      if (this.#ownsTopic) await bus.deleteTopic(this.responseTopic).catch(() => {});
      throw error;
    }
    this.#expiryTimer = this.#world.setInterval(() => this.#expire(), expiryIntervalMs);
    this.#sweep = sweepResponseTopics({
      bus,
      prefix: responsePrefix(requestTopic),
      intervalMs: sweepIntervalMs,
      onRemoved: (topic) =>
        this.#log.info("Removed the topic of an instance that is gone", { topic }),
      world: this.#world,
    });
  }

  async request(wanted: RequestedSignature, parent: Context): Promise<SignAnswer> {
    const startMs = this.#world.monotonicMs();
    const refused = this.#refusal(wanted.message.length);
    const result = refused ?? await this.#ask(wanted, startMs, parent);
    const failure = result instanceof SignError ? result : errorOf(result);
    this.#instruments.duration.record(
      (this.#world.monotonicMs() - startMs) / 1_000,
      { outcome: failure?.kind ?? "ok" },
      parent,
    );
    if (failure) throw failure;
    return result as SignAnswer;
  }

  async close(deadline?: AbortSignal): Promise<void> {
    this.#closing = true;
    await Promise.race([this.#pending.none(), aborted(deadline)]);
    for (const msgId of this.#pending.ids()) {
      this.#end(msgId, "timed-out", new SignError("unavailable"));
    }
    this.#world.clearInterval(this.#expiryTimer);
    this.#sweep?.stop();
    await this.#follower.close();
    if (this.#ownsTopic) await this.#removeTopic();
  }

  #refusal(bytes: number): SignError | undefined {
    if (this.#closing) return new SignError("unavailable", "This instance is stopping. Try again.");
    if (bytes > this.maxMessageBytes) {
      return new SignError(
        "too-large",
        `The message has ${bytes} bytes; at most ${this.maxMessageBytes} are allowed.`,
      );
    }
    return this.#pending.hasRoomFor(bytes) ? undefined : new SignError("overloaded");
  }

  /** Resolves with what the request ends in. */
  #ask(
    wanted: RequestedSignature,
    startMs: number,
    parent: Context,
  ): Promise<SignAnswer | SignError> {
    const msgId = this.#world.randomUuid();
    return new Promise((settle) => {
      const request: PendingRequest = {
        deadlineMs: startMs + this.timeoutMs,
        bytes: wanted.message.length,
        sent: false,
        settle,
      };
      this.#pending.add(msgId, request);
      this.#instruments.inFlight.add(1);
      this.#send(msgId, wanted, parent).then(
        () => request.sent = true,
        (error) => this.#sendFailed(msgId, error, parent),
      );
    });
  }

  #send(msgId: string, wanted: RequestedSignature, parent: Context): Promise<void> {
    const { bus, requestTopic } = this.#options;
    const { message, binary = false, actor = "anonymous" } = wanted;
    const expiresAtMs = this.#world.nowMs() + this.timeoutMs;
    const request = { msgId, respTopic: this.responseTopic, message, binary, actor, expiresAtMs };
    const facts = { topic: requestTopic, conversationId: msgId, bodyBytes: message.length };
    return this.#messaging.send(
      facts,
      parent,
      (headers) => bus.send(requestTopic, encodeRequest(request, headers), this.timeoutMs),
    );
  }

  #sendFailed(msgId: string, error: unknown, parent: Context): void {
    // Its answer may have come all the same: a lost acknowledgement is no lost record.
    if (!this.#pending.has(msgId)) return;
    withContext(parent, () => this.#warn("A request cannot be sent", { reason: String(error) }));
    this.#end(msgId, "timed-out", toSignError(error));
  }

  #end(msgId: string, how: Ending, result: SignAnswer | SignError): void {
    this.#instruments.inFlight.add(-1);
    this.#pending.end(msgId, how, result);
  }

  #expire(): void {
    const nowMs = this.#world.monotonicMs();
    let overdue = this.#pending.overdue(nowMs);
    while (overdue) {
      const [msgId, { sent }] = overdue;
      if (sent) this.#instruments.timeouts.add(1);
      this.#end(msgId, "timed-out", new SignError(sent ? "timeout" : "unavailable"));
      overdue = this.#pending.overdue(nowMs);
    }
  }

  #take(record: ReceivedRecord): void {
    const answer = decodeAnswer(record);
    // Read once where there is an answer: this is done for every message.
    const msgId = typeof answer === "string" ? headerAt(record.headers, 0, "msg_id") : answer.msgId;
    const conversationId = msgId?.slice(0, 128);
    const processing = this.#messaging.startProcess({
      topic: record.topic,
      ...(this.#topicTemplate && { template: this.#topicTemplate }),
      partition: record.partition,
      offset: record.offset,
      bodyBytes: record.value?.length ?? 0,
      ...(conversationId && { conversationId }),
    }, record.headers);
    if (typeof answer !== "string" && this.#pending.has(answer.msgId)) {
      if (answer.error === "timeout") this.#warnOfClocks(processing);
      this.#end(answer.msgId, "answered", answer);
      processing.end(answer.error);
    } else {
      this.#drop(answer, conversationId, processing);
    }
  }

  /** We still wait, so by our clock the time was not up: one of the two is wrong. */
  #warnOfClocks({ context }: Processing): void {
    withContext(
      context,
      () =>
        this.#warn(
          "A service found a request's time to be up that is not: the clocks of this machine and the service's differ. Set both by NTP",
        ),
    );
  }

  /** An answer that nobody waits for, or a text that says why it is none. */
  #drop(
    answer: SignAnswer | string,
    msgId: string | undefined,
    processing: Processing,
  ): void {
    const ending = typeof answer === "string" ? undefined : this.#pending.endingOf(answer.msgId);
    const [reason, message] = typeof answer === "string"
      ? ["malformed", `An answer is skipped: ${answer}`]
      : ending === "answered"
      ? ["duplicate", "An answer came twice; the second is dropped"]
      : ending === "timed-out"
      ? ["late", "An answer came after its request had timed out"]
      : ["unknown", "An answer belongs to no request of this process"];
    this.#instruments.dropped.add(1, { reason }, processing.context);
    withContext(processing.context, () => this.#warn(message, { reason, msgId }));
    processing.end(reason);
  }

  #onState(state: ReaderState): void {
    this.#options.onState?.(state);
    if (state === "ok" || !this.#ownsTopic || this.#closing) return;
    // Whoever removed our topic did not mean us: without it nobody can answer. While the broker is
    // away this fails, and the reader reports again when it is back.
    this.#options.bus.createTopic(this.responseTopic).catch(() => {});
  }

  async #removeTopic(): Promise<void> {
    try {
      await this.#options.bus.deleteTopic(this.responseTopic);
    } catch (error) {
      this.#log.warn("Cannot remove the topic of answers; another instance will sweep it", {
        topic: this.responseTopic,
        reason: reasonOf(error),
      });
    }
  }
}

/** The error that an answer brings, in our words: whoever may write to the topic must not speak to users. */
function errorOf(answer: SignAnswer): SignError | undefined {
  return answer.error && new SignError(answer.error);
}

interface Instruments {
  duration: Histogram;
  timeouts: Counter;
  inFlight: UpDownCounter;
  dropped: Counter;
}

const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

function makeInstruments(meter: Meter): Instruments {
  return {
    duration: meter.createHistogram("signer.request.duration", {
      description: "Time from a message's arrival to its answer, by outcome.",
      unit: "s",
      advice: { explicitBucketBoundaries: durationBuckets },
    }),
    timeouts: meter.createCounter("signer.request.timeouts", {
      description: "Requests that had no answer in time.",
      unit: "{request}",
    }),
    inFlight: meter.createUpDownCounter("signer.requests.in_flight", {
      description: "Requests that wait for their answers.",
      unit: "{request}",
    }),
    dropped: meter.createCounter("signer.answers.dropped", {
      description: "Answers that belong to no waiting request, by reason.",
      unit: "{answer}",
    }),
  };
}
