/**
 * The signing service at work: takes requests from the bus, signs, notes, answers. A request is
 * done with only when its answer is out, so it is answered at least once whatever breaks.
 *
 * @module
 */
import type { Attributes, Counter, Histogram, Meter } from "@opentelemetry/api";
import { hash } from "node:crypto";
import {
  type Bus,
  BusError,
  type GroupReader,
  type ReaderState,
  type ReceivedRecord,
} from "../../service/bus/bus.ts";
import {
  type MessagingTelemetry,
  messagingTelemetry,
  type Processing,
  withContext,
} from "../../service/bus/messaging_telemetry.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { limitedLog } from "../../service/limited_log.ts";
import type { Log } from "../../service/log.ts";
import { reasonOf } from "../../service/resilience.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import type { Telemetry } from "../../service/telemetry.ts";
import type { World } from "../../service/world/world.ts";
import { type Algorithm, type PrivateKey, sign, toBase64 } from "../keys/signing.ts";
import type { AuditLog } from "./audit_log.ts";
import { LagGauge } from "./lag_gauge.ts";
import {
  decodeRequest,
  encodeAnswer,
  keysTopic,
  type RefusedRequest,
  requestPartitions,
  responsePrefix,
  type SignAnswer,
  type SignRequest,
} from "./wire.ts";

/** Options of {@linkcode startSigningWorker}. */
export interface SigningWorkerOptions {
  /** The bus that is used; it stays open. */
  bus: Bus;
  /** Topic of the requests; made if it is absent. */
  requestTopic: string;
  /** Workers of one group share the requests. */
  group: string;
  /** How to sign. */
  algorithm: Algorithm;
  /** The key that signs now. @default none, as for `base64` */
  key?: () => PrivateKey;
  /** What every signature is noted in before it goes out. */
  audit: AuditLog;
  /** Requests at work at once. @default 1024, for es256 64, as its signatures take a millisecond each */
  maxInFlight?: number;
  /** Added to a request's own limit before it counts as given up, in milliseconds: clocks differ. @default 1_000 */
  expiryGraceMs?: number;
  /** How long an answer may take to be sent before the request is taken up again, in milliseconds. @default 5_000 */
  sendTimeoutMs?: number;
  /** Notified when requests stop or resume to flow. @default nobody is */
  onState?: (state: ReaderState) => void;
}

/** A service at work. */
export interface SigningWorker {
  /** Rejects when requests cannot be read for good. */
  readonly failed: Promise<never>;
  /** Requests that wait to be taken up, as far as is known. */
  lag(): Promise<number>;
  /** Takes no more requests, and answers those under way until `deadline` aborts. */
  close(deadline?: AbortSignal): Promise<void>;
}

/**
 * Begins to serve; the topics are made if they are absent.
 *
 * @throws {RangeError} an option is out of range
 * @throws {BusError} the topic of requests cannot be made or read
 *
 * @example
 * ```ts
 * const worker = await startSigningWorker({
 *   ...{ bus, requestTopic: "signer.v1", group: "signer.v1.service" },
 *   ...{ algorithm: "ed25519", key: () => store.active, audit },
 * }, context);
 * await worker.close();
 * ```
 */
export async function startSigningWorker(
  options: SigningWorkerOptions,
  context: Pick<ServiceContext, "log" | "telemetry" | "world">,
): Promise<SigningWorker> {
  const { maxInFlight, sendTimeoutMs } = options;
  checkPositiveIntegers("start a signing worker", { maxInFlight, sendTimeoutMs });
  const worker = new BusSigningWorker(options, context);
  await worker.open();
  return worker;
}

class BusSigningWorker implements SigningWorker {
  readonly #options: SigningWorkerOptions;
  readonly #expiryGraceMs: number;
  readonly #sendTimeoutMs: number;
  /** Topics that no answer may go to. */
  readonly #forbiddenTopics: readonly string[];
  /** What the topics of answers begin with that REST APIs make for themselves. */
  readonly #responsePrefix: string;
  /** What such a topic is called where it must not make a series of metrics of its own. */
  readonly #responseTemplate: string;
  /** Of every signature's span and metric. */
  readonly #algorithmAttribute: Attributes;
  readonly #warn: ReturnType<typeof limitedLog>;
  readonly #telemetry: Pick<Telemetry, "tracer" | "meter">;
  readonly #world: World;
  readonly #messaging: MessagingTelemetry;
  readonly #instruments: Instruments;
  readonly #log: Log;
  #reader!: GroupReader;
  #lagGauge: LagGauge | undefined;

