#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=16,--heap-growing-percent=60 --allow-net --allow-read --allow-write --allow-env=OTEL_*,SIGNER_REST_API_*,HOME,USERPROFILE,LOCALAPPDATA,XDG_DATA_HOME --ignore-env
/**
 * The signer's REST API: page, WebSocket and HTTP routes that have messages signed by a service
 * behind the bus. Exports {@linkcode startRestApi}; can also be used as a CLI:
 *
 * ```sh
 * signer/rest_api.ts                                    # with a signing service inside itself
 * signer/rest_api.ts --kafka-brokers 127.0.0.1:9092     # services are other programs
 * ```
 *
 * V8's flags of the first line keep its peak under load below 200 MiB (`programs.ts`, `bench/`).
 *
 * @module
 */
import type { Hono } from "hono";
import { authFlags, type BearerAuth, bearerAuthFromFlags } from "../service/bearer_auth.ts";
import type { Bus } from "../service/bus/bus.ts";
import { busFlags, type BusFlagValues, openBus } from "../service/bus/open_bus.ts";
import { commandLine, flag, parseDuration, parseInteger } from "../service/command_line.ts";
import { httpApp, type HttpAppOptions } from "../service/http_app.ts";
import { listenStarting } from "../service/http_starting.ts";
import { guardFlags } from "../service/http_guard.ts";
import { hostFlags, portFlag } from "../service/http_server.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import { pageRoutes } from "../service/page/assets.ts";
import { keyRoutes } from "./api/key_routes.ts";
import { type SignRoutes, signRoutes } from "./api/sign_routes.ts";
import asyncapi from "./asyncapi.json" with { type: "json" };
import { openKeyDirectory } from "./keys/key_directory.ts";
import openapi from "./openapi.json" with { type: "json" };
import { busHealth } from "./work/bus_health.ts";
import {
  neededTopicsOf,
  requestTopicFlag,
  type RequestTopicFlagValues,
  requestTopicOf,
} from "./work/request_topic.ts";
import { startRequester } from "./work/requester.ts";
import {
  signingFlags,
  type SigningFlagValues,
  type SigningService,
  startSigningService,
} from "./work/signing_service.ts";
import { unlessStopped } from "./work/start_step.ts";
import { watchTopics } from "./work/topic_watch.ts";
import { keysTopic, serviceGroup } from "./work/wire.ts";

/** What the flags say. */
export interface RestApiOptions extends BusFlagValues, RequestTopicFlagValues, SigningFlagValues {
  /** Address to listen on; beyond loopback only with authentication, or the operator's word. */
  host: string;
  /** Port to listen on; 0 takes a free one. */
  port: number;
  /** The operator's word that nobody has to authenticate beyond loopback. @default they have to */
  allowRemoteWithoutAuth?: true | undefined;
  /** Names that the server is known by, without port. @default loopback's and `host` */
  allowedHost?: string[] | undefined;
  /** Origins whose pages may call. @default none but our own */
  allowedOrigin?: string[] | undefined;
  /** The OpenID Connect issuer whose tokens are demanded; goes with `authAudience`. @default no authentication */
  authIssuer?: string | undefined;
  /** What the tokens must be for. @default no authentication */
  authAudience?: string | undefined;
  /** Where the issuer's keys are. @default as its discovery document says */
  authJwksUri?: string | undefined;
  /** The topic of answers, for this process alone. @default one of its own, removed on stop */
  resTopic?: string | undefined;
  /** How long a signature may take, in milliseconds. */
  timeoutMs: number;
  /** Messages under way at once, and HTTP requests; one more is refused as overloaded. */
  maxInFlight: number;
  /** WebSockets open at once; one more is refused as overloaded. */
  maxSockets: number;
  /** Time between two searches for topics of instances that died, in milliseconds. */
  sweepIntervalMs: number;
}

/**
 * Starts the REST API; it serves until it is stopped or cannot go on.
 *
 * @throws {StartError} it cannot start, with what to do
 *
 * @example
 * ```ts
 * if (import.meta.main) await runService(command, startRestApi);
 * ```
 */
