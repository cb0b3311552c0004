/**
 * The tokens of a client's orbs, by its flags: each orb's own by its key, one for all by a secret,
 * or none.
 *
 * @module
 */
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import type { Device } from "./device_keys.ts";
import type { TokenSource } from "./token_source.ts";

/** Options of {@linkcode openOrbTokens}, as the flags give them. */
export interface OrbTokensOptions {
  /** The issuer that gives tokens. @default none: with `deviceKeys` the orb server does */
  oauthIssuer?: string;
  /** What tokens are for, where the issuer has several APIs. @default the issuer's own */
  oauthAudience?: string;
  /** Who asks for one token for all orbs, by a secret. @default each orb asks, by its key */
  oauthClientId?: string;
  /** The file of that secret. */
  oauthClientSecretFile?: string;
  /** Folder of the orbs' keys; those that are missing are made. @default none */
  deviceKeys?: string;
  /** Orbs. */
  orbs: number;
  /** The orb server's base. */
  server: string;
  /** Makes the calls for tokens. */
  fetch: typeof fetch;
  /** How long one call may take, in milliseconds. */
  requestTimeoutMs: number;
  /** Time and chance. */
  world: World;
}

/** Who the orbs are, and their calls with their tokens. */
export interface OrbIdentities {
  /** The id of an orb, by its number from 1. */
  idOf(orb: number): string;
  /** `fetch` for one orb: with its token, and once more with a new one if that was refused. */
  fetch(orb: number, url: string, init: RequestInit): Promise<Response>;
}

const scope = "orb:signup orb:telemetry";

/**
 * Opens keys and secrets.
 *
 * @throws {StartError} flags do not go together, or a file cannot be used
 *
 * @example
 * ```ts
 * const identities = await openOrbTokens({ deviceKeys: "./device-keys", orbs: 5, … });
 * await identities.fetch(1, url, { method: "PUT", body });
 * ```
 */
export async function openOrbTokens(options: OrbTokensOptions): Promise<OrbIdentities> {
  const { oauthIssuer: issuer, oauthClientId, oauthClientSecretFile, deviceKeys } = options;
  if ((oauthClientId === undefined) !== (oauthClientSecretFile === undefined)) {
    throw new StartError("--oauth-client-id and --oauth-client-secret-file go together.");
  }
  if (oauthClientId !== undefined && (issuer === undefined || deviceKeys !== undefined)) {
    throw new StartError(
      "--oauth-client-id goes with --oauth-issuer, and not with --device-keys: a client has one way to prove itself.",
    );
  }
  if (issuer !== undefined && oauthClientId === undefined && deviceKeys === undefined) {
    throw new StartError(
      "--oauth-issuer needs what proves the orbs: --device-keys, or --oauth-client-id with --oauth-client-secret-file.",
    );
  }
  try {
    if (oauthClientId !== undefined) return await withSecret(options, oauthClientId);
    if (deviceKeys !== undefined) return await withDeviceKeys(options, deviceKeys);
  } catch (error) {
    // An address that secrets are not sent to.
    if (error instanceof TypeError) throw new StartError(error.message);
    throw error;
  }
  return { idOf: nameOf, fetch: (_, url, init) => options.fetch(url, init) };
}

function nameOf(orb: number): string {
  return `orb-${orb}`;
}

async function withSecret(options: OrbTokensOptions, id: string): Promise<OrbIdentities> {
  const path = options.oauthClientSecretFile!;
  let secret: string;
  try {
    secret = (await Deno.readTextFile(path)).trim();
  } catch (error) {
    throw new StartError(`Cannot read the secret in ${path}: ${reasonOf(error)}.`);
  }
  const { clientCredentials } = await loadTokenSource();
  const tokens = clientCredentials({ ...callsOf(options), client: { id, secret } });
  return { idOf: () => id, fetch: (_, url, init) => fetchWith(tokens, options.fetch, url, init) };
}

async function withDeviceKeys(options: OrbTokensOptions, folder: string): Promise<OrbIdentities> {
  const { openDeviceKeys } = await import("./device_keys.ts");
  const devices = await openDeviceKeys(folder, options.orbs);
  const library = await loadTokenSource();
  const sources = devices.map((device) => sourceOf(device, options, library));
  return {
    // What an earlier, larger fleet has left in the spool is handed in by the last orb.
    idOf: (orb) => devices[Math.min(orb, devices.length) - 1]!.id,
    fetch(orb, url, init) {
      const tokens = sources[Math.min(orb, sources.length) - 1]!;
      return fetchWith(tokens, options.fetch, url, init);
    },
  };
}

/** Only orbs that have tokens need what signs for them. */
function loadTokenSource(): Promise<typeof import("./token_source.ts")> {
  return import("./token_source.ts");
}

function sourceOf(
  device: Device,
  options: OrbTokensOptions,
  { attested, clientCredentials }: typeof import("./token_source.ts"),
): TokenSource {
  if (options.oauthIssuer !== undefined) {
    return clientCredentials({ ...callsOf(options), client: device });
  }
  const { server, fetch, requestTimeoutMs: timeoutMs, world } = options;
  return attested({ server, device, fetch, timeoutMs, world });
}

function callsOf({ oauthIssuer, oauthAudience, fetch, requestTimeoutMs, world }: OrbTokensOptions) {
  return {
    issuer: oauthIssuer!,
    scope,
    ...(oauthAudience !== undefined && { audience: oauthAudience }),
    ...{ fetch, world, timeoutMs: requestTimeoutMs },
  };
}

async function fetchWith(
  tokens: TokenSource,
  fetchIt: typeof fetch,
  url: string,
  init: RequestInit,
): Promise<Response> {
  for (let attempt = 1;; attempt++) {
    const token = await tokens.get();
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${token}`);
    const response = await fetchIt(url, { ...init, headers });
    if (response.status !== 401) return response;
    // It has ended early, or the key it was signed with is gone.
    tokens.forget(token);
    if (attempt > 1) return response;
    await response.body?.cancel();
  }
}
