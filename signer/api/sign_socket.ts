/**
 * The WebSocket of `/sign/ws`, in two dialects.
 *
 * Plain text: each text frame is a message, each answer one frame, `ok: <signature>` or
 * `error: <what>`, in the order of the questions; the next message is begun after the answer to
 * the last. Subprotocol `orrery.signer.v1+json`: `{id, message, encoding?}` in,
 * `{id, ok}` or `{id, error}` out, many at a time, in any order.
 *
 * @module
 */
import {
  type Context,
  propagation,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  trace,
} from "@opentelemetry/api";
import type { Telemetry } from "../../service/telemetry.ts";
import { fail } from "../../service/bus/messaging_telemetry.ts";
import type { Requester } from "../work/requester.ts";
import { SignError, toSignError } from "../work/sign_error.ts";
import { fromBase64, toBase64, toDer } from "../keys/signing.ts";
import { parseMessage, type SignatureFormat } from "./sign_message.ts";
import { SocketOutput, type SocketOutputOptions } from "./socket_output.ts";
import type { SignAnswer } from "../work/wire.ts";

/** The subprotocol that speaks JSON. */
export const jsonProtocol = "orrery.signer.v1+json";

/** Options of {@linkcode serveTextSocket} and {@linkcode serveJsonSocket}. */
export interface SignSocketOptions extends SocketOutputOptions {
  /** Has the messages signed. */
  requester: Requester;
  /** Where each message's span goes. */
  telemetry: Pick<Telemetry, "tracer">;
  /** Who speaks, for the audit log. */
  actor: string;
  /** The upgrade's span, which each message's span links to. @default no link */
  connection?: SpanContext;
  /** What messages of all text sockets may wait for their turn together. */
  waiting: WaitingTexts;
  /** Messages of one socket that are under way (JSON) or wait for their turn (text). @default 256 */
  maxInFlightPerSocket?: number;
}

/** Texts that wait on all sockets: shared, as a process has one memory. */
export interface WaitingTexts {
  /** Their characters now. */
  length: number;
  /** The most; a message beyond it is answered as overloaded. */
  readonly maxLength: number;
}

/** A socket being served. */
export interface SignSocket {
  /** Takes no more messages; resolves when those under way are answered. */
  finish(): Promise<void>;
  /** The socket has closed: forgets all. */
  end(): void;
}

/** Work that is counted, to wait until there is none. */
function counter() {
  let count = 0;
  let onNone = () => {};
  return {
    get count() {
      return count;
    },
    begin: () => void count++,
    done() {
      if (--count === 0) onNone();
    },
    none: () => count === 0 ? Promise.resolve() : new Promise<void>((r) => onNone = r),
  };
}

/**
 * Serves a socket without subprotocol.
 *
 * @example
 * ```ts
 * const served = serveTextSocket(socket, { requester, telemetry, actor: "ann", waiting });
 * socket.onclose = () => served.end();
 * ```
 */
export function serveTextSocket(socket: WebSocket, options: SignSocketOptions): SignSocket {
  const { requester, actor, waiting, maxInFlightPerSocket = 256 } = options;
  const output = new SocketOutput(socket, options);
  const work = counter();
  let last: Promise<void> = Promise.resolve();
  let finishing = false;
  let ended = false;

  socket.onmessage = ({ data }) => {
    if (ended) return;
    // What is refused waits for its turn as well, but is not kept: answers come in order.
    const question: string | SignError = finishing
      ? new SignError("unavailable")
      : typeof data !== "string"
      ? new SignError("invalid")
      : data.length > requester.maxMessageBytes
      ? new SignError("too-large")
      : work.count >= maxInFlightPerSocket || waiting.length + data.length > waiting.maxLength
      ? new SignError("overloaded")
      : data;
    if (work.count >= maxInFlightPerSocket * 4) {
      ended = true;
      return output.cut(1008, "too many messages wait");
    }
    const length = typeof question === "string" ? question.length : 0;
    waiting.length += length;
    work.begin();
    last = last.then(async () => {
      if (!ended) output.send(await answer(question));
      // Who does not read the answers gets no more of them made.
      await output.drained();
      waiting.length -= length;
      work.done();
    });
  };

  async function answer(question: string | SignError): Promise<string> {
    if (question instanceof SignError) return textError(question);
    const message = new TextEncoder().encode(question);
    return await traced(options, "text", ROOT_CONTEXT, message.length, async (active) => {
      try {
        const { payload } = await requester.request({ message, actor }, active);
        return { text: `ok: ${payload}`, error: undefined };
      } catch (error) {
        return { text: textError(toSignError(error)), error: toSignError(error) };
      }
    });
  }

  return {
    finish() {
      finishing = true;
      return work.none();
    },
    end() {
      ended = true;
      output.end();
    },
  };
}

function textError(error: SignError): string {
  return `error: ${error.title.toLowerCase()}`;
}

/**
 * Serves a socket that speaks {@linkcode jsonProtocol}.
 *
 * @example
 * ```ts
 * const { socket, response } = await upgradeWebSocket(request, { protocol: jsonProtocol });
 * const served = serveJsonSocket(socket, { requester, telemetry, actor: "ann", waiting });
 * ```
 */
