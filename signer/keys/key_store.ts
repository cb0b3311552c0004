/**
 * The service's private keys: a folder with one JWK or PEM a file, or a single file.
 *
 * A key is `active` (signs; there is one for each algorithm), `verify-only` (its signatures still
 * count) or `retired` (they do not, and its private part is gone). In a folder, these are members
 * of the JWK; of several active ones the highest version counts, and a file without them, such as
 * a PEM of yours, is active with version 0. The folder is looked at every second, so a rotation
 * by another process takes effect without a restart.
 *
 * @module
 */
import type { JsonWebKey } from "node:crypto";
import { join } from "node:path";
import { StartError } from "../../service/life_cycle.ts";
import {
  exportPrivateJwk,
  generateKey,
  importPrivateKey,
  type KeyAlgorithm,
  type PrivateKey,
  type PublicJwk,
  toPublicJwk,
} from "./signing.ts";

/** What a key is good for. */
export type KeyState = "active" | "verify-only" | "retired";

/** A key as everybody may know it; what is published on the keys topic. */
export interface PublishedKey extends PublicJwk {
  state: KeyState;
  /** Counts from 1 within a folder; 0 for a key that was put there by hand. */
  version: number;
  /** When it was made, ISO 8601. */
  created_at: string;
}

/** Options of {@linkcode openKeyStore}. */
export interface KeyStoreOptions {
  /** A folder, made if it is absent, or a file. */
  path: string;
  /** What the active key must be for; made in a folder that has none. */
  algorithm: KeyAlgorithm;
  /** How often the folder is looked at. @default 1_000 */
  pollIntervalMs?: number;
  /** Told of what a person should know, such as a file that others may read. */
  warn?: (message: string) => void;
}

/** The keys while the service runs. */
export interface KeyStore {
  /** The key that signs. */
  readonly active: PrivateKey;
  /** All keys, newest first. */
  readonly keys: readonly PublishedKey[];
  /** Told after every change, whoever made it. */
  onChange: (keys: readonly PublishedKey[]) => void;
  /** Makes a new active key; the one before becomes verify-only. */
  rotate(): Promise<PublishedKey>;
  /** Ends a verify-only key; its signatures no longer count. */
  retire(kid: string): Promise<PublishedKey>;
  /** Rejects when the keys have been unreadable for a minute. */
  readonly failed: Promise<never>;
  close(): void;
}

/** What a key cannot be asked for; the message is for the person who asked. */
export class KeyStoreError extends Error {
  override name = "KeyStoreError";
}

interface StoredKey {
  file: string;
  published: PublishedKey;
  /** Absent when retired. */
  key: PrivateKey | undefined;
}

const maxKeys = 1_000;
const maxUnreadablePolls = 60;

/**
 * Opens the keys, making the first one in a folder without.
 *
 * @throws {StartError} they cannot be read or made, with the file and the reason
 */
export async function openKeyStore(options: KeyStoreOptions): Promise<KeyStore> {
  const { path, algorithm, pollIntervalMs = 1_000, warn = () => {} } = options;
  const isFile = await isKeyFile(path);
  let stored: StoredKey[];
  try {
    if (!isFile) await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    stored = await readKeys(path, isFile);
  } catch (error) {
    throw new StartError(
      `Cannot open the keys in ${path}: ${
        messageOf(error)
      } Mend it, or give another folder or file with --keys.`,
    );
  }
  if (!activeOf(stored, algorithm)) {
    if (isFile) {
      throw new StartError(
        `Cannot sign with ${algorithm}: ${path} has no ${algorithm} key. Give another file with --keys, or another --algorithm.`,
      );
    }
    try {
      await makeActive();
    } catch (error) {
      throw new StartError(`Cannot make a key in ${path}: ${messageOf(error)}`);
    }
  }
  await warnOfOpenFiles(stored, warn);

  let fingerprint = JSON.stringify(publishedOf(stored));
  let unreadablePolls = 0;
  let polling = false;
  let giveUp: (error: Error) => void;
  const failed = new Promise<never>((_, reject) => giveUp = reject);
  failed.catch(() => {});
  const timer = setInterval(poll, pollIntervalMs);

  const store: KeyStore = {
    failed,
    get active() {
      return activeOf(stored, algorithm)!.key!;
    },
    get keys() {
      return publishedOf(stored);
    },
    onChange: () => {},
    async rotate() {
      if (isFile) throw new KeyStoreError("A single key file cannot be rotated: use a folder.");
      const made = await makeActive();
      changed();
      return made;
    },
    async retire(kid) {
      if (isFile) throw new KeyStoreError("A single key file cannot be retired: use a folder.");
      const retired = await locked(async () => {
        stored = await readKeys(path, false);
        const found = stored.find(({ published }) => published.kid === kid);
        if (!found) throw new KeyStoreError(`There is no key '${kid.slice(0, 100)}'.`);
        if (found.published.state === "active") {
          throw new KeyStoreError("The active key cannot be retired: rotate first.");
        }
        await writeKey(found.file, { ...found.published, state: "retired" }, undefined);
        stored = await readKeys(path, false);
        return stored.find(({ published }) => published.kid === kid)!.published;
      });
      changed();
      return retired;
    },
    close() {
      clearInterval(timer);
    },
  };
  return store;

  async function makeActive(): Promise<PublishedKey> {
    return await locked(async () => {
      stored = await readKeys(path, false);
      if (stored.length >= maxKeys) {
        throw new KeyStoreError(`There are ${maxKeys} keys already: remove files of retired ones.`);
      }
      const before = activeOf(stored, algorithm);
      const key = generateKey(algorithm);
      const version = Math.max(0, ...stored.map(({ published }) => published.version)) + 1;
      const published: PublishedKey = {
        ...key.publicJwk,
        state: "active",
        version,
        created_at: new Date().toISOString(),
      };
      const name = `v${String(version).padStart(4, "0")}-${key.publicJwk.kid.slice(0, 8)}.jwk.json`;
      // First the new one: if we die here, two are active and the higher version counts.
      await writeKey(join(path, name), published, key);
      if (before?.file.endsWith(".json")) {
        await writeKey(before.file, { ...before.published, state: "verify-only" }, before.key);
      }
      stored = await readKeys(path, false);
      return published;
    });
  }

  /** One at a time, also among processes: a lock of the operating system, which goes with its holder. */
  async function locked<Result>(work: () => Promise<Result>): Promise<Result> {
    using file = await Deno.open(join(path, ".lock"), { create: true, write: true, mode: 0o600 });
    await file.lock(true);
    return await work();
  }

  async function poll(): Promise<void> {
    if (polling) return;
    polling = true;
    try {
      const fresh = await readKeys(path, isFile);
      if (!activeOf(fresh, algorithm)) throw new Error(`There is no active ${algorithm} key.`);
      stored = fresh;
      unreadablePolls = 0;
      changed();
    } catch (error) {
      // What was read before goes on signing; a file half copied by hand is whole a second later.
      if (unreadablePolls === 0) warn(`Cannot read the keys in ${path}: ${messageOf(error)}`);
      if (++unreadablePolls > maxUnreadablePolls) {
        giveUp(new Error(`The keys in ${path} stay unreadable: ${messageOf(error)}`));
      }
    }
    polling = false;
  }

  function changed(): void {
    const now = JSON.stringify(publishedOf(stored));
    if (now === fingerprint) return;
    fingerprint = now;
    store.onChange(publishedOf(stored));
  }
}

