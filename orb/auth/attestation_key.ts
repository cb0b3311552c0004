/**
 * The key that an orb server signs its own challenges and tokens with: one Ed25519 pair in a file,
 * which servers that share their devices share, too.
 *
 * @module
 */
import {
  calculateJwkThumbprint,
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from "jose";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";

/** A pair. */
export interface AttestationKey {
  /** Its thumbprint (RFC 7638). */
  readonly id: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

/**
 * Opens the key of a file, making it if there is none.
 *
 * @throws {StartError} the file cannot be used
 *
 * @example
 * ```ts
 * const key = await openAttestationKey(join(dataDir, "attestation_key.json"));
 * ```
 */
export async function openAttestationKey(path: string): Promise<AttestationKey> {
  try {
    const jwk = await readOrMake(path);
    const { d: _, ...publicJwk } = jwk;
    return {
      id: await calculateJwkThumbprint(publicJwk),
      privateKey: await importJWK({ ...jwk, ext: false }, "EdDSA") as CryptoKey,
      publicKey: await importJWK(publicJwk, "EdDSA") as CryptoKey,
    };
  } catch (error) {
    throw new StartError(
      `Cannot use the key in ${path}: ${
        reasonOf(error)
      }. Mend that file, or name another with --attestation-key.`,
    );
  }
}

async function readOrMake(path: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const made = await exportJWK(privateKey);
  try {
    // Only one of several servers that start at once makes it.
    await Deno.writeTextFile(path, `${JSON.stringify(made)}\n`, { createNew: true, mode: 0o600 });
    return made;
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  const jwk = JSON.parse(await Deno.readTextFile(path)) as JWK;
  if (jwk.crv !== "Ed25519" || typeof jwk.d !== "string") {
    throw new Error("it is no private Ed25519 key (a JWK)");
  }
  return jwk;
}
