/**
 * Public keys on their way from the services that hold the private ones to the REST APIs that
 * verify: a compacted topic, one record a key, its `kid` the record's key.
 *
 * @module
 */
import type { Bus, Follower, ReaderState } from "../../service/bus/bus.ts";
import type { KeyStore, PublishedKey } from "./key_store.ts";
import {
  importVerifier,
  type PrivateKey,
  type PublicJwk,
  toPublicJwk,
  type Verifier,
} from "./signing.ts";

/** Puts a store's keys on the topic, now and after every change. */
export interface KeyPublisher {
  /** Resolves when all keys are published. */
  readonly published: Promise<void>;
  /** The active key that others know: a new one signs only once it is published. */
  readonly signingKey: PrivateKey;
  stop(): void;
}

/** Options of {@linkcode publishKeys}. */
export interface PublishKeysOptions {
  bus: Bus;
  topic: string;
  store: KeyStore;
  /** Wait after a failure. @default 1_000 */
  retryDelayMs?: number;
  /** Told when publishing fails or works again. */
  onState?: (state: ReaderState) => void;
}

/** Begins to publish; what fails is tried again until it works or newer keys take its place. */
export function publishKeys(options: PublishKeysOptions): KeyPublisher {
  const { bus, topic, store, retryDelayMs = 1_000, onState = () => {} } = options;
  let wanted: readonly PublishedKey[] | undefined = store.keys;
  let stopped = false;
  let running: Promise<void> | undefined;
  let wake = () => {};
  let signingKey = store.active;

  async function run(): Promise<void> {
    while (wanted && !stopped) {
      const keys = wanted;
      const { active } = store;
      wanted = undefined;
      try {
        await bus.createTopic(topic, { compacted: true });
        for (const key of keys) {
          await bus.send(topic, {
            key: key.kid,
            headers: [],
            value: new TextEncoder().encode(JSON.stringify(key)),
          });
        }
        signingKey = active;
        onState("ok");
      } catch (error) {
        onState({ reason: error instanceof Error ? error.message : String(error) });
        wanted ??= keys;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, retryDelayMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    }
    running = undefined;
  }

  store.onChange = (keys) => {
    wanted = keys;
    running ??= run();
  };
  const published = running = run();
  return {
    published,
    get signingKey() {
      return signingKey;
    },
    stop() {
      stopped = true;
      wake();
    },
  };
}

/** What a signature turns out to be. */
export type Verdict =
  | { valid: true; keyState: "active" | "verify-only" }
  | { valid: false; reason: "bad-signature" | "unknown-key" | "retired-key" };

/** The keys that services have published. */
export interface KeyDirectory {
  /** Whether the signature is that key's over the message. */
  verify(message: Uint8Array, signature: Uint8Array, keyId: string): Verdict;
  /** All known keys, newest first. */
  readonly keys: readonly PublishedKey[];
  /** The keys whose signatures count, as a JWK set (RFC 7517, section 5). */
  readonly jwks: { keys: PublicJwk[] };
  /** Resolves when what was published before has been read. */
  readonly caughtUp: Promise<void>;
  readonly failed: Promise<never>;
  close(): Promise<void>;
}

/** Options of {@linkcode openKeyDirectory}. */
export interface KeyDirectoryOptions {
  bus: Bus;
  topic: string;
  /** Keys that are kept; what is published beyond is skipped and told. @default 10_000 */
  maxKeys?: number;
  warn?: (message: string) => void;
  onState?: (state: ReaderState) => void;
}

/** Reads the keys topic, making it if it is absent, and follows it. */
export async function openKeyDirectory(options: KeyDirectoryOptions): Promise<KeyDirectory> {
  const { bus, topic, maxKeys = 10_000, warn = () => {} } = options;
  const entries = new Map<string, { key: PublishedKey; verifier: Verifier }>();
  await bus.createTopic(topic, { compacted: true });
  const follower: Follower = await bus.follow({
    topic,
    from: "beginning",
    ...(options.onState && { onState: options.onState }),
    handle({ key: kid, value }) {
      if (kid === undefined) return warn("A published key without its id is skipped.");
      if (value === null) return void entries.delete(kid);
      if (entries.size >= maxKeys && !entries.has(kid)) {
        return warn(`More than ${maxKeys} keys are published; the newest is skipped.`);
      }
      try {
        entries.set(kid, readPublished(kid, value));
      } catch (error) {
        warn(`A published key is skipped: ${error instanceof Error ? error.message : error}`);
      }
    },
  });
  const newestFirst = () =>
    [...entries.values()].map(({ key }) => key)
      .sort((a, b) => b.created_at.localeCompare(a.created_at));
  return {
    caughtUp: follower.caughtUp,
    failed: follower.failed,
    verify(message, signature, keyId) {
      const entry = entries.get(keyId);
      if (!entry) return { valid: false, reason: "unknown-key" };
      const { state } = entry.key;
      if (state === "retired") return { valid: false, reason: "retired-key" };
      return entry.verifier.verify(message, signature)
        ? { valid: true, keyState: state }
        : { valid: false, reason: "bad-signature" };
    },
    get keys() {
      return newestFirst();
    },
    get jwks() {
      const keys = newestFirst().filter((key) => key.state !== "retired")
        .map(({ state: _state, version: _version, created_at: _created, ...jwk }) => jwk);
      return { keys };
    },
    close: () => follower.close(),
  };
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
