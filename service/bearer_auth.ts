/**
 * Bearer tokens (RFC 6750) from any OpenID Connect issuer: signature by the issuer's published
 * keys, issuer, audience, expiry and scopes. Clear refusals as problem details with
 * `WWW-Authenticate`.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from "jose";
import { flag, parseHttpUrl } from "./command_line.ts";
import { StartError } from "./life_cycle.ts";
import { ProblemError } from "./problem.ts";

/** Options of {@linkcode bearerAuth}. */
export interface BearerAuthOptions {
  /** The tokens' `iss`; its keys are found by OpenID Connect discovery below it. */
  issuer: string;
  /** One of the tokens' `aud`: this API. */
  audience: string;
  /** Where the issuer's keys are, for issuers without discovery. @default found by discovery */
  jwksUri?: string;
  /** What `exp` and `nbf` may be off. @default 5 */
  clockToleranceSeconds?: number;
  /** How long the issuer may take to answer. @default 5_000 */
  timeoutMs?: number;
  /** How long its keys are kept; an unknown key id asks anew at once, at most every 30 s. @default 600_000 */
  keysMaxAgeMs?: number;
}

/** Who holds a good token. */
export interface Caller {
  /** `sub`, or `client_id` where there is none. */
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
}): BearerAuth | undefined {
  const { authIssuer: issuer, authAudience: audience, authJwksUri: jwksUri } = flags;
  if (!issuer && !audience && !jwksUri) return undefined;
  if (!issuer || !audience) {
    throw new StartError(
      "Cannot demand bearer tokens: --auth-issuer and --auth-audience go together.",
    );
  }
  return bearerAuth({ issuer, audience, ...(jwksUri && { jwksUri }) });
}

/** Asymmetric only: with a shared secret anybody who can check tokens could make them. */
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

/** Makes a checker; the issuer is asked when the first token comes. */
export function bearerAuth(options: BearerAuthOptions): BearerAuth {
  const { issuer, audience, clockToleranceSeconds = 5, timeoutMs = 5_000 } = options;
  const { keysMaxAgeMs = 600_000 } = options;
  let keys: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined;

  async function discover(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    const uri = options.jwksUri ?? await discoverJwksUri(issuer, timeoutMs);
    return createRemoteJWKSet(new URL(uri), {
      timeoutDuration: timeoutMs,
      cacheMaxAge: keysMaxAgeMs,
      cooldownDuration: 30_000,
    });
  }

  async function keySet(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    keys ??= discover();
    try {
      return await keys;
    } catch (error) {
      keys = undefined;
      throw error;
    }
  }

  async function check(token: string | undefined, ...scopes: string[]): Promise<Caller> {
    if (token === undefined || token === "") {
      throw refuse(401, "Authentication needed", "Send a bearer token: Authorization: Bearer …", {
        scopes,
      });
    }
    if (token.length > maxTokenLength) {
      throw refuse(401, "Invalid token", `The token is longer than ${maxTokenLength} characters.`, {
        error: "invalid_token",
      });
    }
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(token, await keySet(), {
        issuer,
        audience,
        algorithms,
        clockTolerance: clockToleranceSeconds,
        requiredClaims: ["exp"],
      }));
    } catch (error) {
      throw refusalOf(error);
    }
    const granted = scopesOf(payload);
    const missing = scopes.filter((scope) => !granted.has(scope));
    if (missing.length > 0) {
      throw refuse(403, "Scope missing", `The token does not allow ${missing.join(" ")}.`, {
        error: "insufficient_scope",
        scopes,
      });
    }
    return {
      subject: payload.sub ?? (typeof payload.client_id === "string" ? payload.client_id : ""),
      scopes: granted,
      expiresAtMs: payload.exp! * 1_000,
    };
  }

  return {
    check,
    require(...scopes) {
      return async function requireBearer(c, next) {
        c.set("caller", await check(bearerToken(c.req.header("authorization")), ...scopes));
        await next();
      };
    },
  };
}

/** The token of an `Authorization` header, if it has one. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer +([^\s]+)$/i.exec(header ?? "")?.[1];
}

async function discoverJwksUri(issuer: string, timeoutMs: number): Promise<string> {
  // OpenID Connect Discovery 1.0, section 4.
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status}`);
  }
  const { jwks_uri: uri } = await response.json() as { jwks_uri?: unknown };
  if (typeof uri !== "string") throw new Error(`${url} names no jwks_uri`);
  return uri;
}

/** `scope` (RFC 8693, section 4.2) or `scp`, which some issuers use. */
function scopesOf(payload: JWTPayload): Set<string> {
  const text = typeof payload.scope === "string" ? payload.scope : payload.scp;
  if (Array.isArray(text)) return new Set(text.filter((one) => typeof one === "string"));
  return new Set(typeof text === "string" ? text.split(" ").filter((one) => one !== "") : []);
}

/** What is wrong with a token is told; that the issuer's keys cannot be had is no fault of it. */
function refusalOf(error: unknown): ProblemError {
  const isTokenFault = error instanceof errors.JOSEError &&
    !(error instanceof errors.JWKSTimeout) && !(error instanceof errors.JWKSInvalid) &&
    error.code !== "ERR_JOSE_GENERIC";
  if (!isTokenFault) {
    return new ProblemError(503, {
      title: "Issuer unavailable",
      detail: "Tokens cannot be checked: the issuer's keys cannot be had. Try again soon.",
    }, { "retry-after": "5" });
  }
  const detail = error instanceof errors.JWTExpired
    ? "The token has expired."
    : error instanceof errors.JWTClaimValidationFailed
    ? `The token's claim '${error.claim}' is not as it must be.`
    : error instanceof errors.JWSSignatureVerificationFailed ||
        error instanceof errors.JWKSNoMatchingKey
    ? "The token's signature is not the issuer's."
    : "The token is not a signed JWT of a kind that is accepted here.";
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
