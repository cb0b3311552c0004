/**
 * One HTTP/2 connection in clear text (prior knowledge, RFC 9113, section 3.3) over TCP or a unix
 * socket, and gRPC calls over it. The transport reports each of its steps as it happens.
 *
 * @module
 */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageShape,
} from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import http2 from "node:http2";
import net from "node:net";
import { realWorld, type World } from "../../service/world/world.ts";
import type { Endpoint } from "./endpoint.ts";
import { connectFailure, grpcStatus } from "./failure.ts";
import { withoutGoaway } from "../../service/goaway_filter.ts";
import { wholeMessages } from "./whole_messages.ts";

/**
 * The transport's steps, in their order and by the names of the original's span events:
 * the socket is connected; the peer's SETTINGS have come, which completes the connection preface
 * (RFC 9113, section 3.4); a stream is open for the call; the call's status has come.
 */
export type TransportMoment =
  | "TCP socket"
  | "HTTP/2.0 connection"
  | "gRPC connection"
  | "gRPC call";

/** Called at a step as it happens. */
export type OnMoment = (
  moment: TransportMoment,
  attributes?: Record<string, string | number | boolean>,
) => void;

/** Options of {@linkcode GrpcConnection.open}. */
export interface ConnectionOptions {
  /** Gives up connecting; its reason is what `open()` rejects with. */
  signal: AbortSignal;
  /** Larger messages fail their call, in bytes. */
  maxMessageBytes: number;
  /** Called at each step. @default nothing is */
  onMoment?: OnMoment;
  /** Whose clock dates the connection. @default the real world */
  world?: Pick<World, "nowMs">;
}

/** The authority of every request; a unix socket has none of its own. */
const authority = "http://localhost";

/** A connection that is open. */
export class GrpcConnection {
  readonly #session: http2.ClientHttp2Session;
  readonly #socket: net.Socket;
  readonly #maxMessageBytes: number;
  readonly #lost = new AbortController();
  #usable = true;
  #lastStreamId = 0;
  #openStreams = 0;
  /** When it was opened, in milliseconds since the epoch. */
  readonly openedAtMs: number;

  private constructor(
    endpoint: Endpoint,
    session: http2.ClientHttp2Session,
    socket: net.Socket,
    maxMessageBytes: number,
    openedAtMs: number,
  ) {
    this.#session = session;
    this.#socket = socket;
    this.#maxMessageBytes = maxMessageBytes;
    this.openedAtMs = openedAtMs;
    let reason: unknown = new Error("the peer closed the connection.");
    session.on("error", (error) => reason = error);
    session.on("close", () => {
      this.#usable = false;
      this.#lost.abort(connectFailure(endpoint, reason));
    });
  }

