/**
 * For tests: an observatory whose spans are kept, and runtimes that misbehave.
 *
 * @module
 */
import type { ConnectRouter } from "@connectrpc/connect";
import { context, metrics, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "../../service/testing/kept_spans.ts";
import net from "node:net";
import type { Log } from "../../service/log.ts";
import { parseEndpoint } from "../grpc/endpoint.ts";
import { serveGrpc } from "../grpc/grpc_server.ts";
import { ImageService } from "../proto/gen/cri_images_pb.ts";
import { PublicAPI } from "../proto/gen/rkt_api_pb.ts";
import { Observatory, type ObservatoryOptions } from "./observatory.ts";
import type { StoreState } from "./store_watch.ts";

/** A log that says nothing. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A tracer whose ended spans can be looked at. */
export function spanKeeper() {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  return {
    tracer: provider.getTracer("test"),
    ended: (name: string): ReadableSpan[] =>
      exporter.getFinishedSpans().filter((span) => span.name === name),
  };
}

/** An observatory under test. `await using` stops it at the end of the block. */
export interface TestObservatory extends AsyncDisposable {
  readonly observatory: Observatory;
  readonly spans: ReturnType<typeof spanKeeper>;
  /** The state of the first store. */
  readonly state: StoreState;
}

/** Starts one that watches the endpoints, given as `kind=address`. */
export function testObservatory(
  endpoints: readonly string[],
  options: Partial<ObservatoryOptions> = {},
): TestObservatory {
  const spans = spanKeeper();
  const observatory = new Observatory({
    tracer: spans.tracer,
    meter: metrics.getMeter("test"),
    log: silentLog,
    ...options,
  });
  for (const endpoint of endpoints) observatory.add(parseEndpoint(endpoint));
  return {
    observatory,
    spans,
    get state() {
      return observatory.states()[0]!;
    },
    [Symbol.asyncDispose]: () => observatory.stop(AbortSignal.abort()),
  };
}

/** A TCP server of bare bytes. `await using` closes it and its sockets. */
export interface RawServer extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Connections taken so far. */
  readonly connections: number;
}

/** Starts one; `serve` gets every socket. */
export async function rawServer(serve: (socket: net.Socket) => void): Promise<RawServer> {
  const sockets = new Set<net.Socket>();
  let connections = 0;
  const server = net.createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // The other side may cut it at any time.
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      sockets.forEach((socket) => socket.destroy());
      await closed;
    },
  };
}

/** The empty SETTINGS frame that a server must begin with (RFC 9113, section 3.4). */
export const settingsFrame = new Uint8Array([0, 0, 0, 4, 0, 0, 0, 0, 0]);

/** A runtime that answers a call when told to, and knows how many were open at once. */
export async function slowRuntime() {
  const calls: PromiseWithResolvers<void>[] = [];
  const waiting: (() => void)[] = [];
  let open = 0;
  let mostOpen = 0;
  async function answer() {
    mostOpen = Math.max(mostOpen, ++open);
    const call = Promise.withResolvers<void>();
    calls.push(call);
    waiting.splice(0).forEach((wake) => wake());
    await call.promise;
    open--;
    return { images: [] };
  }
  const server = await serveGrpc({
    address: { host: "127.0.0.1", port: 0 },
    tracer: trace.getTracer("test"),
    routes: (router: ConnectRouter) => {
      router.service(PublicAPI, { listImages: answer });
      router.service(ImageService, { listImages: answer, imageFsInfo: () => ({}) });
    },
  });
  return {
    address: server.address,
    calls,
    get mostOpen() {
      return mostOpen;
    },
    async called(times: number) {
      while (calls.length < times) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    async [Symbol.asyncDispose]() {
      calls.forEach(({ resolve }) => resolve());
      await server.stop(AbortSignal.abort());
    },
  };
}
