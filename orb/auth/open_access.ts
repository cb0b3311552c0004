/**
 * The server's access as its flags ask for it: open on loopback, or with tokens of an issuer, of the
 * server itself, or both.
 *
 * @module
 */
import type { Command, OptionValues } from "@commander-js/extra-typings";
import { join } from "node:path";
import {
  flag,
  type FlagValues,
  parseDuration,
  parseHttpUrl,
  withFlags,
} from "../../service/command_line.ts";
import { KeySetFile } from "../../service/key_set_file.ts";
import { type ServiceContext, StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { openAccess, type OrbAccess, type OrbApi } from "../api/orb_api.ts";
import type { World } from "../../service/world/world.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { AnsweredChallenges } from "./answered_challenges.ts";
import { Attestation } from "./attestation.ts";
import { openAttestationKey } from "./attestation_key.ts";
import { addAttestationRoutes } from "./attestation_routes.ts";
import { type AuditLog, openAuditLog } from "./audit_log.ts";
import { createOrbAccess } from "./orb_access.ts";

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
  { dataDir, store, storeWorld }: {
    dataDir: string;
    store: Pick<RecordStore, "run">;
    /** The time of all servers that share the store: challenges and tokens of one hold at each. */
    storeWorld: World;
  },
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
  const { log, world } = context;
  const audience = oauthAudience ?? "orb";
  const attestation = deviceKeys === undefined
    ? undefined
    : await openAttestation(deviceKeys, { audience, dataDir, store, storeWorld, flags }, context);
  const audit = openAudit(join(dataDir, "refused.jsonl"), context);
  const access = createOrbAccess({ issuer, audience, jwksUri, attestation, audit, log, world });
  return {
    access,
    addRoutes: (api) => attestation && addAttestationRoutes(api, attestation, audit),
    [Symbol.dispose]: () => audit.close(),
  };
}

async function openAttestation(
  path: string,
  { audience, dataDir, store, storeWorld, flags }: {
    audience: string;
    dataDir: string;
    store: Pick<RecordStore, "run">;
    storeWorld: World;
    flags: OrbAccessFlags;
  },
  { log, world }: ServiceContext,
): Promise<Attestation> {
  return new Attestation({
    devices: new KeySetFile({
      path,
      world,
      onFault: (reason) => log.warn("The devices' keys cannot be read", { reason }),
    }),
    key: await openAttestationKey(flags.attestationKey ?? join(dataDir, "attestation_key.json")),
    audience,
    answered: new AnsweredChallenges({ store, world: storeWorld }),
    tokenLifetimeSeconds: (flags.deviceTokenLifetime ?? 900_000) / 1_000,
    world: storeWorld,
  });
}

function openAudit(path: string, { log, telemetry, world }: ServiceContext): AuditLog {
  try {
    return openAuditLog({ path, log, meter: telemetry.meter, world });
  } catch (error) {
    throw new StartError(
      `Cannot write ${path}, the log of refused calls: ${
        reasonOf(error)
      }. Mend it, or give another --data-dir.`,
    );
  }
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
