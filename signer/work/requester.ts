/**
 * Request and reply over the bus: every request ends in exactly one answer or one error, whatever
 * the bus loses, doubles or brings late.
 *
 * A request is known here before it is sent, and sent only when the topic of answers is being
 * read. What is under way is bounded; so is its time.
 *
 * @module
 */
import type { Context } from "@opentelemetry/api";
import type { ServiceContext } from "../../service/life_cycle.ts";
import type { Bus, Follower, ReaderState, ReceivedRecord } from "../../service/bus/bus.ts";
import { headerAt } from "../../service/bus/bus.ts";
import { limitedLog } from "../../service/limited_log.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { messagingTelemetry, withContext } from "../../service/bus/messaging_telemetry.ts";
import { SignError, toSignError } from "./sign_error.ts";
import { decodeAnswer, encodeRequest, responsePrefix, type SignAnswer } from "./wire.ts";

/** Options of {@linkcode startRequester}. */
export interface RequesterOptions {
  bus: Bus;
  requestTopic: string;
  /** Topic of the answers; this process must be the only one that it is for. @default one of its own, removed on stop */
  responseTopic?: string;
  /** How long an answer may take. @default 5_000 */
  timeoutMs?: number;
  /** Requests under way at once; one more is refused as overloaded. @default 16_384 */
  maxInFlight?: number;
  /** Their messages' bytes. @default 67_108_864 */
  maxInFlightBytes?: number;
  /** The largest message, in bytes. @default what the bus takes */
  maxMessageBytes?: number;
  /** How often topics of instances that died are looked for. @default 600_000 */
  sweepIntervalMs?: number;
  /** Told when answers stop or resume to flow. */
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

interface Pending {
  deadlineMs: number;
  bytes: number;
  /** Whether the bus has it: then the time is the service's, before it is the bus's. */
  sent: boolean;
  settle: (result: SignAnswer | SignError) => void;
}

const sweepTickMs = 25;
const rememberedAnswers = 16_384;

/** How the last requests ended, in two generations: forgetting one at a time would cost more than all else. */
class EndedRequests {
  #young = new Map<string, "answered" | "timed-out">();
  #old = new Map<string, "answered" | "timed-out">();

