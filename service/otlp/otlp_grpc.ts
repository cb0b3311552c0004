/**
 * OTLP/gRPC as a server (opentelemetry.io/docs/specs/otlp, "OTLP/gRPC"): unary calls in clear text
 * over HTTP/2, plain or with gzip, through the same intake as OTLP/HTTP.
 *
 * The framing is our own: a gRPC library decodes messages by itself, strictly, so that one bad value
 * would cost its batch here and not over HTTP, and the bytes could not be passed on as they came. One
 * unary call is a prefix of five bytes and two trailers (grpc.io, "gRPC over HTTP2").
 *
 * @module
 */
import http2 from "node:http2";
import net from "node:net";
import { clientPrefaceBytes, withoutGoaway } from "../goaway_filter.ts";
import { bindAll } from "../http_bind.ts";
import { Guard } from "../http_guard.ts";
import { isLoopback } from "../http_server.ts";
import { StartError } from "../life_cycle.ts";
import type { Log } from "../log.ts";
import { aborted } from "../resilience.ts";
import type { Signal } from "./otlp_message.ts";
import { Refused, rpcCodes } from "./refused.ts";

/** A call that has come whole. */
export interface GrpcCall {
  readonly signal: Signal;
  /** The message as it came. */
  readonly message: Uint8Array<ArrayBuffer>;
  /** How it is compressed. */
  readonly compression: "gzip" | "deflate" | undefined;
}

/** What takes calls in: the receiver of OTLP/HTTP, which counts and limits both. */
export interface GrpcIntake {
  /** @throws {Refused} who shows this may not send */
  checkSender(authorization: string | undefined): void;
  /** Reads a call's body up to its limits. */
  read(stream: http2.ServerHttp2Stream): Promise<Uint8Array<ArrayBuffer>>;
  /** Takes the call in; gives its answer in protobuf. */
  take(call: GrpcCall): Promise<Uint8Array<ArrayBuffer>>;
  /** Counts a call that is refused; gives what its sender is told. */
  refuse(error: unknown, sender: string, signal: Signal | undefined): Refused;
}

/** Options of {@linkcode serveOtlpGrpc}. */
export interface OtlpGrpcOptions {
  intake: GrpcIntake;
  /** Address to bind; `localhost` is both families of loopback. @default "127.0.0.1" */
  host?: string;
  /** Port to bind; 0 takes a free one. */
  port: number;
  /** The flag that sets the port, for when it is taken. */
  portFlag: string;
  /** Whether senders have to authenticate: only then may the address be other than loopback. @default false */
  authenticated?: boolean;
  /** Lets it listen beyond loopback, where nobody has to authenticate. @default false */
  allowRemoteWithoutAuth?: boolean;
  /** Names the server is known by, besides those of loopback and `host`. @default none */
  allowedHosts?: readonly string[] | undefined;
  /** Connections at once, of one family; one more is closed. @default 256 */
  maxConnections?: number;
  /** Gets what the operator should know. @default nobody */
  log?: Pick<Log, "warn" | "info"> | undefined;
}

/** A server that listens. */
export interface OtlpGrpcServer {
  /** `host:port`, as an exporter's endpoint takes it. */
  readonly address: string;
  readonly port: number;
  /** Takes no more calls and ends when those under way have; cuts them at the deadline. */
  stop(deadline: AbortSignal): Promise<void>;
}

const signals: Readonly<Record<string, Signal>> = {
  "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
  "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
  "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
};

/** Calls of one connection at once. */
const maxConcurrentStreams = 64;

/**
 * Listens.
 *
 * @throws {StartError} the port is taken, or the address is not loopback.
 *
 * @example
 * ```ts
 * const { grpc } = otlpReceiver(options);
 * const server = await serveOtlpGrpc({ intake: grpc, port: 4317, portFlag: "--grpc-port" });
 * log.info("Ready", { grpc: server.address });
 * ```
 */
