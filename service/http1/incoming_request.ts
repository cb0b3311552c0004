/**
 * A request of a connection as the `Request` that handlers take. What costs is made only when it is
 * asked for: a body is read without a web stream, and `Headers` where one looks at them.
 *
 * @module
 */
import type { Socket } from "node:net";
import { joined, releasePieces, type RequestBody } from "./request_body.ts";
import type { RequestHead } from "./request_parser.ts";

/** What a request is made from. */
export interface RequestSource {
  readonly head: RequestHead;
  /** Missing where there is none. */
  readonly body: RequestBody | undefined;
  /** Where the client has asked to go on with a WebSocket: its socket, and what came behind the request. */
  readonly upgrade?: { readonly socket: Socket; readonly head: Uint8Array } | undefined;
  /** Says to a client that waits for it that the body is wanted (`Expect: 100-continue`). */
  askForBody(): void;
  /** Calls once when the client goes away before it was answered. */
  onGone(callback: () => void): void;
}

const sources = new WeakMap<Request, RequestSource>();

/** What a request was made from; nothing if it is not of one of our servers. */
export function sourceOf(request: Request): RequestSource | undefined {
  return sources.get(request);
}

/** A host as it stands in an authority: anything else would move what comes after it in the URL. */
const authority = /^[\w.~%!$&'()*+,;=:[\]-]+$/;

/**
 * The request that handlers take; nothing where its target or its `Host` is none.
 *
 * @param base `http://127.0.0.1:8080`, for requests of HTTP/1.0 without a `Host`
 * @param basePath what is taken away from the begin of the path, if it is there
 */
export function toRequest(
  source: RequestSource,
  base: string,
  basePath = "",
): Request | undefined {
  const { target, host } = source.head;
  const origin = host === undefined ? base : base.slice(0, base.indexOf("//") + 2) + host;
  if (host !== undefined && !authority.test(host)) return undefined;
  let path = target;
  if (!target.startsWith("/")) {
    // RFC 9112, section 3.2: the absolute form, as proxies are asked, and `OPTIONS *`.
    const whole = target === "*" ? undefined : URL.parse(target);
    if (target !== "*" && !whole) return undefined;
    path = whole ? whole.pathname + whole.search : "/*";
  }
  const request = new IncomingRequest(
    source,
    origin + withoutPrefix(path, basePath),
  ) as unknown as Request;
  // Who upgrades is all that asks.
  if (source.upgrade) sources.set(request, source);
  return request;
}

/** `/orrery/api?q=1` without `/orrery`; `/orreryx` is another path. */
function withoutPrefix(path: string, prefix: string): string {
  const rest = path.slice(prefix.length);
  if (prefix === "" || !path.startsWith(prefix) || !/^(?:[/?]|$)/.test(rest)) return path;
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** As much of a `Request` as handlers use; what else one has is asked of a real one. */
class IncomingRequest {
  readonly #source: RequestSource;
  readonly url: string;
  readonly method: string;
  #headers: Headers | undefined;
  #body: ReadableStream<Uint8Array> | undefined;
  #used = false;
  #gone: AbortController | undefined;

  constructor(source: RequestSource, url: string) {
    this.#source = source;
    this.url = url;
    this.method = source.head.method;
  }

  get headers(): Headers {
    if (this.#headers) return this.#headers;
    const { fields } = this.#source.head;
    const headers = new Headers();
    for (let i = 0; i < fields.length; i += 2) headers.append(fields[i]!, fields[i + 1]!);
    return this.#headers = headers;
  }

  /** Aborted when the client goes away before it was answered. */
  get signal(): AbortSignal {
    if (this.#gone) return this.#gone.signal;
    const gone = this.#gone = new AbortController();
    this.#source.onGone(() => {
      gone.abort(new DOMException("The client went away", "AbortError"));
    });
    return gone.signal;
  }

  get body(): ReadableStream<Uint8Array> | null {
    const { body } = this.#source;
    if (!body) return null;
    return this.#body ??= this.#stream(body);
  }

  get bodyUsed(): boolean {
    return this.#used;
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const pieces = await this.pieces();
    const bytes = joined(pieces);
    releasePieces(pieces);
    return bytes;
  }

  async text(): Promise<string> {
    const pieces = await this.pieces();
    const text = new TextDecoder().decode(pieces.length === 1 ? pieces[0] : joined(pieces));
    releasePieces(pieces);
    return text;
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

  /** The body as it came; not of `Request`. */
  pieces(): readonly Uint8Array[] | Promise<readonly Uint8Array[]> {
    if (this.#body) {
      const body = new Response(this.#body as ReadableStream<Uint8Array<ArrayBuffer>>);
      return body.bytes().then((bytes) => [bytes]);
    }
    this.#use();
    const { body } = this.#source;
    if (!body) return [];
    return body.takeWhole() ?? readAll(body);
  }

  #use(): void {
    if (this.#used) throw new TypeError("The body has been read already");
    this.#used = true;
    this.#source.askForBody();
  }

  #stream(body: RequestBody): ReadableStream<Uint8Array> {
    this.#use();
    let hasEnded = false;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        body.read({
          piece: (piece) => {
            if (!hasEnded) controller.enqueue(piece);
            return (controller.desiredSize ?? 0) > 0;
          },
          end: (error) => {
            if (hasEnded) return;
            hasEnded = true;
            if (error) controller.error(error);
            else controller.close();
          },
        });
      },
      pull: () => body.flow(),
      cancel: () => {
        hasEnded = true;
        // What still comes is thrown away; how much that may be is the server's affair.
        body.discard();
      },
    }, new ByteLengthQueuingStrategy({ highWaterMark: 65_536 }));
  }
}

/**
 * The whole body in the pieces in which it came: a large one is never joined, which costs as much as
 * to receive it.
 */
export async function piecesOf(request: Request): Promise<readonly Uint8Array[]> {
  return request instanceof IncomingRequest ? await request.pieces() : [await request.bytes()];
}

// So that `request instanceof Request` holds; of Request's own accessors none is reached.
Object.setPrototypeOf(IncomingRequest.prototype, Request.prototype);

function readAll(body: RequestBody): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    const pieces: Uint8Array[] = [];
    body.read({
      piece: (piece) => pieces.push(piece) > 0,
      end: (error) => error ? reject(error) : resolve(pieces),
    });
  });
}
