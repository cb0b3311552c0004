/**
 * One request and its answer: `node:http`'s as the `Request` that handlers take, and a `Response`
 * as what `node:http` sends.
 *
 * npm `@hono/node-server` does the same. It was measured (2.1.9, Deno 2.9.6, processor time a request
 * of 1 KiB): bare `node:http` 55 µs, that library 114, and 130 without the replacement of the globals
 * `Request` and `Response`, which `Deno.serve` in the same process does not bear. Here what costs is
 * made only when it is asked for: a body is read without a web stream, and a short answer is sent
 * without one.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Buffer } from "node:buffer";

/** What else is known of a request. */
export interface RequestInfo {
  /** Who asks. */
  readonly remoteAddr: Deno.NetAddr;
}

/** A request as node:http has it, with the socket of one that asks for an upgrade. */
export interface NodeRequest {
  readonly incoming: IncomingMessage;
  /** Set where the client has asked to go on with a WebSocket. */
  readonly upgrade?: { readonly socket: Socket; readonly head: Uint8Array } | undefined;
  /** Set where the client waits for a word before it sends the body (`Expect: 100-continue`); says it. */
  askForBody?: (() => void) | undefined;
}

const nodeRequests = new WeakMap<Request, NodeRequest>();

/** What node:http knows of a request; nothing if it is not of one of our servers. */
export function nodeRequestOf(request: Request): NodeRequest | undefined {
  return nodeRequests.get(request);
}

