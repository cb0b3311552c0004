/**
 * What goes over the bus: requests on `signer.v1`, answers on the topic that the request names.
 * The first two headers go by position, ours come after them, so that older programs on either
 * side understand what they must and overlook the rest. `asyncapi.json` describes the same.
 *
 * @module
 */
import { Buffer, isUtf8 } from "node:buffer";
import {
  type BusHeader,
  type BusRecord,
  headerAt,
  headerNamed,
  isTopicName,
} from "../../service/bus/bus.ts";
import type { ReceivedRecord } from "../../service/bus/bus.ts";

/** The topic of requests, unless a flag names another. */
export const defaultRequestTopic = "signer.v1";
/** Partitions of the request topic where it has to be made: the most services that can share it. */
export const requestPartitions = 12;

/** Where public keys are, for requests on this topic. */
export function keysTopic(requestTopic: string): string {
  return `${requestTopic}.keys`;
}

/** The group that shares the requests on this topic, unless a flag names another. */
export function serviceGroup(requestTopic: string): string {
  return `${requestTopic}.service`;
}

/** What the topics of answers begin with, where the REST API makes its own. */
export function responsePrefix(requestTopic: string): string {
  return `${requestTopic}.resp.`;
}

/** A message to sign. */
export interface SignRequest {
  /** A UUID from our REST API, anything of up to 128 bytes from others; `hex:…` of what is no UTF-8. */
  msgId: string;
  /** The same where the text alone would not come back unchanged. */
  msgIdBytes?: Uint8Array;
  /** Where the answer goes. */
  respTopic: string;
  /** The bytes to sign. */
  message: Uint8Array;
  /** The message need not be UTF-8. @default false */
  binary?: boolean;
  /** Who asked, as far as the REST API knows. */
  actor?: string;
  /** When nobody waits for the answer any more, in milliseconds since the epoch. */
  expiresAtMs?: number;
}

/** The kinds of errors that an answer or a user may see; none ever has a broker's words in it. */
export const signErrorKinds = [
  "invalid",
  "timeout",
  "unavailable",
  "too-large",
  "overloaded",
  "internal",
] as const;
/** One of {@linkcode signErrorKinds}. */
export type SignErrorKind = typeof signErrorKinds[number];

/** An answer: a payload that is the signature, or an error with its text as payload. */
export interface SignAnswer {
  msgId: string;
  /** The request's own, where the text would not be the same bytes. */
  msgIdBytes?: Uint8Array;
  /** A UUID, another for each time a request is answered. */
  respId: string;
  /** The signature as text, or what went wrong. */
  payload: string;
  /** `ed25519`, `es256` or `base64`; other services do not say. */
  algorithm?: string;
  /** Which key signed; `base64` has none. */
  keyId?: string;
  /** Set if the payload is not a signature. */
  error?: SignErrorKind;
}

/** Why a request cannot be served. `respTopic` is set if its sender can be answered. */
export interface RefusedRequest {
  reason: "foreign-topic" | "headers" | "msg-id" | "resp-topic" | "null-payload" | "invalid-utf8";
  detail: string;
  msgId?: string;
  msgIdBytes?: Uint8Array;
  respTopic?: string;
}

/** From Node's pool: a buffer of its own for each short header would cost more than its bytes. */
const bytesOf = (text: string): Uint8Array => Buffer.from(text);
const repeated = new Map<string, Uint8Array>();

/** The bytes of a text that comes again and again: a topic, an algorithm, a key's id, who asks. */
function repeatedBytes(text: string): Uint8Array {
  let bytes = repeated.get(text);
  if (!bytes) {
    bytes = bytesOf(text);
    if (repeated.size >= 1_000) repeated.clear();
    repeated.set(text, bytes);
  }
  return bytes;
}

const octets = bytesOf("application/octet-stream");

/** Makes the record of a request; `extra` headers, such as the trace's, go last. */
export function encodeRequest(request: SignRequest, extra: readonly BusHeader[] = []): BusRecord {
  const headers: BusHeader[] = [
    ["msg_id", bytesOf(request.msgId)],
    ["resp_topic", repeatedBytes(request.respTopic)],
  ];
  if (request.binary) headers.push(["content_type", octets]);
  if (request.actor !== undefined) headers.push(["actor", repeatedBytes(request.actor)]);
  if (request.expiresAtMs !== undefined) {
    headers.push(["expires_at", bytesOf(String(request.expiresAtMs))]);
  }
  return { headers: [...headers, ...extra], value: request.message };
}

