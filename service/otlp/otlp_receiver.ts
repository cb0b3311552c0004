/**
 * OTLP/HTTP as a server: `/v1/traces`, `/v1/metrics`, `/v1/logs` in protobuf and JSON, with gzip
 * or deflate (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"). Every answer other than 200 carries
 * a `google.rpc.Status` in the request's encoding.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import { Health } from "../health.ts";
import { httpApp } from "../http_app.ts";
import type { Refusal as SourceRefusal } from "../http_guard.ts";
import { ProblemError } from "../problem.ts";
import type { World } from "../world/world.ts";
import type { Log } from "../log.ts";
import { Unreadable } from "./lenient_decode.ts";
import {
  BodiesUnderWay,
  type Compression,
  inflated,
  readNodeStream,
  readOtlpBody,
} from "./otlp_body.ts";
import type { GrpcIntake } from "./otlp_grpc.ts";
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
import { Refused, rpcCodes } from "./refused.ts";

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
  /** Hears of every request that is refused whole. @default nobody */
  onRefused?: ((refusal: RefusedRequest) => void) | undefined;
  /** Where OTLP/gRPC is served, such as `127.0.0.1:4317`, for who knocks at the wrong door. @default nowhere */
  grpcAddress?: (() => string | undefined) | undefined;
  /** Whether an `Authorization` field (gRPC: metadata) lets its sender send. @default everybody may */
  authorize?: ((authorization: string | null | undefined) => boolean) | undefined;
  /** The address listened on. @default "127.0.0.1" */
  host?: string | undefined;
  /** Names the server is known by, besides those of loopback. @default none */
  allowedHosts?: readonly string[] | undefined;
  /** Origins of web pages that may send, such as `https://shop.example`; `*` for all. @default none */
  corsOrigins?: readonly string[] | undefined;
  /**
   * Bytes of bodies that have come and been decompressed at once. Beyond it a body that has stalled
   * is given up; if none has, the next one is answered 503 with `Retry-After`.
   *
   * @default 128 MiB
   */
  maxBytesUnderWay?: number | undefined;
  /** Time. @default the real world */
  world?: World | undefined;
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

/** A request that was refused whole. */
export interface RefusedRequest {
  /** The HTTP status. */
  readonly status: number;
  readonly message: string;
  /** Its `User-Agent`. */
  readonly sender: string;
  /** What it was to hold, where its path says so. */
  readonly signal: Signal | undefined;
}

/** A receiver's parts. */
export interface OtlpReceiver {
  /** Its routes. */
  readonly app: Hono;
  /** The same for gRPC. */
  readonly grpc: GrpcIntake;
  readonly counters: RequestCounters;
  /**
   * Takes in a request that came another way, as if it had been sent here.
   *
   * @throws {OtlpDecodeError} it is no request of this signal
   */
  take(signal: Signal, encoding: Encoding, body: Uint8Array<ArrayBuffer>): Refusal | undefined;
}