async function isKeyFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw new StartError(`Cannot open the keys in ${path}: ${messageOf(error)}`);
  }
}

async function readKeys(path: string, isFile: boolean): Promise<StoredKey[]> {
  if (isFile) return [await readKey(path)];
  const files: string[] = [];
  for await (const entry of Deno.readDir(path)) {
    if (!entry.isDirectory && /^[^.].*\.(pem|json|jwk)$/.test(entry.name)) files.push(entry.name);
    if (files.length > maxKeys) throw new Error(`There are more than ${maxKeys} key files.`);
  }
  const keys = await Promise.all(files.sort().map((name) => readKey(join(path, name))));
  return keys.sort((a, b) =>
    b.published.version - a.published.version || a.file.localeCompare(b.file)
  );
}

async function readKey(file: string): Promise<StoredKey> {
  const text = await Deno.readTextFile(file);
  try {
    return parseKey(file, text, (await Deno.stat(file)).mtime ?? new Date(0));
  } catch (error) {
    throw new Error(`${file}: ${messageOf(error)}`);
  }
}

function parseKey(file: string, text: string, modified: Date): StoredKey {
  const madeByHand = { state: "active" as const, version: 0, created_at: modified.toISOString() };
  if (!text.trimStart().startsWith("{")) {
    const key = importPrivateKey(text);
    return { file, key, published: { ...key.publicJwk, ...madeByHand } };
  }
  const jwk = JSON.parse(text) as JsonWebKey & Partial<PublishedKey>;
  const key = jwk.d === undefined ? undefined : importPrivateKey(jwk);
  const publicJwk = key?.publicJwk ?? toPublicJwk(jwk);
  if (!publicJwk) throw new TypeError("It is not a JWK of an Ed25519 or P-256 key.");
  const state = jwk.state ?? madeByHand.state;
  if (state !== "active" && state !== "verify-only" && state !== "retired") {
    throw new TypeError(`Its state is '${state}'; it must be active, verify-only or retired.`);
  }
  if (!key && state === "active") throw new TypeError("It is active but has no private part.");
  return {
    file,
    key,
    published: {
      ...publicJwk,
      state,
      version: Number.isSafeInteger(jwk.version) ? jwk.version! : madeByHand.version,
      created_at: typeof jwk.created_at === "string" ? jwk.created_at : madeByHand.created_at,
    },
  };
}

/** Whole or not at all, readable by its owner only. */
async function writeKey(file: string, published: PublishedKey, key: PrivateKey | undefined) {
  const secret = key && published.state !== "retired" ? exportPrivateJwk(key) : {};
  const temporary = `${file}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  {
    using handle = await Deno.open(temporary, { createNew: true, write: true, mode: 0o600 });
    const bytes = new TextEncoder().encode(JSON.stringify({ ...secret, ...published }, null, 2));
    for (let at = 0; at < bytes.length;) at += await handle.write(bytes.subarray(at));
    await handle.sync();
  }
  await Deno.rename(temporary, file);
}

/** Of the active ones the newest: `stored` is in that order. */
function activeOf(stored: readonly StoredKey[], algorithm: KeyAlgorithm): StoredKey | undefined {
  return stored.find(({ published, key }) =>
    published.state === "active" && key?.algorithm === algorithm
  );
}

/** As others should see them: of several active ones of an algorithm only the newest is. */
function publishedOf(stored: readonly StoredKey[]): PublishedKey[] {
  const seen = new Set<string>();
  return stored.map(({ published }) => {
    if (published.state !== "active") return published;
    if (seen.has(published.alg)) return { ...published, state: "verify-only" as const };
    seen.add(published.alg);
    return published;
  });
}

async function warnOfOpenFiles(stored: StoredKey[], warn: (message: string) => void) {
  for (const { file, key } of stored) {
    const { mode } = await Deno.stat(file);
    if (key && mode !== null && (mode & 0o077) !== 0) {
      warn(
        `${file} holds a private key and others may read it (mode ${
          (mode & 0o777).toString(8)
        }): chmod 600 it.`,
      );
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
