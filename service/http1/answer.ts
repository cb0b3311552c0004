/**
 * A `Response` as bytes of HTTP/1.1.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { STATUS_CODES } from "node:http";
import { realWorld } from "../world/world.ts";
import { hasToken } from "./request_parser.ts";

/** Where an answer is written to. */
export interface AnswerSink {
  /** Whether nothing can be written any more. */
  readonly isGone: boolean;
  /** Resolves when there is room for more: false when there never will be, as the client has gone. */
  write(bytes: Uint8Array): true | Promise<boolean>;
  /** Calls once when the client goes away before the answer has ended; gives what takes that back. */
  onGone(callback: () => void): () => void;
}

/** What the answer depends on. */
export interface AnswerTerms {
  readonly method: string;
  readonly version: string;
  /** Whether the connection may go on behind it. */
  readonly keepsAlive: boolean;
  /** How long it waits for the next request then, in seconds. */
  readonly idleTimeoutS: number;
}

/** Answers of these types are whole when they are made: they go out in one piece, with their length. */
export const wholeTypes: ReadonlySet<string> = new Set([
  "application/json",
  "application/problem+json",
  "application/x-protobuf",
  "text/html",
  "text/plain",
]);

/** A write of so much at once; a peer that reads slowly shows by when it takes the next. */
export const pieceBytes = 65_536;

/**
 * Writes an answer; gives whether the connection may go on behind it.
 *
 * Answers as JSON, protobuf, plain text and HTML are sent whole once their body has ended; whatever
 * may never end needs another type, as `text/event-stream` is.
 *
 * @throws {Error} the body failed, or has not the length that it declares: what was sent is not whole
 */
export function writeAnswer(
  response: Response,
  terms: AnswerTerms,
  sink: AnswerSink,
): Promise<boolean> {
  const { status } = response;
  const fields = fieldsOf(response.headers);
  if (terms.method === "HEAD" || status === 204 || status === 304) {
    return writeHeadOnly(response, fields, terms, sink);
  }
  if (!wholeTypes.has(fields.type)) return writeStream(response, fields, terms, sink);
  // Without `await` where nothing has to be waited for: most answers are such.
  return response.bytes().then((body) => {
    const keepsAlive = terms.keepsAlive && !fields.saysClose;
    const head = headText(status, fields.text + lengthField(body.length), keepsAlive, terms);
    const room = body.length <= pieceBytes
      ? sink.write(inOne(head, body))
      : writeInPieces(head, body, sink);
    return room === true ? keepsAlive : room.then(() => keepsAlive);
  });
}

async function writeHeadOnly(
  { status, body }: Response,
  { text, length, saysClose }: Fields,
  terms: AnswerTerms,
  sink: AnswerSink,
): Promise<boolean> {
  const keepsAlive = terms.keepsAlive && !saysClose;
  const declared = length === undefined || status === 204 ? "" : lengthField(length);
  await sink.write(latin1(headText(status, text + declared, keepsAlive, terms)));
  // As of a HEAD that was answered by a route for GET.
  await body?.cancel();
  return keepsAlive;
}

async function writeStream(
  { status, body }: Response,
  fields: Fields,
  terms: AnswerTerms,
  sink: AnswerSink,
): Promise<boolean> {
  const length = body ? fields.length : 0;
  const isChunked = length === undefined && terms.version !== "1.0";
  // What has neither a length nor an end of its own ends with the connection.
  const hasEnd = length !== undefined || isChunked;
  const keepsAlive = terms.keepsAlive && !fields.saysClose && hasEnd;
  const framing = isChunked
    ? "transfer-encoding: chunked\r\n"
    : length === undefined
    ? ""
    : lengthField(length);
  await sink.write(latin1(headText(status, fields.text + framing, keepsAlive, terms)));
  if (body) await writeBody(body, sink, isChunked ? undefined : length, isChunked);
  return keepsAlive;
}

interface Fields {
  /** Lines of all but those that are the server's own affair. */
  text: string;
  /** Without its parameters. */
  type: string;
  /** As declared. */
  length: number | undefined;
  saysClose: boolean;
}