/** What has become of the requests so far. */
export interface RequestCounters {
  accepted: number;
  /** By status. */
  refused: Map<number, number>;
  /** Bytes of accepted bodies as they came. */
  bytes: number;
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
 * const server = await listen(app.fetch, { host, port: 4318, portFlag: "--otlp-port" });
 * ```
 */
export function otlpReceiver(
  options: OtlpReceiverOptions,
): OtlpReceiver {
  const receiver = new Receiver(options);
  const { name, log, host, allowedHosts, corsOrigins } = options;
  const app = httpApp({
    name,
    host,
    allowedHosts,
    allowedOrigins: corsOrigins,
    corsMethods: ["POST"],
    // No cookie is looked at here, and what a page leaves behind (`sendBeacon`) always has some.
    corsCredentials: true,
    // Another port of the same program has it, or the app that this one is mounted in.
    health: false,
    refuse: (refusal, request) => receiver.refuseSource(refusal, request),
  }, { log, health: new Health() });
  app.all("*", (c) => receiver.answer(c));
  return {
    app,
    grpc: receiver.grpc(),
    counters: receiver.counters,
    take: (signal, encoding, body) => receiver.take(signal, encoding, body),
  };
}

/** Takes requests in, up to its limits. */
class Receiver {
  readonly counters: RequestCounters = { accepted: 0, refused: new Map(), bytes: 0 };
  readonly #options: OtlpReceiverOptions;
  readonly #underWay: BodiesUnderWay;

  constructor(options: OtlpReceiverOptions) {
    this.#options = options;
    const { maxBytesUnderWay: maxBytes, world } = options;
    this.#underWay = new BodiesUnderWay({ maxBytes, world });
  }

  async answer(c: Context): Promise<Response> {
    const request = c.req.raw;
    if (request.headers.get("content-type")?.startsWith("application/grpc")) {
      return this.#answerGrpc(request);
    }
    const signal = signals[c.req.path];
    const encoding = requestEncoding(request);
    try {
      this.#checkSender(request.headers.get("authorization"));
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
      return await this.#receive(request, signal, encoding);
    } catch (error) {
      return this.#refuse(asRefused(error, this.#options.log), request, signal);
    }
  }

  #checkSender(authorization: string | null | undefined): void {
    const { authorize } = this.#options;
    if (authorize === undefined || authorize(authorization)) return;
    throw new Refused(
      401,
      "Sending here takes the receiver's token: OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20…",
      { "www-authenticate": "Bearer" },
    );
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
    const { forward, bodyTimeoutMs, maxBodyBytes, maxDecompressedBytes, world } = this.#options;
    const compression = requestCompression(request);
    using account = this.#underWay.open();
    const { raw, plain, length } = await readOtlpBody(request, {
      account,
      compression,
      maxBodyBytes,
      maxDecompressedBytes,
      timeoutMs: bodyTimeoutMs ?? 30_000,
      keepRaw: forward !== undefined,
      world,
    });
    const refusal = this.#take(signal, encoding, plain, { body: raw, length, compression });
    return new Response(encodeResponse(signal, encoding, refusal), {
      headers: { "content-type": encoding },
    });
  }

  /** The same for calls of gRPC, whose frames are read by `otlp_grpc.ts`. */
  grpc(): GrpcIntake {
    const { log, maxBodyBytes, maxDecompressedBytes, bodyTimeoutMs = 30_000, world } =
      this.#options;
    const limits = { maxBodyBytes, maxDecompressedBytes, timeoutMs: bodyTimeoutMs, world };
    return {
      checkSender: (authorization) => this.#checkSender(authorization),
      read: async (stream) => {
        using account = this.#underWay.open();
        return await readNodeStream(stream, { ...limits, account });
      },
      take: async ({ signal, message, compression }) => {
        using account = this.#underWay.open();
        account.take(message.length);
        const plain = compression === undefined
          ? message
          : await inflated(message, compression, { ...limits, account });
        const refusal = this.#take(signal, "application/x-protobuf", plain, {
          body: message,
          compression,
        });
        return encodeResponse(signal, "application/x-protobuf", refusal);
      },
      refuse: (error, sender, signal) => {
        const refused = asRefused(error, log);
        this.#count(refused.status, refused.message, sender, signal);
        return refused;
      },
    };
  }

  take(signal: Signal, encoding: Encoding, body: Uint8Array<ArrayBuffer>): Refusal | undefined {
    return this.#take(signal, encoding, body, { body, compression: undefined });
  }

  /** Takes in what has been read, however it came. */
  #take(
    signal: Signal,
    encoding: Encoding,
    plain: Uint8Array,
    asItCame: { body: Uint8Array<ArrayBuffer>; length?: number; compression: string | undefined },
  ): Refusal | undefined {
    const { take, forward } = this.#options;
    const { body, length = body.length, compression: contentEncoding } = asItCame;
    const unreadable = new Unreadable();
    const message = decodeRequest(signal, encoding, plain, unreadable);
    const refusal = together(unreadable.refusal(), take(signal, message, unreadable));
    this.counters.accepted++;
    this.counters.bytes += length;
    forward?.({ signal, contentType: encoding, contentEncoding, body });
    return refusal;
  }

  /** In the encoding that the sender understands, which is known from its own. */
  #refuse({ status, message, headers }: Refused, request: Request, signal?: Signal): Response {
    this.#count(status, message, senderOf(request), signal);
    const encoding = requestEncoding(request) ?? "application/json";
    return new Response(encodeStatus(encoding, rpcCodes[status] ?? 2, message), {
      status,
      headers: { ...headers, "content-type": encoding },
    });
  }

  /** A gRPC exporter at the door of HTTP hears where its own is: else all that it says is "unavailable". */
  #answerGrpc(request: Request): Response {
    const { grpcAddress } = this.#options;
    const address = grpcAddress?.();
    const message = "This is OTLP/HTTP. " +
      (address === undefined
        ? "Set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf; OTLP/gRPC is not served here."
        : `OTLP/gRPC is at ${address}; or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf.`);
    this.#count(415, message, senderOf(request));
    // Headers alone, as gRPC has it for an answer without a message ("Trailers-Only").
    return new Response(null, {
      headers: {
        "content-type": "application/grpc",
        "grpc-status": String(rpcCodes[405]),
        "grpc-message": encodeURIComponent(message).replaceAll("%20", " "),
      },
    });
  }

  #count(status: number, message: string, sender: string, signal?: Signal): void {
    this.counters.refused.set(status, (this.counters.refused.get(status) ?? 0) + 1);
    this.#options.onRefused?.({ status, message, sender, signal });
  }
}

function senderOf(request: Request): string {
  return request.headers.get("user-agent") ?? "unknown sender";
}

function together(a: Refusal | undefined, b: Refusal | undefined): Refusal | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { count: a.count + b.count, message: `${a.message}; ${b.message}` };
}

function requestEncoding(request: Request): Encoding | undefined {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  return type === "application/x-protobuf" || type === "application/json" ? type : undefined;
}

function requestCompression(request: Request): Compression | undefined {
  const name = request.headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (name === "identity" || name === "") return undefined;
  if (name === "gzip" || name === "deflate") return name;
  throw new Refused(415, `The content-encoding ${JSON.stringify(name)} is not supported.`, {
    "accept-encoding": "gzip, deflate",
  });
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
