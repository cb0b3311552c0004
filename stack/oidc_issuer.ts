/**
 * Starts the project's own issuer of tokens, npm `oidc-provider` in a process of its own.
 *
 * @module
 */

import { join } from "node:path";
import { programNamed } from "../programs.ts";
import { answersOk, choosePorts } from "../service/ports.ts";
import { programArguments } from "../service/program_file.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** Options of {@link startOidcIssuer}. */
export interface OidcIssuerOptions extends StartOptions {
  /**
   * Where it listens.
   * @default a free port
   */
  port?: number;
  /**
   * The tokens' audience.
   * @default "orb"
   */
  audience?: string;
  /**
   * Every scope there is.
   * @default those of the orb server
   */
  scopes?: readonly string[];
  /**
   * A key set with devices' public keys.
   * @default no devices
   */
  deviceKeys?: string;
  /**
   * How long a token lives, in seconds.
   * @default 900
   */
  tokenLifetimeSeconds?: number;
}

/** An issuer that is up. */
export interface RunningOidcIssuer extends RunningProcess {
  /** Its identifier. */
  readonly url: string;
  /** The folder with its keys and clients. */
  readonly dataFolder: string;
  /** The file with the secret of its client `admin`. */
  readonly adminSecretFile: string;
  /** A token of the client `admin`. */
  adminToken(scope: string): Promise<string>;
}

/**
 * Starts the issuer with its data in the run folder; in one that it was in before it goes on with
 * the keys and clients that are there.
 *
 * @throws {StackError} when it cannot be started
 */
export async function startOidcIssuer(options: OidcIssuerOptions = {}): Promise<RunningOidcIssuer> {
  const [port] = choosePorts(options.port);
  const runFolder = options.runFolder ?? await Deno.makeTempDir({ prefix: "issuer-" });
  const dataFolder = join(runFolder, "data");
  const url = `http://127.0.0.1:${port}`;
  const entry = join(import.meta.dirname!, "..", programNamed("issuer").entry);
  const args = await programArguments(entry, [
    ...["--port", String(port), "--data-dir", dataFolder],
    ...(options.audience === undefined ? [] : ["--audience", options.audience]),
    ...(options.scopes === undefined ? [] : ["--scopes", ...options.scopes]),
    ...(options.deviceKeys === undefined ? [] : ["--device-keys", options.deviceKeys]),
    ...(options.tokenLifetimeSeconds === undefined
      ? []
      : ["--token-lifetime", String(options.tokenLifetimeSeconds)]),
    "--stop-with-stdin",
  ]);
  const process = await startProcess({
    name: "issuer",
    command: Deno.execPath(),
    args: () => args,
    env: { OTEL_SDK_DISABLED: "true", NO_COLOR: "1" },
    endsWithUs: true,
    ports: { http: port },
    ready: (signal) => answersOk(`${url}/readyz`, signal),
  }, { ...options, runFolder });
  const adminSecretFile = join(dataFolder, "admin.secret");
  const stop = async () => {
    await process.stop();
    if (options.runFolder === undefined) await Deno.remove(runFolder, { recursive: true });
  };
  return {
    ...process,
    url,
    dataFolder,
    adminSecretFile,
    adminToken: async (scope) => askToken(url, await Deno.readTextFile(adminSecretFile), scope),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function askToken(url: string, secret: string, scope: string): Promise<string> {
  const response = await fetch(`${url}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`admin:${secret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope }),
  });
  const { access_token: token, error } = await response.json();
  if (!response.ok) throw new Error(`The issuer refused a token: ${error}`);
  return token;
}