/** `Headers` has refused names and values that would be more than one line. */
function fieldsOf(headers: Headers): Fields {
  const fields: Fields = { text: "", type: "", length: undefined, saysClose: false };
  headers.forEach((value, name) => {
    switch (name) {
      // The server's own affair.
      case "transfer-encoding":
      case "date":
        return;
      case "content-length":
        if (/^\d+$/.test(value)) fields.length = Number(value);
        return;
      case "content-type":
        fields.type = value.split(";", 1)[0]!.trim();
        break;
      case "connection":
        fields.saysClose = hasToken(value, "close");
    }
    fields.text += `${name}: ${value}\r\n`;
  });
  return fields;
}

function lengthField(length: number): string {
  return `content-length: ${length}\r\n`;
}

function headText(
  status: number,
  fields: string,
  keepsAlive: boolean,
  { idleTimeoutS }: AnswerTerms,
): string {
  const connection = keepsAlive
    ? `connection: keep-alive\r\nkeep-alive: timeout=${idleTimeoutS}\r\n`
    : "connection: close\r\n";
  return `HTTP/1.1 ${status} ${
    STATUS_CODES[status] ?? ""
  }\r\n${fields}date: ${dateText()}\r\n${connection}\r\n`;
}

/** The bytes of a text of characters up to U+00FF, as `Headers` has them. */
function latin1(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

const encoder = new TextEncoder();

function inOne(head: string, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + body.length);
  // Twice as fast as a Buffer's way, which is for what is not ASCII.
  const { read, written } = encoder.encodeInto(head, bytes);
  if (read !== head.length || written !== read) bytes.set(latin1(head));
  bytes.set(body, head.length);
  return bytes;
}

async function writeInPieces(head: string, body: Uint8Array, sink: AnswerSink): Promise<boolean> {
  let room = await sink.write(inOne(head, body.subarray(0, pieceBytes)));
  for (let from = pieceBytes; room && from < body.length; from += pieceBytes) {
    room = await sink.write(body.subarray(from, from + pieceBytes));
  }
  return room;
}

/**
 * Writes a body as it comes.
 *
 * @throws {Error} it failed, or has not its length
 */
export async function writeBody(
  body: ReadableStream<Uint8Array>,
  sink: AnswerSink,
  length: number | undefined,
  isChunked = false,
): Promise<void> {
  const reader = body.getReader();
  // The client's end ends the stream, also while it has nothing to say.
  const stayed = sink.onGone(() => void reader.cancel().catch(() => {}));
  let sent = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (sink.isGone) return;
      if (done) break;
      sent += value.length;
      if (length !== undefined && sent > length) break;
      if (value.length > 0) await sink.write(isChunked ? chunk(value) : value);
    }
    if (length !== undefined && sent !== length) {
      throw new Error(`The answer declares ${length} bytes and has others`);
    }
    if (isChunked) await sink.write(latin1("0\r\n\r\n"));
  } finally {
    stayed();
    // Of a body that is read to its end this is nothing.
    await reader.cancel().catch(() => {});
  }
}

function chunk(bytes: Uint8Array): Uint8Array {
  const size = `${bytes.length.toString(16)}\r\n`;
  const all = Buffer.allocUnsafe(size.length + bytes.length + 2);
  all.write(size, 0, "latin1");
  all.set(bytes, size.length);
  all.write("\r\n", size.length + bytes.length, "latin1");
  return all;
}

// A date has seconds, and thousands of answers share one.
let dateSecond = NaN;
let dateValue = "";

/** The time of an answer (RFC 9110, section 6.6.1). */
export function dateText(): string {
  const nowMs = realWorld.nowMs();
  const second = Math.floor(nowMs / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateValue = new Date(nowMs).toUTCString();
  }
  return dateValue;
}

/** An answer in HTTP/1.1 to what has not become a request, behind which the connection is closed. */
export function rawAnswer(status: number, title: string, detail: string): Uint8Array {
  const body = Buffer.from(JSON.stringify({ type: "about:blank", title, status, detail }));
  const head = `HTTP/1.1 ${status} ${
    STATUS_CODES[status] ?? ""
  }\r\ncontent-type: application/problem+json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n${
    status === 503 ? "retry-after: 1\r\n" : ""
  }\r\n`;
  return Buffer.concat([latin1(head), body]);
}
