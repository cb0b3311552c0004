/**
 * A gRPC server in clear text over TCP or a unix socket, with a server span for each call.
 *
 * @module
 */
import {
  type ConnectRouter,
  type Interceptor,
  type StreamResponse,
  type UnaryResponse,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  context,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { ConnectError } from "@connectrpc/connect";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import { StartError } from "../../service/life_cycle.ts";
import { grpcStatus } from "./failure.ts";
import { clientPrefaceBytes, withoutGoaway } from "../../service/goaway_filter.ts";

/** Where a server listens. */
export type GrpcAddress = { readonly path: string } | {
  readonly host: string;
  readonly port: number;
};

/** Options of {@linkcode serveGrpc}. */
export interface GrpcServerOptions {
  /** Port 0 takes a free one. */
  address: GrpcAddress;
  /** Registers the services. */
  routes: (router: ConnectRouter) => void;
  tracer: Tracer;
  /** Largest request taken. @default 1_048_576 */
  maxRequestBytes?: number;
}

/** A server that listens. */
export interface GrpcServer {
  /** `host:port` or `unix:///path`, the port the real one. */
  readonly address: string;
  /** Takes no more calls and ends when those under way have; cuts them at the deadline. */
  stop(deadline: AbortSignal): Promise<void>;
}

/**
 * Listens.
 *
 * @throws {StartError} the port is taken, or the socket cannot be made.
 */
export async function serveGrpc(options: GrpcServerOptions): Promise<GrpcServer> {
  const { address, routes, tracer, maxRequestBytes = 1_048_576 } = options;
  const http = http2.createServer(connectNodeAdapter({
    routes,
    interceptors: [serverSpans(tracer)],
    readMaxBytes: maxRequestBytes,
    grpcWeb: false,
    connect: false,
  }));
  const sessions = new Set<http2.ServerHttp2Session>();
  http.on("session", (session) => {
    sessions.add(session);
    // A peer that breaks off ends its own session only.
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  const server = net.createServer((socket) =>
    http.emit("connection", withoutGoaway(socket, { skipBytes: clientPrefaceBytes }))
  );
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  try {
    server.listen(address, resolve);
    await promise;
  } catch (error) {
    const place = "path" in address ? address.path : `${address.host}:${address.port}`;
    throw new StartError(
      `Cannot listen on ${place}: ${
        (error as Error).message
      }. Stop the program that has it, or choose another place.`,
      { cause: error },
    );
  }
  const bound = server.address();
  return {
    address: "path" in address
      ? `unix://${address.path}`
      : `${address.host}:${(bound as AddressInfo).port}`,
    async stop(deadline) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const cut = () => sessions.forEach((session) => session.destroy());
      for (const session of sessions) session.close();
      if (deadline.aborted) cut();
      else deadline.addEventListener("abort", cut, { once: true });
      await closed;
      deadline.removeEventListener("abort", cut);
    },
  };
}

/** Continues the caller's trace (RPC conventions, stable since v1.44). */
function serverSpans(tracer: Tracer): Interceptor {
  return (next) =>
    async function callWithSpan(request): Promise<UnaryResponse | StreamResponse> {
      const method = `${request.service.typeName}/${request.method.name}`;
      const parent = propagation.extract(context.active(), request.header, {
        get: (headers, name) => headers.get(name) ?? undefined,
        keys: (headers) => [...headers.keys()],
      });
      const attributes = { "rpc.system.name": "grpc", "rpc.method": method };
      const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
      const end = (error?: unknown) => {
        const status = error === undefined ? "OK" : grpcStatus(ConnectError.from(error).code);
        span.setAttribute("rpc.status_code", status);
        if (error !== undefined) {
          span.setAttribute("error.type", status);
          span.setStatus({ code: SpanStatusCode.ERROR });
        }
        span.end();
      };
      try {
        const response = await context.with(trace.setSpan(parent, span), () => next(request));
        if (!response.stream) {
          end();
          return response;
        }
        return { ...response, message: ended(response.message, end) };
      } catch (error) {
        end(error);
        throw error;
      }
    };
}

async function* ended<T>(messages: AsyncIterable<T>, end: (error?: unknown) => void) {
  try {
    yield* messages;
    end();
  } catch (error) {
    end(error);
    throw error;
  }
}
