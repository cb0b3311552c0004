/**
 * The server's parts put together: intake by TCP, event log, streams, page, capture, and what the
 * contract prints.
 *
 * @module
 */
import { type HttpServer, isLoopback, listen } from "../service/http_server.ts";
import { type Service, type ServiceContext, StartError } from "../service/life_cycle.ts";
import { type LineWriter, stdoutLines } from "../service/log.ts";
import { version } from "../service/version.ts";
import type { Hello, Stats } from "./api.ts";
import { CaptureWriter } from "./capture/capture_writer.ts";
import { CaptureError, checkCapture } from "./capture/capture_file.ts";
import { playCapture } from "./capture/player.ts";
import { ContractOutput } from "./contract_output.ts";
import { EventLog } from "./events/event_log.ts";
import { Recorder } from "./events/recorder.ts";
import { otlpReceiver } from "../service/otlp/otlp_receiver.ts";
import { OtlpIntake } from "./intake/otlp_intake.ts";
import { startTcpIntake, type TcpIntake } from "./intake/tcp_intake.ts";
import type { LiveOptions, LiveService } from "./live/live_service.ts";
import { recordMetrics } from "./metrics.ts";
import { EventSourceStream } from "./web/event_source_stream.ts";
import { webApp } from "./web/web_app.ts";
import { WebSocketStream } from "./web/web_socket_stream.ts";

/** Options of {@linkcode startSimulator}. */
export interface SimulatorOptions {
  /** Address of both ports; for `localhost` telemetry is on 127.0.0.1, the page on both families of loopback. @default "127.0.0.1" */
  host?: string | undefined;
  /** Listens beyond loopback although nobody has to authenticate. @default false */
  allowRemoteWithoutAuth?: boolean | undefined;
  /** TCP port of the intake; 0 takes a free one; none where a capture is played. @default none */
  port?: number | undefined;
  /** Serves one client, and ends after its `processStopped`. @default false */
  singleThreaded?: boolean | undefined;
  /** Port of the web side; 0 takes a free one. @default no web side */
  webPort?: number | undefined;
  /** Names the web side is known by, beside loopback's. @default none */
  allowedHost?: readonly string[] | undefined;
  /** Origins, beside those of loopback, whose pages may read the streams. @default none */
  allowedOrigin?: readonly string[] | undefined;
  /** Events kept for who connects later. @default 10_000 */
  maxEvents?: number | undefined;
  /** The longest line of the intake, in bytes. @default 1_048_576 */
  maxLineBytes?: number | undefined;
  /** TCP connections at once. @default 12_000 */
  maxConnections?: number | undefined;
  /** Web clients at once, of each stream. @default 256 */
  maxWebClients?: number | undefined;
  /** Bytes that wait for a web client that does not read; beyond it is dropped. @default 8_388_608 */
  maxQueuedBytes?: number | undefined;
  /** A file that everything is saved to. @default none */
  capture?: string | undefined;
  /** A capture that is played in place of an intake, and how many times as fast. @default none */
  play?: { path: string; speed: number } | undefined;
  /** The console's page, for links to traces. @default none */
  consoleUrl?: string | undefined;
  /** The live topology, which the web side drives. @default none */
  live?: LiveOptions | undefined;
  /** Where the contract's lines go. @default stdout */
  lines?: Pick<LineWriter, "write"> | undefined;
}

/** A running server. */
export interface SimulatorService extends Service {
  /** The intake's port; `undefined` where a capture is played. */
  readonly port: number | undefined;
  /** Where page and streams are; `undefined` without a web side. */
  readonly webUrl: string | undefined;
  /** What came in. */
  readonly stats: () => Stats;
  /** The live topology, where there is one. */
  readonly live: LiveService | undefined;
  /** Says the health at once, as SIGUSR1 asks for. */
  healthcheck(): void;
  /** Ends the server as SIGTERM does, as SIGHUP asks for. */
  end(): void;
}

/**
 * Starts the server.
 *
 * @throws {StartError} a port is taken, the address is not loopback, or the capture cannot be used
 */
export async function startSimulator(
  options: SimulatorOptions,
  context: ServiceContext,
): Promise<SimulatorService> {
  const server = new SimulatorServer(options, context);
  try {
    await server.start();
  } catch (error) {
    await server.stop(AbortSignal.abort());
    throw error;
  }
  return server;
}

