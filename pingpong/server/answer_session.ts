/**
 * One session's pings and answers: each ping is answered once, and for a named client each answer
 * is kept before it is sent.
 *
 * @module
 */
import {
  type Attributes,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { encodeFrame, frameHeadBytes, pongFramer } from "../protocol/frames.ts";
import type { Message, Ping } from "../protocol/message.ts";
import type { ProtocolError } from "../protocol/protocol_error.ts";
import { closeCodes, type Mode, type NamedClient } from "../protocol/session_terms.ts";
import type { KeptAnswer, Mailbox } from "./mailbox.ts";

const pongText = "Pong!";
const pongId = idOf(pongText);
const framePong = pongFramer(pongId, pongText);

/** A message's id is the SHA-256 of its text, as the original has it. */
function idOf(text: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(text).digest());
}

/** What came of a ping, for the counters. */
export type PingResult = "answered" | "repeated" | "malformed" | "ignored";

/** What a session needs. */
export interface AnswerSessionInit {
  span: Span;
  client: NamedClient | undefined;
  mailbox: Mailbox;
  tracer: Tracer;
  close: (code: number, reason: string) => void;
  count: (mode: Mode, result: PingResult) => void;
  ended: () => void;
}

/** One session's pings and answers. */
export class AnswerSession {
  readonly #init: AnswerSessionInit;
  #waiting: KeptAnswer[];
  #closed = false;
  /** Frames pongs whose text has so many bytes: a client's pings are all of one size. */
  #sized: { bytes: number; frame: (requestId: Uint8Array) => Uint8Array } | undefined;

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
   * ignored. A pong of the ping's size is of the usual one where it would have more than `maxBytes`
   * without its head. Comes after {@linkcode takeWaiting}: whatever is kept is then on its way already.
   */
  answer(messages: readonly Message[], mode: Mode, maxBytes = Infinity): Uint8Array[] {
    if (this.#closed) return [];
    return this.#init.client
      ? this.#init.mailbox.batch(() => this.#answerAll(messages, mode, maxBytes))
      : this.#answerAll(messages, mode, maxBytes);
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

  #answerAll(messages: readonly Message[], mode: Mode, maxBytes: number): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (const message of messages) {
      const frame = this.#answerOne(message, mode, maxBytes);
      if (frame) frames.push(frame);
    }
    return frames;
  }

  #answerOne(message: Message, mode: Mode, maxBytes: number): Uint8Array | undefined {
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
    if (!extension?.sizedPong) return framePong(message.id);
    const frame = this.#sizedFramer(message.data)(message.id);
    return frame.length - frameHeadBytes > maxBytes ? framePong(message.id) : frame;
  }

  #sizedFramer(data: string): (requestId: Uint8Array) => Uint8Array {
    const bytes = Buffer.byteLength(data);
    if (this.#sized?.bytes !== bytes) {
      const text = pongText.repeat(Math.ceil(bytes / pongText.length)).slice(0, bytes);
      this.#sized = { bytes, frame: pongFramer(idOf(text), text) };
    }
    return this.#sized.frame;
  }

  #trace(ping: Ping, mode: Mode): void {
    const context = ping.extension?.trace;
    if (!context) return;
    const parent = trace.setSpanContext(ROOT_CONTEXT, { ...context, isRemote: true });
    const attributes: Attributes = { "pingpong.mode": mode, "pingpong.seq": ping.extension!.seq };
    this.#init.tracer.startSpan("pong", { kind: SpanKind.SERVER, attributes }, parent).end();
  }
}
