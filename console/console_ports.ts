/**
 * The console's three ports, OTLP/HTTP, OTLP/gRPC and the page's, on both families of loopback.
 *
 * @module
 */
import { type HttpServer, listen, type ListenOptions } from "../service/http_server.ts";
import { StartError } from "../service/life_cycle.ts";
import type { Log } from "../service/log.ts";
import { type GrpcIntake, type OtlpGrpcServer, serveOtlpGrpc } from "../service/otlp/otlp_grpc.ts";
import { type ConsoleOptions, endpointsOf } from "./console_options.ts";

/** The port that OTLP/HTTP has by the specification. */
export const usualOtlpPort = 4318;
const usualGrpcPort = 4317;

type Handler = Parameters<typeof listen>[0];

/** What is served. */
export interface ConsolePortsOptions {
  options: ConsoleOptions;
  /** Whether every request of every port is authenticated. */
  authenticated: boolean;
  log: Log;
  otlp: Handler;
  grpc: GrpcIntake;
  pages: Handler;
  /** A gRPC exporter spoke at the port of OTLP/HTTP. */
  onGrpcAtHttp: () => void;
}

/** The ports, open. */
export class ConsolePorts {
  readonly #given: ConsolePortsOptions;
  #otlp: HttpServer | undefined;
  #grpc: OtlpGrpcServer | undefined;
  #pages: HttpServer | undefined;

  constructor(given: ConsolePortsOptions) {
    this.#given = given;
  }

  /** Where telemetry is sent to; empty before it listens. */
  get otlpUrl(): string {
    return this.#otlp?.url ?? "";
  }

  /** `host:port`; empty where it is not served. */
  get grpcAddress(): string {
    return this.#grpc?.address ?? "";
  }

  /** Where the page is; empty before it listens. */
  get pageUrl(): string {
    return this.#pages?.url ?? "";
  }

  /**
   * Opens them.
   *
   * @throws {StartError} one is taken, or the console would forward to itself
   */
  async listen(): Promise<void> {
    const { options, otlp, pages } = this.#given;
    const { host = "localhost" } = options;
    this.#otlp = await listen(otlp, this.#httpOptions("otlp", host, options.otlpPort));
    for (const endpoint of endpointsOf(options)) refuseOwnEndpoint(endpoint, this.#otlp);
    this.#grpc = await this.#listenGrpc(host);
    this.#pages = await listen(pages, this.#httpOptions("page", host, options.pagePort));
  }

  /** Closes them. */
  async stop(deadline: AbortSignal): Promise<void> {
    await Promise.all([
      this.#otlp?.stop(deadline),
      this.#grpc?.stop(deadline),
      this.#pages?.stop(deadline),
    ]);
  }

  #httpOptions(of: "otlp" | "page", host: string, port: number): ListenOptions {
    const { options: { basePath, allowRemoteWithoutAuth }, authenticated, log, onGrpcAtHttp } =
      this.#given;
    return {
      host,
      port,
      portFlag: `--${of}-port`,
      log,
      basePath,
      authenticated,
      ...(allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }),
      ...(of === "otlp" && { onHttp2: onGrpcAtHttp }),
    };
  }

  #grpcOptions(host: string, port: number): Parameters<typeof serveOtlpGrpc>[0] {
    const { options: { allowRemoteWithoutAuth, allowedHost }, authenticated, log, grpc } =
      this.#given;
    return {
      intake: grpc,
      host,
      port,
      portFlag: "--grpc-port",
      log,
      allowedHosts: allowedHost,
      authenticated,
      ...(allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }),
    };
  }

  /** Its usual port may be a collector's: then OTLP/HTTP alone is served, and said. */
  async #listenGrpc(host: string): Promise<OtlpGrpcServer | undefined> {
    const { options: { grpcPort, otlpPort }, log } = this.#given;
    const usual = otlpPort === usualOtlpPort ? usualGrpcPort : 0;
    try {
      return await serveOtlpGrpc(this.#grpcOptions(host, grpcPort ?? usual));
    } catch (error) {
      if (grpcPort !== undefined || !(error instanceof StartError)) throw error;
      log.warn("OTLP/gRPC is not served", { reason: error.message });
      return undefined;
    }
  }
}

/** A console that forwards to itself would never come to rest. */
function refuseOwnEndpoint(forward: string, otlp: HttpServer): void {
  const url = new URL(forward);
  const own = url.hostname === otlp.host || url.hostname === "localhost" ||
    url.origin === new URL(otlp.url).origin;
  if (own && Number(url.port || "80") === otlp.port) {
    throw new StartError(
      `Refuses to forward to ${forward}: that is this console's own receiver. Give another endpoint with --forward, or another port with --otlp-port.`,
    );
  }
}
