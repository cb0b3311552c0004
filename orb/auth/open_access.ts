/**
 * The server's access as its flags ask for it: open on loopback, or with tokens of an issuer, of the
 * server itself, or both.
 *
 * @module
 */
import type { Command, OptionValues } from "@commander-js/extra-typings";
import {
  flag,
  type FlagValues,
  parseDuration,
  parseHttpUrl,
  withFlags,
} from "../../service/command_line.ts";
import { type ServiceContext, StartError } from "../../service/life_cycle.ts";
import { openAccess, type OrbAccess, type OrbApi } from "../api/orb_api.ts";
import type { World } from "../../service/world/world.ts";
import type { RecordStore } from "../stores/record_store.ts";

/** Options of {@linkcode openOrbAccess}: the flags. */
export interface OrbAccessFlags {
  /** Tokens of this OpenID Connect issuer are demanded. @default none */
  oauthIssuer?: string;
  /** What tokens must be for. @default "orb" */
  oauthAudience?: string;
  /** The issuer's keys, where it has no discovery document. @default found by discovery */
  oauthJwksUri?: string;
  /** A key set with the devices' public keys: they get tokens for a signed challenge. @default none */
  deviceKeys?: string;
  /** The key that challenges and tokens are signed with. @default `attestation_key.json` in the data folder */
  attestationKey?: string;
  /** How long such a token lives, in milliseconds, at least 1,000. @default 900_000 */
  deviceTokenLifetime?: number;
}

/** Where access keeps what it has to know. */
export interface AccessStores {
  dataDir: string;
  store: Pick<RecordStore, "run">;
  /** The time of all servers that share the store: challenges and tokens of one hold at each. */
  storeWorld: World;
}

/** Who may call, and the routes that belong to it. */
export interface OpenedAccess extends Disposable {
  readonly access: OrbAccess;
  /** Adds the routes by which devices get tokens, where they do. */
  addRoutes(api: OrbApi): void;
}

/**
 * Opens keys and the log of refused calls, `refused.jsonl` in the data folder.
 *
 * @throws {StartError} flags do not go together, or a file cannot be used
 *
 * @example
 * ```ts
 * using auth = await openOrbAccess(options, { dataDir, store, storeWorld: clock.world }, context);
 * app.post("/api/reset", auth.access.require("orb:admin"), reset);
 * ```
 */
export async function openOrbAccess(
  flags: OrbAccessFlags,
  stores: AccessStores,
  context: ServiceContext,
): Promise<OpenedAccess> {
  const { oauthIssuer: issuer, oauthJwksUri: jwksUri, deviceKeys, oauthAudience } = flags;
  if (issuer === undefined && deviceKeys === undefined) {
    if (
      oauthAudience === undefined && jwksUri === undefined && flags.attestationKey === undefined
    ) {
      return { access: openAccess, addRoutes() {}, [Symbol.dispose]() {} };
    }
    throw new StartError(
      "Cannot demand tokens: --oauth-audience, --oauth-jwks-uri and --attestation-key go with --oauth-issuer or --device-keys.",
    );
  }
  // Only who demands tokens needs what checks them.
  const { openTokenAccess } = await import("./token_access.ts");
  return await openTokenAccess(flags, stores, context);
}

/** Adds the flags of {@linkcode OrbAccessFlags}. */
export function withAccessFlags<Options extends OptionValues>(command: Command<[], Options>) {
  return withFlags(command, [
    flag("--oauth-issuer <url>", "demand tokens of this OpenID Connect issuer")
      .argParser(parseHttpUrl),
    flag("--oauth-audience <name>", "what tokens must be for; default 'orb'"),
    flag("--oauth-jwks-uri <url>", "the issuer's keys, if it has no discovery document")
      .argParser(parseHttpUrl),
    flag("--device-keys <file>", "a key set of devices: each gets tokens for a signed challenge"),
    flag("--attestation-key <file>", "what those tokens are signed with; servers may share it"),
    flag("--device-token-lifetime <duration>", "how long they live; a bare number is seconds")
      .argParser(parseDuration({ unit: "s", minMs: 1_000, maxMs: 86_400_000 })).default(900_000),
  ]) as Command<[], Options & FlagValues<OrbAccessFlags>>;
}
