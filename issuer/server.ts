#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env=OTEL_*,ISSUER_*,HOME,USERPROFILE,XDG_DATA_HOME,LOCALAPPDATA --ignore-env
/**
 * An issuer of access tokens, for tests and the demo: OpenID Connect discovery, keys, and client
 * credentials for devices (by their Ed25519 key) and an operator (by a secret). In earnest any
 * OpenID Connect issuer takes its place.
 *
 * Exports {@linkcode startIssuer}; can also be used as a CLI:
 *
 * ```sh
 * deno task issuer
 * deno task issuer --data-dir ./issuer-data --device-keys ./device-keys/public.jwks.json
 * curl -u "admin:$(cat ./issuer-data/admin.secret)" -d 'grant_type=client_credentials&scope=orb:admin' http://127.0.0.1:4280/token
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { commandLine, flag, parseHttpUrl, parseInteger } from "../service/command_line.ts";
import { defaultDataFolder, lockForThisProcess, openDataFolder } from "../service/data_folder.ts";
import type { Health } from "../service/health.ts";
import { Guard } from "../service/http_guard.ts";
import { bindAll } from "../service/http_bind.ts";
import { hostFlags, isLoopback, portFlag } from "../service/http_server.ts";
import { KeySetFile } from "../service/key_set_file.ts";
import {
  runService,
  type Service,
  type ServiceContext,
  StartError,
} from "../service/life_cycle.ts";
import { aborted } from "../service/resilience.ts";
import { openIssuerFiles } from "./issuer_files.ts";
import { createOidcIssuer, type NodeHandler } from "./oidc_issuer.ts";

/** Options of {@linkcode startIssuer}. */
export interface IssuerOptions {
  /** Port to bind, 0 to 65535; 0 takes a free one. */
  port: number;
  /** Address to bind. @default "127.0.0.1" */
  host?: string;
  /** Its identifier, where it is not called by its address. @default `http://127.0.0.1:<port>` */
  url?: string;
  /** Listen beyond loopback, without TLS: a container's own network. @default false */
  allowRemoteWithoutAuth?: boolean;
  /** Folder of keys and clients. @default the data folder of the operating system */
  dataDir?: string;
  /** The tokens' audience. @default "orb" */
  audience?: string;
  /** Every scope there is. @default those of the orb server */
  scopes?: readonly string[];
  /** A key set with the devices' public Ed25519 keys; each `kid` is a device. @default no devices */
  deviceKeys?: string;
  /** What devices may ask for. @default `orb:signup` and `orb:telemetry` */
  deviceScopes?: readonly string[];
  /** How long a token lives, in seconds, at least 1. @default 900 */
  tokenLifetime?: number;
}

/** A running issuer. */
export interface RunningIssuer extends Service {
  /** Its identifier: `--oauth-issuer`. */
  readonly url: string;
}

/**
 * Opens its files and listens.
 *
 * @throws {StartError} the data folder cannot be used, or the port cannot be bound
 *
 * @example
 * ```ts
 * const issuer = await startIssuer({ port: 0, dataDir: "./issuer-data" }, context);
 * ```
 */
