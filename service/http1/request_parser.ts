/**
 * HTTP/1.1 requests from the bytes of a connection (RFC 9112), by llhttp as the platform's own
 * `node:http` has it: it reads heads and chunked bodies, with its defences against smuggling; a body
 * of a declared length goes by it, without a copy.
 *
 * @module
 */
import process from "node:process";

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  /** The request's target as it came (RFC 9112, section 3.2). */
  readonly target: string;
  /** Names and values in turns, as they came. */
  readonly fields: readonly string[];
  /** The first `Host`, if there is one. */
  readonly host: string | undefined;
  /** How many `Host` there are: more or less than one is no HTTP/1.1. */
  readonly hosts: number;
  /** The lower-case value of `Expect`, if there is one. */
  readonly expect: string | undefined;
  /** 1.0 or 1.1, or 2 of a stream; others are refused by the server. */
  readonly version: string;
  /** Whether the connection may have another request after this one. */
  readonly keepsAlive: boolean;
  /** Whether a body follows. */
  readonly hasBody: boolean;
  /** Whether it asks to go on with a WebSocket. */
  readonly asksForWebSocket: boolean;
}

/** Hears what is read; throws nothing. */
export interface RequestListener {
  head(head: RequestHead): void;
  /** A piece of the body, never empty; it is the listener's. */
  body(piece: Uint8Array): void;
  /** The request has come whole. */
  end(): void;
}

/** What came is not HTTP/1.1, by llhttp's word for it. */
export class RequestError extends Error {
  override name = "RequestError";
  /** As `HPE_HEADER_OVERFLOW`. */
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

type HeadersComplete = (
  major: number,
  minor: number,
  fields: string[] | undefined,
  method: number,
  target: string | undefined,
  statusCode: undefined,
  statusText: undefined,
  isUpgrade: boolean,
  keepsAlive: boolean,
) => number;

/** As much of llhttp's binding as is used: indices are the places of its callbacks. */
interface Llhttp {
  initialize(type: number, resource: object): void;
  /** Gives how many bytes it took. */
  execute(bytes: Uint8Array): number | (Error & { code: string });
  [callback: number]: unknown;
}

interface LlhttpClass {
  new (): Llhttp;
  readonly REQUEST: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

const { HTTPParser: Llhttp, methods } = process.getBuiltinModule(
  "node:_http_common",
) as unknown as {
  HTTPParser: LlhttpClass;
  methods: readonly string[];
};

/** What a callback at the end of a head gives: go on, or stop behind it. */
const goOn = 0;
const stopBehindHead = 2;

const resource = {};

/**
 * Reads the requests of one connection, one after the other.
 *
 * @example
 * ```ts
 * const parser = new RequestParser({ head, body, end });
 * socket.on("data", (bytes) => parser.read(bytes));
 * ```
 */
export class RequestParser {
  readonly #llhttp = new Llhttp();
  readonly #listener: RequestListener;
  /** Fields and target that came before the end of a long head. */
  #fields: string[] = [];
  #target = "";
  /** Bytes of a body of a declared length that are still to come. */
  #missingBytes = 0;
  #state: "head" | "chunks" | "over" = "head";
  #isLast = false;
  /** llhttp has stopped, and begins anew with what comes next. */
  #hasStopped = false;
  /** It will, at the end of a chunked body, as the request asks for an upgrade. */
  #stopsBehind = false;
  #isInHead = false;

  constructor(listener: RequestListener) {
    this.#listener = listener;
    this.#begin();
  }

  /** Whether a head has begun and not yet ended. */
  get isInHead(): boolean {
    return this.#isInHead;
  }