export async function serveOtlpGrpc(options: OtlpGrpcOptions): Promise<OtlpGrpcServer> {
  const { host = "127.0.0.1", port, portFlag, allowedHosts, maxConnections = 256, log } = options;
  if (!options.authenticated && !options.allowRemoteWithoutAuth && !isLoopback(host)) {
    throw new StartError(
      `Refuses to listen on ${host}: it is not a loopback address and nobody has to authenticate. Listen on 127.0.0.1, or say --allow-remote-without-auth.`,
    );
  }
  const guard = new Guard({ host, allowedHosts });
  const http = http2.createServer({ settings: { maxConcurrentStreams } });
  const sessions = new Set<http2.ServerHttp2Session>();
  /** Those of sessions that have ended, too: a peer may hold its half open. */
  const sockets = new Set<net.Socket>();
  http.on("session", (session) => {
    sessions.add(session);
    // A peer that breaks off ends its own session only.
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  http.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    answer(stream, headers, guard, options.intake);
  });
  const bound = await bindAll(() => {
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => sockets.delete(socket));
      http.emit("connection", withoutGoaway(socket, { skipBytes: clientPrefaceBytes }));
    });
    server.maxConnections = maxConnections;
    return server;
  }, { host, port, portFlag, log });
  const { address, port: boundPort } = bound[0]!.address;
  const shown = address === "0.0.0.0" || address === "::" ? "127.0.0.1" : address;
  return {
    address: `${shown.includes(":") ? `[${shown}]` : shown}:${boundPort}`,
    port: boundPort,
    async stop(deadline) {
      const closed = Promise.all(
        bound.map(({ server }) => new Promise((resolve) => server.close(resolve))),
      );
      for (const session of sessions) session.close();
      const ended = new AbortController();
      const cut = aborted(AbortSignal.any([deadline, ended.signal])).then(() => {
        for (const session of sessions) session.destroy();
        for (const socket of sockets) socket.destroy();
      });
      await Promise.race([closed, cut]);
      ended.abort();
      await closed;
    },
  };
}

async function answer(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  guard: Guard,
  intake: GrpcIntake,
): Promise<void> {
  const signal = signals[headers[":path"] ?? ""];
  try {
    checkCall(headers, signal, guard);
    intake.checkSender(headers.authorization);
    const body = await intake.read(stream);
    const { message, compressed } = unframed(body);
    const compression = compressed ? compressionOf(headers) : undefined;
    const reply = await intake.take({ signal: signal!, message, compression });
    if (stream.destroyed) return;
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-accept-encoding": "gzip" },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(framed(reply));
  } catch (error) {
    refuse(stream, intake.refuse(error, headers["user-agent"] ?? "unknown sender", signal));
  }
}

function checkCall(
  headers: http2.IncomingHttpHeaders,
  signal: Signal | undefined,
  guard: Guard,
): void {
  const { ":method": method, ":path": path, ":authority": authority = "" } = headers;
  if (!headers["content-type"]?.startsWith("application/grpc")) {
    throw new Refused(
      415,
      "This is OTLP/gRPC: the content-type must be application/grpc. OTLP/HTTP has a port of its own.",
    );
  }
  if (!guard.isKnownHost(authority)) {
    throw new Refused(
      403,
      `This server is not known by the name ${
        authority.slice(0, 200)
      }. Use 127.0.0.1 or localhost, or start it with --allowed-host and that name.`,
    );
  }
  if (method !== "POST" || signal === undefined) {
    throw new Refused(
      405,
      `There is no ${
        String(path).slice(0, 200)
      } here. OTLP's Export is served for traces, metrics and logs.`,
    );
  }
}

/** A message is preceded by one byte, whether it is compressed, and four with its length. */
const prefixBytes = 5;

function unframed(body: Uint8Array<ArrayBuffer>): {
  message: Uint8Array<ArrayBuffer>;
  compressed: boolean;
} {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (body.length < prefixBytes || view.getUint32(1) !== body.length - prefixBytes) {
    throw new Refused(400, "The call is not one whole message.");
  }
  return { message: body.subarray(prefixBytes), compressed: body[0] === 1 };
}

function framed(message: Uint8Array): Uint8Array {
  const body = new Uint8Array(prefixBytes + message.length);
  new DataView(body.buffer).setUint32(1, message.length);
  body.set(message, prefixBytes);
  return body;
}

function compressionOf(headers: http2.IncomingHttpHeaders): "gzip" | "deflate" {
  const name = headers["grpc-encoding"];
  if (name === "gzip" || name === "deflate") return name;
  throw new Refused(405, `The grpc-encoding ${JSON.stringify(name ?? "")} is not supported.`);
}

/** Headers alone, as gRPC has it for an answer without a message ("Trailers-Only"). */
function refuse(stream: http2.ServerHttp2Stream, { status, message }: Refused): void {
  if (stream.destroyed || stream.headersSent) return;
  // Too large is RESOURCE_EXHAUSTED here, as gRPC's own libraries have it.
  const code = status === 413 ? 8 : rpcCodes[status] ?? 2;
  stream.respond({
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-status": String(code),
    "grpc-message": encodeURIComponent(message).replaceAll("%20", " "),
  }, { endStream: true });
}
