/**
 * WebTransport over HTTP/3 (draft-ietf-webtrans-http3) for both ends, over Deno's raw QUIC:
 * {@linkcode connect} for a client, {@linkcode serve} for a server.
 *
 * Deno's own classes end no stream, stop accepting streams when one of them stays silent, and
 * refuse the handshake of the 2022 draft. This file stands in for them until they are mended:
 * everything else knows only {@linkcode WebTransportSession}. `webtransport_deno_test.ts` fails
 * on the day Deno's classes end their streams.
 *
 * What Deno's QUIC cannot do, this cannot either: it sends no RESET_STREAM (an aborted stream ends
 * with FIN; a frame cut off shows it), and one QUIC connection carries one session.
 *
 * @module
 */
import { smallChunks } from "./chunk_reader.ts";
import { decodeFields, encodeFields, type Field, fieldValue, QpackError } from "./qpack.ts";
import { decodeVarint, encodeVarint, varintLength } from "./varint.ts";

/** A stream both ends write to. Closing the writer sends FIN; cancelling the reader, STOP_SENDING. */
export interface BidirectionalStream {
  /** What the peer writes. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** What we write. */
  readonly writable: WritableStream<Uint8Array>;
}

/** How a session ended. */
export interface CloseInfo {
  /** The application's code, 0 when all is well. */
  closeCode: number;
  /** Why, in words; at most 1024 bytes of UTF-8. */
  reason: string;
  /** Who ended it; `lost` is a connection that died without a word. */
  by: "us" | "peer" | "lost";
}

/** An established session, the same on both ends. */
export interface WebTransportSession {
  /** The CONNECT request: sent by a client, received by a server. */
  readonly request: ConnectRequest;
  /** The header fields of the answer. */
  readonly responseFields: readonly Field[];
  /** Where the peer is. */
  readonly remoteAddr: Deno.NetAddr;
  /** Settles when the session has ended; never rejects. */
  readonly closed: Promise<CloseInfo>;
  /** Streams that the peer opened, in the order their headers arrived. */
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  /** One-way streams that the peer opened. */
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array<ArrayBuffer>>>;
  /** The most bytes of a datagram at this moment. */
  readonly maxDatagramSize: number;
  /** Opens a stream, waiting for credit. @throws {WebTransportError} `closed` */
  createBidirectionalStream(): Promise<BidirectionalStream>;
  /** Opens a one-way stream, waiting for credit. @throws {WebTransportError} `closed` */
  createUnidirectionalStream(): Promise<WritableStream<Uint8Array>>;
  /** Sends a datagram, unreliably. @throws {WebTransportError} `datagram-too-large`, `closed` */
  sendDatagram(data: Uint8Array): Promise<void>;
  /** The next datagram; `undefined` once the session has ended. The oldest unread ones are dropped. */
  readDatagram(): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Ends the session with a code and a reason the peer gets, and then the connection. */
  close(info?: { closeCode?: number; reason?: string }): Promise<void>;
}

/** What a client asks for. */
export interface ConnectRequest {
  /** `:path`, with the query; `/` where the 2022 draft sends none. */
  readonly path: string;
  /** `:authority`, empty where the 2022 draft sends none. */
  readonly authority: string;
  /** The `origin` header, `undefined` when there is none (a program, not a page). */
  readonly origin: string | undefined;
  /** All fields as they came. */
  readonly fields: readonly Field[];
}

/** A server's answer to a CONNECT: 200 establishes the session, anything else refuses it. */
export interface ConnectDecision {
  /** The HTTP status. */
  status: number;
  /** Header fields to send with it. @default none */
  fields?: readonly Field[];
}

/** What went wrong. */
export type WebTransportErrorCode =
  /** A step took longer than its time-out, or nobody answers. */
  | "timeout"
  /** The server's certificate is neither pinned nor trusted. */
  | "certificate"
  /** The peer does not speak WebTransport over HTTP/3. */
  | "unsupported"
  /** The server answered with a status other than 2xx. */
  | "refused"
  /** The peer broke the protocol. */
  | "protocol"
  /** The session is over. */
  | "closed"
  /** The datagram is larger than the path carries. */
  | "datagram-too-large";

/** An error of this layer, with what a program needs to decide. */
export class WebTransportError extends Error {
  override name = "WebTransportError";
  /** What went wrong. */
  readonly code: WebTransportErrorCode;
  /** The HTTP status, for `refused`. */
  readonly status: number | undefined;

  constructor(
    code: WebTransportErrorCode,
    message: string,
    options: ErrorOptions & { status?: number } = {},
  ) {
    super(message, options);
    this.code = code;
    this.status = options.status;
  }
}