export function serveJsonSocket(socket: WebSocket, options: SignSocketOptions): SignSocket {
  const { requester, actor, maxInFlightPerSocket = 256 } = options;
  const output = new SocketOutput(socket, options);
  const work = counter();
  let finishing = false;
  let ended = false;

  socket.onmessage = ({ data }) => {
    if (ended) return;
    const frame = parseFrame(data);
    if (frame instanceof InvalidFrame) {
      return output.send(JSON.stringify({ id: frame.id, error: frame.error }));
    }
    if (finishing || work.count + output.queued >= maxInFlightPerSocket) {
      const error = new SignError(finishing ? "unavailable" : "overloaded");
      return output.send(JSON.stringify({ id: frame.id, error }));
    }
    work.begin();
    answer(frame).then((text) => {
      output.send(text);
      work.done();
    });
  };

  function answer({ id, message, binary, format, traceparent }: Frame): Promise<string> {
    const parent = traceparent ? propagation.extract(ROOT_CONTEXT, { traceparent }) : ROOT_CONTEXT;
    return traced(options, jsonProtocol, parent, message.length, async (active) => {
      const traceId = trace.getSpanContext(active)?.traceId;
      try {
        const ok = publicAnswer(
          await requester.request({ message, binary, actor }, active),
          format,
        );
        return { text: JSON.stringify({ id, ok, traceId }), error: undefined };
      } catch (error) {
        const known = toSignError(error);
        return { text: JSON.stringify({ id, error: known, traceId }), error: known };
      }
    });
  }

  return {
    finish() {
      finishing = true;
      return work.none();
    },
    end() {
      ended = true;
      output.end();
    },
  };
}

/** A signature as users see it. */
export interface PublicAnswer {
  /** Base64. */
  signature: string;
  /** `ed25519`, `es256` or `base64`. */
  algorithm: string;
  /** Null for `base64`, which has no key. */
  keyId: string | null;
}

/** An answer as users see it; a service that does not name its algorithm is the original, which knows one. */
export function publicAnswer(
  { payload, ...answer }: SignAnswer,
  format: SignatureFormat,
): PublicAnswer {
  const { algorithm = "base64" } = answer;
  if (format === "der" && algorithm !== "es256") {
    throw new SignError("invalid", `'format' can be 'der' for es256 alone; this is ${algorithm}.`);
  }
  const raw = format === "der" ? fromBase64(payload) : undefined;
  return {
    signature: raw ? toBase64(toDer(raw)) : payload,
    algorithm,
    keyId: answer.keyId ?? null,
  };
}

interface Frame {
  id: string | number;
  message: Uint8Array;
  binary: boolean;
  format: SignatureFormat;
  traceparent: string | undefined;
}

/** A frame that is no question, with the id it may have. */
class InvalidFrame {
  constructor(readonly id: string | number | null, readonly error: SignError) {}
}

function parseFrame(data: unknown): Frame | InvalidFrame {
  if (typeof data !== "string") {
    return new InvalidFrame(null, new SignError("invalid", "Send text frames, not binary ones."));
  }
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch {
    return new InvalidFrame(null, new SignError("invalid", "The frame is not JSON."));
  }
  const { id, traceparent } = (json ?? {}) as { id?: unknown; traceparent?: unknown };
  const hasId = (typeof id === "string" && id.length <= 128) ||
    (typeof id === "number" && Number.isFinite(id));
  if (!hasId) {
    const detail = "'id' must be a number, or a text of at most 128 characters.";
    return new InvalidFrame(null, new SignError("invalid", detail));
  }
  if (typeof id === "number" && !comesBack(id, data)) {
    const detail = `'id' would come back as ${JSON.stringify(id)}: send it as a text.`;
    return new InvalidFrame(null, new SignError("invalid", detail));
  }
  try {
    return {
      id,
      ...parseMessage(json),
      traceparent: typeof traceparent === "string" ? traceparent : undefined,
    };
  } catch (error) {
    return new InvalidFrame(id, toSignError(error));
  }
}

/** Whether a number means what stands in the text: 9007199254740993 is …992 once it is parsed. */
function comesBack(id: number, json: string): boolean {
  if (Number.isSafeInteger(id) && !Object.is(id, -0)) return true;
  let source: string | undefined;
  JSON.parse(
    json,
    function (this: unknown, key, value, context?: { source?: string }) {
      // The outermost object is revived last, so the last `id` before it is its own.
      if (key === "id" && typeof value === "number") source = context?.source;
      return value;
    } as Parameters<typeof JSON.parse>[1],
  );
  return source === JSON.stringify(id);
}

/** A span for one message on a socket: the root of its trace, unless the browser began one. */
async function traced(
  { telemetry, connection }: SignSocketOptions,
  dialect: string,
  parent: Context,
  bytes: number,
  work: (active: Context) => Promise<{ text: string; error: SignError | undefined }>,
): Promise<string> {
  const span = telemetry.tracer.startSpan("message /sign/ws", {
    kind: SpanKind.SERVER,
    attributes: {
      "network.protocol.name": "websocket",
      "url.path": "/sign/ws",
      "signer.socket.dialect": dialect,
      "signer.message.size": bytes,
    },
    links: connection ? [{ context: connection }] : [],
  }, parent);
  const { text, error } = await work(trace.setSpan(parent, span));
  if (error) fail(span, error.kind);
  span.end();
  return text;
}
