/**
 * Bearer tokens (RFC 6750) from any OpenID Connect issuer: signature by the issuer's published
 * keys, issuer, audience, expiry and scopes. Clear refusals as problem details with
 * `WWW-Authenticate`.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { errors, type JWTPayload, jwtVerify } from "jose";
import { flag, parseHttpUrl } from "./command_line.ts";
import { IssuerError, IssuerKeys } from "./issuer_keys.ts";
import { type ServiceContext, StartError } from "./life_cycle.ts";
import { limitedLog } from "./limited_log.ts";
import type { Log } from "./log.ts";
import { ProblemError } from "./problem.ts";
import { realWorld, type World } from "./world/world.ts";

/** Options of {@linkcode bearerAuth}. */
export interface BearerAuthOptions {
  /** The tokens' `iss`; its keys are found by OpenID Connect discovery below it. */
  issuer: string;
  /** One of the tokens' `aud`: this API. */
  audience: string;
  /** Where the issuer's keys are, for issuers without discovery. @default found by discovery */
  jwksUri?: string;
  /** What `exp` and `nbf` may be off, in seconds. @default 5 */
  clockToleranceSeconds?: number;
  /** How long the issuer may take to answer, in milliseconds. @default 5_000 */
  timeoutMs?: number;
  /**
   * How long its keys are kept, in milliseconds; an unknown key id asks anew at once, at most every
   * 30 s.
   *
   * @default 600_000
   */
  keysMaxAgeMs?: number;
  /** Where it says why the issuer's keys cannot be had. @default nowhere */
  log?: Log;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Who holds a good token. */
export interface Caller {
  /**
   * `sub`, which every access token must have (RFC 9068, section 2.2). Where an issuer leaves it out
   * of a client's own token it is what that section says it should be: the client, by `client_id`
   * or `azp`.
   */
  subject: string;
  /** What the token allows. */
  scopes: ReadonlySet<string>;
  /** When the token ends, in milliseconds since the epoch. */
  expiresAtMs: number;
}

/** Checks tokens. */
export interface BearerAuth {
  /**
   * Checks a token and what it must allow.
   *
   * @throws {ProblemError} 401 no or a bad token, 403 a scope is missing, 503 the issuer's keys
   * cannot be had
   */
  check(token: string | undefined, ...scopes: string[]): Promise<Caller>;
  /** Middleware that lets only callers with these scopes pass, and sets `caller`. */
  require(...scopes: string[]): MiddlewareHandler<{ Variables: { caller: Caller } }>;
}

/** The flags of a program that can demand tokens. */
export const authFlags = {
  issuer: () =>
    flag("--auth-issuer <url>", "demand bearer tokens of this OpenID Connect issuer")
      .argParser(parseHttpUrl),
  audience: () => flag("--auth-audience <name>", "the audience that tokens must be for"),
  jwksUri: () =>
    flag("--auth-jwks-uri <url>", "the issuer's keys, if it has no discovery document")
      .argParser(parseHttpUrl),
};

/**
 * Makes the checker that flags ask for; nothing if they ask for none.
 *
 * @throws {StartError} a flag is missing beside another
 */
export function bearerAuthFromFlags(flags: {
  authIssuer?: string | undefined;
  authAudience?: string | undefined;
  authJwksUri?: string | undefined;
}, context: Partial<Pick<ServiceContext, "log" | "world">> = {}): BearerAuth | undefined {
  const { authIssuer: issuer, authAudience: audience, authJwksUri: jwksUri } = flags;
  if (!issuer && !audience && !jwksUri) return undefined;
  if (!issuer || !audience) {
    throw new StartError(
      "Cannot demand bearer tokens: --auth-issuer and --auth-audience go together.",
    );
  }
  const { log, world } = context;
  return bearerAuth({
    ...{ issuer, audience },
    ...(jwksUri && { jwksUri }),
    ...(log && { log }),
    ...(world && { world }),
  });
}

/** Asymmetric only: with a shared secret, whatever can check tokens could make them. */
const algorithms = [
  "EdDSA",
  "Ed25519",
  "ES256",
  "ES384",
  "ES512",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
];
const maxTokenLength = 16_384;

/**
 * Makes a checker; the issuer is asked when the first token comes.
 *
 * @example
 * ```ts
 * const auth = bearerAuth({ issuer: "https://login.example", audience: "signer" });
 * app.post("/sign", auth.require("sign"), (c) => c.text(`Hello ${c.get("caller").subject}`));
 * ```
 */
export function bearerAuth(options: BearerAuthOptions): BearerAuth {
  return new IssuerTokens(options);
}

class IssuerTokens implements BearerAuth {
  readonly #options: BearerAuthOptions;
  readonly #world: World;
  readonly #keys: IssuerKeys;
  readonly #warn: (message: string, fields: { reason: string }) => void;