/** Limits of a session, the same on both ends. */
export interface SessionOptions {
  /** How long each step of the HTTP/3 handshake may take. @default 5_000 */
  handshakeTimeoutMs?: number;
  /** How long a two-way stream may stay without its header before it is refused. @default 5_000 */
  streamHeaderTimeoutMs?: number;
  /** Streams of each kind that wait for us to take them; beyond that the peer waits. @default 64 */
  maxWaitingStreams?: number;
  /** Streams of each kind that the peer may have open at once. @default 256 */
  maxConcurrentStreams?: number;
  /** How often the connection is probed while nothing is sent: the heartbeat. @default 500 */
  keepAliveMs?: number;
  /** How long a peer may stay silent, probes included, until it counts as dead. @default 2_000 */
  idleTimeoutMs?: number;
  /** How long `close()` waits for the peer's half of the goodbye. @default 500 */
  closeTimeoutMs?: number;
}

/** Options of {@linkcode connect}. */
export interface ConnectOptions extends SessionOptions {
  /** SHA-256 hashes of certificates; the server must have one of these. @default by authority */
  certificateHashes?: readonly Uint8Array[];
  /** PEM certificates of authorities to trust besides the system's. @default none */
  caCerts?: readonly string[];
  /** Header fields to send. @default none */
  fields?: readonly Field[];
  /** How long the QUIC handshake may take. @default 3_000 */
  connectTimeoutMs?: number;
  /** The local UDP endpoint; share one between connections. @default a new one */
  endpoint?: Deno.QuicEndpoint;
}

const h3NoError = 0x100;
const h3StreamCreationError = 0x103;
const h3ClosedCriticalStream = 0x104;
const h3FrameUnexpected = 0x105;
const h3SettingsError = 0x109;
const h3MissingSettings = 0x10a;

const controlStream = 0x00n;
const pushStream = 0x01n;
const qpackEncoderStream = 0x02n;
const qpackDecoderStream = 0x03n;
const bidirectionalSignal = 0x41n;
const unidirectionalSignal = 0x54n;

const dataFrame = 0x00n;
const headersFrame = 0x01n;
const settingsFrame = 0x04n;

const closeSessionCapsule = 0x2843n;

const enableWebTransport = 0x2b603742n;
/** SETTINGS by which servers of the various drafts say that they take sessions. */
const webTransportSettings = [enableWebTransport, 0xc671706an, 0x14e9cd29n];

/**
 * What both ends announce: no QPACK dynamic table, extended CONNECT (RFC 9220), HTTP datagrams
 * (RFC 9297, and under the id that the 2022 draft knows), WebTransport (drafts 02 and 07).
 */
const ourSettings: readonly (readonly [id: bigint, value: bigint])[] = [
  [0x01n, 0n],
  [0x07n, 0n],
  [0x08n, 1n],
  [0x33n, 1n],
  [0xffd277n, 1n],
  [enableWebTransport, 1n],
  [0xc671706an, 1n],
];

const maxHeadersBytes = 16_384;
const maxSettingsBytes = 4_096;
const maxReasonBytes = 1_024;

/**
 * Opens a session at an `https:` URL: QUIC handshake, SETTINGS, extended CONNECT.
 *
 * @throws {WebTransportError} `timeout`, `certificate`, `unsupported`, `refused` (with the status),
 * `protocol` or `closed`
 */
export async function connect(
  url: string | URL,
  options: ConnectOptions = {},
): Promise<WebTransportSession> {
  const target = new URL(url);
  const conn = await connectQuic(target, options);
  const session = new Http3Session(conn, "client", options);
  try {
    await session.open(target, options.fields ?? []);
    return session;
  } catch (error) {
    session.abandon(h3NoError, "handshake failed");
    throw error;
  }
}

async function connectQuic(target: URL, options: ConnectOptions): Promise<Deno.QuicConn> {
  const { connectTimeoutMs = 3_000, certificateHashes } = options;
  const hostname = target.hostname.replace(/^\[|\]$/g, "");
  const quic = {
    hostname,
    port: Number(target.port || 443),
    alpnProtocols: ["h3"],
    ...transportOptions(options),
    ...(options.caCerts && { caCerts: [...options.caCerts] }),
    ...(options.endpoint && { endpoint: options.endpoint }),
    // Known to Deno's WebTransport class, which hands it on; not in the types of connectQuic().
    ...(certificateHashes && {
      serverCertificateHashes: certificateHashes.map((value) => ({ algorithm: "sha-256", value })),
    }),
  };
  const connecting = Deno.connectQuic(quic) as Promise<Deno.QuicConn>;
  try {
    return await within(connectTimeoutMs, connecting, () => {
      // What comes too late is closed and its failure has nobody to tell.
      connecting.then((late) => late.close(), () => {});
      return new WebTransportError(
        "timeout",
        `No answer from ${hostname} port ${quic.port}/udp within ${connectTimeoutMs} ms`,
      );
    });
  } catch (error) {
    if (error instanceof WebTransportError) throw error;
    throw quicError(error, `Cannot connect to ${hostname} port ${quic.port}/udp`);
  }
}

function quicError(error: unknown, what: string): WebTransportError {
  const reason = error instanceof Error ? error.message : String(error);
  const code = /certificate/i.test(reason)
    ? "certificate"
    : /timed out/.test(reason)
    ? "timeout"
    : /no_application_protocol|application protocol/i.test(reason)
    ? "unsupported"
    : "closed";
  return new WebTransportError(code, `${what}: ${reason}`, { cause: error });
}

