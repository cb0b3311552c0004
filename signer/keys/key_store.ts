/**
 * The service's private keys while it runs.
 *
 * A key is `active` (signs; there is one for each algorithm), `verify-only` (its signatures still
 * count) or `retired` (they do not, and its private part is gone). In a folder, these are members
 * of the JWK; of several active ones the highest version counts, and a file without them, such as
 * a PEM of yours, is active with version 0. The folder is polled every second, so a rotation by
 * another process takes effect without a restart.
 *
 * @module
 */
import { StartError } from "../../service/life_cycle.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import { reasonOf } from "../../service/resilience.ts";
import { realWorld, type TimerId, type World } from "../../service/world/world.ts";
import { KeyFiles, maxKeyFiles, type PublishedKey, type StoredKey } from "./key_files.ts";
import { generateKey, type KeyAlgorithm, type PrivateKey } from "./signing.ts";

/** Options of {@linkcode openKeyStore}. */
export interface KeyStoreOptions {
  /** A folder, made if it is absent, or a file. */
  path: string;
  /** What the active key must be for; made in a folder that has none. */
  algorithm: KeyAlgorithm;
  /** Time between two polls of the folder, in milliseconds. @default 1_000 */
  pollIntervalMs?: number;
  /** Notified of what a person should know, such as a file that others may read. @default nobody is */
  warn?: (message: string) => void;
  /** Time and chance. @default realWorld */
  world?: World;
}

/** The keys while the service runs. */
export interface KeyStore {
  /** The key that signs. */
  readonly active: PrivateKey;
  /** All keys, newest first. */
  readonly keys: readonly PublishedKey[];
  /** Notified after every change, whoever made it. */
  onChange: (keys: readonly PublishedKey[]) => void;
  /** Makes a new active key; the one before becomes verify-only. */
  rotate(): Promise<PublishedKey>;
  /** Ends a verify-only key; its signatures no longer count. */
  retire(kid: string): Promise<PublishedKey>;
  /**
   * Ends a key at once, whatever its state: the active one is replaced, and its private part goes.
   * Nothing, if it is not here.
   *
   * @throws {KeyStoreError} it is the only key, in a single file
   */
  revoke(kid: string): Promise<PublishedKey | undefined>;
  /** Rejects when the keys have been unreadable for 60 polls in a row. */
  readonly failed: Promise<never>;
  /** Polls no more; resolves when a poll that is under way has ended. */
  close(): Promise<void>;
}

/** What a key cannot be asked for; the message is for the person who asked. */
export class KeyStoreError extends Error {
  override name = "KeyStoreError";
  readonly kind: "single-file" | "too-many-keys" | "unknown-key" | "active-key";

