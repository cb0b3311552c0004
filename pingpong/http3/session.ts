/**
 * One HTTP/3 connection with its one session: the handshake of either side, streams, datagrams and
 * the goodbye.
 *
 * @module
 */
import { settledWithin } from "../../service/resilience.ts";
import { ByteSource, concat, startsWith } from "./bytes.ts";
import { closeFrame, cutReason, readUntilClose } from "./capsules.ts";
import { smallChunks } from "./chunk_reader.ts";
import {
  closedError,
  h3Codes,
  messageOf,
  quicError,
  type Violation,
  WebTransportError,
} from "./errors.ts";
import {
  answerFields,
  connectFields,
  connectRequest,
  headersFrame,
  isConnect,
  readFinalHeaders,
  readHeaders,
  refuseRequest,
  type RequestStream,
  requestStream,
} from "./frames.ts";
import { type Field, fieldValue, QpackError } from "./qpack.ts";
import { inTime } from "./quic.ts";
import {
  controlStreamStart,
  protocolOf,
  readControlStream,
  type Settings,
  takesSessions,
} from "./settings.ts";
import {
  readStreamHeader,
  refuseStream,
  type SessionPrefixes,
  sessionPrefixes,
  streamTypes,
  writeStreamHeader,
} from "./stream_header.ts";
import { routedStreams } from "./stream_router.ts";
import { encodeVarint } from "./varint.ts";
import type {
  BidirectionalStream,
  CloseInfo,
  CloseRequest,
  ConnectDecision,
  ConnectRequest,
  SessionLimits,
  WebTransportSession,
} from "./webtransport.ts";

/** Says yes or no to a CONNECT. */
export type Decide = (request: ConnectRequest) => ConnectDecision | Promise<ConnectDecision>;

/** One HTTP/3 connection with its one session. */
export class Http3Session implements WebTransportSession {
  readonly remoteAddr: Deno.NetAddr;
  readonly closed: Promise<CloseInfo>;
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array<ArrayBuffer>>>;
  request: ConnectRequest = { path: "/", authority: "", origin: undefined, fields: [] };
  responseFields: readonly Field[] = [];

  readonly #conn: Deno.QuicConn;
  readonly #role: "client" | "server";
  readonly #limits: SessionLimits;
  readonly #peerSettings = Promise.withResolvers<Settings>();
  readonly #firstRequest = Promise.withResolvers<RequestStream>();
  /** The session id, known when the CONNECT is; streams that come earlier wait for it. */
  readonly #sessionId = Promise.withResolvers<bigint>();
  #prefixes: SessionPrefixes | undefined;
  #connectWriter: WritableStreamDefaultWriter<Uint8Array> | undefined;
  /** Referred to so that the collector does not end it: the control stream lives as we do. */
  #controlWriter: WritableStreamDefaultWriter<Uint8Array> | undefined;
  /** How the session ends, from the moment that is known; nothing is sent any more. */
  #ending: CloseInfo | undefined;
  /** Settles when the peer has ended its half of the CONNECT stream, or the connection. */
  readonly #peerEnded = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<CloseInfo>();
  #sawControlStream = false;
  #sawRequest = false;

  constructor(conn: Deno.QuicConn, role: "client" | "server", limits: SessionLimits) {
    this.#conn = conn;
    this.#role = role;
    this.#limits = limits;
    this.remoteAddr = conn.remoteAddr;
    this.closed = this.#closed.promise;
    conn.closed.then(
      ({ closeCode, reason }) => this.#ended({ closeCode, reason, by: "peer" }),
      (error) => this.#ended({ closeCode: 0, reason: messageOf(error), by: "lost" }),
    );
    this.#rejectWaitersWhenClosed();
    const routing = { maxWaiting: limits.maxWaitingStreams, closed: this.closed };
    this.incomingBidirectionalStreams = routedStreams(
      conn.incomingBidirectionalStreams,
      (stream) => this.#routeBidirectional(stream),
      routing,
    );
    this.incomingUnidirectionalStreams = routedStreams(
      conn.incomingUnidirectionalStreams,
      (stream) => this.#routeUnidirectional(stream),
      routing,
    );
  }