export async function startRestApi(
  options: RestApiOptions,
  context: ServiceContext,
): Promise<Service & { port: number }> {
  const { health, log, stopping } = context;
  const auth = bearerAuthFromFlags(options, context);
  health.set("answers", { reason: "starting: waiting for the bus, its topics and keys" });
  await using undo = new AsyncDisposableStack();
  const server = await listenStarting(appOptionsOf(options), {
    host: options.host,
    port: options.port,
    portFlag: "--port",
    log,
    authenticated: auth !== undefined,
    allowRemoteWithoutAuth: options.allowRemoteWithoutAuth ?? false,
    maxRequestsInFlight: options.maxInFlight,
  }, context);
  undo.defer(() => server.stop(AbortSignal.abort()));
  const bus = await openBus(options, {
    clientId: "signer-api",
    topics: [requestTopicOf(options)],
  }, context);
  undo.defer(() => bus.close());

  const alone = bus.system === "in_process";
  const signing = alone
    ? await startSigningService({
      ...{
        bus,
        requestTopic: options.reqTopic,
        group: serviceGroup(options.reqTopic),
        flags: options,
      },
    }, context)
    : undefined;
  undo.defer(() => signing?.close(AbortSignal.abort()));
  if (alone) {
    log.info("No broker is named (--kafka-brokers): a signing service runs inside this process");
  }
  const directory = await openDirectory(bus, options, context);
  undo.defer(() => directory.close());
  await unlessStopped("all keys were read", directory.caughtUp, stopping);
  const onState = busHealth("answers", context);
  const starting = startRequester({
    bus,
    requestTopic: options.reqTopic,
    ...(options.resTopic && { responseTopic: options.resTopic }),
    timeoutMs: options.timeoutMs,
    maxInFlight: options.maxInFlight,
    sweepIntervalMs: options.sweepIntervalMs,
    onState,
  }, context);
  const requester = await unlessStopped("answers were read", starting, stopping);
  undo.defer(() => requester.close(AbortSignal.abort()));
  onState("ok");

  const unwatch = watchTopics({ bus, topics: neededTopicsOf(options) }, context);
  undo.defer(unwatch);
  const routes = signRoutes({
    requester,
    directory,
    maxSockets: options.maxSockets,
    ...(auth && { auth }),
  }, context);
  server.serve(appOf({ routes, signing, auth }, options, context).fetch);
  log.info("Listening", { url: `${server.url}/sign`, answers: requester.responseTopic });

  undo.move();
  return {
    port: server.port,
    finished: Promise.race([
      requester.failed,
      directory.failed,
      ...(signing ? [signing.failed] : []),
    ]),
    async stop(deadline) {
      unwatch();
      // New connections end first; what is under way needs the bus until it is answered.
      const served = server.stop(deadline);
      await routes.closeSockets(deadline);
      await served;
      await requester.close(deadline);
      await directory.close();
      await signing?.close(deadline);
      await bus.close();
    },
  };
}

function openDirectory(bus: Bus, { reqTopic }: RestApiOptions, context: ServiceContext) {
  const opening = openKeyDirectory({
    bus,
    topic: keysTopic(reqTopic),
    warn: (message) => context.log.warn(message),
    onState: busHealth("keys", context),
  });
  return unlessStopped("keys were read", opening, context.stopping);
}

interface ServedParts {
  routes: SignRoutes;
  /** The signing service inside this process, if there is one. */
  signing: SigningService | undefined;
  auth: BearerAuth | undefined;
}

function appOptionsOf(options: RestApiOptions): HttpAppOptions {
  return {
    name: "signer-api",
    host: options.host,
    allowedHosts: options.allowedHost,
    allowedOrigins: options.allowedOrigin,
    // Public keys are for everybody, whatever page or program verifies with them.
    publicPaths: ["/.well-known/jwks.json"],
  };
}

function appOf(parts: ServedParts, options: RestApiOptions, context: ServiceContext): Hono {
  const { routes, signing, auth } = parts;
  const app: Hono = httpApp(appOptionsOf(options), context);
  app.route("/", routes.app);
  app.get("/", (c) => c.redirect("/sign"));
  app.get("/openapi.json", (c) => c.json(openapi));
  app.get("/asyncapi.json", (c) => c.json(asyncapi));
  app.route("/", pageRoutes("signer", { routes: ["/sign"] }));
  const { keys: store, revocations } = signing ?? {};
  if (store && revocations) {
    app.route("/", keyRoutes({ store, revocations, log: context.log, ...(auth && { auth }) }));
  }
  return app;
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "signer-api",
    summary: "Has messages signed: page, WebSocket and HTTP before services on Kafka.",
    envPrefix: "SIGNER_REST_API",
    examples: [
      ["deno task signer:api", "http://127.0.0.1:8090/sign, with a signing service inside"],
      ["deno task signer:api --kafka-brokers 127.0.0.1:9092", "services are other programs"],
      ["deno task signer:api --algorithm es256", "the service inside signs with P-256"],
    ],
  })
    .addOption(portFlag("--port <port>", "port to listen on", 8090))
    .addOption(hostFlags.host())
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(busFlags.brokers())
    .addOption(requestTopicFlag())
    .addOption(
      flag("--res-topic <name>", "the topic of answers, for this process alone (default: its own)"),
    )
    .addOption(signingFlags.algorithm())
    .addOption(signingFlags.keys())
    .addOption(signingFlags.dataDir())
    .addOption(signingFlags.auditSync())
    .addOption(
      flag("--timeout-ms <ms>", "how long a signature may take")
        .argParser(parseDuration({ unit: "ms", minMs: 10, maxMs: 600_000 })).default(5_000),
    )
    .addOption(
      flag("--max-in-flight <n>", "messages under way; beyond it the API says it is overloaded")
        .argParser(parseInteger({ min: 1, max: 1_000_000 })).default(16_384),
    )
    .addOption(
      flag("--max-sockets <n>", "WebSockets open at once")
        .argParser(parseInteger({ min: 1, max: 100_000 })).default(2_048),
    )
    .addOption(
      flag("--sweep-interval-ms <ms>", "how often topics of instances that died are looked for")
        .argParser(parseDuration({ unit: "ms", minMs: 100, maxMs: 86_400_000 })).default(600_000),
    )
    .addOption(guardFlags.allowedHost())
    .addOption(guardFlags.allowedOrigin())
    .addOption(authFlags.issuer())
    .addOption(authFlags.audience())
    .addOption(authFlags.jwksUri())
    .addOption(busFlags.maxMessageBytes())
    .addOption(busFlags.startTimeout())
    .addOption(busFlags.outageLimit())
    .addOption(busFlags.tls())
    .addOption(busFlags.tlsCa())
    .addOption(busFlags.saslMechanism())
    .addOption(busFlags.saslUsername())
    .addOption(busFlags.saslPasswordFile());

  await runService(command, startRestApi);
}

if (import.meta.main) await main();
