/**
 * What the issuer keeps: its signing keys, and its clients with their secrets, each in a file that
 * only its owner may read.
 *
 * @module
 */
import { join } from "node:path";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import { StartError } from "../service/life_cycle.ts";
import { reasonOf } from "../service/resilience.ts";
import { realWorld, type World } from "../service/world/world.ts";
import type { ClientMetadata } from "./oidc_issuer.ts";

/** What the issuer knows. */
export interface IssuerFiles {
  /** Private keys that sign; the first is in use. */
  keys: JWK[];
  /** Clients with a secret. */
  clients: ClientMetadata[];
}

/**
 * Reads the files of a folder; makes a key, and a client `admin` with every scope, where there are
 * none. The admin's secret lies beside them in `admin.secret`.
 *
 * @throws {StartError} a file cannot be read or has not the right form
 *
 * @example
 * ```ts
 * const { keys, clients } = await openIssuerFiles("./issuer-data", { scopes: ["orb:admin"] });
 * ```
 */
export async function openIssuerFiles(
  folder: string,
  { scopes, world = realWorld }: { scopes: readonly string[]; world?: Pick<World, "randomBytes"> },
): Promise<IssuerFiles> {
  const keys = await readOrMake(join(folder, "keys.json"), async () => {
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    return [{ ...await exportJWK(privateKey), kid: world.randomBytes(8).toHex() }];
  });
  const clients = await readOrMake(join(folder, "clients.json"), async () => {
    const client_secret = world.randomBytes(24).toBase64({ alphabet: "base64url" });
    await writeOwn(join(folder, "admin.secret"), client_secret);
    return [{ client_id: "admin", client_secret, scope: scopes.join(" ") }];
  });
  return { keys, clients };
}

async function readOrMake<T extends object>(path: string, make: () => Promise<T[]>): Promise<T[]> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new StartError(
        `Cannot read ${path}: ${reasonOf(error)}. Mend it, or choose another --data-dir.`,
      );
    }
    const made = await make();
    await writeOwn(path, `${JSON.stringify(made, null, 2)}\n`);
    return made;
  }
  try {
    const list = JSON.parse(text);
    if (!Array.isArray(list) || list.length === 0) throw new Error("it is no list with an entry");
    return list;
  } catch (error) {
    throw new StartError(
      `Cannot use ${path}: ${reasonOf(error)}. Mend it, or remove it for a new one.`,
    );
  }
}

async function writeOwn(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text, { mode: 0o600 });
}
