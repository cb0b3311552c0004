#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=8,--heap-growing-percent=20 --allow-net --allow-read --allow-write --allow-env=OTEL_*,SIGNER_SERVICE_*,HOME,USERPROFILE,LOCALAPPDATA,XDG_DATA_HOME --ignore-env
/**
 * The signing service: takes messages from Kafka, signs them, notes it, answers where the request
 * says. Exports {@linkcode startService}; can also be used as a CLI:
 *
 * ```sh
 * signer/service.ts                                     # Kafka on 127.0.0.1:9092, Ed25519
 * signer/service.ts --kafka-brokers k1:9092,k2:9092 --algorithm es256
 * signer/service.ts keys rotate --data-dir /var/lib/signer
 * signer/service.ts keys revoke KID --reason "its disk was stolen" --kafka-brokers k1:9092
 * signer/service.ts audit verify --data-dir /var/lib/signer
 * ```
 *
 * By HTTP it reports its health (`/livez`, `/readyz`) and rotates and revokes keys (`POST /keys/rotate`).
 *
 * V8's flags of the first line keep its peak under load below 200 MiB (`programs.ts`, `bench/`).
 *
 * @module
 */
import { authFlags, bearerAuthFromFlags } from "../service/bearer_auth.ts";
import { busFlags, type BusFlagValues, openBus } from "../service/bus/open_bus.ts";
import { commandLine, flag } from "../service/command_line.ts";
import { httpApp } from "../service/http_app.ts";
import { listenStarting } from "../service/http_starting.ts";
import { guardFlags } from "../service/http_guard.ts";
import { hostFlags, portFlag } from "../service/http_server.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import { keyRoutes } from "./api/key_routes.ts";
import { addMaintenanceCommands } from "./work/maintenance_commands.ts";
import {
  neededTopicsOf,
  requestTopicFlag,
  type RequestTopicFlagValues,
  requestTopicOf,
} from "./work/request_topic.ts";
import { watchTopics } from "./work/topic_watch.ts";
import { serviceGroup } from "./work/wire.ts";
import {
  signingFlags,
  type SigningFlagValues,
  startSigningService,
} from "./work/signing_service.ts";

/** What the flags say. */
export interface ServiceOptions extends BusFlagValues, RequestTopicFlagValues, SigningFlagValues {
  /** Services of one group share the requests. */
  groupId?: string | undefined;
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
}

/**
 * Starts a signing service; it serves until it is stopped or cannot go on.
 *
 * @throws {StartError} it cannot start, with what to do
 *
 * @example
 * ```ts
 * if (import.meta.main) await runService(command, startService);
 * ```
 */
export async function startService(
  options: ServiceOptions,
  context: ServiceContext,
): Promise<Service & { port: number }> {
  const { health, log } = context;
  const auth = bearerAuthFromFlags(options, context);
  health.set("requests", { reason: "starting: waiting for Kafka, its topics and keys" });
  const appOptions = {
    name: "signer-service",
    host: options.host,
    allowedHosts: options.allowedHost,
    allowedOrigins: options.allowedOrigin,
  };
  await using undo = new AsyncDisposableStack();
  const server = await listenStarting(appOptions, {
    host: options.host,
    port: options.port,
    portFlag: "--port",
    log,
    authenticated: auth !== undefined,
    allowRemoteWithoutAuth: options.allowRemoteWithoutAuth ?? false,
  }, context);
  undo.defer(() => server.stop(AbortSignal.abort()));
  const bus = await openBus(options, {
    clientId: "signer-service",
    topics: [requestTopicOf(options)],
  }, context);
  undo.defer(() => bus.close());
  const signing = await startSigningService({
    ...{
      bus,
      requestTopic: options.reqTopic,
      group: options.groupId ?? serviceGroup(options.reqTopic),
      flags: options,
    },
  }, context);
  undo.defer(() => signing.close(AbortSignal.abort()));

  const unwatch = watchTopics({ bus, topics: neededTopicsOf(options) }, context);
  undo.defer(unwatch);
  const app = httpApp(appOptions, context);
  const { keys: store, revocations } = signing;
  if (store && revocations) {
    app.route("/", keyRoutes({ store, revocations, log, ...(auth && { auth }) }));
  }
  server.serve(app.fetch);
  log.info("Listening", { url: server.url });

  undo.move();
  return {
    port: server.port,
    finished: signing.failed,
    async stop(deadline) {
      unwatch();
      await signing.close(deadline);
      await bus.close();
      await server.stop(deadline);
    },
  };
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "signer-service",
    summary: "Signs the messages that come by Kafka.",
    envPrefix: "SIGNER_SERVICE",
    examples: [
      ["deno task signer:service", "Ed25519, Kafka on this machine"],
      ["deno task signer:service --algorithm base64", "as the original does"],
      ["deno task signer:service keys rotate", "a new key, without a restart"],
      ['deno task signer:service keys revoke KID --reason "leaked"', "a key ends, whoever has it"],
      ["deno task signer:service audit verify", "checks every entry of the audit log"],
    ],
  })
    .addOption(busFlags.brokers().default(["127.0.0.1:9092"], "127.0.0.1:9092"))
    .addOption(
      flag(
        "--group-id <name>",
        "services of one group share the requests (default: <req-topic>.service)",
      ),
    )
    .addOption(requestTopicFlag())
    .addOption(signingFlags.algorithm())
    .addOption(signingFlags.keys())
    .addOption(signingFlags.dataDir())
    .addOption(signingFlags.auditSync())
    .addOption(portFlag("--port <port>", "port of health and key routes", 8091))
    .addOption(hostFlags.host())
    .addOption(hostFlags.allowRemoteWithoutAuth())
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

  addMaintenanceCommands(command);
  await runService(command, startService);
}

if (import.meta.main) await main();