  get maxDatagramSize(): number {
    return Math.max(0, this.#conn.maxDatagramSize - (this.#prefixes?.datagram.length ?? 8));
  }

  /**
   * The client's half of the handshake.
   *
   * @throws {WebTransportError} `timeout`, `unsupported`, `refused`, `protocol` or `closed`
   */
  async open(target: URL, fields: readonly Field[]): Promise<void> {
    await this.#step("sending SETTINGS", this.#sendSettings());
    const settings = await this.#step("waiting for SETTINGS", this.#peerSettings.promise);
    if (!takesSessions(settings)) {
      throw new WebTransportError("unsupported", "The server does not speak WebTransport");
    }
    const path = target.pathname + target.search;
    const stream = await this.#step("opening the CONNECT stream", this.#openConnect());
    this.request = { path, authority: target.host, origin: target.origin, fields };
    const connect = headersFrame(connectFields(target, protocolOf(settings), fields));
    await this.#step("sending CONNECT", stream.writer.write(connect));
    this.#begin(stream);
    const answer = readFinalHeaders(stream.source);
    this.responseFields = await this.#step("waiting for the answer to CONNECT", answer);
    const status = Number(fieldValue(this.responseFields, ":status"));
    if (!(status >= 200 && status < 300)) {
      throw new WebTransportError("refused", `The server refused the session: status ${status}`, {
        status,
      });
    }
    this.#watchCapsules(stream.source);
  }

  /**
   * The server's half of the handshake.
   *
   * @throws {WebTransportError} `timeout`, `refused`, `protocol` or `closed`
   */
  async accept(decide: Decide): Promise<void> {
    await this.#step("sending SETTINGS", this.#sendSettings());
    const stream = await this.#step("waiting for a request", this.#firstRequest.promise);
    const fields = await this.#step("waiting for HEADERS", readHeaders(stream.source));
    this.request = connectRequest(fields);
    const decision = isConnect(fields)
      ? await this.#step("deciding", Promise.resolve(decide(this.request)))
      : { status: 405, fields: [["allow", "CONNECT"] as const] };
    this.responseFields = answerFields(fields, decision.status, decision.fields);
    await this.#step("answering", stream.writer.write(headersFrame(this.responseFields)));
    if (decision.status !== 200) {
      await this.#step("answering", stream.writer.close());
      // The client hangs up once it has read the answer; hanging up first might outrun it.
      await this.#settled(this.closed);
      throw new WebTransportError("refused", `A session was refused with ${decision.status}`, {
        status: decision.status,
      });
    }
    this.#begin(stream);
    this.#watchCapsules(stream.source);
  }

  async createBidirectionalStream(): Promise<BidirectionalStream> {
    const { bidirectional } = this.#open();
    try {
      const stream = await this.#conn.createBidirectionalStream({ waitUntilAvailable: true });
      await writeStreamHeader(stream.writable, bidirectional);
      return stream;
    } catch (error) {
      throw await this.#whyClosed(error);
    }
  }

  async createUnidirectionalStream(): Promise<WritableStream<Uint8Array>> {
    const { unidirectional } = this.#open();
    try {
      const stream = await this.#conn.createUnidirectionalStream({ waitUntilAvailable: true });
      await writeStreamHeader(stream, unidirectional);
      return stream;
    } catch (error) {
      throw await this.#whyClosed(error);
    }
  }

  async sendDatagram(data: Uint8Array): Promise<void> {
    const { datagram } = this.#open();
    try {
      await this.#conn.sendDatagram(concat(datagram, data));
    } catch (error) {
      if (/too large/.test(messageOf(error))) {
        throw new WebTransportError(
          "datagram-too-large",
          `Cannot send a datagram of ${data.length} bytes: the path carries ${this.maxDatagramSize}`,
          { maxBytes: this.maxDatagramSize },
        );
      }
      throw await this.#whyClosed(error);
    }
  }

  async readDatagram(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    while (true) {
      let datagram: Uint8Array<ArrayBuffer>;
      try {
        datagram = await this.#conn.readDatagram();
      } catch {
        // The connection has ended: `closed` says how.
        return undefined;
      }
      const prefix = this.#prefixes?.datagram;
      // A datagram for no session of ours is dropped (RFC 9297, section 2.1).
      if (prefix && startsWith(datagram, prefix)) return datagram.subarray(prefix.length);
    }
  }

  async close({ closeCode = 0, reason = "" }: CloseRequest = {}): Promise<void> {
    if (!this.#ending) {
      this.#ending = { closeCode, reason, by: "us" };
      await this.#settled(this.#sendClose(closeCode, reason));
      await this.#settled(this.#peerEnded.promise);
      this.abandon(reason);
    }
    await this.closed;
  }

  /** Ends the connection at once. */
  abandon(reason: string): void {
    this.#ending ??= { closeCode: h3Codes.noError, reason, by: "us" };
    this.#conn.close({ closeCode: h3Codes.noError, reason: cutReason(reason) });
  }

  /** What waits when the connection ends is rejected with the end; nothing need be waiting. */
  #rejectWaitersWhenClosed(): void {
    const over = this.closed.then((info) => {
      throw closedError(info);
    });
    for (const waiting of [this.#peerSettings, this.#firstRequest, this.#sessionId]) {
      over.catch(waiting.reject);
      waiting.promise.catch(() => {});
    }
  }

  /** The connection has ended: for the reason that was known before, if any. */
  #ended(info: CloseInfo): void {
    this.#ending ??= info;
    this.#peerEnded.resolve();
    this.#closed.resolve(this.#ending);
  }