/** Of an OTLP request's body, as it comes and once decompressed. */
const maxBodyBytes = 16 * 1024 ** 2;
const maxDecompressedBytes = 64 * 1024 ** 2;

function refuseToStart(error: unknown): never {
  throw error instanceof CaptureError ? new StartError(error.message, { cause: error }) : error;
}

class SimulatorServer implements SimulatorService {
  readonly #options: SimulatorOptions;
  readonly #context: ServiceContext;
  readonly #instance: string;
  readonly #output: ContractOutput;
  readonly #log: EventLog;
  readonly #recorder: Recorder;
  readonly #webSocket: WebSocketStream;
  readonly #eventSource: EventSourceStream;
  readonly #ended = Promise.withResolvers<void>();
  /** Events up to the last statistics, and when those were. */
  #rate = { events: 0, atMs: 0, perSecond: 0 };
  /** It ends by itself, and nobody asked it to. */
  #done = false;
  readonly #otlp: OtlpIntake;
  live: LiveService | undefined;
  #intake: TcpIntake | undefined;
  #web: HttpServer | undefined;
  #capture: CaptureWriter | undefined;

  constructor(options: SimulatorOptions, context: ServiceContext) {
    const { world, stopping } = context;
    this.#options = options;
    this.#context = context;
    this.#instance = world.randomUuid();
    this.#output = new ContractOutput({
      lines: options.lines ?? stdoutLines,
      web: options.webPort !== undefined,
      world,
    });
    this.#log = new EventLog({
      world,
      ...(options.maxEvents !== undefined && { maxEvents: options.maxEvents }),
    });
    this.#recorder = new Recorder({
      log: this.#log,
      world,
      onReceived: this.#output.received,
    });
    this.#otlp = new OtlpIntake({ recorder: this.#recorder, world });
    const limits = {
      ...(options.maxWebClients !== undefined && { maxClients: options.maxWebClients }),
      ...(options.maxQueuedBytes !== undefined && { maxQueuedBytes: options.maxQueuedBytes }),
    };
    this.#webSocket = new WebSocketStream({
      log: this.#log,
      hello: () => this.#hello(),
      stats: this.stats,
      world,
      ...limits,
    });
    this.#eventSource = new EventSourceStream({ log: this.#log, world, stopping, ...limits });
    // Who waits for `finished` gets it; a rejection before that is no error of its own.
    this.#ended.promise.catch(() => {});
    stopping.addEventListener("abort", () => {
      if (!this.#done) this.#output.stopping();
    }, { once: true });
  }

  get port(): number | undefined {
    return this.#intake?.port;
  }

  get webUrl(): string | undefined {
    return this.#web?.url;
  }

  get finished(): Promise<void> {
    return this.#ended.promise;
  }

  async start(): Promise<void> {
    const { log, health } = this.#context;
    const { host = "127.0.0.1", allowRemoteWithoutAuth, capture, play } = this.#options;
    if (!allowRemoteWithoutAuth && !isLoopback(host)) {
      throw new StartError(
        `Refuses to listen on ${host}: it is not a loopback address and nobody has to authenticate. Listen on 127.0.0.1, or say --allow-remote-without-auth.`,
      );
    }
    if (play) await checkCapture(play.path).catch(refuseToStart);
    this.#output.starting(this.#options.singleThreaded === true);
    if (capture !== undefined) {
      this.#capture = await CaptureWriter.open({ path: capture, events: this.#log, log });
    }
    await this.#startLive();
    this.#listenForTcp(host === "localhost" ? "127.0.0.1" : host);
    await this.#listenForWeb(host);
    this.#output.startHealthchecks(this.#recorder);
    recordMetrics(this.#context.telemetry.meter, this.stats);
    health.set("intake", "ok");
    log.info("The simulator is ready", {
      ...(this.#intake && { telemetry: `tcp://${this.#intake.host}:${this.#intake.port}` }),
      ...(this.#web && { page: this.#web.url }),
      ...(play && { playing: play.path, speed: play.speed }),
    });
    if (play) this.#play(play);
  }

  healthcheck(): void {
    this.#output.healthcheck();
  }

  end(): void {
    this.#ended.resolve();
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#output.stop();
    this.#otlp.stop();
    await this.#intake?.stop(deadline);
    this.#webSocket.stop();
    this.#eventSource.stop();
    await this.#web?.stop(deadline);
    await this.live?.stop(deadline);
    await this.#capture?.close();
  }

  readonly stats = (): Stats => {
    const { clients, counts } = this.#recorder;
    const { world } = this.#context;
    const nowMs = world.monotonicMs();
    if (nowMs - this.#rate.atMs >= 900) {
      const perSecond = (counts.events - this.#rate.events) / ((nowMs - this.#rate.atMs) / 1_000);
      this.#rate = { events: counts.events, atMs: nowMs, perSecond };
    }
    return {
      type: "stats",
      atMs: world.nowMs(),
      events: counts.events,
      eventsPerSecond: Math.round(this.#rate.perSecond),
      clients: clients.count,
      clientsBeyondLimit: clients.beyondLimit,
      connections: { ...this.#intake?.counts ?? { open: 0, accepted: 0, refused: 0, silent: 0 } },
      refused: { ...counts.refused },
      lastRefused: counts.lastRefused,
      webClients: this.#webSocket.clients + this.#eventSource.clients,
      dropped: { ...this.#webSocket.dropped, ...this.#eventSource.dropped },
      rssBytes: Deno.memoryUsage().rss,
    };
  };

  async #startLive(): Promise<void> {
    const { live } = this.#options;
    if (live === undefined) return;
    // Only where it is wanted: GraphQL and the databases' clients are large.
    const { startLive } = await import("./live/live_service.ts");
    this.live = await startLive(live, this.#recorder, this.#context);
    this.#context.health.set("live topology", "ok");
  }

  #listenForTcp(host: string): void {
    const { port, singleThreaded, maxLineBytes, maxConnections } = this.#options;
    if (port === undefined) return;
    const { log, world } = this.#context;
    this.#intake = startTcpIntake({
      host,
      port,
      recorder: this.#recorder,
      log,
      world,
      ...(singleThreaded && { connectionLimit: 1 }),
      ...(maxLineBytes !== undefined && { maxLineBytes }),
      ...(maxConnections !== undefined && { maxConnections }),
    });
    this.#intake.finished.then(() => {
      this.#done = true;
      this.#ended.resolve();
    });
  }

  async #listenForWeb(host: string): Promise<void> {
    const { webPort, allowedHost, allowedOrigin, allowRemoteWithoutAuth, play } = this.#options;
    if (webPort === undefined) return;
    const app = webApp({
      host,
      allowedHosts: allowedHost,
      allowedOrigins: allowedOrigin,
      log: this.#log,
      eventSource: this.#eventSource,
      webSocket: this.#webSocket,
      // What is live does not mix with what is played.
      otlp: play ? undefined : otlpReceiver({
        name: "simulator",
        take: (signal, message) => this.#otlp.take(signal, message),
        log: this.#context.log,
        maxBodyBytes,
        maxDecompressedBytes,
        host,
        allowedHosts: allowedHost,
        corsOrigins: allowedOrigin,
      }).app,
      stats: this.stats,
      live: this.live,
    }, this.#context);
    this.#web = await listen(app.fetch, {
      host,
      port: webPort,
      portFlag: "--web-port",
      log: this.#context.log,
      ...(allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }),
    });
  }

  #hello(): Omit<Hello, "type" | "replay" | "missing"> {
    const { play, consoleUrl, maxEvents = 10_000 } = this.#options;
    return {
      instance: this.#instance,
      version,
      ring: maxEvents,
      console: consoleUrl,
      playing: play && { file: play.path, speed: play.speed },
      clients: [...this.#recorder.clients.running],
    };
  }

  async #play({ path, speed }: { path: string; speed: number }): Promise<void> {
    const { log, world, stopping, health } = this.#context;
    try {
      const recorder = this.#recorder;
      const played = await playCapture({ path, speed, recorder, signal: stopping, world });
      if (!stopping.aborted) {
        log.info("The capture has been played", { file: path, events: played });
      }
    } catch (error) {
      health.fail("the capture cannot be played");
      this.#ended.reject(error instanceof Error ? new StartError(error.message) : error);
    }
  }
}