function transportOptions(options: SessionOptions): Deno.QuicTransportOptions {
  const { keepAliveMs = 500, idleTimeoutMs = 2_000, maxConcurrentStreams = 256 } = options;
  return {
    keepAliveInterval: keepAliveMs,
    // The idle timer starts anew with the first probe after the last sign of life (RFC 9000, section
    // 10.1): so much earlier than the peer counts as dead.
    maxIdleTimeout: idleTimeoutMs - Math.min(keepAliveMs, idleTimeoutMs / 2),
    maxConcurrentBidirectionalStreams: maxConcurrentStreams,
    maxConcurrentUnidirectionalStreams: maxConcurrentStreams,
  };
}

/** Options of {@linkcode serve}. */
export interface ServeOptions extends SessionOptions {
  /** Address to bind. @default "127.0.0.1" */
  host?: string;
  /** UDP port to bind; 0 takes a free one. */
  port: number;
  /** The certificate chain, PEM. */
  cert: string;
  /** Its private key, PEM. */
  key: string;
  /** Says yes or no to a CONNECT before any data. @default 200 to all */
  decide?: (request: ConnectRequest) => ConnectDecision | Promise<ConnectDecision>;
  /** Gets every established session. */
  onSession: (session: WebTransportSession) => void;
  /** Hears of every connection that came to nothing, and why. @default nobody */
  onRefused?: (reason: string) => void;
  /** Sessions at once; one more connection is refused. @default 4_096 */
  maxSessions?: number;
  /** Connections at once that are still in their handshake. @default 1_024 */
  maxHandshakes?: number;
}

/** A server that {@linkcode serve} has started. */
export interface WebTransportServer {
  /** Where it listens. */
  readonly addr: Deno.NetAddr;
  /** The sessions that are open. */
  readonly sessions: ReadonlySet<WebTransportSession>;
  /** New connections get this certificate; the open ones keep theirs. @throws when it is unusable */
  replaceCertificate(cert: string, key: string): void;
  /** Takes no more sessions; those that are open go on. */
  stopAccepting(): void;
  /** Ends all sessions with a code and a reason, and the endpoint. */
  close(info?: { closeCode?: number; reason?: string }): Promise<void>;
}

/**
 * Listens for sessions. Whatever a peer does in its handshake ends that connection alone.
 *
 * @throws when the address cannot be bound or the certificate is unusable
 */
export function serve(options: ServeOptions): WebTransportServer {
  const { host = "127.0.0.1", maxSessions = 4_096, maxHandshakes = 1_024 } = options;
  const { decide = () => ({ status: 200 }), onRefused = () => {} } = options;
  const endpoint = new Deno.QuicEndpoint({ hostname: host, port: options.port });
  const sessions = new Set<WebTransportSession>();
  let handshakes = 0;
  let accepting = true;

  function listenWith(cert: string, key: string): Deno.QuicListener {
    return endpoint.listen({ cert, key, alpnProtocols: ["h3"], ...transportOptions(options) });
  }

  async function establish(incoming: Deno.QuicIncoming): Promise<void> {
    handshakes++;
    try {
      const conn = await (incoming.accept() as Promise<Deno.QuicConn>);
      const session = new Http3Session(conn, "server", options);
      try {
        await session.accept(decide);
      } catch (error) {
        session.abandon(h3NoError, "handshake failed");
        throw error;
      }
      sessions.add(session);
      session.closed.then(() => sessions.delete(session));
      options.onSession(session);
    } catch (error) {
      onRefused(error instanceof Error ? error.message : String(error));
    } finally {
      handshakes--;
    }
  }

  async function acceptLoop(listener: Deno.QuicListener): Promise<void> {
    while (true) {
      let incoming: Deno.QuicIncoming;
      try {
        incoming = await listener.incoming();
      } catch {
        // The endpoint has been closed: the only way this ends.
        return;
      }
      if (!accepting || handshakes >= maxHandshakes || sessions.size >= maxSessions) {
        incoming.refuse();
        onRefused(accepting ? "too many sessions or handshakes" : "shutting down");
      } else {
        establish(incoming);
      }
    }
  }

  try {
    acceptLoop(listenWith(options.cert, options.key));
  } catch (error) {
    endpoint.close();
    throw error;
  }
  return {
    addr: endpoint.addr,
    sessions,
    replaceCertificate(cert, key) {
      acceptLoop(listenWith(cert, key));
    },
    stopAccepting() {
      accepting = false;
    },
    async close(info = {}) {
      accepting = false;
      await Promise.all([...sessions].map((session) => session.close(info)));
      endpoint.close({ closeCode: h3NoError, reason: info.reason ?? "" });
    },
  };
}

type Role = "client" | "server";

/** One HTTP/3 connection with its one session. */
class Http3Session implements WebTransportSession {
  readonly remoteAddr: Deno.NetAddr;
  readonly closed: Promise<CloseInfo>;
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array<ArrayBuffer>>>;
  request: ConnectRequest = { path: "/", authority: "", origin: undefined, fields: [] };
  responseFields: readonly Field[] = [];

