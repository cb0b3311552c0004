/**
 * How streams and datagrams of a session begin: a stream with its type and the session's id
 * (draft-ietf-webtrans-http3, sections 4.2 and 4.3), a datagram with a quarter of that id
 * (RFC 9297, section 2.1).
 *
 * @module
 */
import { concat } from "./bytes.ts";
import { decodeVarint, encodeVarint, varintLength } from "./varint.ts";

/** Types of one-way streams (RFC 9114, section 6.2; RFC 9204, section 4.2) and WebTransport's signals. */
export const streamTypes = {
  control: 0x00n,
  push: 0x01n,
  qpackEncoder: 0x02n,
  qpackDecoder: 0x03n,
  /** A two-way stream of a session. */
  bidirectional: 0x41n,
  /** A one-way stream of a session. */
  unidirectional: 0x54n,
} as const;

/** The bytes with which streams and datagrams of a session begin. */
export interface SessionPrefixes {
  bidirectional: Uint8Array;
  unidirectional: Uint8Array;
  datagram: Uint8Array;
}

/** The prefixes of the session whose CONNECT went over the stream of this id. */
export function sessionPrefixes(id: bigint): SessionPrefixes {
  return {
    bidirectional: concat(encodeVarint(streamTypes.bidirectional), encodeVarint(id)),
    unidirectional: concat(encodeVarint(streamTypes.unidirectional), encodeVarint(id)),
    datagram: encodeVarint(id / 4n),
  };
}

/** A stream's type, and what was read beyond it where it is not WebTransport's. */
export interface StreamHeader {
  type: bigint;
  sessionId?: bigint;
  rest: Uint8Array;
}

/**
 * Reads a stream's header and, where it is WebTransport's, not one byte more: the stream itself
 * then goes to its user. `undefined` when it ends before.
 */
export async function readStreamHeader(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<StreamHeader | undefined> {
  const reader = stream.getReader({ mode: "byob" });
  try {
    const bytes = new Uint8Array(16);
    let length = 0;
    while (true) {
      const read = bytes.subarray(0, length);
      const type = decodeVarint(read);
      const isOurs = type?.value === streamTypes.bidirectional ||
        type?.value === streamTypes.unidirectional;
      if (type && !isOurs) return { type: type.value, rest: read.slice(type.end) };
      const session = type && decodeVarint(read, type.end);
      if (session) return { type: type.value, sessionId: session.value, rest: new Uint8Array() };
      const { value, done } = await reader.read(new Uint8Array(bytesMissing(read, type?.end)));
      if (done || !value) return undefined;
      bytes.set(value, length);
      length += value.length;
    }
  } finally {
    reader.releaseLock();
  }
}

function bytesMissing(read: Uint8Array, typeEnd: number | undefined): number {
  // Our shortest header: a type of two bytes and a session id of one.
  if (read.length === 0) return 3;
  if (typeEnd === undefined) return varintLength(read[0]!) - read.length;
  return typeEnd === read.length ? 1 : typeEnd + varintLength(read[typeEnd]!) - read.length;
}

/** Writes the header of a stream that we have opened. */
export async function writeStreamHeader(
  stream: WritableStream<Uint8Array>,
  header: Uint8Array,
): Promise<void> {
  const writer = stream.getWriter();
  await writer.write(header);
  writer.releaseLock();
}

/** Refuses a stream in both directions. */
export function refuseStream(stream: Deno.QuicBidirectionalStream): undefined {
  // A locked or broken stream is gone already.
  stream.readable.cancel().catch(() => {});
  stream.writable.abort().catch(() => {});
  return undefined;
}