  constructor(options: BearerAuthOptions) {
    const { issuer, jwksUri, timeoutMs, keysMaxAgeMs, log, world = realWorld } = options;
    this.#options = options;
    this.#world = world;
    this.#keys = new IssuerKeys({
      issuer,
      world,
      ...(jwksUri !== undefined && { jwksUri }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(keysMaxAgeMs !== undefined && { maxAgeMs: keysMaxAgeMs }),
    });
    this.#warn = log ? limitedLog(log, { maxLinesPerSecond: 1, world }) : () => {};
  }

  async check(token: string | undefined, ...scopes: string[]): Promise<Caller> {
    if (token === undefined || token === "") {
      throw refuse(401, "Authentication needed", "Send a bearer token: Authorization: Bearer …", {
        scopes,
      });
    }
    if (token.length > maxTokenLength) {
      throw badToken(`The token is longer than ${maxTokenLength} characters.`);
    }
    const payload = await this.#verify(token);
    const subject = subjectOf(payload);
    if (subject === undefined) {
      throw badToken(
        "The token names neither a subject ('sub') nor a client ('client_id', 'azp').",
      );
    }
    const granted = scopesOf(payload);
    const missing = scopes.filter((scope) => !granted.has(scope));
    if (missing.length > 0) {
      throw refuse(403, "Scope missing", `The token does not allow ${missing.join(" ")}.`, {
        error: "insufficient_scope",
        scopes,
      });
    }
    return { subject, scopes: granted, expiresAtMs: payload.exp! * 1_000 };
  }

  require(...scopes: string[]): MiddlewareHandler<{ Variables: { caller: Caller } }> {
    const check = this.check.bind(this);
    return async function requireBearer(c, next) {
      c.set("caller", await check(bearerToken(c.req.header("authorization")), ...scopes));
      await next();
    };
  }

  async #verify(token: string): Promise<JWTPayload> {
    const { issuer, audience, clockToleranceSeconds = 5 } = this.#options;
    try {
      const { payload } = await jwtVerify(token, this.#keys.find, {
        issuer,
        audience,
        algorithms,
        clockTolerance: clockToleranceSeconds,
        currentDate: new Date(this.#world.nowMs()),
        requiredClaims: ["exp"],
      });
      return payload;
    } catch (error) {
      if (!isTokenFault(error)) {
        this.#warn("Tokens cannot be checked", { reason: (error as Error).message });
        throw keysMissing(error);
      }
      throw badToken(faultOf(error));
    }
  }
}

/** Never empty: all who have none would be one. */
function subjectOf({ sub, client_id, azp }: JWTPayload): string | undefined {
  return [sub, client_id, azp].find((name) => typeof name === "string" && name !== "") as
    | string
    | undefined;
}

/** The token of an `Authorization` header, if it has one. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer +([^\s]+)$/i.exec(header ?? "")?.[1];
}

/** `scope` (RFC 8693, section 4.2) or `scp`, which some issuers use. */
function scopesOf(payload: JWTPayload): Set<string> {
  const text = typeof payload.scope === "string" ? payload.scope : payload.scp;
  if (Array.isArray(text)) return new Set(text.filter((one) => typeof one === "string"));
  return new Set(typeof text === "string" ? text.split(" ").filter((one) => one !== "") : []);
}

/** That the issuer's keys cannot be had is no fault of a token. */
function isTokenFault(error: unknown): error is errors.JOSEError {
  return error instanceof errors.JOSEError;
}

function faultOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return "The token has expired.";
  if (error instanceof errors.JWTClaimValidationFailed) {
    return `The token's claim '${error.claim}' is not as it must be.`;
  }
  return error instanceof errors.JWSSignatureVerificationFailed ||
      error instanceof errors.JWKSNoMatchingKey
    ? "The token's signature is not the issuer's."
    : "The token is not a signed JWT of a kind that is accepted here.";
}

function keysMissing(error: unknown): ProblemError {
  return new ProblemError(503, {
    title: "Issuer unavailable",
    detail: error instanceof IssuerError && error.kind === "another-issuer"
      ? "Tokens cannot be checked: the issuer's discovery document is that of another one."
      : "Tokens cannot be checked: the issuer's keys cannot be had. Try again soon.",
  }, { "retry-after": "5" });
}

function badToken(detail: string): ProblemError {
  return refuse(401, "Invalid token", detail, { error: "invalid_token" });
}

/** RFC 6750, section 3: the challenge says what is wrong, and nothing if no token was sent. */
function refuse(
  status: 401 | 403,
  title: string,
  detail: string,
  { error, scopes = [] }: { error?: string; scopes?: readonly string[] },
): ProblemError {
  const parts = ['Bearer realm="orrery"'];
  if (error) parts.push(`error="${error}"`, `error_description="${detail.replaceAll('"', "'")}"`);
  if (scopes.length > 0) parts.push(`scope="${scopes.join(" ")}"`);
  // A header is Latin-1 at most.
  const challenge = parts.join(", ").replace(/[^\x20-\x7e]/g, "?");
  return new ProblemError(status, { title, detail }, { "www-authenticate": challenge });
}
