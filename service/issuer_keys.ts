/**
 * The keys of an OpenID Connect issuer: found by its discovery document, kept for some time, asked
 * for again when a token names one that is new.
 *
 * @module
 */
import {
  createLocalJWKSet,
  type CryptoKey,
  errors,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from "jose";
import { reasonOf, timeoutSignal } from "./resilience.ts";
import { realWorld, type World } from "./world/world.ts";

/** Why the keys of an issuer cannot be had. */
export type IssuerErrorKind = "unavailable" | "malformed" | "another-issuer";

/** The keys of an issuer cannot be had: no token of it can be checked. */
export class IssuerError extends Error {
  override name = "IssuerError";
  /**
   * `unavailable` it does not answer, `malformed` its answer is none, `another-issuer` its discovery
   * document is that of another one.
   */
  readonly kind: IssuerErrorKind;

  constructor(kind: IssuerErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** Options of {@linkcode IssuerKeys}. */
export interface IssuerKeysOptions {
  /** The issuer's identifier, an absolute URL. */
  issuer: string;
  /** Where its keys are, for issuers without discovery. @default found by discovery */
  jwksUri?: string;
  /** How long it may take to answer, in milliseconds. @default 5_000 */
  timeoutMs?: number;
  /** How long its keys are kept, in milliseconds. @default 600_000 */
  maxAgeMs?: number;
  /** How long keys are kept at least, whatever key a token names, in milliseconds. @default 30_000 */
  minAgeMs?: number;
  /** Whose time it is. @default the real world */
  world?: Pick<World, "monotonicMs" | "setTimeout" | "clearTimeout">;
}

interface KeySet {
  find: (...key: Parameters<JWTVerifyGetKey>) => Promise<CryptoKey>;
  fetchedMs: number;
}

/**
 * Asks an issuer for its keys, when the first is needed.
 *
 * @example
 * ```ts
 * const keys = new IssuerKeys({ issuer: "https://login.example" });
 * await jwtVerify(token, keys.find, { issuer: "https://login.example" });
 * ```
 */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #world: Pick<World, "monotonicMs" | "setTimeout" | "clearTimeout">;
  #uri: string | undefined;
  #keys: KeySet | undefined;
  #fetching: Promise<KeySet> | undefined;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
    this.#uri = options.jwksUri;
  }

  /**
   * The key of a token, for `jwtVerify()`.
   *
   * @throws {IssuerError} the issuer's keys cannot be had
   * @throws {errors.JWKSNoMatchingKey} none of them is the token's
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const { maxAgeMs = 600_000, minAgeMs = 30_000 } = this.#options;
    const keys = this.#keys && this.#age(this.#keys) < maxAgeMs ? this.#keys : await this.#fetch();
    try {
      return await keys.find(header, token);
    } catch (error) {
      const isUnknown = error instanceof errors.JWKSNoMatchingKey;
      if (!isUnknown || this.#age(keys) < minAgeMs) throw error;
      return await (await this.#fetch()).find(header, token);
    }
  };

  #age({ fetchedMs }: KeySet): number {
    return this.#world.monotonicMs() - fetchedMs;
  }

  /** Once, however many tokens wait for it. */
  #fetch(): Promise<KeySet> {
    this.#fetching ??= this.#fetchNow().finally(() => this.#fetching = undefined);
    return this.#fetching;
  }

  async #fetchNow(): Promise<KeySet> {
    this.#uri ??= await this.#discover();
    const keys = await this.#get(this.#uri) as JSONWebKeySet;
    try {
      this.#keys = { find: createLocalJWKSet(keys), fetchedMs: this.#world.monotonicMs() };
      return this.#keys;
    } catch (error) {
      throw new IssuerError("malformed", `${this.#uri} answered no key set: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  /** OpenID Connect Discovery 1.0, section 4. */
  async #discover(): Promise<string> {
    const { issuer } = this.#options;
    const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const document = await this.#get(url) as { issuer?: unknown; jwks_uri?: unknown } | null;
    // Section 4.3: identical, or the keys might be those of another issuer.
    if (document?.issuer !== issuer) {
      throw new IssuerError(
        "another-issuer",
        `${issuer} is refused: its discovery document says it is ${
          JSON.stringify(document?.issuer) ?? "nobody"
        }, which must be the same to the letter`,
      );
    }
    if (typeof document.jwks_uri !== "string" || !URL.canParse(document.jwks_uri)) {
      throw new IssuerError("malformed", `${url} names no jwks_uri`);
    }
    return document.jwks_uri;
  }

  async #get(url: string): Promise<unknown> {
    using deadline = timeoutSignal(this.#options.timeoutMs ?? 5_000, { world: this.#world });
    let response: Response;
    try {
      response = await fetch(url, {
        headers: { accept: "application/json" },
        // Whoever is there could make tokens: only where the operator pointed, or discovery did.
        redirect: "manual",
        signal: deadline.signal,
      });
    } catch (error) {
      throw new IssuerError("unavailable", `${url} does not answer: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw new IssuerError("unavailable", `${url} answered ${response.status}`);
    }
    try {
      return await response.json();
    } catch (error) {
      throw new IssuerError("malformed", `${url} answered no JSON: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
}
