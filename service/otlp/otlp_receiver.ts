/**
 * OTLP/HTTP as a server: `/v1/traces`, `/v1/metrics`, `/v1/logs` in protobuf and JSON, with gzip
 * or deflate (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"). Every answer other than 200 carries
 * a `google.rpc.Status` in the request's encoding.
 *
 * @module
 */
import { gunzip, inflate } from "node:zlib";
import { promisify } from "node:util";
import type { Context, Hono } from "hono";
import { Health } from "../health.ts";
import { httpApp } from "../http_app.ts";
import type { Refusal as SourceRefusal } from "../http_guard.ts";
import { ProblemError } from "../problem.ts";
import { readBody } from "../request_body.ts";
import type { Log } from "../log.ts";
import { Unreadable } from "./lenient_decode.ts";
import {
  decodeRequest,
  encodeResponse,
  encodeStatus,
  type Encoding,
  OtlpDecodeError,
  type OtlpRequests,
  type Refusal,
  type Signal,
} from "./otlp_message.ts";

/** Options of {@linkcode otlpReceiver}. */
export interface OtlpReceiverOptions {
  /** The program's `service.name`. */
  name: string;
  /** Takes a request in, without what could not be read of it; says what of it was refused. */
  take: <S extends Signal>(
    signal: S,
    message: OtlpRequests[S],
    unreadable: Unreadable,
  ) => Refusal | undefined;
  /** Gets a line for every error that is not the sender's. */
  log: Log;
  /** The most bytes of a body as it comes; beyond it 413. */
  maxBodyBytes: number;
  /** The most bytes of a body once decompressed; beyond it 413. */
  maxDecompressedBytes: number;
  /** Gets every accepted request as it came, to pass it on. @default nothing does */
  forward?: ((request: ReceivedRequest) => void) | undefined;
  /** The address listened on. @default "127.0.0.1" */
  host?: string | undefined;
  /** Names the server is known by, besides those of loopback. @default none */
  allowedHosts?: readonly string[] | undefined;
  /** Origins of web pages that may send, such as `https://shop.example`; `*` for all. @default none */
  corsOrigins?: readonly string[] | undefined;
  /** Bytes of bodies being read and decompressed at once; beyond it 503 with `Retry-After`. @default 128 MiB */
  maxBytesUnderWay?: number | undefined;
  /** How long a body may take to arrive, in milliseconds. @default 30_000 */
  bodyTimeoutMs?: number | undefined;
}

/** A request as it came. */
export interface ReceivedRequest {
  readonly signal: Signal;
  readonly contentType: string;
  readonly contentEncoding: string | undefined;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** What has become of the requests so far. */
export interface RequestCounters {
  accepted: number;
  /** By status. */
  refused: Map<number, number>;
  /** Bytes of accepted bodies as they came. */
  bytes: number;
}

/** gRPC's codes for the statuses that are sent here (google.rpc.Code). */
const rpcCodes: Record<number, number> = {
  400: 3, // INVALID_ARGUMENT
  403: 7, // PERMISSION_DENIED
  404: 5, // NOT_FOUND
  405: 12, // UNIMPLEMENTED
  408: 4, // DEADLINE_EXCEEDED
  413: 3,
  415: 3,
  500: 13, // INTERNAL
  503: 14, // UNAVAILABLE
};

/** A request that is answered with a `google.rpc.Status`. */
class Refused extends Error {
  override name = "Refused";
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

const signals: Record<string, Signal> = {
  "/v1/traces": "traces",
  "/v1/metrics": "metrics",
  "/v1/logs": "logs",
};

/**
 * Makes the receiver's routes.
 *
 * @example
 * ```ts
 * const { app, counters } = otlpReceiver({
 *   name: "console",
 *   log,
 *   maxBodyBytes: 16 * 1024 ** 2,
 *   maxDecompressedBytes: 64 * 1024 ** 2,
 *   take: (signal, message) => takeRequest(store, signal, message, world.nowMs()),
 * });
 * const server = listen(app.fetch, { host, port: 4318, portFlag: "--otlp-port" });
 * ```
 */
export function otlpReceiver(
  options: OtlpReceiverOptions,
): { app: Hono; counters: RequestCounters } {
  const receiver = new Receiver(options);
  const { name, log, host, allowedHosts, corsOrigins } = options;
  const app = httpApp({
    name,
    host,
    allowedHosts,
    allowedOrigins: corsOrigins,
    corsMethods: ["POST"],
    // Another port of the same program has it, or the app that this one is mounted in.
    health: false,
    refuse: (refusal, request) => receiver.refuseSource(refusal, request),
  }, { log, health: new Health() });
  app.all("*", (c) => receiver.answer(c));
  return { app, counters: receiver.counters };
}

/** Takes requests in, up to its limits. */
class Receiver {
  readonly counters: RequestCounters = { accepted: 0, refused: new Map(), bytes: 0 };
  readonly #options: OtlpReceiverOptions;
  #bytesUnderWay = 0;

  constructor(options: OtlpReceiverOptions) {
    this.#options = options;
  }