  constructor(
    options: SigningWorkerOptions,
    context: Pick<ServiceContext, "log" | "telemetry" | "world">,
  ) {
    const { log, telemetry, world } = context;
    const { bus, requestTopic } = options;
    this.#options = options;
    this.#expiryGraceMs = options.expiryGraceMs ?? 1_000;
    this.#sendTimeoutMs = options.sendTimeoutMs ?? 5_000;
    this.#forbiddenTopics = [requestTopic, keysTopic(requestTopic)];
    this.#responsePrefix = responsePrefix(requestTopic);
    this.#responseTemplate = `${this.#responsePrefix}{instance}`;
    this.#algorithmAttribute = { "signer.algorithm": options.algorithm };
    this.#log = log;
    this.#warn = limitedLog(log, { world });
    this.#telemetry = telemetry;
    this.#world = world;
    this.#messaging = messagingTelemetry(bus, context);
    this.#instruments = makeInstruments(telemetry.meter);
  }

  get failed(): Promise<never> {
    return this.#reader.failed;
  }

  async open(): Promise<void> {
    const { bus, requestTopic, group, algorithm, onState } = this.#options;
    await bus.createTopic(requestTopic, { partitions: requestPartitions });
    this.#reader = await bus.consume({
      topic: requestTopic,
      group,
      maxInFlight: this.#options.maxInFlight ?? (algorithm === "es256" ? 64 : 1024),
      handle: (record) => this.#handle(record),
      ...(onState && { onState }),
    });
    this.#lagGauge = new LagGauge({
      reader: this.#reader,
      meter: this.#telemetry.meter,
      attributes: {
        "messaging.destination.name": requestTopic,
        "messaging.consumer.group.name": group,
      },
      onUnread: (partitions) => this.#warnOfUnread(partitions),
      world: this.#world,
    });
  }

  #warnOfUnread(partitions: readonly number[]): void {
    const { requestTopic: topic, group } = this.#options;
    if (partitions.length === 0) {
      return this.#log.info("All partitions of the request topic are read again", { topic, group });
    }
    this.#log.warn(
      "Requests wait in partitions that nobody reads: start a service, or restart the one that has them",
      { topic, group, partitions: partitions.join(",") },
    );
  }

  lag(): Promise<number> {
    return this.#reader.lag();
  }

  async close(deadline?: AbortSignal): Promise<void> {
    this.#lagGauge?.stop();
    await this.#reader.close(deadline);
  }

  async #handle(record: ReceivedRecord): Promise<void> {
    const request = record.topic === this.#options.requestTopic
      ? decodeRequest(record, this.#forbiddenTopics)
      : foreignRecord(record.topic);
    const processing = this.#messaging.startProcess({
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      group: this.#options.group,
      bodyBytes: record.value?.length ?? 0,
      ...("msgId" in request && request.msgId !== undefined && { conversationId: request.msgId }),
    }, record.headers);
    let errorType: string | undefined;
    try {
      errorType = "reason" in request
        ? await this.#refuse(request, record, processing)
        : await this.#serve(request, record, processing);
    } catch (error) {
      errorType = error instanceof BusError ? error.kind : "internal";
      // The bus only gives it out again: without this line nothing would say why.
      this.#warnOf(processing, "A request is taken up again later", record, {
        reason: reasonOf(error),
      });
      throw error;
    } finally {
      processing.end(errorType);
    }
  }

  /** Signs and answers; resolves with what went wrong, if the request is done with all the same. */
  async #serve(
    request: SignRequest,
    record: ReceivedRecord,
    processing: Processing,
  ): Promise<string | undefined> {
    if (this.#isExpired(request)) {
      return await this.#expired(request, record, processing);
    }
    const answer = await this.#signed(request, processing);
    try {
      await this.#send(request.respTopic, answer, processing);
      return answer.error;
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      if (error.kind === "unavailable" || error.kind === "overloaded") throw error;
      this.#instruments.refused.add(1, { reason: error.kind }, processing.context);
      if (error.kind === "unknown-topic") {
        const { msgId, respTopic } = request;
        this.#warnOf(processing, "No answer can be sent: there is no such topic", record, {
          msgId,
          respTopic,
        });
      } else {
        await this.#answerTooLarge(request, answer.payload.length, record, processing);
      }
      return error.kind;
    }
  }

  /** Nobody may wait any more; or somebody does whose clock is behind ours, and is to hear why. */
  async #expired(
    { msgId, msgIdBytes, respTopic, expiresAtMs }: SignRequest,
    record: ReceivedRecord,
    processing: Processing,
  ): Promise<string> {
    const lateMs = Math.round(this.#world.nowMs() - expiresAtMs!);
    this.#instruments.refused.add(1, { reason: "expired" }, processing.context);
    this.#warnOf(
      processing,
      "A request is not signed: its time was up when it came. If services keep up, the clocks of sender and service differ: set both by NTP",
      record,
      { msgId, lateMs },
    );
    try {
      await this.#send(respTopic, {
        msgId,
        ...(msgIdBytes && { msgIdBytes }),
        respId: this.#world.randomUuid(),
        error: "timeout",
        payload:
          `The request's time was up ${lateMs} ms before it was taken up, by the service's clock.`,
      }, processing);
    } catch (error) {
      if (!(error instanceof BusError) || error.kind !== "unknown-topic") throw error;
      // Whoever asked has gone, and the topic of answers with it.
    }
    return "expired";
  }

  #isExpired({ expiresAtMs }: SignRequest): boolean {
    return expiresAtMs !== undefined && this.#world.nowMs() > expiresAtMs + this.#expiryGraceMs;
  }

  async #answerTooLarge(
    { msgId, msgIdBytes, respTopic }: SignRequest,
    answerBytes: number,
    record: ReceivedRecord,
    processing: Processing,
  ): Promise<void> {
    this.#warnOf(processing, "The answer is larger than the bus allows", record, {
      msgId,
      answerBytes,
    });
    await this.#send(respTopic, {
      msgId,
      ...(msgIdBytes && { msgIdBytes }),
      respId: this.#world.randomUuid(),
      error: "too-large",
      payload:
        `The answer would have ${answerBytes} bytes, more than the ${this.#options.bus.maxValueBytes} that are allowed. Send a shorter message.`,
    }, processing);
  }

  /** Makes the signature and notes it: nothing goes out that the audit log does not have. */
  async #signed(request: SignRequest, processing: Processing): Promise<SignAnswer> {
    const { algorithm, audit, key: currentKey } = this.#options;
    const span = this.#telemetry.tracer.startSpan(
      "sign",
      { attributes: this.#algorithmAttribute },
      processing.context,
    );
    const startMs = this.#world.monotonicMs();
    const key = currentKey?.();
    const keyId = key?.publicJwk.kid;
    const payload = toBase64(key ? sign(key, request.message) : request.message);
    this.#instruments.signDuration.record(
      (this.#world.monotonicMs() - startMs) / 1_000,
      this.#algorithmAttribute,
      processing.context,
    );
    if (keyId) span.setAttribute("signer.key.id", keyId);
    await audit.append({
      msgId: request.msgId,
      actor: request.actor ?? "unknown",
      respTopic: request.respTopic,
      digest: hash("sha256", request.message, "hex"),
      algorithm,
      keyId: keyId ?? null,
    });
    span.end();
    this.#instruments.signatures.add(
      1,
      { "signer.algorithm": algorithm, "signer.key.id": keyId ?? "none" },
      processing.context,
    );
    return {
      msgId: request.msgId,
      ...(request.msgIdBytes && { msgIdBytes: request.msgIdBytes }),
      respId: this.#world.randomUuid(),
      payload,
      algorithm,
      ...(keyId && { keyId }),
    };
  }

  /** Notes a bad request in the log and the metrics and answers its sender, if one can be made out. */
  async #refuse(
    { reason, detail, msgId, msgIdBytes, respTopic }: RefusedRequest,
    record: ReceivedRecord,
    processing: Processing,
  ): Promise<string> {
    this.#instruments.refused.add(1, { reason }, processing.context);
    this.#warnOf(processing, `A request is skipped: ${detail}`, record, { reason });
    if (msgId === undefined || respTopic === undefined) return reason;
    const respId = this.#world.randomUuid();
    try {
      await this.#send(
        respTopic,
        {
          ...{ msgId, respId, error: "invalid", payload: `${detail}.` },
          ...(msgIdBytes && { msgIdBytes }),
        },
        processing,
      );
    } catch (error) {
      // The sender of a bad request on a bad topic is not worth more than this.
      if (error instanceof BusError && error.kind === "unknown-topic") return reason;
      throw error;
    }
    return reason;
  }

  #send(topic: string, answer: SignAnswer, processing: Processing): Promise<void> {
    const facts = {
      topic,
      ...(topic.startsWith(this.#responsePrefix) && { template: this.#responseTemplate }),
      conversationId: answer.msgId,
      bodyBytes: answer.payload.length,
    };
    return this.#messaging.send(
      facts,
      processing.context,
      (headers) =>
        this.#options.bus.send(topic, encodeAnswer(answer, headers), this.#sendTimeoutMs),
    );
  }

  #warnOf(
    processing: Processing,
    message: string,
    { partition, offset }: ReceivedRecord,
    fields: Record<string, string | number>,
  ): void {
    withContext(
      processing.context,
      () => this.#warn(message, { ...fields, partition, offset: Number(offset) }),
    );
  }
}

/** Not ours to sign or to answer: it is for whoever reads that topic. */
function foreignRecord(topic: string): RefusedRequest {
  return {
    reason: "foreign-topic",
    detail: `it is of the topic ${topic}, which is not served here: another group's, by --group-id`,
  };
}

interface Instruments {
  signatures: Counter;
  refused: Counter;
  signDuration: Histogram;
}

const signDurationBuckets = [
  ...[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01],
];

function makeInstruments(meter: Meter): Instruments {
  return {
    signatures: meter.createCounter("signer.signatures", {
      description: "Signatures made, by key.",
      unit: "{signature}",
    }),
    refused: meter.createCounter("signer.requests.refused", {
      description: "Requests on the bus that were not served, by reason.",
      unit: "{request}",
    }),
    signDuration: meter.createHistogram("signer.sign.duration", {
      description: "Duration of making one signature.",
      unit: "s",
      advice: { explicitBucketBoundaries: signDurationBuckets },
    }),
  };
}
