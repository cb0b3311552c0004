/**
 * The frames of a request stream (RFC 9114, sections 4.1 and 7.2): HEADERS first, then DATA.
 *
 * @module
 */
import { ByteSource, typeLengthValue } from "./bytes.ts";
import { smallChunks } from "./chunk_reader.ts";
import { WebTransportError } from "./errors.ts";
import { decodeFields, encodeFields, type Field, fieldValue } from "./qpack.ts";
import type { ConnectRequest } from "./webtransport.ts";

/** The types of frames that mean something here (RFC 9114, section 7.2). */
export const frameTypes = { data: 0x00n, headers: 0x01n, settings: 0x04n } as const;

/** The most bytes of a HEADERS frame that are read. */
const maxHeadersBytes = 16_384;

/** A request stream, opened for frames. */
export interface RequestStream {
  id: bigint;
  source: ByteSource;
  writer: WritableStreamDefaultWriter<Uint8Array>;
}

/** Opens a stream for frames; `rest` is what was read of it already. */
export function requestStream(
  stream: Deno.QuicBidirectionalStream,
  rest: Uint8Array = new Uint8Array(),
): RequestStream {
  return {
    id: stream.writable.id,
    source: new ByteSource(smallChunks(stream.readable), rest),
    writer: stream.writable.getWriter(),
  };
}

/** A HEADERS frame. */
export function headersFrame(fields: readonly Field[]): Uint8Array<ArrayBuffer> {
  return typeLengthValue(frameTypes.headers, encodeFields(fields));
}

/**
 * The next HEADERS frame; frames of unknown types before it are skipped (RFC 9114, section 9).
 *
 * @throws {WebTransportError} `protocol`
 */
export async function readHeaders(source: ByteSource): Promise<Field[]> {
  while (true) {
    const frame = await source.frameHeader();
    if (frame === undefined) throw new WebTransportError("protocol", "A request without HEADERS");
    if (frame.type === frameTypes.headers) {
      if (frame.length > BigInt(maxHeadersBytes)) {
        throw new WebTransportError("protocol", `HEADERS of more than ${maxHeadersBytes} bytes`);
      }
      return decodeFields(await source.bytes(Number(frame.length)));
    }
    if (frame.type === frameTypes.data || frame.type === frameTypes.settings) {
      throw new WebTransportError("protocol", `Frame ${frame.type} where HEADERS must be`);
    }
    await source.skip(frame.length);
  }
}

/** The answer's HEADERS, past interim ones (RFC 9110, section 15.2). */
export async function readFinalHeaders(source: ByteSource): Promise<Field[]> {
  while (true) {
    const fields = await readHeaders(source);
    if (!/^1\d\d$/.test(fieldValue(fields, ":status") ?? "")) return fields;
  }
}

/** The payload of a request stream's DATA frames; other frames are skipped. */
export async function* readData(source: ByteSource): AsyncGenerator<Uint8Array> {
  while (true) {
    const frame = await source.frameHeader();
    if (frame === undefined) return;
    if (frame.type === frameTypes.data) yield* source.chunks(frame.length);
    else await source.skip(frame.length);
  }
}

/** What `:protocol` says of a session: until draft 14, and from draft 15 on (section 9.1). */
const connectProtocols = ["webtransport", "webtransport-h3"] as const;

/** One of the values of `:protocol` that ask for a session. */
export type ConnectProtocol = typeof connectProtocols[number];

/** Whether a request asks for a session (RFC 8441, section 4; draft-ietf-webtrans-http3, section 3.2). */
export function isConnect(fields: readonly Field[]): boolean {
  const protocol = fieldValue(fields, ":protocol");
  return fieldValue(fields, ":method") === "CONNECT" &&
    connectProtocols.some((known) => known === protocol);
}

/** The request that these fields are. */
export function connectRequest(fields: readonly Field[]): ConnectRequest {
  return {
    path: fieldValue(fields, ":path") ?? "/",
    authority: fieldValue(fields, ":authority") ?? "",
    origin: fieldValue(fields, "origin"),
    fields,
  };
}

/** The fields of a CONNECT to a URL, for today's drafts and that of 2022. */
export function connectFields(
  target: URL,
  protocol: ConnectProtocol,
  fields: readonly Field[],
): Field[] {
  return [
    [":method", "CONNECT"],
    [":scheme", "https"],
    [":authority", target.host],
    [":path", target.pathname + target.search],
    [":protocol", protocol],
    ["sec-webtransport-http3-draft02", "1"],
    ["origin", target.origin],
    ...fields,
  ];
}

/** The fields of an answer; the 2022 draft's peers expect the draft that they asked for. */
export function answerFields(
  request: readonly Field[],
  status: number,
  fields: readonly Field[] = [],
): Field[] {
  const draft: Field[] = request.some(([name]) => name === "sec-webtransport-http3-draft02")
    ? [["sec-webtransport-http3-draft", "draft02"]]
    : [];
  return [[":status", String(status)], ...draft, ...fields];
}

/** One session a connection: a second request gets 429, whatever it asks for. */
export async function refuseRequest(stream: Deno.QuicBidirectionalStream): Promise<void> {
  const writer = stream.writable.getWriter();
  await writer.write(headersFrame([[":status", "429"]]));
  await writer.close();
  await stream.readable.cancel();
}