  add(msgId: string, how: "answered" | "timed-out"): void {
    if (this.#young.size >= rememberedAnswers) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(msgId, how);
  }

  howOf(msgId: string): "answered" | "timed-out" | undefined {
    return this.#young.get(msgId) ?? this.#old.get(msgId);
  }
}

/** Makes the topic of answers if need be, reads it, and is ready when it resolves. */
export async function startRequester(
  options: RequesterOptions,
  context: Pick<ServiceContext, "log" | "telemetry" | "world">,
): Promise<Requester> {
  const { log, telemetry, world } = context;
  const { bus, requestTopic, timeoutMs = 5_000, maxInFlight = 16_384 } = options;
  const { maxInFlightBytes = 67_108_864, maxMessageBytes = bus.maxValueBytes } = options;
  const { meter } = telemetry;
  const prefix = responsePrefix(requestTopic);
  const own = options.responseTopic === undefined;
  const responseTopic = options.responseTopic ?? `${prefix}${instanceName(world)}`;
  const template = responseTopic.startsWith(prefix) ? `${prefix}{instance}` : undefined;
  const messaging = messagingTelemetry(bus, context);
  const warn = limitedLog(log, { nowMs: () => world.monotonicMs() });
  const outcomes = meter.createHistogram("signer.request.duration", {
    description: "Time from a message's arrival to its answer, by outcome.",
    unit: "s",
    advice: {
      explicitBucketBoundaries: [
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1,
        2.5,
        5,
        10,
      ],
    },
  });
  const timeouts = meter.createCounter("signer.request.timeouts", {
    description: "Requests that had no answer in time.",
    unit: "{request}",
  });
  const inFlightGauge = meter.createUpDownCounter("signer.requests.in_flight", {
    description: "Requests that wait for their answers.",
    unit: "{request}",
  });
  const dropped = meter.createCounter("signer.answers.dropped", {
    description: "Answers that belong to no waiting request, by reason.",
    unit: "{answer}",
  });

  /** In the order of their deadlines, as all have the same time. */
  const pending = new Map<string, Pending>();
  /** Requests that have ended lately, to tell a double or late answer from a stranger's. */
  const ended = new EndedRequests();
  let pendingBytes = 0;
  let closing = false;
  let onEmpty = () => {};

  function end(msgId: string, how: "answered" | "timed-out", result: SignAnswer | SignError): void {
    const waiting = pending.get(msgId)!;
    pending.delete(msgId);
    pendingBytes -= waiting.bytes;
    inFlightGauge.add(-1);
    ended.add(msgId, how);
    waiting.settle(result);
    if (pending.size === 0) onEmpty();
  }

  function expire(): void {
    const nowMs = world.monotonicMs();
    for (const [msgId, waiting] of pending) {
      if (waiting.deadlineMs > nowMs) break;
      if (waiting.sent) timeouts.add(1);
      end(msgId, "timed-out", new SignError(waiting.sent ? "timeout" : "unavailable"));
    }
  }

  function take(record: ReceivedRecord): void {
    const conversationId = headerAt(record.headers, 0, "msg_id")?.slice(0, 128);
    const processing = messaging.startProcess({
      topic: record.topic,
      ...(template && { template }),
      partition: record.partition,
      offset: record.offset,
      bodyBytes: record.value?.length ?? 0,
      ...(conversationId && { conversationId }),
    }, record.headers);
    const answer = decodeAnswer(record);
    if (typeof answer === "string") {
      drop("malformed", `An answer is skipped: ${answer}`);
    } else if (pending.has(answer.msgId)) {
      end(answer.msgId, "answered", answer);
      processing.end(answer.error);
    } else {
      const before = ended.howOf(answer.msgId);
      if (before === "answered") drop("duplicate", "An answer came twice; the second is dropped");
      else if (before) drop("late", "An answer came after its request had timed out");
      else drop("unknown", "An answer belongs to no request of this process");
    }

    function drop(reason: string, message: string): void {
      dropped.add(1, { reason }, processing.context);
      withContext(processing.context, () => warn(message, { reason, msgId: conversationId }));
      processing.end(reason);
    }
  }

  function onState(state: ReaderState): void {
    options.onState?.(state);
    // Whoever removed our topic did not mean us: without it nobody can answer.
    if (state !== "ok" && own && !closing) bus.createTopic(responseTopic).catch(() => {});
  }

  await bus.createTopic(responseTopic);
  let follower: Follower;
  try {
    follower = await bus.follow({ topic: responseTopic, from: "end", handle: take, onState });
  } catch (error) {
    if (own) await bus.deleteTopic(responseTopic).catch(() => {});
    throw error;
  }
  const expiryTimer = world.setInterval(expire, sweepTickMs);
  const sweeper = sweepResponseTopics({
    bus,
    prefix,
    intervalMs: options.sweepIntervalMs ?? 600_000,
    world,
    onRemoved: (topic) => log.info("Removed the topic of an instance that is gone", { topic }),
  });

  function refusal(bytes: number): SignError | undefined {
    if (closing) return new SignError("unavailable", "This instance is stopping. Try again.");
    if (bytes > maxMessageBytes) {
      return new SignError(
        "too-large",
        `The message has ${bytes} bytes; at most ${maxMessageBytes} are allowed.`,
      );
    }
    if (pending.size >= maxInFlight || pendingBytes + bytes > maxInFlightBytes) {
      return new SignError("overloaded");
    }
    return undefined;
  }

  return {
    responseTopic,
    maxMessageBytes,
    failed: follower.failed,
    get inFlight() {
      return pending.size;
    },

    async request({ message, binary = false, actor = "anonymous" }, parent) {
      const startMs = world.monotonicMs();
      const refused = refusal(message.length);
      if (refused) {
        outcomes.record((world.monotonicMs() - startMs) / 1_000, { outcome: refused.type }, parent);
        throw refused;
      }
      const msgId = world.randomUuid();
      const result = await new Promise<SignAnswer | SignError>((settle) => {
        const waiting: Pending = {
          deadlineMs: startMs + timeoutMs,
          bytes: message.length,
          sent: false,
          settle,
        };
        pending.set(msgId, waiting);
        pendingBytes += message.length;
        inFlightGauge.add(1);
        const expiresAtMs = world.nowMs() + timeoutMs;
        const facts = { topic: requestTopic, conversationId: msgId, bodyBytes: message.length };
        messaging.send(facts, parent, (headers) =>
          bus.send(
            requestTopic,
            encodeRequest(
              { msgId, respTopic: responseTopic, message, binary, actor, expiresAtMs },
              headers,
            ),
            timeoutMs,
          )).then(
            () => waiting.sent = true,
            (error) => {
              // Its answer may have come all the same: a lost acknowledgement is no lost record.
              if (!pending.has(msgId)) return;
              withContext(
                parent,
                () => warn("A request cannot be sent", { reason: String(error) }),
              );
              end(msgId, "timed-out", toSignError(error));
            },
          );
      });
      const failure = result instanceof SignError ? result : answerError(result);
      const outcome = failure?.type ?? "ok";
      outcomes.record((world.monotonicMs() - startMs) / 1_000, { outcome }, parent);
      if (failure) throw failure;
      return result as SignAnswer;
    },

    async close(deadline) {
      closing = true;
      if (pending.size > 0) {
        await new Promise<void>((resolve) => {
          onEmpty = resolve;
          if (deadline?.aborted) resolve();
          else deadline?.addEventListener("abort", () => resolve(), { once: true });
        });
      }
      for (const msgId of [...pending.keys()]) {
        end(msgId, "timed-out", new SignError("unavailable"));
      }
      world.clearInterval(expiryTimer);
      sweeper.stop();
      await follower.close();
      if (own) {
        await bus.deleteTopic(responseTopic).catch((error) => {
          log.warn("Cannot remove the topic of answers; another instance will sweep it", {
            topic: responseTopic,
            reason: String(error),
          });
        });
      }
    },
  };
}

/** The error that an answer brings, in our words: whoever may write to the topic must not speak to users. */
function answerError(answer: SignAnswer): SignError | undefined {
  return answer.error && new SignError(answer.error);
}

/** When it was made comes first, so that a person sees which topic is old. */
function instanceName(world: World): string {
  return `${world.nowMs().toString(36)}-${world.randomUuid().slice(0, 8)}`;
}

/** Options of {@linkcode sweepResponseTopics}. */
export interface SweepOptions {
  bus: Bus;
  prefix: string;
  intervalMs: number;
  onRemoved: (topic: string) => void;
  /** Time and chance. @default realWorld */
  world?: World;
}

/**
 * Removes topics whose reader is gone: a topic goes only when nobody reads it at two looks in a
 * row, a whole interval apart, so that one whose reader is just coming back stays.
 */
export function sweepResponseTopics(options: SweepOptions): { stop(): void } {
  const { bus, prefix, intervalMs, onRemoved, world = realWorld } = options;
  let suspects = new Set<string>();
  let looking = false;
  const timer = world.setInterval(async () => {
    if (looking) return;
    looking = true;
    try {
      const unread = (await bus.unfollowedTopics(prefix)).filter((topic) => isInstance(topic));
      for (const topic of unread.filter((topic) => suspects.has(topic))) {
        await bus.deleteTopic(topic);
        onRemoved(topic);
      }
      suspects = new Set(unread);
    } catch {
      // The broker is away, or does not let us: what could not be swept costs an empty topic.
      suspects = new Set();
    }
    looking = false;
  }, intervalMs);

  /** Made by {@linkcode instanceName}: a topic that somebody named by hand is theirs. */
  function isInstance(topic: string): boolean {
    return /^[0-9a-z]{8,10}-[0-9a-f]{8}$/.test(topic.slice(prefix.length));
  }

  return { stop: () => world.clearInterval(timer) };
}
