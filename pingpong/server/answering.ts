/**
 * The server's side of ping-pong: every ping gets its pong on the channel it came by, whatever
 * carries it. For a client that named itself the answers are kept in the mailbox until it has
 * them, and those that a broken session swallowed come first in its next one.
 *
 * @module
 */
import {
  type Attributes,
  type Context,
  type Counter,
  type Meter,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { ChunkReader } from "../http3/chunk_reader.ts";
import type { KeptAnswer, Mailbox } from "./mailbox.ts";
import {
  decodeMessage,
  encodeFrame,
  FrameDecoder,
  type Message,
  type Ping,
  pongFramer,
  ProtocolError,
} from "../protocol/protocol.ts";
import { fieldValue } from "../http3/qpack.ts";
import type { WebTransportSession } from "../http3/webtransport.ts";

/** How pings travel. */
export type Mode = "bidi" | "uni" | "datagram" | "websocket";

/** The codes a session is closed with. None is 0: so ends a process that says nothing, too. */
export const closeCodes = {
  /** The client is done; nothing need be kept for it. */
  done: 200,
  /** The peer sent what is no message. */
  malformed: 400,
  /** Another session of the same client has come. */
  replaced: 409,
  /** The server ends; come back. */
  goingAway: 503,
} as const;

/** The header fields with which our peers know each other; a URL's query has the same names. */
export const fieldNames = {
  /** The name of a client, for which answers are kept. */
  client: "pingpong-client",
  /** The run of that client: ids and numbers are its own. */
  run: "pingpong-run",
  /** From a server: how many answers wait; its presence says that it knows extensions. */
  mailbox: "pingpong-mailbox",
  /** From a client: what the server is to prove with that it knows the token too. */
  nonce: "pingpong-nonce",
  /** From a server: the proof. */
  proof: "pingpong-proof",
} as const;

/** Who a session is with. */
export interface NamedClient {
  /** What the client calls itself: 8 to 64 letters, digits, `.`, `_`, `~` or `-`. */
  name: string;
  /** One run of its program: 8 to 64 of the same. */
  run: string;
}

/** Whether a name or run may be used: long enough not to be met by chance, short enough to keep. */
export function isClientName(name: string): boolean {
  return /^[A-Za-z0-9._~-]{8,64}$/.test(name);
}

/** Options of {@linkcode Answering}. */
export interface AnsweringOptions {
  /** Keeps the answers of named clients. */
  mailbox: Mailbox;
  /** Makes the spans of pings that carry a trace context. */
  tracer: Tracer;
  /** Makes the instruments. */
  meter: Meter;
  /** The most bytes a frame may have. @default 1_048_576 */
  maxFrameBytes?: number;
  /** The most pings answered in one go before other sessions have their turn. @default 256 */
  maxBurst?: number;
}

const pongText = "Pong!";
/** Its id is the SHA-256 of the text, as the original has it. */
const pongId = new Uint8Array(
  await crypto.subtle.digest("SHA-256", new TextEncoder().encode(pongText)),
);
const framePong = pongFramer(pongId, pongText);
/** What a frame has before its message. */
const lengthBytes = 8;

/** Answers the pings of all sessions. */
export class Answering {
  readonly #options: AnsweringOptions;
  /** The session that each named client has now. */
  readonly #byName = new Map<string, AnswerSession>();
  readonly #pings: Counter;
  readonly #sessions;

  constructor(options: AnsweringOptions) {
    this.#options = options;
    const { meter, mailbox } = options;
    this.#pings = meter.createCounter("pingpong.server.pings", {
      description: "Pings that came, by mode and by what became of them.",
      unit: "{ping}",
    });
    this.#sessions = meter.createUpDownCounter("pingpong.server.sessions", {
      description: "Sessions that are open.",
      unit: "{session}",
    });
    meter.createObservableGauge("pingpong.server.mailbox.answers", {
      description: "Answers that wait for clients to come back.",
      unit: "{answer}",
    }).addCallback((result) => result.observe(mailbox.size().answers));
    meter.createObservableCounter("pingpong.server.mailbox.dropped", {
      description: "Answers dropped for want of room or for their age.",
      unit: "{answer}",
    }).addCallback((result) => result.observe(mailbox.dropped));
  }

  /** How many answers wait for a client. */
  waiting(client: NamedClient | undefined): number {
    return client ? this.#options.mailbox.waiting(client.name).length : 0;
  }

  /**
   * Begins a session; `close` ends it from here. A named client's earlier session is closed. The
   * session's span belongs to the trace of the request.
   */
  begin(
    transport: "webtransport" | "websocket",
    client: NamedClient | undefined,
    close: (code: number, reason: string) => void,
    request: Context = ROOT_CONTEXT,
  ): AnswerSession {
    const { mailbox, tracer } = this.#options;
    if (client) {
      this.#byName.get(client.name)?.close(closeCodes.replaced, "another session of this client");
    }
    this.#sessions.add(1, { transport });
    const span = tracer.startSpan("pingpong session", {
      kind: SpanKind.SERVER,
      attributes: { "network.protocol.name": transport },
    }, request);
    const session = new AnswerSession({
      span,
      client,
      mailbox,
      tracer,
      close,
      count: (mode, result) => this.#pings.add(1, { mode, result }),
      ended: () => {
        this.#sessions.add(-1, { transport });
        span.end();
        if (client && this.#byName.get(client.name) === session) this.#byName.delete(client.name);
      },
    });
    if (client) this.#byName.set(client.name, session);
    return session;
  }

  /** Answers a WebTransport session until it ends. */
  async answer(session: WebTransportSession, client: NamedClient | undefined): Promise<void> {
    const { fields } = session.request;
    const answers = this.begin("webtransport", client, (closeCode, reason) => {
      session.close({ closeCode, reason });
    }, contextOf((name) => fieldValue(fields, name)));
    answerBidirectional(session, answers, this.#options);
    answerUnidirectional(session, answers, this.#options);
    answerDatagrams(session, answers);
    const { by, closeCode } = await session.closed;
    answers.end(by === "peer" && closeCode === closeCodes.done);
  }
}

/** The context of a request, by its header fields: the trace that the client is in. */
export function contextOf(header: (name: string) => string | undefined): Context {
  return propagation.extract(ROOT_CONTEXT, undefined, {
    keys: () => [],
    get: (_, name) => header(name),
  });
}

interface AnswerSessionInit {
  span: Span;
  client: NamedClient | undefined;
  mailbox: Mailbox;
  tracer: Tracer;
  close: (code: number, reason: string) => void;
  count: (mode: Mode, result: "answered" | "repeated" | "malformed" | "ignored") => void;
  ended: () => void;
}

/** One session's pings and answers. */
export class AnswerSession {
  readonly #init: AnswerSessionInit;
  #waiting: KeptAnswer[];
  #closed = false;

  constructor(init: AnswerSessionInit) {
    this.#init = init;
    this.#waiting = init.client ? init.mailbox.waiting(init.client.name) : [];
    init.span.setAttribute("pingpong.mailbox.waiting", this.#waiting.length);
  }

  /** Ends the session from here; what still comes on it is left to the client's next one. */
  close(code: number, reason: string): void {
    this.#closed = true;
    this.#init.span.addEvent("closed by the server", { code, reason });
    this.#init.close(code, reason);
  }

  /** A frame or message that is none. Bad datagrams are left out; on a stream there is no way on. */
  malformed(mode: Mode, error: ProtocolError): void {
    this.#init.count(mode, "malformed");
    if (mode !== "datagram") this.close(closeCodes.malformed, error.message);
  }

  /** The frames of answers that an earlier session swallowed: on the first call, for the first channel. */
  takeWaiting(): Uint8Array[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting.map(({ seq, requestId }) =>
      encodeFrame({
        kind: "pong",
        id: pongId,
        requestId,
        data: pongText,
        extension: { seq, ackBelow: 0, fromMailbox: true },
      })
    );
  }

  /**
   * The frames of the answers to these messages, kept before they are returned. What is no ping is
   * ignored. Comes after {@linkcode takeWaiting}: whatever is kept is then on its way already.
   */
  answer(messages: readonly Message[], mode: Mode): Uint8Array[] {
    if (this.#closed) return [];
    return this.#init.client
      ? this.#init.mailbox.batch(() => this.#answerAll(messages, mode))
      : this.#answerAll(messages, mode);
  }

  /** The session is over; a client that is done needs nothing kept. */
  end(done: boolean): void {
    const { client, mailbox, span, ended } = this.#init;
    span.setAttribute("pingpong.done", done);
    if (done && client) {
      mailbox.batch(() => {
        mailbox.ackBelow(client.name, client.run, Number.MAX_SAFE_INTEGER);
        // Those of earlier runs went with the first channel's first bytes.
        if (this.#waiting.length === 0) mailbox.ackOtherRuns(client.name, client.run);
      });
    }
    ended();
  }

  #answerAll(messages: readonly Message[], mode: Mode): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (const message of messages) {
      const frame = this.#answerOne(message, mode);
      if (frame) frames.push(frame);
    }
    return frames;
  }

  #answerOne(message: Message, mode: Mode): Uint8Array | undefined {
    const { client, mailbox, count } = this.#init;
    if (message.kind !== "ping") {
      count(mode, "ignored");
      return undefined;
    }
    const { extension } = message;
    if (client && extension) {
      const { seq, ackBelow } = extension;
      mailbox.ackBelow(client.name, client.run, ackBelow);
      if (extension.mailboxReceived) mailbox.ackOtherRuns(client.name, client.run);
      if (mailbox.has(client.name, client.run, seq)) {
        // Sent in this session, now or at its start: it arrives, or the session ends and it is kept.
        count(mode, "repeated");
        return undefined;
      }
      mailbox.put(client.name, { run: client.run, seq, requestId: message.id });
    }
    count(mode, "answered");
    this.#trace(message, mode);
    return framePong(message.id);
  }

  #trace(ping: Ping, mode: Mode): void {
    const context = ping.extension?.trace;
    if (!context) return;
    const parent = trace.setSpanContext(ROOT_CONTEXT, { ...context, isRemote: true });
    const attributes: Attributes = { "pingpong.mode": mode, "pingpong.seq": ping.extension!.seq };
    this.#init.tracer.startSpan("pong", { kind: SpanKind.SERVER, attributes }, parent).end();
  }
}

interface StreamLimits {
  maxFrameBytes?: number;
  maxBurst?: number;
}

async function answerBidirectional(
  session: WebTransportSession,
  answers: AnswerSession,
  limits: StreamLimits,
): Promise<void> {
  for await (const { readable, writable } of session.incomingBidirectionalStreams) {
    const writer = writable.getWriter();
    answerStream(readable, writer, answers, "bidi", limits)
      // The peer's end is answered with ours, behind the last pong; a reset at once.
      .then(() => writer.close(), () => writer.abort())
      .catch(() => {
        // The session broke off: what could not be sent is kept.
      });
  }
}

/** All one-way streams of a client are answered on one of ours, which is there before any ping is read. */
async function answerUnidirectional(
  session: WebTransportSession,
  answers: AnswerSession,
  limits: StreamLimits,
): Promise<void> {
  let writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  try {
    for await (const stream of session.incomingUnidirectionalStreams) {
      writer ??= (await session.createUnidirectionalStream()).getWriter();
      answerStream(stream, writer, answers, "uni", limits).catch(() => {
        // As above.
      });
    }
  } catch {
    // The session ended before our stream could be opened.
  }
}

async function answerStream(
  readable: ReadableStream<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  answers: AnswerSession,
  mode: Mode,
  { maxFrameBytes, maxBurst = 256 }: StreamLimits,
): Promise<void> {
  const waiting = answers.takeWaiting();
  if (waiting.length > 0) await writer.write(joined(waiting));
  const decoder = new FrameDecoder(maxFrameBytes === undefined ? {} : { maxFrameBytes });
  const reader = new ChunkReader(readable);
  const messages: Message[] = [];
  const take = (message: Message) => void messages.push(message);
  try {
    for (let chunk = await reader.read(); chunk; chunk = await reader.read()) {
      try {
        decoder.push(chunk, take);
      } finally {
        // The pings before a bad frame deserve their answers, too.
        while (messages.length > 0) {
          const pongs = answers.answer(messages.splice(0, maxBurst), mode);
          // Waiting here is the limit on memory: a peer that does not read is not read from.
          if (pongs.length > 0) await writer.write(joined(pongs));
        }
      }
    }
    decoder.end();
  } catch (error) {
    if (error instanceof ProtocolError) answers.malformed(mode, error);
    // A stream that broke off takes the peer's credit until both its halves have ended.
    reader.cancel().catch(() => {});
    throw error;
  }
}

function joined(frames: readonly Uint8Array[]): Uint8Array {
  if (frames.length === 1) return frames[0]!;
  const whole = new Uint8Array(frames.reduce((sum, frame) => sum + frame.length, 0));
  let at = 0;
  for (const frame of frames) {
    whole.set(frame, at);
    at += frame.length;
  }
  return whole;
}

async function answerDatagrams(
  session: WebTransportSession,
  answers: AnswerSession,
): Promise<void> {
  while (true) {
    const datagram = await session.readDatagram();
    if (datagram === undefined) return;
    const pongs = answerMessage(datagram, answers, "datagram");
    for (const pong of pongs) {
      // Too large for the path, or the session has ended: a datagram may be lost.
      await session.sendDatagram(pong).catch(() => {});
    }
  }
}

/** The answers to a message that stands alone, and those that an earlier session swallowed: messages, too. */
export function answerMessage(
  bytes: Uint8Array,
  answers: AnswerSession,
  mode: "datagram" | "websocket",
): Uint8Array[] {
  let message: Message;
  try {
    message = decodeMessage(bytes);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    answers.malformed(mode, error);
    return [];
  }
  return [...answers.takeWaiting(), ...answers.answer([message], mode)].map(messageIn);
}

/** The message of a frame. */
export function messageIn(frame: Uint8Array): Uint8Array {
  return frame.subarray(lengthBytes);
}