  /**
   * Connects, and waits for the peer's SETTINGS: a peer that accepts and says nothing, or speaks
   * something else, is found out here and not at the first call.
   *
   * @throws {ObservationError} it cannot be reached, or does not speak HTTP/2.
   */
  static async open(endpoint: Endpoint, options: ConnectionOptions): Promise<GrpcConnection> {
    const { signal, maxMessageBytes, onMoment = () => {}, world = realWorld } = options;
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<GrpcConnection>();
    let socket: net.Socket;
    let session: http2.ClientHttp2Session | undefined;
    const fail = (error: unknown) => reject(connectFailure(endpoint, error));
    const giveUp = () => reject(signal.reason);
    try {
      socket = net.connect(endpoint.target);
    } catch (error) {
      // Without the permission for it, Deno throws at once.
      throw connectFailure(endpoint, error);
    }
    socket.on("error", fail);
    socket.once("connect", () => {
      if (signal.aborted) return;
      onMoment("TCP socket", {
        "network.transport": "path" in endpoint.target ? "unix" : "tcp",
        ...(socket.localPort !== undefined && { "network.local.port": socket.localPort }),
      });
      let goaway = (_: number) => {};
      const stream = withoutGoaway(socket, {
        onGoaway: (lastStreamId) => goaway(lastStreamId),
      });
      session = http2.connect(authority, { createConnection: () => stream });
      session.on("error", fail);
      session.on("close", () => fail(new Error("the peer closed the connection.")));
      session.once("remoteSettings", () => {
        onMoment("HTTP/2.0 connection");
        const connection = new GrpcConnection(
          endpoint,
          session!,
          socket,
          maxMessageBytes,
          world.nowMs(),
        );
        goaway = (lastStreamId) => connection.#goaway(lastStreamId);
        resolve(connection);
      });
    });
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await promise;
    } catch (error) {
      session?.destroy();
      socket.destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** Whether another call may be made. */
  get usable(): boolean {
    return this.#usable;
  }

  /** Aborted once the connection is gone, with an `ObservationError` that says why. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** A client of a service. */
  client<Service extends DescService>(service: Service): Client<Service> {
    return createClient(service, this.#transport(() => {}));
  }

  /**
   * Calls a method with an empty request and reads its answers, one or a stream of them, as another
   * message of the same form on the wire.
   */
  async *read<Answer extends DescMessage>(
    method: DescMethodUnary | DescMethodServerStreaming,
    answer: Answer,
    { signal, headers, onMoment }: Required<Pick<CallOptions, "signal" | "headers">> & {
      onMoment: OnMoment;
    },
  ): AsyncGenerator<MessageShape<Answer>> {
    const transport = this.#transport(onMoment);
    if (method.methodKind === "unary") {
      const reading = { ...method, output: answer };
      yield (await transport.unary(reading, signal, undefined, headers, {})).message;
    } else {
      const reading = { ...method, output: answer };
      const request = (async function* () {
        yield {};
      })();
      yield* (await transport.stream(reading, signal, undefined, headers, request)).message;
    }
  }

  #transport(onMoment: OnMoment): Transport {
    return createGrpcTransport({
      baseUrl: authority,
      readMaxBytes: this.#maxMessageBytes,
      // The peer is on this machine: packing costs more than it saves.
      acceptCompression: [],
      sessionManager: {
        authority,
        request: (method, path, headers, options) => {
          this.#lost.signal.throwIfAborted();
          const stream = this.#session.request(
            { ...headers, ":method": method, ":path": path },
            options,
          );
          this.#lastStreamId = stream.id ?? this.#lastStreamId + 2;
          this.#openStreams++;
          stream.on("close", () => {
            this.#openStreams--;
            if (!this.#usable && this.#openStreams === 0) this.close();
          });
          onMoment("gRPC connection", { "rpc.method": path.slice(1) });
          // A status comes in the trailers, or at once in the headers when there is no message.
          const onStatus = (fields: http2.IncomingHttpHeaders) => {
            if (fields["grpc-status"] === undefined) return;
            onMoment("gRPC call", {
              "rpc.method": path.slice(1),
              "rpc.status_code": grpcStatus(Number(fields["grpc-status"])),
            });
          };
          stream.on("response", onStatus);
          stream.on("trailers", onStatus);
          const pieces = stream[Symbol.asyncIterator].bind(stream);
          stream[Symbol.asyncIterator] = () =>
            wholeMessages({ [Symbol.asyncIterator]: pieces }, this.#maxMessageBytes);
          return Promise.resolve(stream);
        },
        notifyResponseByteRead() {},
      },
    });
  }

  /** Closes it: the end of the socket says all, and no GOAWAY of ours can hurt a peer made of Deno. */
  close(): void {
    this.#usable = false;
    this.#socket.destroy();
  }

  /** The peer takes no further stream; those up to the last it names are still answered. */
  #goaway(lastStreamId: number): void {
    this.#usable = false;
    if (this.#openStreams === 0 || lastStreamId < this.#lastStreamId) this.close();
  }
}
