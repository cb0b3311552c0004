/**
 * The keys of a client's devices: one Ed25519 pair an orb, made once. The private ones never leave
 * their file; the public ones are in `public.jwks.json` beside it, for who has to know the devices.
 *
 * @module
 */
import { join } from "node:path";
import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { openDataFolder } from "../../service/data_folder.ts";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { writeWholeFile } from "../../service/whole_file.ts";

/** A device: who it is and what it proves that by. */
export interface Device {
  /** Its name, such as `orb-1`: the tokens' subject. */
  readonly id: string;
  /** Its private key, which cannot be taken out of memory. */
  readonly privateKey: CryptoKey;
}

/** The file of public keys in a folder of device keys. */
export const publicKeysFile = "public.jwks.json";

/** Made at once: each is a task of a thread. */
const atOnce = 64;

/**
 * Opens the keys of the orbs 1 to `count`, making those that are missing.
 *
 * @returns the devices, in order
 * @throws {StartError} the folder or the file of keys cannot be used
 *
 * @example
 * ```ts
 * const devices = await openDeviceKeys("./device-keys", 5); // orb-1 to orb-5
 * ```
 */
export async function openDeviceKeys(folder: string, count: number): Promise<Device[]> {
  await openDataFolder(folder);
  const path = join(folder, "private.jwks.json");
  const known = await readKeys(path);
  const keys: JWK[] = [];
  for (let first = 1; first <= count; first += atOnce) {
    const ids = Array.from(
      { length: Math.min(atOnce, count - first + 1) },
      (_, index) => `orb-${first + index}`,
    );
    keys.push(...await Promise.all(ids.map((id) => known.get(id) ?? newKey(id))));
    for (const id of ids) known.delete(id);
  }
  const all = [...keys, ...known.values()];
  // A key that is lost is a device that is lost.
  await writeWholeFile(path, `${JSON.stringify({ keys: all })}\n`);
  const publicKeys = all.map(({ d: _, ...publicKey }) => publicKey);
  const publicText = `${JSON.stringify({ keys: publicKeys })}\n`;
  await writeWholeFile(join(folder, publicKeysFile), publicText);
  return await Promise.all(keys.map(async (key) => ({
    id: key.kid!,
    privateKey: await importJWK({ ...key, ext: false }, "EdDSA") as CryptoKey,
  })));
}

async function newKey(kid: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  return { ...await exportJWK(privateKey), kid };
}

async function readKeys(path: string): Promise<Map<string, JWK>> {
  try {
    const { keys } = JSON.parse(await Deno.readTextFile(path)) as { keys: JWK[] };
    for (const { kid, d, crv } of keys) {
      if (typeof kid !== "string" || typeof d !== "string" || crv !== "Ed25519") {
        throw new Error("it has an entry that is no private Ed25519 key with a kid");
      }
    }
    return new Map(keys.map((key) => [key.kid!, key]));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Map();
    throw new StartError(
      `Cannot use the device keys in ${path}: ${
        reasonOf(error)
      }. Mend that file, or give another folder with --device-keys.`,
    );
  }
}