  readonly #conn: Deno.QuicConn;
  readonly #role: Role;
  readonly #options: SessionOptions;
  readonly #peerSettings = Promise.withResolvers<ReadonlyMap<bigint, bigint>>();
  readonly #firstRequest = Promise.withResolvers<RequestStream>();
  /** The session id, known when the CONNECT is; streams that come earlier wait for it. */
  readonly #sessionId = Promise.withResolvers<bigint>();
  #prefixes: SessionPrefixes | undefined;
  #connectWriter: WritableStreamDefaultWriter<Uint8Array> | undefined;
  /** Referred to so that the collector does not end it: the control stream lives as we do. */
  #controlWriter: WritableStreamDefaultWriter<Uint8Array> | undefined;
  /** How the session ends, from the moment that is known; nothing is sent any more. */
  #ending: CloseInfo | undefined;
  readonly #closed = Promise.withResolvers<CloseInfo>();
  #sawControlStream = false;
  #sawRequest = false;

  constructor(conn: Deno.QuicConn, role: Role, options: SessionOptions) {
    this.#conn = conn;
    this.#role = role;
    this.#options = options;
    this.remoteAddr = conn.remoteAddr;
    this.closed = this.#closed.promise;
    conn.closed.then(
      ({ closeCode, reason }) => this.#ended({ closeCode, reason, by: "peer" }),
      (error) => this.#ended({ closeCode: 0, reason: reasonOf(error), by: "lost" }),
    );
    const over = this.closed.then((info) => {
      throw closedError(info);
    });
    // Whoever waits when the connection ends is told; nobody need be waiting.
    for (const waiting of [this.#peerSettings, this.#firstRequest, this.#sessionId]) {
      over.catch(waiting.reject);
      waiting.promise.catch(() => {});
    }
    this.incomingBidirectionalStreams = this.#route(
      conn.incomingBidirectionalStreams,
      (stream) => this.#routeBidirectional(stream),
    );
    this.incomingUnidirectionalStreams = this.#route(
      conn.incomingUnidirectionalStreams,
      (stream) => this.#routeUnidirectional(stream),
    );
  }

  get maxDatagramSize(): number {
    return Math.max(0, this.#conn.maxDatagramSize - (this.#prefixes?.datagram.length ?? 8));
  }

  /** The client's half of the handshake. */
  async open(target: URL, fields: readonly Field[]): Promise<void> {
    await this.#step("sending SETTINGS", this.#sendSettings());
    const settings = await this.#step("waiting for SETTINGS", this.#peerSettings.promise);
    if (!webTransportSettings.some((id) => (settings.get(id) ?? 0n) > 0n)) {
      throw new WebTransportError("unsupported", "The server does not speak WebTransport");
    }
    const path = target.pathname + target.search;
    const stream = await this.#step("opening the CONNECT stream", this.#openConnect());
    this.request = { path, authority: target.host, origin: target.origin, fields };
    await this.#step(
      "sending CONNECT",
      stream.writer.write(headers([
        [":method", "CONNECT"],
        [":scheme", "https"],
        [":authority", target.host],
        [":path", path],
        [":protocol", "webtransport"],
        ["sec-webtransport-http3-draft02", "1"],
        ["origin", target.origin],
        ...fields,
      ])),
    );
    this.#begin(stream.id, stream.writer);
    const response = await this.#step(
      "waiting for the answer to CONNECT",
      readFinal(stream.source),
    );
    this.responseFields = response;
    const status = Number(fieldValue(response, ":status"));
    if (!(status >= 200 && status < 300)) {
      throw new WebTransportError("refused", `The server refused the session: status ${status}`, {
        status,
      });
    }
    this.#watchCapsules(stream.source);
  }

  /** The server's half of the handshake. */
  async accept(
    decide: (request: ConnectRequest) => ConnectDecision | Promise<ConnectDecision>,
  ): Promise<void> {
    await this.#step("sending SETTINGS", this.#sendSettings());
    const stream = await this.#step("waiting for a request", this.#firstRequest.promise);
    const fields = await this.#step("waiting for HEADERS", readHeaders(stream.source));
    this.request = connectRequest(fields);
    const decision = isConnect(fields)
      ? await this.#step("deciding", Promise.resolve(decide(this.request)))
      : { status: 405, fields: [["allow", "CONNECT"] as const] };
    // The 2022 draft's peers look for the draft they asked for.
    const draft = fields.some(([name]) => name === "sec-webtransport-http3-draft02")
      ? [["sec-webtransport-http3-draft", "draft02"] as const]
      : [];
    this.responseFields = [
      [":status", String(decision.status)],
      ...draft,
      ...decision.fields ?? [],
    ];
    await this.#step("answering", stream.writer.write(headers(this.responseFields)));
    if (decision.status !== 200) {
      await this.#step("answering", stream.writer.close());
      // The client hangs up once it has read the answer; hanging up first might outrun it.
      await settledWithin(this.#options.closeTimeoutMs ?? 500, this.closed);
      throw new WebTransportError("refused", `A session was refused with ${decision.status}`, {
        status: decision.status,
      });
    }
    this.#begin(stream.id, stream.writer);
    this.#watchCapsules(stream.source);
  }

  async createBidirectionalStream(): Promise<BidirectionalStream> {
    const { bidirectional } = this.#open();
    try {
      const stream = await this.#conn.createBidirectionalStream({ waitUntilAvailable: true });
      await writeOnce(stream.writable, bidirectional);
      return stream;
    } catch (error) {
      throw await this.#whyClosed(error);
    }
  }

  async createUnidirectionalStream(): Promise<WritableStream<Uint8Array>> {
    const { unidirectional } = this.#open();
    try {
      const stream = await this.#conn.createUnidirectionalStream({ waitUntilAvailable: true });
      await writeOnce(stream, unidirectional);
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
      if (/too large/.test(reasonOf(error))) {
        throw new WebTransportError(
          "datagram-too-large",
          `Cannot send a datagram of ${data.length} bytes: the path carries ${this.maxDatagramSize}`,
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
        return undefined;
      }
      const prefix = this.#prefixes?.datagram;
      // A datagram for no session of ours is dropped (RFC 9297, section 2.1).
      if (prefix && startsWith(datagram, prefix)) return datagram.subarray(prefix.length);
    }
  }

  async close({ closeCode = 0, reason = "" } = {}): Promise<void> {
    if (!this.#ending) {
      this.#ending = { closeCode, reason, by: "us" };
      const timeoutMs = this.#options.closeTimeoutMs ?? 500;
      await settledWithin(timeoutMs, this.#sendClose(closeCode, reason));
      await settledWithin(timeoutMs, this.#peerEnded.promise);
      this.abandon(h3NoError, reason);
    }
    await this.closed;
  }

  /** Ends the connection at once. */
  abandon(code: number, reason: string): void {
    this.#ending ??= { closeCode: code, reason, by: "us" };
    this.#conn.close({ closeCode: code, reason: cutUtf8(reason) });
  }

  /** The connection has ended: for the reason that was known before, if any. */
  #ended(info: CloseInfo): void {
    this.#ending ??= info;
    this.#peerEnded.resolve();
    this.#closed.resolve(this.#ending);
  }

  /** Settles when the peer has ended its half of the CONNECT stream, or the connection. */
  readonly #peerEnded = Promise.withResolvers<void>();

  async #sendClose(closeCode: number, reason: string): Promise<void> {
    const writer = this.#connectWriter;
    if (!writer) return;
    const text = new TextEncoder().encode(cutUtf8(reason));
    const payload = new Uint8Array(4 + text.length);
    new DataView(payload.buffer).setUint32(0, closeCode);
    payload.set(text, 4);
    const capsule = typeLengthValue(closeSessionCapsule, payload);
    await writer.write(typeLengthValue(dataFrame, capsule));
    await writer.close();
  }

  async #sendSettings(): Promise<void> {
    const stream = await this.#conn.createUnidirectionalStream({ waitUntilAvailable: true });
    this.#controlWriter = stream.getWriter();
    const settings = ourSettings.flatMap((pair) => pair.map((number) => encodeVarint(number)));
    await this.#controlWriter.write(
      concat(encodeVarint(controlStream), typeLengthValue(settingsFrame, concat(...settings))),
    );
  }

  async #openConnect(): Promise<RequestStream> {
    const stream = await this.#conn.createBidirectionalStream({ waitUntilAvailable: true });
    return requestStream(stream, new Uint8Array());
  }

  #begin(id: bigint, writer: WritableStreamDefaultWriter<Uint8Array>): void {
    this.#connectWriter = writer;
    this.#prefixes = {
      bidirectional: concat(encodeVarint(bidirectionalSignal), encodeVarint(id)),
      unidirectional: concat(encodeVarint(unidirectionalSignal), encodeVarint(id)),
      datagram: encodeVarint(id / 4n),
    };
    this.#sessionId.resolve(id);
  }

  #open(): SessionPrefixes {
    if (this.#ending || !this.#prefixes) {
      throw closedError(this.#ending ?? { closeCode: 0, reason: "not established", by: "us" });
    }
    return this.#prefixes;
  }

  /** A failed call on a connection that has ended is told by the end, not by the failure. */
  async #whyClosed(error: unknown): Promise<WebTransportError> {
    const none = Symbol();
    const info = this.#ending ?? await Promise.race([this.closed, Promise.resolve(none)]);
    return typeof info === "symbol"
      ? new WebTransportError("closed", reasonOf(error), { cause: error })
      : closedError(info);
  }

  #step<Value>(what: string, promise: Promise<Value>): Promise<Value> {
    const ms = this.#options.handshakeTimeoutMs ?? 5_000;
    return within(
      ms,
      promise,
      () => new WebTransportError("timeout", `The handshake took over ${ms} ms while ${what}`),
    ).catch((error) => {
      if (error instanceof WebTransportError) throw error;
      if (error instanceof QpackError) {
        throw new WebTransportError("protocol", error.message, { cause: error });
      }
      throw quicError(error, `The handshake failed while ${what}`);
    });
  }

  /**
   * Reads every stream's header in a task of its own, as one may never come (Chromium opens its
   * QPACK streams and stays silent), and hands on what belongs to the session. Open streams are
   * bounded by QUIC's credit, those that wait for us by the queue.
   */
  #route<Stream, Out>(
    streams: ReadableStream<Stream>,
    route: (stream: Stream) => Promise<Out | undefined>,
  ): ReadableStream<Out> {
    let room = Promise.withResolvers<void>();
    let open = true;
    return new ReadableStream<Out>({
      start: (out) => {
        const handOn = async (stream: Stream) => {
          try {
            const routed = await route(stream);
            if (open && routed !== undefined) out.enqueue(routed);
          } catch {
            // A stream that broke off in its header; the connection's end is told by `closed`.
          }
        };
        const loop = async () => {
          for await (const stream of streams) {
            handOn(stream);
            while (open && (out.desiredSize ?? 0) <= 0) await room.promise;
          }
        };
        const end = () => {
          if (open) out.close();
          open = false;
          room.resolve();
        };
        loop().catch(() => {});
        this.closed.then(end);
      },
      pull: () => {
        room.resolve();
        room = Promise.withResolvers<void>();
      },
      cancel: () => {
        open = false;
        room.resolve();
      },
    }, { highWaterMark: this.#options.maxWaitingStreams ?? 64 });
  }

  async #routeBidirectional(
    stream: Deno.QuicBidirectionalStream,
  ): Promise<BidirectionalStream | undefined> {
    const timeoutMs = this.#options.streamHeaderTimeoutMs ?? 5_000;
    const header = await within(timeoutMs, readStreamHeader(stream.readable), () => {
      drop(stream);
      return new WebTransportError("timeout", `A stream had no header within ${timeoutMs} ms`);
    });
    if (header === undefined) return drop(stream);
    if (header.type === bidirectionalSignal) {
      if (header.sessionId === await this.#sessionId.promise) return stream;
      return drop(stream);
    }
    if (this.#role === "client") {
      this.#violated(h3StreamCreationError, "a server opens no requests");
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
    if (header === undefined) return undefined;
    if (header.type === unidirectionalSignal) {
      if (header.sessionId === await this.#sessionId.promise) return stream;
      await stream.cancel();
    } else if (header.type === controlStream) {
      if (this.#sawControlStream) this.#violated(h3StreamCreationError, "a second control stream");
      this.#sawControlStream = true;
      await this.#readControl(new ByteSource(smallChunks(stream), header.rest));
    } else if (header.type === qpackEncoderStream || header.type === qpackDecoderStream) {
      // With no dynamic table nothing on them concerns us; cancelling them would break the peer.
      await new ByteSource(smallChunks(stream), header.rest).discard();
    } else if (header.type === pushStream) {
      this.#violated(h3StreamCreationError, "nobody may push here");
    } else {
      await stream.cancel();
    }
    return undefined;
  }

  /** The peer's control stream (RFC 9114, section 6.2.1): SETTINGS first, the rest is not for us. */
  async #readControl(source: ByteSource): Promise<void> {
    const first = await source.frameHeader();
    if (first?.type !== settingsFrame) {
      return this.#violated(h3MissingSettings, "SETTINGS must come first");
    }
    if (first.length > BigInt(maxSettingsBytes)) {
      return this.#violated(h3SettingsError, `SETTINGS of more than ${maxSettingsBytes} bytes`);
    }
    const settings = decodeSettings(await source.bytes(Number(first.length)));
    if (settings === undefined) return this.#violated(h3SettingsError, "malformed SETTINGS");
    this.#peerSettings.resolve(settings);
    while (true) {
      const frame = await source.frameHeader();
      if (frame === undefined) {
        return this.#violated(h3ClosedCriticalStream, "the control stream was closed");
      }
      if ([dataFrame, headersFrame, settingsFrame].includes(frame.type)) {
        return this.#violated(h3FrameUnexpected, `frame ${frame.type} on the control stream`);
      }
      await source.skip(frame.length);
    }
  }

  /** Waits on the CONNECT stream for the end of the session (draft, section 6). */
  async #watchCapsules(source: ByteSource): Promise<void> {
    let info: CloseInfo = { closeCode: 0, reason: "", by: "peer" };
    try {
      info = await readUntilClose(new ByteSource(dataOf(source)));
    } catch (error) {
      if (error instanceof WebTransportError) {
        return this.#violated(h3FrameUnexpected, error.message);
      }
      // The stream was reset or the connection has ended: the end without a code.
    }
    this.#peerEnded.resolve();
    if (this.#ending) return;
    this.#ending = info;
    this.#closed.resolve(info);
    // Our half of the goodbye; then the peer, who began it, ends the connection.
    const timeoutMs = this.#options.closeTimeoutMs ?? 500;
    await settledWithin(timeoutMs, this.#connectWriter?.close() ?? Promise.resolve());
    await settledWithin(timeoutMs, this.#conn.closed);
    this.abandon(h3NoError, "");
  }

  #violated(code: number, what: string): undefined {
    this.#ending ??= { closeCode: code, reason: `HTTP/3 violated: ${what}`, by: "us" };
    this.#peerSettings.reject(new WebTransportError("protocol", `The peer broke HTTP/3: ${what}`));
    this.#firstRequest.reject(new WebTransportError("protocol", `The peer broke HTTP/3: ${what}`));
    this.#conn.close({ closeCode: code, reason: what });
    return undefined;
  }
}

/** The bytes with which streams and datagrams of a session begin. */
interface SessionPrefixes {
  bidirectional: Uint8Array;
  unidirectional: Uint8Array;
  datagram: Uint8Array;
}

/** A request stream, opened for frames. */
interface RequestStream {
  id: bigint;
  source: ByteSource;
  writer: WritableStreamDefaultWriter<Uint8Array>;
}

function requestStream(stream: Deno.QuicBidirectionalStream, rest: Uint8Array): RequestStream {
  return {
    id: stream.writable.id,
    source: new ByteSource(smallChunks(stream.readable), rest),
    writer: stream.writable.getWriter(),
  };
}

/** One session a connection: a second request gets 429, whatever it asks for. */
async function refuseRequest(stream: Deno.QuicBidirectionalStream): Promise<void> {
  const writer = stream.writable.getWriter();
  await writer.write(headers([[":status", "429"]]));
  await writer.close();
  await stream.readable.cancel();
}

function isConnect(fields: readonly Field[]): boolean {
  return fieldValue(fields, ":method") === "CONNECT" &&
    fieldValue(fields, ":protocol") === "webtransport";
}

function connectRequest(fields: readonly Field[]): ConnectRequest {
  return {
    path: fieldValue(fields, ":path") ?? "/",
    authority: fieldValue(fields, ":authority") ?? "",
    origin: fieldValue(fields, "origin"),
    fields,
  };
}

function headers(fields: readonly Field[]): Uint8Array {
  return typeLengthValue(headersFrame, encodeFields(fields));
}

/** The next HEADERS frame; frames of unknown types before it are skipped (RFC 9114, section 9). */
async function readHeaders(source: ByteSource): Promise<Field[]> {
  while (true) {
    const frame = await source.frameHeader();
    if (frame === undefined) throw new WebTransportError("protocol", "A request without HEADERS");
    if (frame.type === headersFrame) {
      if (frame.length > BigInt(maxHeadersBytes)) {
        throw new WebTransportError("protocol", `HEADERS of more than ${maxHeadersBytes} bytes`);
      }
      return decodeFields(await source.bytes(Number(frame.length)));
    }
    if (frame.type === dataFrame || frame.type === settingsFrame) {
      throw new WebTransportError("protocol", `Frame ${frame.type} where HEADERS must be`);
    }
    await source.skip(frame.length);
  }
}

/** The answer's HEADERS, past interim ones (RFC 9110, section 15.2). */
async function readFinal(source: ByteSource): Promise<Field[]> {
  while (true) {
    const fields = await readHeaders(source);
    if (!/^1\d\d$/.test(fieldValue(fields, ":status") ?? "")) return fields;
  }
}

/** The payload of a request stream's DATA frames; other frames are skipped. */
async function* dataOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  while (true) {
    const frame = await source.frameHeader();
    if (frame === undefined) return;
    if (frame.type === dataFrame) yield* source.chunks(frame.length);
    else await source.skip(frame.length);
  }
}

/** Reads capsules (RFC 9297, section 3.2) until one closes the session, or the stream ends. */
async function readUntilClose(capsules: ByteSource): Promise<CloseInfo> {
  while (true) {
    const capsule = await capsules.frameHeader();
    if (capsule === undefined) return { closeCode: 0, reason: "", by: "peer" };
    if (capsule.type !== closeSessionCapsule) {
      await capsules.skip(capsule.length);
      continue;
    }
    const length = Number(capsule.length);
    if (length < 4 || length > 4 + maxReasonBytes) {
      throw new WebTransportError("protocol", `a close capsule of ${capsule.length} bytes`);
    }
    const payload = await capsules.bytes(length);
    return {
      closeCode: new DataView(payload.buffer, payload.byteOffset).getUint32(0),
      reason: new TextDecoder().decode(payload.subarray(4)),
      by: "peer",
    };
  }
}

function decodeSettings(bytes: Uint8Array): Map<bigint, bigint> | undefined {
  const settings = new Map<bigint, bigint>();
  for (let at = 0; at < bytes.length;) {
    const id = decodeVarint(bytes, at);
    const value = id && decodeVarint(bytes, id.end);
    // Ids 2 to 5 are HTTP/2's and forbidden (RFC 9114, section 7.2.4.1).
    if (!value || settings.has(id.value) || (id.value >= 2n && id.value <= 5n)) return undefined;
    settings.set(id.value, value.value);
    at = value.end;
  }
  return settings;
}

/** A stream's type, and what was read beyond it where it is not WebTransport's. */
interface StreamHeader {
  type: bigint;
  sessionId?: bigint;
  rest: Uint8Array;
}

/**
 * Reads a stream's header and, where it is WebTransport's, not one byte more: the stream itself
 * then goes to its user. `undefined` when it ends before.
 */
async function readStreamHeader(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<StreamHeader | undefined> {
  const reader = stream.getReader({ mode: "byob" });
  try {
    const bytes = new Uint8Array(16);
    let length = 0;
    while (true) {
      const read = bytes.subarray(0, length);
      const type = decodeVarint(read);
      const isOurs = type?.value === bidirectionalSignal || type?.value === unidirectionalSignal;
      if (type && !isOurs) return { type: type.value, rest: read.slice(type.end) };
      const session = type && decodeVarint(read, type.end);
      if (session) return { type: type.value, sessionId: session.value, rest: new Uint8Array() };
      const { value, done } = await reader.read(
        new Uint8Array(headerBytesMissing(read, type?.end)),
      );
      if (done || !value) return undefined;
      bytes.set(value, length);
      length += value.length;
    }
  } finally {
    reader.releaseLock();
  }
}

function headerBytesMissing(read: Uint8Array, typeEnd: number | undefined): number {
  // Our shortest header: a type of two bytes and a session id of one.
  if (read.length === 0) return 3;
  if (typeEnd === undefined) return varintLength(read[0]!) - read.length;
  return typeEnd === read.length ? 1 : typeEnd + varintLength(read[typeEnd]!) - read.length;
}

/** Refuses a stream in both directions. */
function drop(stream: Deno.QuicBidirectionalStream): undefined {
  // A locked or broken stream is gone already.
  stream.readable.cancel().catch(() => {});
  stream.writable.abort().catch(() => {});
  return undefined;
}

/** Bytes out of a stream of chunks, as many as asked for; holds no more than one chunk beyond. */
class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer: Uint8Array;

  constructor(chunks: AsyncIterable<Uint8Array>, rest: Uint8Array = new Uint8Array()) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#buffer = rest;
  }

  /** Type and length of a frame or capsule; `undefined` at the end of the stream. */
  async frameHeader(): Promise<{ type: bigint; length: bigint } | undefined> {
    const type = await this.#varint();
    const length = type === undefined ? undefined : await this.#varint();
    return type === undefined || length === undefined ? undefined : { type, length };
  }

  /** Exactly so many bytes. @throws when the stream ends before */
  async bytes(length: number): Promise<Uint8Array> {
    while (this.#buffer.length < length) {
      if (!await this.#more()) throw new WebTransportError("protocol", "A frame is cut off");
    }
    return this.#take(length);
  }

  /** So many bytes as they come. @throws when the stream ends before */
  async *chunks(length: bigint): AsyncGenerator<Uint8Array> {
    let left = length;
    while (left > 0n) {
      if (this.#buffer.length === 0 && !await this.#more()) {
        throw new WebTransportError("protocol", "A frame is cut off");
      }
      const part = this.#take(left < this.#buffer.length ? Number(left) : this.#buffer.length);
      left -= BigInt(part.length);
      yield part;
    }
  }

  /** Leaves so many bytes out. */
  async skip(length: bigint): Promise<void> {
    for await (const _ of this.chunks(length));
  }

  /** Leaves all out, to the end. */
  async discard(): Promise<void> {
    do this.#buffer = new Uint8Array(); while (await this.#more());
  }

  async #varint(): Promise<bigint | undefined> {
    while (true) {
      const decoded = decodeVarint(this.#buffer);
      if (decoded) {
        this.#take(decoded.end);
        return decoded.value;
      }
      if (!await this.#more()) return undefined;
    }
  }

  #take(length: number): Uint8Array {
    const part = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return part;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done) return false;
    this.#buffer = this.#buffer.length === 0 ? value : concat(this.#buffer, value);
    return true;
  }
}

function typeLengthValue(type: bigint, value: Uint8Array): Uint8Array {
  return concat(encodeVarint(type), encodeVarint(value.length), value);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && prefix.every((byte, at) => bytes[at] === byte);
}

async function writeOnce(stream: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  const writer = stream.getWriter();
  await writer.write(bytes);
  writer.releaseLock();
}

/** Cuts to the most bytes a close reason may have, at a character's edge. */
function cutUtf8(text: string): string {
  const bytes = new Uint8Array(maxReasonBytes);
  const { written } = new TextEncoder().encodeInto(text, bytes);
  return new TextDecoder().decode(bytes.subarray(0, written));
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function closedError({ by, closeCode, reason }: CloseInfo): WebTransportError {
  const who = by === "us" ? "we closed it" : by === "peer" ? "the peer closed it" : "it was lost";
  const why = reason === "" ? `code ${closeCode}` : `code ${closeCode}, ${reason}`;
  return new WebTransportError("closed", `The session is over: ${who} (${why})`);
}

/** Settles like the promise, or rejects with `late()` when it takes longer. */
async function within<Value>(
  timeoutMs: number,
  promise: Promise<Value>,
  late: () => Error,
): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until the promise has settled either way, but no longer than so many milliseconds. */
async function settledWithin(timeoutMs: number, promise: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, timeoutMs));
  await Promise.race([promise.catch(() => {}), timeout]);
  clearTimeout(timer);
}
