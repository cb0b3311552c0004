/**
 * The public keys that services have published, for the REST APIs that verify with them.
 *
 * @module
 */
import type { Bus, Follower, ReaderState, ReceivedRecord } from "../../service/bus/bus.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import type { PublishedKey } from "./key_files.ts";
import { readRevocation, type Revocation, revokedPrefix } from "./revocation.ts";
import { importVerifier, type PublicJwk, toPublicJwk, type Verifier } from "./signing.ts";

/** What a signature turns out to be. */
export type Verdict =
  | { valid: true; keyState: "active" | "verify-only" }
  | { valid: false; reason: "bad-signature" | "unknown-key" | "retired-key" }
  | { valid: false; reason: "revoked-key"; revokedAt: string; revokedBecause: string };

/** The keys that services have published. */
export interface KeyDirectory {
  /** Whether the signature is that key's over the message. */
  verify(message: Uint8Array, signature: Uint8Array, keyId: string): Verdict;
  /** All known keys, newest first; revoked ones too, in whatever state their holder published them. */
  readonly keys: readonly PublishedKey[];
  /** What has been revoked, by the key's id; it never goes again. */
  readonly revocations: ReadonlyMap<string, Revocation>;
  /** The keys whose signatures count, as a JWK set (RFC 7517, section 5). */
  readonly jwks: { keys: PublicJwk[] };
  /** Resolves when what was published before has been read. */
  readonly caughtUp: Promise<void>;
  /** Rejects when keys cannot be read for good. */
  readonly failed: Promise<never>;
  close(): Promise<void>;
}

/** Options of {@linkcode openKeyDirectory}. */
export interface KeyDirectoryOptions {
  /** The bus that is used; it stays open. */
  bus: Bus;
  /** The topic of keys; made if it is absent. */
  topic: string;
  /** Keys that are kept, and revocations; what is published beyond is skipped, with a warning. @default 10_000 */
  maxKeys?: number;
  /** Notified of each key that is skipped, with the reason. @default nobody is */
  warn?: (message: string) => void;
  /** Notified of each key that is revoked, once. @default nobody is */
  onRevoked?: (revocation: Revocation) => void;
  /** Notified when keys stop or resume to flow. @default nobody is */
  onState?: (state: ReaderState) => void;
}

/**
 * Reads the keys topic, making it if it is absent, and follows it.
 *
 * @throws {RangeError} an option is out of range
 * @throws {BusError} the topic cannot be made or read
 *
 * @example
 * ```ts
 * const directory = await openKeyDirectory({ bus, topic: keysTopic("signer.v1") });
 * await directory.caughtUp;
 * directory.verify(message, signature, keyId); // { valid: true, keyState: "active" }
 * ```
 */
export async function openKeyDirectory(options: KeyDirectoryOptions): Promise<KeyDirectory> {
  checkPositiveIntegers("open a key directory", { maxKeys: options.maxKeys });
  const directory = new FollowedKeys(options);
  await directory.open();
  return directory;
}

class FollowedKeys implements KeyDirectory {
  readonly #options: KeyDirectoryOptions;
  readonly #maxKeys: number;
  readonly #entries = new Map<string, { key: PublishedKey; verifier: Verifier }>();
  readonly #revocations = new Map<string, Revocation>();
  #follower!: Follower;

  constructor(options: KeyDirectoryOptions) {
    this.#options = options;
    this.#maxKeys = options.maxKeys ?? 10_000;
  }

  async open(): Promise<void> {
    const { bus, topic, onState } = this.#options;
    await bus.createTopic(topic, { compacted: true });
    this.#follower = await bus.follow({
      topic,
      from: "beginning",
      ...(onState && { onState }),
      handle: (record) => this.#take(record),
    });
  }

  get caughtUp(): Promise<void> {
    return this.#follower.caughtUp;
  }

  get failed(): Promise<never> {
    return this.#follower.failed;
  }

  get keys(): readonly PublishedKey[] {
    return [...this.#entries.values()].map(({ key }) => key)
      .sort((a, b) => b.created_at.localeCompare(a.created_at));
  }

  get revocations(): ReadonlyMap<string, Revocation> {
    return this.#revocations;
  }

  get jwks(): { keys: PublicJwk[] } {
    const keys = this.keys
      .filter((key) => key.state !== "retired" && !this.#revocations.has(key.kid))
      .map(({ state: _state, version: _version, created_at: _created, ...jwk }) => jwk);
    return { keys };
  }

  verify(message: Uint8Array, signature: Uint8Array, keyId: string): Verdict {
    const revocation = this.#revocations.get(keyId);
    if (revocation) {
      const { reason: revokedBecause, revoked_at: revokedAt } = revocation;
      return { valid: false, reason: "revoked-key", revokedAt, revokedBecause };
    }
    const entry = this.#entries.get(keyId);
    if (!entry) return { valid: false, reason: "unknown-key" };
    const { state } = entry.key;
    if (state === "retired") return { valid: false, reason: "retired-key" };
    return entry.verifier.verify(message, signature)
      ? { valid: true, keyState: state }
      : { valid: false, reason: "bad-signature" };
  }

  close(): Promise<void> {
    return this.#follower.close();
  }

  #take({ key: kid, value }: ReceivedRecord): void {
    const { warn = () => {} } = this.#options;
    if (kid === undefined) return warn("A published key without its id is skipped.");
    if (kid.startsWith(revokedPrefix)) return this.#takeRevocation(kid, value);
    if (value === null) return void this.#entries.delete(kid);
    if (this.#entries.size >= this.#maxKeys && !this.#entries.has(kid)) {
      return warn(`More than ${this.#maxKeys} keys are published; the newest is skipped.`);
    }
    try {
      this.#entries.set(kid, readPublished(kid, value));
    } catch (error) {
      warn(`A published key is skipped: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** The first stands: whoever may write to the topic may not undo what others rely on. */
  #takeRevocation(recordKey: string, value: Uint8Array | null): void {
    const { warn = () => {}, onRevoked = () => {} } = this.#options;
    const kid = recordKey.slice(revokedPrefix.length);
    if (value === null) {
      if (this.#revocations.has(kid)) {
        warn(`Somebody removed the revocation of '${kid.slice(0, 100)}': it stands.`);
      }
      return;
    }
    if (this.#revocations.has(kid)) return;
    if (this.#revocations.size >= this.#maxKeys) {
      return warn(`More than ${this.#maxKeys} keys are revoked; the newest is skipped.`);
    }
    try {
      const revocation = readRevocation(kid, new TextDecoder().decode(value));
      this.#revocations.set(kid, revocation);
      onRevoked(revocation);
    } catch (error) {
      warn(`A revocation is skipped: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/** Takes only what it checks: whoever may write to the topic must not choose a key's id. */
function readPublished(kid: string, value: Uint8Array): { key: PublishedKey; verifier: Verifier } {
  const json = JSON.parse(new TextDecoder().decode(value)) as Partial<PublishedKey>;
  const jwk = toPublicJwk({ ...json });
  if (!jwk || jwk.kid !== kid) {
    throw new TypeError(`'${kid.slice(0, 100)}' is not the id of its key.`);
  }
  const state = json.state;
  if (state !== "active" && state !== "verify-only" && state !== "retired") {
    throw new TypeError(`The state of '${kid}' is none.`);
  }
  return {
    verifier: importVerifier(jwk),
    key: {
      ...jwk,
      state,
      version: Number.isSafeInteger(json.version) ? json.version! : 0,
      created_at: typeof json.created_at === "string" ? json.created_at : "",
    },
  };
}