  async #sendClose(closeCode: number, reason: string): Promise<void> {
    const writer = this.#connectWriter;
    if (!writer) return;
    await writer.write(closeFrame(closeCode, reason));
    await writer.close();
  }

  async #sendSettings(): Promise<void> {
    const stream = await this.#conn.createUnidirectionalStream({ waitUntilAvailable: true });
    this.#controlWriter = stream.getWriter();
    await this.#controlWriter.write(controlStreamStart());
  }

  async #openConnect(): Promise<RequestStream> {
    return requestStream(await this.#conn.createBidirectionalStream({ waitUntilAvailable: true }));
  }

  #begin({ id, writer }: RequestStream): void {
    this.#connectWriter = writer;
    this.#prefixes = sessionPrefixes(id);
    this.#sessionId.resolve(id);
  }

  #open(): SessionPrefixes {
    if (this.#ending || !this.#prefixes) {
      throw closedError(this.#ending ?? { closeCode: 0, reason: "not established", by: "us" });
    }
    return this.#prefixes;
  }

  /** Of a failed call on a connection that has ended the end is the reason, not the failure. */
  async #whyClosed(error: unknown): Promise<WebTransportError> {
    const none = Symbol();
    const info = this.#ending ?? await Promise.race([this.closed, Promise.resolve(none)]);
    return typeof info === "symbol"
      ? new WebTransportError("closed", messageOf(error), { cause: error })
      : closedError(info);
  }

  #step<Value>(what: string, promise: Promise<Value>): Promise<Value> {
    const { handshakeTimeoutMs: ms, world } = this.#limits;
    const late = () =>
      new WebTransportError("timeout", `The handshake took over ${ms} ms while ${what}`);
    return inTime(promise, ms, late, world).catch((error) => {
      if (error instanceof WebTransportError) throw error;
      if (error instanceof QpackError) {
        throw new WebTransportError("protocol", error.message, { cause: error });
      }
      throw quicError(error, `The handshake failed while ${what}`);
    });
  }

  async #settled(promise: Promise<unknown>): Promise<void> {
    const { closeTimeoutMs, world } = this.#limits;
    await settledWithin(promise, closeTimeoutMs, { world });
  }

  async #routeBidirectional(
    stream: Deno.QuicBidirectionalStream,
  ): Promise<BidirectionalStream | undefined> {
    const { streamHeaderTimeoutMs: ms, world } = this.#limits;
    const header = await inTime(readStreamHeader(stream.readable), ms, () => {
      refuseStream(stream);
      return new WebTransportError("timeout", `A stream had no header within ${ms} ms`);
    }, world);
    if (header === undefined) return refuseStream(stream);
    if (header.type === streamTypes.bidirectional) {
      if (header.sessionId === await this.#sessionId.promise) return stream;
      return refuseStream(stream);
    }
    if (this.#role === "client") {
      this.#violated({ code: h3Codes.streamCreationError, what: "a server opens no requests" });
    } else if (this.#sawRequest) {
      await refuseRequest(stream);
    } else {
      this.#sawRequest = true;
      const rest = concat(encodeVarint(header.type), header.rest);
      this.#firstRequest.resolve(requestStream(stream, rest));
    }
    return undefined;
  }

  async #routeUnidirectional(
    stream: Deno.QuicReceiveStream,
  ): Promise<ReadableStream<Uint8Array<ArrayBuffer>> | undefined> {
    const header = await readStreamHeader(stream);
    switch (header?.type) {
      case undefined:
        return undefined;
      case streamTypes.unidirectional:
        if (header!.sessionId === await this.#sessionId.promise) return stream;
        await stream.cancel();
        return undefined;
      case streamTypes.control:
        return await this.#readControl(new ByteSource(smallChunks(stream), header!.rest));
      case streamTypes.qpackEncoder:
      case streamTypes.qpackDecoder:
        // With no dynamic table nothing on them concerns us; cancelling them would break the peer.
        await new ByteSource(smallChunks(stream), header!.rest).discard();
        return undefined;
      case streamTypes.push:
        return this.#violated({ code: h3Codes.streamCreationError, what: "nobody may push here" });
      default:
        await stream.cancel();
        return undefined;
    }
  }

  async #readControl(source: ByteSource): Promise<undefined> {
    const { streamCreationError: code } = h3Codes;
    if (this.#sawControlStream) return this.#violated({ code, what: "a second control stream" });
    this.#sawControlStream = true;
    this.#violated(await readControlStream(source, this.#peerSettings.resolve));
  }

  /** Waits on the CONNECT stream for the end of the session (draft-ietf-webtrans-http3, section 6). */
  async #watchCapsules(source: ByteSource): Promise<void> {
    let info: CloseInfo = { closeCode: 0, reason: "", by: "peer" };
    try {
      info = await readUntilClose(source);
    } catch (error) {
      if (error instanceof WebTransportError) {
        return this.#violated({ code: h3Codes.frameUnexpected, what: error.message });
      }
      // The stream was reset or the connection has ended: the end without a code.
    }
    this.#peerEnded.resolve();
    if (this.#ending) return;
    this.#ending = info;
    this.#closed.resolve(info);
    // Our half of the goodbye; then the peer, who began it, ends the connection.
    await this.#settled(this.#connectWriter?.close() ?? Promise.resolve());
    await this.#settled(this.#conn.closed);
    this.abandon("");
  }

  #violated({ code, what }: Violation): undefined {
    this.#ending ??= { closeCode: code, reason: `HTTP/3 violated: ${what}`, by: "us" };
    const error = new WebTransportError("protocol", `The peer broke HTTP/3: ${what}`);
    this.#peerSettings.reject(error);
    this.#firstRequest.reject(error);
    this.#conn.close({ closeCode: code, reason: what });
    return undefined;
  }
}
