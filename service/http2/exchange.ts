/**
 * A stream of HTTP/2 (RFC 9113): one request and its answer.
 *
 * @module
 */
import type http2 from "node:http2";
import { type AnswerSink, dateText, pieceBytes, wholeTypes, writeBody } from "../http1/answer.ts";
import { RequestBody } from "../http1/request_body.ts";
import type { RequestHead } from "../http1/request_parser.ts";
import type { HttpConnection, HttpExchange } from "../http_exchange.ts";
import { problemResponse } from "../problem.ts";
import { nodeHttp2 } from "./node_http2.ts";

/** A header may be as large as with HTTP/1.1; who sends more is told so, which a setting would not. */
const maxHeaderBytes = 16_384;

/** What an exchange tells its connection. */
export interface ExchangeOwner extends HttpConnection {
  monotonicMs(): number;
  /** The stream is over. */
  onClose(exchange: Http2Exchange): void;
}

/** A request and its answer. */
export class Http2Exchange implements HttpExchange, AnswerSink {
  readonly head: RequestHead;
  readonly body: RequestBody | undefined;
  readonly stream: http2.ServerHttp2Stream;
  awaitsBody: boolean;
  readonly #connection: ExchangeOwner;
  readonly #sinceMs: number;
  #answeredMs: number | undefined;
  /** Since when the peer has taken nothing. */
  #stuckSinceMs: number | undefined;
  #room: PromiseWithResolvers<boolean> | undefined;
  #gone: (() => void)[] | undefined;

  constructor(
    stream: http2.ServerHttp2Stream,
    headers: http2.IncomingHttpHeaders,
    connection: ExchangeOwner,
  ) {
    this.stream = stream;
    this.#connection = connection;
    this.#sinceMs = connection.monotonicMs();
    this.head = headOf(headers, !stream.endAfterHeaders);
    this.awaitsBody = this.head.hasBody && this.head.expect === "100-continue";
    this.body = this.head.hasBody ? new RequestBody(() => this.#flow()) : undefined;
    // Always followed by `close`.
    stream.on("error", () => {});
    stream.on("drain", this.#onDrain);
    stream.once("close", this.#onClose);
    // One that is reset ends, too, and has not come whole: `close` says so.
    stream.once("end", () => {
      if (!stream.closed) this.body?.end();
    });
    stream.on("data", (piece: Uint8Array) => {
      this.body?.push(piece);
      this.#flow();
    });
  }

  get peer(): Deno.NetAddr {
    return this.#connection.peer;
  }

  get isGone(): boolean {
    return this.stream.destroyed || this.stream.closed;
  }

  get isAnswered(): boolean {
    return this.#answeredMs !== undefined;
  }

  /** Since when the request has been under way, in milliseconds. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** Since when it has been answered, in milliseconds. */
  get answeredMs(): number | undefined {
    return this.#answeredMs;
  }

  /** Since when the peer has taken nothing of the answer, in milliseconds. */
  get stuckSinceMs(): number | undefined {
    return this.#stuckSinceMs;
  }

  askForBody(): void {
    if (!this.awaitsBody) return;
    this.awaitsBody = false;
    if (!this.isAnswered && !this.isGone) this.stream.additionalHeaders({ ":status": 100 });
  }

  onGone(callback: () => void): () => void {
    if (this.isGone) callback();
    else (this.#gone ??= []).push(callback);
    return () => this.#gone = this.#gone?.filter((one) => one !== callback);
  }

  write(bytes: Uint8Array): true | Promise<boolean> {
    if (this.isGone) return Promise.resolve(false);
    if (this.stream.write(bytes)) return true;
    this.#stuckSinceMs ??= this.#connection.monotonicMs();
    return (this.#room ??= Promise.withResolvers()).promise;
  }

  answer(response: Response): void {
    if (this.isAnswered || this.isGone) {
      // Nobody reads it, and whether its end fails is nobody's affair either.
      if (!response.bodyUsed) response.body?.cancel().catch(() => {});
      return;
    }
    this.#answeredMs = this.#connection.monotonicMs();
    // Once the answer has begun all that is left to say of a failure is that it is not whole.
    this.#send(response).catch(() =>
      this.stream.close(nodeHttp2().constants.NGHTTP2_INTERNAL_ERROR)
    );
  }

  async #send(response: Response): Promise<void> {
    const { status, body } = response;
    const fields = answerFields(response);
    const type = String(fields["content-type"] ?? "").split(";", 1)[0]!.trim();
    if (this.head.method === "HEAD" || status === 204 || status === 304) {
      this.stream.respond(fields, { endStream: true });
      // As of a HEAD that was answered by a route for GET.
      await body?.cancel();
    } else if (wholeTypes.has(type)) {
      const bytes = await response.bytes();
      if (this.isGone) return;
      this.stream.respond({ ...fields, "content-length": bytes.length });
      await this.#writeWhole(bytes);
    } else {
      this.stream.respond(fields);
      const length = fields["content-length"];
      if (body) await writeBody(body, this, length === undefined ? undefined : Number(length));
    }
    this.stream.end();
    this.body?.discard();
  }

  async #writeWhole(body: Uint8Array): Promise<void> {
    let hasRoom = true;
    for (let from = 0; hasRoom && from < body.length; from += pieceBytes) {
      hasRoom = await this.write(body.subarray(from, from + pieceBytes));
    }
  }

  /** Reads on, or waits with it: what the reader has not taken uses the stream's window up. */
  #flow(): void {
    if (this.body?.isFull) this.stream.pause();
    else if (this.stream.isPaused()) this.stream.resume();
  }

  readonly #onDrain = (): void => {
    this.#stuckSinceMs = undefined;
    this.#room?.resolve(true);
    this.#room = undefined;
  };