export async function startIssuer(
  options: IssuerOptions,
  context: ServiceContext,
): Promise<RunningIssuer> {
  const { log, health, world } = context;
  const { host = "127.0.0.1", scopes = orbScopes, deviceKeys, audience = "orb" } = options;
  if (!isLoopback(host) && !options.allowRemoteWithoutAuth) {
    throw new StartError(
      `Refuses to listen on ${host}: secrets would cross the network in the clear. Listen on 127.0.0.1, or say --allow-remote-without-auth.`,
    );
  }
  const folder = options.dataDir ?? defaultDataFolder("issuer");
  await openDataFolder(folder);
  await using undo = new AsyncDisposableStack();
  // Two would each write the other's keys and clients away.
  undo.use(await lockForThisProcess(join(folder, ".lock"), "--data-dir"));
  const files = await openIssuerFiles(folder, { scopes, world });
  const devices = deviceKeys === undefined ? undefined : new KeySetFile({
    path: deviceKeys,
    world,
    onFault: (reason) => log.warn("The devices' keys cannot be read", { reason }),
  });

  const bound = await bindAll(() => createServer(), {
    ...{ host, port: options.port, portFlag: "--port", log },
  });
  const { port } = bound[0]!.address;
  const url = options.url ?? `http://127.0.0.1:${port}`;
  const issue = createOidcIssuer({
    ...files,
    url,
    audience,
    scopes,
    world,
    findDevice: async (id) => await devices?.find(id),
    deviceScopes: options.deviceScopes ?? ["orb:signup", "orb:telemetry"],
    tokenLifetimeSeconds: options.tokenLifetime ?? 900,
  });
  const servers = bound.map(({ server }) => server);
  for (const server of servers) server.on("request", guarded(issue, { url, host, health }));
  health.set("issuer", "ok");
  log.info("The issuer is ready", { url, audience, dataDir: folder });
  const resources = undo.move();
  return {
    url,
    async stop(deadline) {
      await Promise.all(servers.map((server) => stop(server, deadline)));
      await resources.disposeAsync();
    },
  };
}

const orbScopes = ["orb:signup", "orb:telemetry", "orb:admin"];

/** The house's rule of who may ask, and health, before the library's own routes. */
function guarded(
  issue: NodeHandler,
  { url, host, health }: { url: string; host: string; health: Health },
): NodeHandler {
  const guard = new Guard({ host, allowedHosts: [new URL(url).hostname] });
  return function answer(request, response) {
    const path = request.url?.split("?", 1)[0];
    if (path === "/livez" || path === "/healthz") return end(response, health.live ? 200 : 503);
    if (path === "/readyz") return end(response, health.ready ? 200 : 503);
    if (isForeign(guard, request)) {
      return end(response, 403, "This server is not known by that name, or not to that page.");
    }
    issue(request, response);
  };
}

function isForeign(guard: Guard, { headers }: IncomingMessage): boolean {
  const { host = "", origin, "sec-fetch-site": site } = headers;
  if (!guard.isKnownHost(host)) return true;
  return guard.source({ host, origin, site: site as string | undefined }) === "foreign";
}

function end(response: ServerResponse, status: number, text = status === 200 ? "ok" : "not ready") {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${text}\n`);
}

/** Waits for what is under way; at the deadline it is cut. */
async function stop(server: Server, deadline: AbortSignal): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await Promise.race([closed, aborted(deadline).then(() => server.closeAllConnections())]);
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "issuer",
    summary: "An issuer of access tokens for tests and the demo: OpenID Connect, no people.",
    examples: [
      ["issuer", "listen on 127.0.0.1:4280, keys in the data folder of this system"],
      ["issuer --device-keys ./device-keys/public.jwks.json", "tokens for these devices, too"],
      ["issuer --audience signer --scopes sign signer:admin", "tokens for another API"],
    ],
  })
    .addOption(portFlag("--port <port>", "port to listen on; 0 takes a free one", 4280))
    .addOption(hostFlags.host())
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(
      flag("--url <url>", "its identifier, where it is called by another name")
        .argParser(parseHttpUrl),
    )
    .addOption(
      flag("--data-dir <folder>", "folder of keys and clients; default this system's data folder"),
    )
    .addOption(flag("--audience <name>", "the tokens' audience").default("orb"))
    .addOption(flag("--scopes <scope...>", "every scope there is").default(orbScopes))
    .addOption(flag("--device-keys <file>", "a key set with the devices' public keys"))
    .addOption(
      flag("--device-scopes <scope...>", "what devices may ask for")
        .default(["orb:signup", "orb:telemetry"]),
    )
    .addOption(
      flag("--token-lifetime <seconds>", "how long a token lives, in seconds")
        .argParser(parseInteger({ min: 1, max: 86_400 })).default(900),
    );
  await runService(command, startIssuer);
}

if (import.meta.main) await main();
