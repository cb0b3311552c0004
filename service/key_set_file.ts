/**
 * A file of public keys (a JSON Web Key Set, RFC 7517, section 5) that is written by somebody else:
 * read again when it has changed, so that a device is known as soon as its key is in it.
 *
 * @module
 */
import type { JWK } from "jose";
import { reasonOf } from "./resilience.ts";
import { realWorld, type World } from "./world/world.ts";

/** Options of {@linkcode KeySetFile}. */
export interface KeySetFileOptions {
  /** The file. It may come later: then it has no keys. */
  path: string;
  /** How often it is looked at, at most, in milliseconds. @default 1_000 */
  checkEveryMs?: number;
  /** Gets why it cannot be read, once each time it changes to that; the last good keys hold on. */
  onFault?: (reason: string) => void;
  /** Whose time it is. @default the real world */
  world?: Pick<World, "monotonicMs">;
}

/** Beyond it the file is refused: 100,000 Ed25519 keys are 10 MB. */
const maxFileBytes = 64 * 1024 ** 2;

/**
 * Public keys by their `kid`.
 *
 * @example
 * ```ts
 * const devices = new KeySetFile({ path: "devices.jwks.json", onFault: log.warn });
 * const key = await devices.find("orb-1"); // a JWK, or undefined
 * ```
 */
export class KeySetFile {
  readonly #options: KeySetFileOptions;
  readonly #world: Pick<World, "monotonicMs">;
  #keys: ReadonlyMap<string, JWK> = new Map();
  #checkedMs = -Infinity;
  #version = "";
  #reading: Promise<void> | undefined;

  constructor(options: KeySetFileOptions) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
  }

  /** The public key with that id, if there is one. */
  async find(kid: string): Promise<JWK | undefined> {
    const { checkEveryMs = 1_000 } = this.#options;
    if (this.#world.monotonicMs() - this.#checkedMs >= checkEveryMs) {
      this.#reading ??= this.#read().finally(() => this.#reading = undefined);
    }
    await this.#reading;
    return this.#keys.get(kid);
  }

  async #read(): Promise<void> {
    const { path, onFault } = this.#options;
    this.#checkedMs = this.#world.monotonicMs();
    let version: string;
    try {
      const { mtime, size, ino } = await Deno.stat(path);
      version = `${mtime?.getTime()} ${size} ${ino}`;
      if (version === this.#version) return;
      if (size > maxFileBytes) throw new Error(`it has more than ${maxFileBytes} bytes`);
      this.#keys = keysOf(await Deno.readTextFile(path));
    } catch (error) {
      const isMissing = error instanceof Deno.errors.NotFound;
      version = isMissing ? "missing" : `fault ${reasonOf(error)}`;
      if (version !== this.#version) {
        onFault?.(isMissing ? `${path} is not there` : `${path}: ${reasonOf(error)}`);
      }
    }
    this.#version = version;
  }
}

/** Only what is public is kept, whatever the file has. */
function keysOf(text: string): Map<string, JWK> {
  const { keys } = JSON.parse(text) as { keys?: unknown };
  if (!Array.isArray(keys)) throw new Error("it is no key set: it has no list 'keys'");
  const byId = new Map<string, JWK>();
  for (const key of keys as JWK[]) {
    if (typeof key?.kid !== "string" || typeof key.kty !== "string") continue;
    const { d: _, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, k: _k, ...publicKey } = key;
    byId.set(key.kid, publicKey as JWK);
  }
  return byId;
}
