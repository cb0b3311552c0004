#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=8,--heap-growing-percent=20 --allow-net --allow-read --allow-write --allow-env=OTEL_*,SIGNER_SERVICE_*,HOME,USERPROFILE,LOCALAPPDATA,XDG_DATA_HOME --ignore-env
/**
 * The signing service: takes messages from Kafka, signs them, notes it, answers where the request
 * says. Exports {@linkcode startService}; can also be used as a CLI:
 *
 * ```sh
 * signer/service.ts                                     # Kafka on 127.0.0.1:9092, Ed25519
 * signer/service.ts --kafka-brokers k1:9092,k2:9092 --algorithm es256
 * signer/service.ts keys rotate --data-dir /var/lib/signer
 * signer/service.ts audit verify --data-dir /var/lib/signer
 * ```
 *
 * By HTTP it tells its health (`/livez`, `/readyz`) and rotates keys (`POST /keys/rotate`).
 *
 * @module
 */
import { join } from "node:path";
import { authFlags, bearerAuthFromFlags } from "../service/bearer_auth.ts";
import { commandLine, flag } from "../service/command_line.ts";
import { httpApp } from "../service/http_app.ts";
import { guardFlags } from "../service/http_guard.ts";
import { hostFlags, listen, portFlag } from "../service/http_server.ts";
import {
  runService,
  type Service,
  type ServiceContext,
  StartError,
} from "../service/life_cycle.ts";
import { verifyAuditLog } from "./work/audit_chain.ts";
import { keyRoutes } from "./api/key_routes.ts";
import { type KeyStore, KeyStoreError, openKeyStore } from "./keys/key_store.ts";
import { busFlags, type BusFlagValues, openBus } from "../service/bus/open_bus.ts";
import {
  requestTopicFlag,
  type RequestTopicFlagValues,
  requestTopicOf,
} from "./work/request_topic.ts";
import {
  signerDataFolder,
  signingFlags,
  type SigningFlagValues,
  startSigningService,
} from "./work/signing_service.ts";

/** What the flags say. */
export interface ServiceOptions extends BusFlagValues, RequestTopicFlagValues, SigningFlagValues {
  groupId: string;
  host: string;
  port: number;
  allowRemoteWithoutAuth?: true | undefined;
  allowedHost?: string[] | undefined;
  allowedOrigin?: string[] | undefined;
  authIssuer?: string | undefined;
  authAudience?: string | undefined;
  authJwksUri?: string | undefined;
}

/** Starts a signing service; it serves until it is stopped or cannot go on. */
export async function startService(
  options: ServiceOptions,
  context: ServiceContext,
): Promise<Service & { port: number }> {
  const { health, log } = context;
  const auth = bearerAuthFromFlags(options);
  health.set("requests", { reason: "starting" });
  const bus = await openBus(options, {
    clientId: "signer-service",
    topics: [requestTopicOf(options)],
  }, context);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => bus.close());
  const signing = await startSigningService({
    ...{ bus, requestTopic: options.reqTopic, group: options.groupId, flags: options },
  }, context);
  undo.defer(() => signing.close(AbortSignal.abort()));

  const app = httpApp({
    name: "signer-service",
    host: options.host,
    allowedHosts: options.allowedHost,
    allowedOrigins: options.allowedOrigin,
  }, context);
  if (signing.keys) {
    app.route("/", keyRoutes({ store: signing.keys, log, ...(auth && { auth }) }));
  }
  const server = listen(app.fetch, {
    host: options.host,
    port: options.port,
    portFlag: "--port",
    authenticated: auth !== undefined,
    allowRemoteWithoutAuth: options.allowRemoteWithoutAuth ?? false,
  });
  log.info("Listening", { url: server.url });

  undo.move();
  return {
    port: server.port,
    finished: signing.failed,
    async stop(deadline) {
      await signing.close(deadline);
      await bus.close();
      await server.stop(deadline);
    },
  };
}

const command = commandLine({
  name: "signer-service",
  summary: "Signs the messages that come by Kafka.",
  envPrefix: "SIGNER_SERVICE",
  examples: [
    ["deno task signer:service", "Ed25519, Kafka on this machine"],
    ["deno task signer:service --algorithm base64", "as the original does"],
    ["deno task signer:service keys rotate", "a new key, without a restart"],
    ["deno task signer:service audit verify", "checks every entry of the audit log"],
  ],
})
  .addOption(busFlags.brokers().default(["127.0.0.1:9092"], "127.0.0.1:9092"))
  .addOption(
    flag("--group-id <name>", "services of one group share the requests").default(
      "signer.v1.service",
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

const keysCommand = command.command("keys").description("look after the keys");
keysCommand.command("list").description("print all keys, without their private parts")
  .action((_, sub) => withKeys(sub, (store) => Promise.resolve(store.keys)));
keysCommand.command("rotate").description("make a new active key; the one before still verifies")
  .action((_, sub) => withKeys(sub, (store) => store.rotate()));
keysCommand.command("retire").description("end a verify-only key: its signatures no longer count")
  .argument("<kid>", "the key's id")
  .action((kid, _, sub) => withKeys(sub, (store) => store.retire(kid)));

command.command("audit").description("look after the audit log")
  .command("verify").description("check every entry and the chain of their hashes")
  .addOption(
    flag("--expect-head <hash>", "a hash noted before, which must be in the chain"),
  )
  .action(async (options, sub) => {
    const flags = sub.optsWithGlobals() as SigningFlagValues;
    const folder = join(signerDataFolder(flags), "audit");
    const verdict = await verifyAuditLog(folder, options.expectHead).catch((error) => {
      throw new StartError(`Cannot read the audit log in ${folder}: ${error.message}`);
    });
    print(verdict);
    if (!verdict.ok) Deno.exit(1);
  });

async function withKeys(
  sub: { optsWithGlobals(): unknown },
  work: (store: KeyStore) => Promise<unknown>,
): Promise<void> {
  const flags = sub.optsWithGlobals() as SigningFlagValues;
  if (flags.algorithm === "base64") throw new StartError("base64 has no keys.");
  const path = flags.keys ?? join(signerDataFolder(flags), "keys");
  const store = await openKeyStore({ path, algorithm: flags.algorithm });
  try {
    print(await work(store));
  } catch (error) {
    if (error instanceof KeyStoreError) throw new StartError(error.message);
    throw error;
  } finally {
    store.close();
  }
}

function print(result: unknown): void {
  // deno-lint-ignore no-console -- what the command is asked for
  console.log(JSON.stringify(result, null, 2));
}

if (import.meta.main) await runService(command, startService);