  /**
   * Reads what came next; gives what is no longer HTTP, behind the head of a request that asks for a
   * WebSocket. Behind the last request of a connection all is ignored.
   *
   * @throws {RequestError} it is no HTTP/1.1
   */
  read(bytes: Uint8Array): Uint8Array {
    let rest = bytes;
    while (rest.length > 0 && this.#state !== "over") {
      if (this.#missingBytes > 0) rest = this.#readDeclaredBody(rest);
      else rest = rest.subarray(this.#execute(rest));
    }
    return rest;
  }

  #readDeclaredBody(bytes: Uint8Array): Uint8Array {
    const piece = bytes.length > this.#missingBytes ? bytes.subarray(0, this.#missingBytes) : bytes;
    this.#missingBytes -= piece.length;
    this.#listener.body(piece);
    if (this.#missingBytes === 0) this.#end();
    return bytes.subarray(piece.length);
  }

  #execute(bytes: Uint8Array): number {
    if (this.#hasStopped) this.#begin();
    if (this.#state === "head") this.#isInHead = true;
    const used = this.#llhttp.execute(bytes);
    if (typeof used === "number") return used;
    // What comes behind the last request is nobody's.
    if (used.code === "HPE_CLOSED_CONNECTION") {
      this.#state = "over";
      return bytes.length;
    }
    throw new RequestError(used.message, used.code);
  }

  #begin(): void {
    const llhttp = this.#llhttp;
    llhttp.initialize(Llhttp.REQUEST, resource);
    this.#hasStopped = false;
    llhttp[Llhttp.kOnHeaders] ??= this.#onHeaders;
    llhttp[Llhttp.kOnHeadersComplete] ??= this.#onHeadersComplete;
    llhttp[Llhttp.kOnBody] ??= (piece: Uint8Array) => this.#listener.body(piece);
    llhttp[Llhttp.kOnMessageComplete] ??= this.#onMessageComplete;
  }

  /** Some of a long head, or the trailer of a chunked body, of which nobody has use. */
  readonly #onHeaders = (fields: string[], target: string): void => {
    if (this.#state !== "head") return;
    this.#fields.push(...fields);
    this.#target += target;
  };

  readonly #onHeadersComplete: HeadersComplete = (
    ...[major, minor, last, method, target, , , isUpgrade, keepsAlive]
  ) => {
    const fields = last ?? this.#fields;
    const facts = factsOf(fields);
    const hasBody = facts.isChunked || facts.length > 0;
    const name = methods[method] ?? "";
    const asksForWebSocket = isUpgrade && name === "GET" && facts.asksForWebSocket;
    const head: RequestHead = {
      method: name,
      target: target ?? this.#target,
      fields,
      host: facts.host,
      hosts: facts.hosts,
      expect: facts.expect,
      version: `${major}.${minor}`,
      keepsAlive,
      hasBody,
      asksForWebSocket,
    };
    if (!last) {
      this.#fields = [];
      this.#target = "";
    }
    this.#isInHead = false;
    this.#isLast = !keepsAlive || asksForWebSocket;
    this.#listener.head(head);
    if (facts.isChunked) {
      this.#state = "chunks";
      this.#stopsBehind = isUpgrade;
      return goOn;
    }
    this.#hasStopped = true;
    this.#missingBytes = facts.length;
    if (!hasBody) this.#end();
    return stopBehindHead;
  };

  readonly #onMessageComplete = (): void => {
    if (this.#state !== "chunks") return;
    this.#hasStopped = this.#stopsBehind;
    this.#end();
  };

  #end(): void {
    this.#state = this.#isLast ? "over" : "head";
    this.#listener.end();
  }
}

interface HeadFacts {
  host: string | undefined;
  hosts: number;
  expect: string | undefined;
  length: number;
  isChunked: boolean;
  asksForWebSocket: boolean;
}

/** What the server itself has to know; llhttp has checked lengths and codings already. */
function factsOf(fields: readonly string[]): HeadFacts {
  const facts: HeadFacts = {
    ...{ host: undefined, hosts: 0, expect: undefined },
    ...{ length: 0, isChunked: false, asksForWebSocket: false },
  };
  for (let i = 0; i < fields.length; i += 2) {
    // Most fields are told from these by their length.
    switch (fields[i]!.length) {
      case 4:
        if (isNamed(fields, i, "host") && facts.hosts++ === 0) facts.host = fields[i + 1];
        break;
      case 6:
        if (isNamed(fields, i, "expect")) facts.expect = fields[i + 1]!.toLowerCase();
        break;
      case 7:
        if (isNamed(fields, i, "upgrade")) {
          facts.asksForWebSocket ||= hasToken(fields[i + 1], "websocket");
        }
        break;
      case 14:
        if (isNamed(fields, i, "content-length")) facts.length = Number(fields[i + 1]);
        break;
      case 17:
        if (isNamed(fields, i, "transfer-encoding")) facts.isChunked = true;
    }
  }
  return facts;
}

function isNamed(fields: readonly string[], index: number, name: string): boolean {
  const field = fields[index]!;
  return field === name || field.toLowerCase() === name;
}

/** Whether a list of tokens (RFC 9110, section 5.6.1) has one, which is given in lower case. */
export function hasToken(field: string | null | undefined, token: string): boolean {
  return field?.split(",").some((one) => one.trim().toLowerCase() === token) ?? false;
}