/** Reads a request, whoever sent it. `forbidden` are topics that no answer may go to. */
export function decodeRequest(
  record: ReceivedRecord,
  forbidden: readonly string[],
): SignRequest | RefusedRequest {
  const text = headerAt(record.headers, 0, "msg_id");
  const respTopic = headerAt(record.headers, 1, "resp_topic");
  const id = text === undefined ? undefined : msgIdOf(text, record.headers[0]![1]);
  const msgId = id?.msgId;
  if (msgId === undefined || respTopic === undefined) {
    const names = record.headers.slice(0, 2).map((header) => header[0].slice(0, 40)).join(", ");
    return {
      reason: "headers",
      detail: `the first two headers must be msg_id and resp_topic, not ${names || "none"}`,
    };
  }
  if (msgId === "" || record.headers[0]![1].length > 128) {
    return { reason: "msg-id", detail: "msg_id must have 1 to 128 bytes" };
  }
  if (!isTopicName(respTopic) || respTopic.startsWith("__") || forbidden.includes(respTopic)) {
    return { reason: "resp-topic", detail: `no answer may go to '${respTopic.slice(0, 100)}'` };
  }
  if (record.value === null) {
    return { reason: "null-payload", detail: "the payload must not be null", ...id, respTopic };
  }
  const binary = headerNamed(record.headers, "content_type") === "application/octet-stream";
  if (!binary && !isUtf8(record.value)) {
    return {
      reason: "invalid-utf8",
      detail: "the payload must be UTF-8, or have content_type application/octet-stream",
      ...id,
      respTopic,
    };
  }
  const actor = headerNamed(record.headers, "actor");
  const expiresAtMs = Number(headerNamed(record.headers, "expires_at"));
  return {
    ...id,
    msgId,
    respTopic,
    message: record.value,
    binary,
    ...(actor !== undefined && { actor: actor.slice(0, 256) }),
    ...(Number.isFinite(expiresAtMs) && expiresAtMs > 0 && { expiresAtMs }),
  };
}

/** An id is bytes. Where a text would not give the same ones back, they go along. */
function msgIdOf(text: string, bytes: Uint8Array): { msgId: string; msgIdBytes?: Uint8Array } {
  if (Buffer.compare(Buffer.from(text), bytes) === 0) return { msgId: text };
  return { msgId: `hex:${Buffer.from(bytes).toString("hex")}`, msgIdBytes: bytes };
}

/** Makes the record of an answer. */
export function encodeAnswer(answer: SignAnswer, extra: readonly BusHeader[] = []): BusRecord {
  const headers: BusHeader[] = [
    ["msg_id", answer.msgIdBytes ?? bytesOf(answer.msgId)],
    ["resp_id", bytesOf(answer.respId)],
  ];
  if (answer.error) headers.push(["error", repeatedBytes(answer.error)]);
  if (answer.algorithm) headers.push(["alg", repeatedBytes(answer.algorithm)]);
  if (answer.keyId) headers.push(["kid", repeatedBytes(answer.keyId)]);
  return { headers: [...headers, ...extra], value: bytesOf(answer.payload) };
}

/** Reads an answer, whoever sent it; a text says why it is none. */
export function decodeAnswer(record: ReceivedRecord): SignAnswer | string {
  const msgId = headerAt(record.headers, 0, "msg_id");
  const respId = headerAt(record.headers, 1, "resp_id");
  if (msgId === undefined || respId === undefined) {
    return "its first two headers are not msg_id and resp_id";
  }
  const { value } = record;
  if (value === null) return "its payload is null";
  // A strict TextDecoder takes three times as long.
  if (!isUtf8(value)) return "its payload is not UTF-8";
  const payload = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
  const error = headerNamed(record.headers, "error");
  const algorithm = headerNamed(record.headers, "alg");
  const keyId = headerNamed(record.headers, "kid");
  return {
    msgId,
    respId,
    payload,
    ...(error !== undefined &&
      { error: signErrorKinds.find((kind) => kind === error) ?? "internal" }),
    ...(algorithm && { algorithm: algorithm.slice(0, 40) }),
    ...(keyId && { keyId: keyId.slice(0, 200) }),
  };
}
