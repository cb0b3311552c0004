/**
 * How a device gets a token without a secret: the server gives it a challenge, its key signs that,
 * and for the signature it gets a short-lived token. So does orb-software's attest.
 *
 * A challenge is a statement of this server, signed, so nothing is kept until it is answered; which
 * were answered is, until they end: one token each, also where several servers share key and records.
 *
 * @module
 */
import { errors, importJWK, type JWTPayload, jwtVerify, SignJWT } from "jose";
import type { Caller } from "../../service/bearer_auth.ts";
import { ProblemError } from "../../service/problem.ts";
import type { KeySetFile } from "../../service/key_set_file.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import type { AnsweredChallenges } from "./answered_challenges.ts";
import type { AttestationKey } from "./attestation_key.ts";
import { challengeText } from "./challenge_text.ts";

/** `iss` of the tokens that an orb server makes by itself. */
export const attestationIssuer = "urn:orrery:orb-server";

const challengeAudience = "urn:orrery:orb-challenge";
const challengeLifetimeSeconds = 60;
/** What a device may do with its token. */
const deviceScope = "orb:signup orb:telemetry";
/** Challenges that are answered here within their minute, at most; beyond it 503. */
const maxAnswered = 200_000;

/** Options of {@linkcode Attestation}. */
export interface AttestationOptions {
  /** The devices' public keys; each `kid` is a device. */
  devices: Pick<KeySetFile, "find">;
  /** What challenges and tokens are signed with. */
  key: AttestationKey;
  /** The tokens' `aud`. */
  audience: string;
  /** Which challenges were answered. */
  answered: Pick<AnsweredChallenges, "add">;
  /** How long a token lives, in seconds. @default 900 */
  tokenLifetimeSeconds?: number;
  /** Time and chance. @default the real world */
  world?: World;
}

/** A token that was given. */
export interface GrantedToken {
  token: string;
  lifetimeSeconds: number;
  scope: string;
}

/**
 * Gives challenges and tokens, and knows its own tokens again.
 *
 * @example
 * ```ts
 * const challenge = await attestation.challenge("orb-1");
 * const { token } = await attestation.grant(challenge, signature);
 * const { subject } = await attestation.check(token); // "orb-1"
 * ```
 */
export class Attestation {
  readonly #options: AttestationOptions;
  readonly #world: World;
  /** When the challenges end that were answered here, in the order of the answers. */
  readonly #ends: number[] = [];

  constructor(options: AttestationOptions) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
  }

  /** A challenge for a device. Whether there is such a device is not said. */
  challenge(device: string): Promise<string> {
    return this.#sign({ sub: device }, challengeAudience, challengeLifetimeSeconds);
  }

  /**
   * A token for a challenge and its signature.
   *
   * @throws {ProblemError} 401 it is no challenge of ours, over, answered already, or not signed by
   * that device; 503 too many were answered within a minute
   * @throws {StoreError} it cannot be noted that the challenge is answered
   */
  async grant(challenge: string, signature: Uint8Array): Promise<GrantedToken> {
    const { sub: device = "", jti = "", exp = 0 } = await this.#verify(
      challenge,
      challengeAudience,
    );
    if (!await this.#isSignedBy(device, challenge, signature)) {
      throw refused("The challenge is not signed by the key of a device that is known here.");
    }
    this.#forgetEnded();
    if (this.#ends.length >= maxAnswered) {
      throw new ProblemError(503, {
        title: "Overloaded",
        detail: "Too many devices ask for tokens at present. Try again later.",
      }, { "retry-after": String(challengeLifetimeSeconds) });
    }
    const endsMs = exp * 1_000;
    this.#ends.push(endsMs);
    const { answered, audience, tokenLifetimeSeconds: lifetimeSeconds = 900 } = this.#options;
    if (!await answered.add({ id: jti, endsMs })) {
      throw refused("The challenge was answered before. Ask for another.");
    }
    const token = await this.#sign({ sub: device, scope: deviceScope }, audience, lifetimeSeconds);
    return { token, lifetimeSeconds, scope: deviceScope };
  }

  /**
   * Who a token of {@linkcode grant} was given to. A device that is known no more has none.
   *
   * @throws {ProblemError} 401
   */
  async check(token: string): Promise<Caller> {
    const { sub = "", scope, exp = 0 } = await this.#verify(token, this.#options.audience);
    if (await this.#options.devices.find(sub) === undefined) {
      throw refused("The token is for a device that is not known here any more.");
    }
    const scopes = new Set(typeof scope === "string" ? scope.split(" ") : []);
    return { subject: sub, scopes, expiresAtMs: exp * 1_000 };
  }

  async #isSignedBy(device: string, challenge: string, signature: Uint8Array): Promise<boolean> {
    const jwk = await this.#options.devices.find(device);
    if (jwk?.kty !== "OKP" || jwk.crv !== "Ed25519" || signature.length !== 64) return false;
    const key = await importJWK(jwk, "EdDSA");
    if (key instanceof Uint8Array) return false;
    const bytes = new TextEncoder().encode(challengeText(challenge));
    return await crypto.subtle.verify("Ed25519", key, signature as BufferSource, bytes);
  }

  #sign(claims: JWTPayload, audience: string, lifetimeSeconds: number): Promise<string> {
    const { key: { id, privateKey } } = this.#options;
    const nowS = Math.floor(this.#world.nowMs() / 1_000);
    return new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", kid: id })
      .setIssuer(attestationIssuer).setAudience(audience).setJti(this.#world.randomUuid())
      .setIssuedAt(nowS).setExpirationTime(nowS + lifetimeSeconds)
      .sign(privateKey);
  }

  async #verify(token: string, audience: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(token, this.#options.key.publicKey, {
        issuer: attestationIssuer,
        audience,
        algorithms: ["EdDSA"],
        clockTolerance: 5,
        currentDate: new Date(this.#world.nowMs()),
        requiredClaims: ["exp", "sub", "jti"],
      });
      return payload;
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error;
      const what = audience === challengeAudience ? "challenge" : "token";
      throw refused(
        error instanceof errors.JWTExpired
          ? `The ${what} has expired.`
          : `The ${what} is none of this server.`,
      );
    }
  }

  #forgetEnded(): void {
    const nowMs = this.#world.nowMs() - 10_000;
    const left = this.#ends.findIndex((endsMs) => endsMs > nowMs);
    this.#ends.splice(0, left === -1 ? this.#ends.length : left);
  }
}

function refused(detail: string): ProblemError {
  return new ProblemError(401, { title: "Invalid token", detail }, {
    "www-authenticate":
      `Bearer realm="orrery", error="invalid_token", error_description="${detail}"`,
  });
}