  readonly #onClose = (): void => {
    this.#room?.resolve(false);
    this.body?.end(new Error("The stream ended before the whole body had come"));
    for (const callback of this.#gone ?? []) callback();
    this.#connection.onClose(this);
  };
}

/** The head as that of a request of HTTP/1.1 would be (RFC 9113, section 8.3.1). */
function headOf(headers: http2.IncomingHttpHeaders, hasBody: boolean): RequestHead {
  const { ":authority": authority, host: named, expect } = headers;
  const host = authority ?? named;
  const fields: string[] = host === undefined ? [] : ["host", host];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || name === "host" || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) fields.push(name, one);
  }
  return {
    method: headers[":method"] ?? "",
    target: headers[":path"] ?? "",
    fields,
    host,
    hosts: host === undefined ? 0 : named !== undefined && named !== host ? 2 : 1,
    expect: expect?.toLowerCase(),
    version: "2",
    keepsAlive: true,
    hasBody,
    asksForWebSocket: false,
  };
}

/** What a request is told whose header is larger than one may be; nothing if it is not. */
export function tooLarge({ target, fields }: RequestHead): Response | undefined {
  const size = fields.reduce((sum, one) => sum + one.length, target.length);
  if (size <= maxHeaderBytes) return undefined;
  return problemResponse(431, {
    title: "Request Header Fields Too Large",
    detail: "The header is too large. Send less of it.",
  });
}

/** Affairs of a connection of HTTP/1.1, which an answer of HTTP/2 may not have (RFC 9113, section 8.2.2). */
const connectionFields = new Set([
  ...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"],
]);

function answerFields({ status, headers }: Response): http2.OutgoingHttpHeaders {
  const fields: http2.OutgoingHttpHeaders = { ":status": status, date: dateText() };
  headers.forEach((value, name) => {
    if (connectionFields.has(name) || name === "date" || name === "set-cookie") return;
    fields[name] = value;
  });
  const cookies = headers.getSetCookie();
  if (cookies.length > 0) fields["set-cookie"] = cookies;
  return fields;
}