  constructor(kind: KeyStoreError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

const maxUnreadablePolls = 60;

/**
 * Opens the keys, making the first one in a folder without.
 *
 * @throws {StartError} they cannot be read or made, with the file and the reason
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const store = await openKeyStore({ path: "/var/lib/signer/keys", algorithm: "ed25519" });
 * const signature = sign(store.active, message);
 * await store.rotate();
 * await store.close();
 * ```
 */
export async function openKeyStore(options: KeyStoreOptions): Promise<KeyStore> {
  const { path, pollIntervalMs, world = realWorld } = options;
  checkPositiveIntegers("open keys", { pollIntervalMs });
  try {
    return await openKeyFiles(await KeyFiles.open(path, world, options.warn), options);
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(
      `Cannot open the keys in ${path}: ${
        reasonOf(error)
      } Mend it, or give another folder or file with --keys.`,
    );
  }
}

/** The part of {@linkcode KeyFiles} that a store needs. */
export type KeyStoreFiles = Pick<
  KeyFiles,
  "isSingle" | "read" | "write" | "fileFor" | "locked"
>;

/** {@linkcode openKeyStore} on files that are open: for tests that say when a file is read. */
export async function openKeyFiles(
  files: KeyStoreFiles,
  options: KeyStoreOptions,
): Promise<KeyStore> {
  const store = new PolledKeyStore(files, options);
  await store.open();
  return store;
}

class PolledKeyStore implements KeyStore {
  onChange: (keys: readonly PublishedKey[]) => void = () => {};
  readonly failed: Promise<never>;
  readonly #files: KeyStoreFiles;
  readonly #options: KeyStoreOptions;
  readonly #world: World;
  readonly #giveUp: (error: Error) => void;
  #stored: StoredKey[] = [];
  /** What was published last, to find out whether anything has changed. */
  #fingerprint = "";
  /** Counts what this process itself has changed. */
  #ownChanges = 0;
  #unreadablePolls = 0;
  /** The poll that is under way. */
  #polling: Promise<void> | undefined;
  #timer: TimerId | undefined;

  constructor(files: KeyStoreFiles, options: KeyStoreOptions) {
    this.#files = files;
    this.#options = options;
    this.#world = options.world ?? realWorld;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#giveUp = reject;
    // Whoever does not wait for it shall not die of it.
    promise.catch(() => {});
  }

  get active(): PrivateKey {
    return activeOf(this.#stored, this.#options.algorithm)!.key!;
  }

  get keys(): readonly PublishedKey[] {
    return publishedOf(this.#stored);
  }

  async open(): Promise<void> {
    const { path, algorithm, warn = () => {}, pollIntervalMs = 1_000 } = this.#options;
    this.#stored = await this.#files.read();
    if (!activeOf(this.#stored, algorithm)) {
      if (this.#files.isSingle) {
        throw new StartError(
          `Cannot sign with ${algorithm}: ${path} has no ${algorithm} key. Give another file with --keys, or another --algorithm.`,
        );
      }
      await this.#makeFirst();
    }
    await warnOfOpenFiles(this.#stored, warn);
    this.#fingerprint = JSON.stringify(this.keys);
    this.#timer = this.#world.setInterval(() => {
      this.#polling ??= this.#poll().finally(() => this.#polling = undefined);
    }, pollIntervalMs);
  }

  async rotate(): Promise<PublishedKey> {
    this.#checkFolder("rotated");
    const made = await this.#files.locked(() => this.#makeActive());
    this.#publishChange();
    return made;
  }

  async retire(kid: string): Promise<PublishedKey> {
    this.#checkFolder("retired");
    const retired = await this.#files.locked(() => this.#retire(kid));
    this.#publishChange();
    return retired;
  }

  async revoke(kid: string): Promise<PublishedKey | undefined> {
    if (!this.#stored.some(({ published }) => published.kid === kid)) return undefined;
    if (this.#files.isSingle) {
      throw new KeyStoreError(
        "single-file",
        `The key '${kid}' in ${this.#options.path} is revoked and may not sign: give another with --keys.`,
      );
    }
    const revoked = await this.#files.locked(() => this.#revoke(kid));
    this.#publishChange();
    return revoked;
  }

  async close(): Promise<void> {
    this.#world.clearInterval(this.#timer);
    await this.#polling;
  }

  #checkFolder(what: string): void {
    if (!this.#files.isSingle) return;
    throw new KeyStoreError(
      "single-file",
      `A single key file cannot be ${what}: use a folder.`,
    );
  }

  async #makeFirst(): Promise<void> {
    try {
      await this.#files.locked(() => this.#makeActive());
    } catch (error) {
      throw new StartError(`Cannot make a key in ${this.#options.path}: ${reasonOf(error)}`);
    }
  }

  async #makeActive(): Promise<PublishedKey> {
    const { algorithm } = this.#options;
    const stored = await this.#files.read();
    if (stored.length >= maxKeyFiles) {
      throw new KeyStoreError(
        "too-many-keys",
        `There are ${maxKeyFiles} keys already: remove files of retired ones.`,
      );
    }
    const before = activeOf(stored, algorithm);
    const key = generateKey(algorithm);
    const published: PublishedKey = {
      ...key.publicJwk,
      state: "active",
      version: Math.max(0, ...stored.map(({ published }) => published.version)) + 1,
      created_at: new Date(this.#world.nowMs()).toISOString(),
    };
    // First the new one: if we die here, two are active and the higher version counts.
    await this.#files.write(this.#files.fileFor(published), published, key);
    if (before?.file.endsWith(".json")) {
      const verifyOnly: PublishedKey = { ...before.published, state: "verify-only" };
      await this.#files.write(before.file, verifyOnly, before.key);
    }
    await this.#readOwnChange();
    return published;
  }

  async #retire(kid: string): Promise<PublishedKey> {
    const find = (stored: StoredKey[]) => stored.find(({ published }) => published.kid === kid);
    const found = find(await this.#files.read());
    if (!found) throw new KeyStoreError("unknown-key", `There is no key '${kid.slice(0, 100)}'.`);
    if (found.published.state === "active") {
      throw new KeyStoreError("active-key", "The active key cannot be retired: rotate first.");
    }
    await this.#files.write(found.file, { ...found.published, state: "retired" }, undefined);
    await this.#readOwnChange();
    return find(this.#stored)!.published;
  }

  async #revoke(kid: string): Promise<PublishedKey | undefined> {
    const find = (stored: StoredKey[]) => stored.find(({ published }) => published.kid === kid);
    let stored = await this.#files.read();
    if (activeOf(stored, this.#options.algorithm)?.published.kid === kid) {
      await this.#makeActive();
      stored = this.#stored;
    }
    const found = find(stored);
    if (found && found.published.state !== "retired") {
      await this.#files.write(found.file, { ...found.published, state: "retired" }, undefined);
      await this.#readOwnChange();
    }
    return find(this.#stored)?.published;
  }

  async #readOwnChange(): Promise<void> {
    this.#stored = await this.#files.read();
    this.#ownChanges++;
  }

  async #poll(): Promise<void> {
    const { algorithm } = this.#options;
    const ownChanges = this.#ownChanges;
    try {
      const stored = await this.#files.read();
      if (!activeOf(stored, algorithm)) throw new Error(`There is no active ${algorithm} key.`);
      this.#unreadablePolls = 0;
      // What was read before a change of our own, or half of it, would undo it until the next poll.
      if (ownChanges === this.#ownChanges) {
        this.#stored = stored;
        this.#publishChange();
      }
    } catch (error) {
      this.#pollFailed(error);
    }
  }

  /** What was read before goes on signing; a file half copied by hand is whole a second later. */
  #pollFailed(error: unknown): void {
    const { path, warn = () => {} } = this.#options;
    if (this.#unreadablePolls === 0) warn(`Cannot read the keys in ${path}: ${reasonOf(error)}`);
    if (++this.#unreadablePolls > maxUnreadablePolls) {
      this.#giveUp(new Error(`The keys in ${path} stay unreadable: ${reasonOf(error)}`));
    }
  }

  #publishChange(): void {
    const fingerprint = JSON.stringify(this.keys);
    if (fingerprint === this.#fingerprint) return;
    this.#fingerprint = fingerprint;
    this.onChange(this.keys);
  }
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
