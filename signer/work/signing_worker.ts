/**
 * The signing service at work: takes requests from the bus, signs, notes, answers. A request is
 * done with only when its answer is out, so it is answered at least once whatever breaks.
 *
 * @module
 */
import { hash } from "node:crypto";
import type { ServiceContext } from "../../service/life_cycle.ts";
import type { AuditLog } from "./audit_log.ts";
import {
  type Bus,
  BusError,
  type Reader,
  type ReaderState,
  type ReceivedRecord,
} from "../../service/bus/bus.ts";
import { limitedLog } from "../../service/limited_log.ts";
import {
  messagingTelemetry,
  type Processing,
  withContext,
} from "../../service/bus/messaging_telemetry.ts";
import { type Algorithm, type PrivateKey, sign, toBase64 } from "../keys/signing.ts";
import {
  decodeRequest,
  encodeAnswer,
  keysTopic,
  requestPartitions,
  responsePrefix,
  type SignAnswer,
  type SignRequest,
} from "./wire.ts";

/** Options of {@linkcode startSigningWorker}. */
export interface SigningWorkerOptions {
  bus: Bus;
  requestTopic: string;
  group: string;
  algorithm: Algorithm;
  /** The key that signs now; absent for `base64`, which has none. */
  key?: () => PrivateKey;
  audit: AuditLog;
  /** Requests at work at once. @default 1024, for es256 64, as its signatures take a millisecond each */
  maxInFlight?: number;
  /** Added to a request's own limit before it counts as given up: clocks differ. @default 1_000 */
  expiryGraceMs?: number;
  /** How long an answer may take to be sent before the request is taken up again. @default 5_000 */
  sendTimeoutMs?: number;
  /** Told when requests stop or resume to flow. */
  onState?: (state: ReaderState) => void;
}

/** A service at work. */
export interface SigningWorker {
  readonly failed: Promise<never>;
  lag(): Promise<number>;
  close(deadline?: AbortSignal): Promise<void>;
}

