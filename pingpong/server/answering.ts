/**
 * The server's side of ping-pong: every ping gets its pong on the channel it came by, whatever
 * carries it. For a client that named itself the answers are kept in the mailbox until it has
 * them, and those that a broken session swallowed come first in its next one.
 *
 * @module
 */
import {
  type Context,
  type Counter,
  type Meter,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  type Tracer,
  type UpDownCounter,
} from "@opentelemetry/api";
import { fieldValue, type WebTransportSession } from "../http3/mod.ts";
import { closeCodes, type NamedClient } from "../protocol/session_terms.ts";
import { AnswerSession } from "./answer_session.ts";
import type { Mailbox } from "./mailbox.ts";
import { answerChannels } from "./webtransport_channels.ts";

/** Options of {@linkcode Answering}. */
export interface AnsweringOptions {
  /** Keeps the answers of named clients. */
  mailbox: Mailbox;
  /** Makes the spans of pings that carry a trace context. */
  tracer: Tracer;
  /** Makes the instruments. */
  meter: Meter;
  /** The most bytes a frame may have, at least 1. @default 1_048_576 */
  maxFrameBytes?: number;
  /** The most pings answered in one go before other sessions have their turn, at least 1. @default 256 */
  maxBurst?: number;
}

/**
 * Answers the pings of all sessions.
 *
 * @example
 * ```ts
 * const answering = new Answering({ mailbox: new MemoryMailbox(), tracer, meter });
 * serve({ port: 4433, cert, key, onSession: (session) => answering.answer(session, undefined) });
 * ```
 */
export class Answering {
  readonly #options: AnsweringOptions;
  /** The session that each named client has now. */
  readonly #byName = new Map<string, AnswerSession>();
  readonly #pings: Counter;
  readonly #sessions: UpDownCounter;

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
    answerChannels(session, answers, this.#options);
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
