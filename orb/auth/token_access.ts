/**
 * The server's access where calls need tokens: of an issuer, of the server itself, or both.
 *
 * @module
 */
import { join } from "node:path";
import { KeySetFile } from "../../service/key_set_file.ts";
import { type ServiceContext, StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { AnsweredChallenges } from "./answered_challenges.ts";
import { Attestation } from "./attestation.ts";
import { openAttestationKey } from "./attestation_key.ts";
import { addAttestationRoutes } from "./attestation_routes.ts";
import { type AuditLog, openAuditLog } from "./audit_log.ts";
import type { AccessStores, OpenedAccess, OrbAccessFlags } from "./open_access.ts";
import { createOrbAccess } from "./orb_access.ts";

/**
 * Opens keys and the log of refused calls.
 *
 * @throws {StartError} a file cannot be used
 */
export async function openTokenAccess(
  flags: OrbAccessFlags,
  stores: AccessStores,
  context: ServiceContext,
): Promise<OpenedAccess> {
  const { oauthIssuer: issuer, oauthJwksUri: jwksUri, oauthAudience: audience = "orb" } = flags;
  const attestation = flags.deviceKeys === undefined
    ? undefined
    : await openAttestation(flags.deviceKeys, { ...stores, audience, flags }, context);
  const audit = openAudit(join(stores.dataDir, "refused.jsonl"), context);
  const { log, world } = context;
  const access = createOrbAccess({ issuer, audience, jwksUri, attestation, audit, log, world });
  return {
    access,
    addRoutes: (api) => attestation && addAttestationRoutes(api, attestation, audit),
    [Symbol.dispose]: () => audit.close(),
  };
}

async function openAttestation(
  path: string,
  { audience, flags, dataDir, store, storeWorld }: AccessStores & {
    audience: string;
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