/** Begins to serve; the topics are made if they are absent. */
export async function startSigningWorker(
  options: SigningWorkerOptions,
  context: Pick<ServiceContext, "log" | "telemetry" | "world">,
): Promise<SigningWorker> {
  const { log, telemetry, world } = context;
  const { bus, requestTopic, group, algorithm, audit } = options;
  const { expiryGraceMs = 1_000, sendTimeoutMs = 5_000 } = options;
  const { maxInFlight = algorithm === "es256" ? 64 : 1024 } = options;
  const { tracer, meter } = telemetry;
  const messaging = messagingTelemetry(bus, context);
  const warn = limitedLog(log, { nowMs: () => world.monotonicMs() });
  const forbidden = [requestTopic, keysTopic(requestTopic)];
  const template = `${responsePrefix(requestTopic)}{instance}`;
  const signatures = meter.createCounter("signer.signatures", {
    description: "Signatures made, by key.",
    unit: "{signature}",
  });
  const refused = meter.createCounter("signer.requests.refused", {
    description: "Requests on the bus that were not served, by reason.",
    unit: "{request}",
  });
  const signDuration = meter.createHistogram("signer.sign.duration", {
    description: "Duration of making one signature.",
    unit: "s",
    advice: {
      explicitBucketBoundaries: [
        0.00001,
        0.000025,
        0.00005,
        0.0001,
        0.00025,
        0.0005,
        0.001,
        0.005,
        0.01,
      ],
    },
  });

  async function handle(record: ReceivedRecord): Promise<void> {
    const request = decodeRequest(record, forbidden);
    const processing = messaging.startProcess({
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      group,
      bodyBytes: record.value?.length ?? 0,
      ...("msgId" in request && request.msgId !== undefined && { conversationId: request.msgId }),
    }, record.headers);
    let errorType: string | undefined;
    try {
      errorType = "reason" in request
        ? await refuse(request, record, processing)
        : await serve(request, record, processing);
    } catch (error) {
      errorType = error instanceof BusError ? error.kind : "internal";
      throw error;
    } finally {
      processing.end(errorType);
    }
  }

  async function serve(
    request: SignRequest,
    record: ReceivedRecord,
    processing: Processing,
  ): Promise<string | undefined> {
    if (request.expiresAtMs !== undefined && world.nowMs() > request.expiresAtMs + expiryGraceMs) {
      refused.add(1, { reason: "expired" }, processing.context);
      return "expired";
    }
    const answer = await signed(request, processing);
    try {
      await send(request.respTopic, answer, processing);
      return answer.error;
    } catch (error) {
      if (
        !(error instanceof BusError) || error.kind === "unavailable" || error.kind === "overloaded"
      ) {
        throw error;
      }
      if (error.kind === "unknown-topic") {
        refused.add(1, { reason: "unknown-topic" }, processing.context);
        told(processing, "No answer can be sent: there is no such topic", record, {
          msgId: request.msgId,
          respTopic: request.respTopic,
        });
        return "unknown-topic";
      }
      refused.add(1, { reason: "too-large" }, processing.context);
      told(processing, "The answer is larger than the bus allows", record, {
        msgId: request.msgId,
        answerBytes: answer.payload.length,
      });
      await send(request.respTopic, {
        msgId: request.msgId,
        respId: world.randomUuid(),
        error: "too-large",
        payload:
          `The answer would have ${answer.payload.length} bytes, more than the ${bus.maxValueBytes} that are allowed. Send a shorter message.`,
      }, processing);
      return "too-large";
    }
  }

  async function signed(request: SignRequest, processing: Processing): Promise<SignAnswer> {
    const span = tracer.startSpan(
      "sign",
      { attributes: { "signer.algorithm": algorithm } },
      processing.context,
    );
    const startMs = world.monotonicMs();
    const key = options.key?.();
    const keyId = key?.publicJwk.kid;
    const payload = toBase64(key ? sign(key, request.message) : request.message);
    signDuration.record(
      (world.monotonicMs() - startMs) / 1_000,
      { "signer.algorithm": algorithm },
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
    signatures.add(
      1,
      { "signer.algorithm": algorithm, "signer.key.id": keyId ?? "none" },
      processing.context,
    );
    return {
      msgId: request.msgId,
      respId: world.randomUuid(),
      payload,
      algorithm,
      ...(keyId && { keyId }),
    };
  }

  /** Tells the log, the figures and, if it can be told, the sender. */
  async function refuse(
    request: Exclude<ReturnType<typeof decodeRequest>, SignRequest>,
    record: ReceivedRecord,
    processing: Processing,
  ): Promise<string> {
    refused.add(1, { reason: request.reason }, processing.context);
    told(processing, `A request is skipped: ${request.detail}`, record, { reason: request.reason });
    const { msgId, respTopic } = request;
    if (msgId === undefined || respTopic === undefined) return request.reason;
    try {
      await send(
        respTopic,
        { msgId, respId: world.randomUuid(), error: "invalid", payload: `${request.detail}.` },
        processing,
      );
    } catch (error) {
      // The sender of a bad request on a bad topic is not worth more than this.
      if (error instanceof BusError && error.kind === "unknown-topic") return request.reason;
      throw error;
    }
    return request.reason;
  }

  function send(topic: string, answer: SignAnswer, processing: Processing): Promise<void> {
    const facts = {
      topic,
      ...(topic.startsWith(responsePrefix(requestTopic)) && { template }),
      conversationId: answer.msgId,
      bodyBytes: answer.payload.length,
    };
    return messaging.send(
      facts,
      processing.context,
      (headers) => bus.send(topic, encodeAnswer(answer, headers), sendTimeoutMs),
    );
  }

  function told(
    processing: Processing,
    message: string,
    record: ReceivedRecord,
    fields: Record<string, string | number>,
  ): void {
    withContext(processing.context, () =>
      warn(message, {
        ...fields,
        partition: record.partition,
        offset: Number(record.offset),
      }));
  }

  await bus.createTopic(requestTopic, { partitions: requestPartitions });
  const reader: Reader = await bus.consume({
    topic: requestTopic,
    group,
    maxInFlight,
    handle,
    ...(options.onState && { onState: options.onState }),
  });
  const lag = meter.createObservableGauge("signer.consumer.lag", {
    description: "Requests that wait to be taken up by the group, in this member's partitions.",
    unit: "{request}",
  });
  let lastLag = 0;
  const observe = (result: { observe(value: number, attributes?: Record<string, string>): void }) =>
    result.observe(lastLag, {
      "messaging.destination.name": requestTopic,
      "messaging.consumer.group.name": group,
    });
  lag.addCallback(observe);
  const lagTimer = world.setInterval(async () => {
    try {
      lastLag = await reader.lag();
    } catch {
      // While the broker is away the figure stays as it was; `onState` tells of the outage.
    }
  }, 5_000);

  return {
    failed: reader.failed,
    lag: () => reader.lag(),
    async close(deadline) {
      world.clearInterval(lagTimer);
      lag.removeCallback(observe);
      await reader.close(deadline);
    },
  };
}