  async answer(c: Context): Promise<Response> {
    const signal = signals[c.req.path];
    const encoding = requestEncoding(c.req.raw);
    try {
      if (signal === undefined) {
        throw new Refused(
          404,
          `There is nothing at ${c.req.path}. Send to ${Object.keys(signals).join(", ")}.`,
        );
      }
      if (c.req.method !== "POST") {
        throw new Refused(405, "Telemetry is sent by POST.", { allow: "POST" });
      }
      if (encoding === undefined) {
        throw new Refused(
          415,
          "The content-type must be application/x-protobuf or application/json.",
          { accept: "application/x-protobuf, application/json" },
        );
      }
      return await this.#receive(c.req.raw, signal, encoding);
    } catch (error) {
      return this.#refuse(asRefused(error, this.#options.log), c.req.raw);
    }
  }

  /** Answers who may not send at all. */
  refuseSource({ kind, detail }: SourceRefusal, request: Request): Response {
    const message = kind === "foreign-origin"
      ? `Pages of ${
        request.headers.get("origin") ?? "other sites"
      } may not send telemetry. Allow them with --cors-origin.`
      : detail;
    return this.#refuse(new Refused(403, message), request);
  }

  async #receive(request: Request, signal: Signal, encoding: Encoding): Promise<Response> {
    const { take, forward, bodyTimeoutMs, maxBodyBytes, maxDecompressedBytes } = this.#options;
    const compression = requestCompression(request);
    using _ = this.#reserve(request, compression);
    const body = await readBody(request, {
      limitBytes: maxBodyBytes,
      timeoutMs: bodyTimeoutMs ?? 30_000,
    }) as Uint8Array<ArrayBuffer>;
    const plain = compression === undefined
      ? body
      : await decompress(body, compression, maxDecompressedBytes);
    const unreadable = new Unreadable();
    const message = decodeRequest(signal, encoding, plain, unreadable);
    const refusal = together(unreadable.refusal(), take(signal, message, unreadable));
    this.counters.accepted++;
    this.counters.bytes += body.length;
    forward?.({ signal, contentType: encoding, contentEncoding: compression, body });
    return new Response(encodeResponse(signal, encoding, refusal), {
      headers: { "content-type": encoding },
    });
  }

  /** Room for a body, whole and decompressed, until the request has been answered. */
  #reserve(request: Request, compression: Compression | undefined): Disposable {
    const { maxBytesUnderWay = 128 * 1024 ** 2, maxBodyBytes, maxDecompressedBytes } =
      this.#options;
    const declared = Number(request.headers.get("content-length") ?? maxBodyBytes);
    const reserved = Math.min(declared, maxBodyBytes) +
      (compression === undefined ? 0 : Math.min(8 * declared, maxDecompressedBytes));
    if (this.#bytesUnderWay > 0 && this.#bytesUnderWay + reserved > maxBytesUnderWay) {
      throw new Refused(503, "Too much telemetry is under way. Send it again later.", {
        "retry-after": "1",
      });
    }
    this.#bytesUnderWay += reserved;
    return { [Symbol.dispose]: () => void (this.#bytesUnderWay -= reserved) };
  }

  /** In the encoding that the sender understands, which is known from its own. */
  #refuse({ status, message, headers }: Refused, request: Request): Response {
    this.counters.refused.set(status, (this.counters.refused.get(status) ?? 0) + 1);
    const encoding = requestEncoding(request) ?? "application/json";
    return new Response(encodeStatus(encoding, rpcCodes[status] ?? 2, message), {
      status,
      headers: { ...headers, "content-type": encoding },
    });
  }
}

function together(a: Refusal | undefined, b: Refusal | undefined): Refusal | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { count: a.count + b.count, message: `${a.message}; ${b.message}` };
}

function requestEncoding(request: Request): Encoding | undefined {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  return type === "application/x-protobuf" || type === "application/json" ? type : undefined;
}

type Compression = "gzip" | "deflate";

function requestCompression(request: Request): Compression | undefined {
  const name = request.headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (name === "identity" || name === "") return undefined;
  if (name === "gzip" || name === "deflate") return name;
  throw new Refused(415, `The content-encoding ${JSON.stringify(name)} is not supported.`, {
    "accept-encoding": "gzip, deflate",
  });
}

const decompressors = { gzip: promisify(gunzip), deflate: promisify(inflate) };

async function decompress(
  body: Uint8Array,
  compression: Compression,
  limitBytes: number,
): Promise<Uint8Array> {
  try {
    return await decompressors[compression](body, { maxOutputLength: limitBytes });
  } catch (error) {
    if (error instanceof RangeError) {
      throw new Refused(413, `The decompressed body may have at most ${limitBytes} bytes.`);
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refused(400, `The body is not whole ${compression}: ${reason}`);
  }
}

function asRefused(error: unknown, log: Log): Refused {
  if (error instanceof Refused) return error;
  if (error instanceof OtlpDecodeError) return new Refused(400, error.message);
  if (error instanceof ProblemError) return new Refused(error.status, error.message);
  log.error("Unexpected error while taking in telemetry", {
    "exception.message": String(error),
    "exception.stacktrace": error instanceof Error ? error.stack : undefined,
  });
  return new Refused(500, "The request failed on our side; the log has the cause.");
}
