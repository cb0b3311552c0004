/**
 * WebTransport over HTTP/3 (draft-ietf-webtrans-http3) for both ends, over Deno's raw QUIC:
 * {@linkcode connect} for a client, {@linkcode serve} for a server, {@linkcode WebTransportSession}
 * for what both then have.
 *
 * Deno's own classes end no stream, stop accepting streams when one of them stays silent, and
 * refuse the handshake of the 2022 draft. This folder stands in for them until they are mended;
 * `webtransport_deno_test.ts` fails on the day Deno's classes end their streams.
 *
 * | file | what is in it | source |
 * |---|---|---|
 * | `client.ts`, `server.ts` | {@linkcode connect}, {@linkcode serve} | draft, section 3 |
 * | `session.ts` | the handshake of either side, streams, datagrams, the goodbye | draft, sections 3 to 6 |
 * | `settings.ts` | SETTINGS, the control stream | RFC 9114, 6.2.1 and 7.2.4; draft, 3.1 |
 * | `frames.ts` | HEADERS, DATA, extended CONNECT | RFC 9114, 4.1 and 7.2; RFC 9220 |
 * | `capsules.ts` | the capsule that closes a session | RFC 9297, 3.2; draft, 6 |
 * | `stream_header.ts`, `stream_router.ts` | which stream and datagram is whose | draft, 4.2 to 4.4; RFC 9297, 2.1 |
 * | `qpack.ts`, `varint.ts` | header fields, numbers | RFC 9204, RFC 9000, 16 |
 *
 * What Deno's QUIC cannot do, this cannot either: it sends no RESET_STREAM (an aborted stream ends
 * with FIN; a frame cut off shows it), and one QUIC connection carries one session (a second request
 * gets 429). The permissions are `--unstable-net` and `--allow-net`.
 *
 * @example An echo, both ends in one process
 * ```ts
 * import { connect, serve } from "./mod.ts";
 *
 * const server = serve({
 *   port: 0,
 *   cert,
 *   key,
 *   async onSession(session) {
 *     for await (const { readable, writable } of session.incomingBidirectionalStreams) {
 *       readable.pipeTo(writable);
 *     }
 *   },
 * });
 * const session = await connect(`https://127.0.0.1:${server.addr.port}/`, {
 *   certificateHashes: [hash],
 * });
 * const { readable, writable } = await session.createBidirectionalStream();
 * ```
 *
 * @module
 */
export { ChunkReader, type ChunkReaderOptions } from "./chunk_reader.ts";
export { connect, type ConnectOptions } from "./client.ts";
export { WebTransportError, type WebTransportErrorKind } from "./errors.ts";
export { type Field, fieldValue } from "./qpack.ts";
export { serve, type ServeOptions, type WebTransportServer } from "./server.ts";
export type { Decide } from "./session.ts";
export type {
  BidirectionalStream,
  CloseInfo,
  CloseRequest,
  ConnectDecision,
  ConnectRequest,
  SessionOptions,
  WebTransportSession,
} from "./webtransport.ts";