/** A host as it stands in an authority: anything else would move what comes after it in the URL. */
const authority = /^[\w.~%!$&'()*+,;=:[\]-]+$/;

/**
 * The request that handlers take; nothing where its target or its `Host` is none.
 *
 * @param base `http://127.0.0.1:8080`, for requests of HTTP/1.0 without a `Host`
 */
export function toRequest(node: NodeRequest, base: string): Request | undefined {
  const { incoming } = node;
  const { url: target = "/", headers: { host } } = incoming;
  const origin = host === undefined ? base : base.slice(0, base.indexOf("//") + 2) + host;
  if (host !== undefined && !authority.test(host)) return undefined;
  let path = target;
  if (!target.startsWith("/")) {
    // RFC 9112, section 3.2: the absolute form, as proxies are asked, and `OPTIONS *`.
    const whole = target === "*" ? undefined : URL.parse(target);
    if (target !== "*" && !whole) return undefined;
    path = whole ? whole.pathname + whole.search : "/*";
  }
  const request = new IncomingRequest(node, origin + path) as unknown as Request;
  nodeRequests.set(request, node);
  return request;
}

/** As much of a `Request` as handlers use; what else one has is asked of a real one. */
class IncomingRequest {
  readonly #node: NodeRequest;
  readonly #incoming: IncomingMessage;
  readonly url: string;
  #headers: Headers | undefined;
  #body: ReadableStream<Uint8Array> | undefined;
  #used = false;
  #gone: AbortController | undefined;

  constructor(node: NodeRequest, url: string) {
    this.#node = node;
    this.#incoming = node.incoming;
    this.url = url;
  }

  get method(): string {
    return this.#incoming.method ?? "GET";
  }

  get headers(): Headers {
    if (this.#headers) return this.#headers;
    const { rawHeaders } = this.#incoming;
    const headers = new Headers();
    for (let i = 0; i < rawHeaders.length; i += 2) {
      headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
    }
    return this.#headers = headers;
  }

  /** Aborted when the client goes away before it was answered. */
  get signal(): AbortSignal {
    if (this.#gone) return this.#gone.signal;
    const gone = this.#gone = new AbortController();
    const { socket } = this.#incoming;
    const abort = () => gone.abort(new DOMException("The client went away", "AbortError"));
    if (socket.destroyed) abort();
    else {
      socket.once("close", abort);
      endings.set(this.#incoming, () => socket.off("close", abort));
    }
    return gone.signal;
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (!hasBody(this.#incoming)) return null;
    return this.#body ??= this.#stream();
  }

  get bodyUsed(): boolean {
    return this.#used;
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const chunks = await this.#chunks();
    return copyOf(chunks);
  }

  async text(): Promise<string> {
    const chunks = await this.#chunks();
    return new TextDecoder().decode(chunks.length === 1 ? chunks[0] : copyOf(chunks));
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer;
  }

  async blob(): Promise<Blob> {
    return await (await this.#real()).blob();
  }

  async formData(): Promise<FormData> {
    return await (await this.#real()).formData();
  }

  async #real(): Promise<Response> {
    const type = this.headers.get("content-type");
    return new Response(await this.bytes(), {
      headers: type === null ? {} : { "content-type": type },
    });
  }

  async #chunks(): Promise<readonly Uint8Array[]> {
    if (this.#body) {
      const body = new Response(this.#body as ReadableStream<Uint8Array<ArrayBuffer>>);
      return [await body.bytes()];
    }
    this.#use();
    return hasBody(this.#incoming) ? await readAll(this.#incoming) : [];
  }

  #use(): void {
    if (this.#used) throw new TypeError("The body has been read already");
    this.#used = true;
    this.#node.askForBody?.();
    this.#node.askForBody = undefined;
  }

  #stream(): ReadableStream<Uint8Array> {
    this.#use();
    const incoming = this.#incoming;
    let ended = false;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        onBody(incoming, {
          chunk: (chunk) => {
            if (ended) return;
            controller.enqueue(chunk);
            incoming.pause();
          },
          end: (error) => {
            if (ended) return;
            ended = true;
            if (error) controller.error(error);
            else controller.close();
          },
        });
        incoming.pause();
      },
      pull: () => void incoming.resume(),
      cancel: () => {
        ended = true;
        // What still comes is thrown away; how much that may be is the server's affair.
        incoming.resume();
      },
    }, { highWaterMark: 0 });
  }
}

// So that `request instanceof Request` holds; of Request's own accessors none is reached.
Object.setPrototypeOf(IncomingRequest.prototype, Request.prototype);

/** What is to be taken back when a request has been answered. */
const endings = new WeakMap<IncomingMessage, () => void>();

/** Whether a request says that it has a body (RFC 9112, section 6.3). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined ||
    (headers["content-length"] !== undefined && headers["content-length"] !== "0");
}

function readAll(incoming: IncomingMessage): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    onBody(incoming, {
      chunk: (chunk) => void chunks.push(chunk),
      end: (error) => error ? reject(error) : resolve(chunks),
    });
  });
}

function onBody(
  incoming: IncomingMessage,
  { chunk, end }: { chunk: (chunk: Uint8Array) => void; end: (error?: Error) => void },
): void {
  const cut = () => {
    if (!incoming.readableEnded) {
      end(new Error("The connection ended before the whole body had come"));
    }
  };
  if (incoming.destroyed && !incoming.readableEnded) return cut();
  incoming.on("data", chunk);
  incoming.once("end", () => end());
  // Always followed by `close`.
  incoming.on("error", () => {});
  incoming.once("close", cut);
}

function copyOf(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

/** Answers of these types are whole when they are made: they go out in one piece, with their length. */
const wholeTypes = new Set([
  "application/json",
  "application/problem+json",
  "application/x-protobuf",
  "text/html",
  "text/plain",
]);

/** A write of so much at once; a peer that reads slowly shows by when it takes the next. */
const pieceBytes = 65_536;

/**
 * Sends an answer. It resolves when all of it is on its way, and never rejects: a client that has
 * gone, or a body that fails, ends the connection.
 *
 * Answers as JSON, plain text and HTML are sent whole once their body has ended; whatever may never
 * end needs another type, as `text/event-stream` is.
 */
export async function sendResponse(
  response: Response,
  node: NodeRequest,
  outgoing: ServerResponse,
): Promise<void> {
  const { incoming } = node;
  try {
    if (outgoing.destroyed || incoming.socket.destroyed) return await response.body?.cancel();
    await send(response, node, outgoing);
  } catch {
    // The answer has begun, so all that is left to say is that it is not whole.
    incoming.socket.destroy();
  } finally {
    endings.get(incoming)?.();
  }
}

async function send(
  response: Response,
  { incoming, askForBody }: NodeRequest,
  outgoing: ServerResponse,
): Promise<void> {
  const { status, headers } = response;
  const bodiless = incoming.method === "HEAD" || status === 204 || status === 304;
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim() ?? "";
  const whole = !bodiless && wholeTypes.has(type) ? await response.bytes() : undefined;
  const fields: string[] = [];
  for (const [name, value] of headers) {
    // The server's own affair, but that it closes.
    if (name === "transfer-encoding" || (name === "content-length" && whole)) continue;
    fields.push(name, value);
  }
  if (whole) fields.push("content-length", String(whole.length));
  // Nobody knows whether the body that was not asked for comes or the next request does.
  if (askForBody) outgoing.shouldKeepAlive = false;
  outgoing.writeHead(status, fields);
  if (bodiless) {
    outgoing.end();
    // As of a HEAD that was answered by a route for GET.
    if (response.body) await response.body.cancel();
    return;
  }
  if (whole && whole.length <= pieceBytes) return void outgoing.end(whole);
  if (whole) await writeWhole(whole, outgoing);
  else if (response.body) await pump(response.body, outgoing);
  outgoing.end();
}

async function writeWhole(bytes: Uint8Array, outgoing: ServerResponse): Promise<void> {
  for (let from = 0; from < bytes.length; from += pieceBytes) {
    if (!await write(bytes.subarray(from, from + pieceBytes), outgoing)) return;
  }
}

async function pump(body: ReadableStream<Uint8Array>, outgoing: ServerResponse): Promise<void> {
  const reader = body.getReader();
  // The client's end ends the stream, also while it has nothing to say.
  const gone = () => void reader.cancel().catch(() => {});
  outgoing.once("close", gone);
  outgoing.flushHeaders();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || outgoing.destroyed) return;
      await write(value, outgoing);
    }
  } finally {
    outgoing.off("close", gone);
  }
}

/** Resolves when there is room for more: false when there never will be, as the client has gone. */
function write(bytes: Uint8Array, outgoing: ServerResponse): boolean | Promise<boolean> {
  if (outgoing.destroyed) return false;
  if (outgoing.write(bytes)) return true;
  return new Promise((resolve) => {
    const settle = (more: boolean) => {
      outgoing.off("drain", drained);
      outgoing.off("close", closed);
      resolve(more);
    };
    const drained = () => settle(true);
    const closed = () => settle(false);
    outgoing.once("drain", drained);
    outgoing.once("close", closed);
  });
}

/** An answer in HTTP/1.1 for a peer whose connection never became a request. */
export function rawAnswer(status: number, reason: string, problem: string): Uint8Array {
  const body = Buffer.from(problem);
  return Buffer.concat([
    Buffer.from(
      `HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/problem+json\r\n` +
        `content-length: ${body.length}\r\nconnection: close\r\n${
          status === 503 ? "retry-after: 1\r\n" : ""
        }\r\n`,
    ),
    body,
  ]);
}
