/**
 * Who may call what: tokens of an OpenID Connect issuer, and tokens that devices got from this
 * server for a challenge they signed. Every call that is refused is noted.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { decodeJwt } from "jose";
import {
  type BearerAuth,
  bearerAuth,
  bearerToken,
  type Caller,
} from "../../service/bearer_auth.ts";
import type { Log } from "../../service/log.ts";
import { ProblemError } from "../../service/problem.ts";
import type { World } from "../../service/world/world.ts";
import type { OrbAccess, OrbCaller, OrbEnv, OrbScope } from "../api/orb_api.ts";
import { type Attestation, attestationIssuer } from "./attestation.ts";
import type { AuditLog } from "./audit_log.ts";

/** Options of {@linkcode createOrbAccess}; one of `issuer` and `attestation` at least. */
export interface OrbAccessOptions {
  /** The OpenID Connect issuer whose tokens are taken. @default none */
  issuer?: string | undefined;
  /** What its tokens must be for. */
  audience: string;
  /** Its keys, where it has no discovery document. @default found by discovery */
  jwksUri?: string | undefined;
  /** Takes the tokens that devices got here. @default none */
  attestation?: Attestation | undefined;
  /** Gets every refusal. */
  audit: AuditLog;
  /** Says why the issuer's keys cannot be had. */
  log: Log;
  /** Time and chance. */
  world: World;
}

/**
 * Makes the access that needs tokens.
 *
 * @example
 * ```ts
 * const access = createOrbAccess({ issuer, audience: "orb", audit, log, world });
 * app.post("/api/reset", access.require("orb:admin"), reset);
 * ```
 */
export function createOrbAccess(options: OrbAccessOptions): OrbAccess {
  const { issuer, jwksUri, audience, attestation, audit, log, world } = options;
  const issued = issuer === undefined
    ? undefined
    : bearerAuth({ issuer, audience, log, world, ...(jwksUri !== undefined && { jwksUri }) });
  const check = checker(issued, attestation);

  return {
    authenticated: true,
    require(...scopes) {
      return requireScope(scopes, check, audit);
    },
  };
}

type Check = (token: string | undefined) => Promise<Caller>;

/** Asks who has made the token: a claim not proved yet, so it only chooses the prover. */
function checker(issued: BearerAuth | undefined, attestation: Attestation | undefined): Check {
  return async function check(token) {
    if (token !== undefined && attestation && claimedIssuer(token) === attestationIssuer) {
      return await attestation.check(token);
    }
    if (issued) return await issued.check(token);
    throw unauthorized("Send a bearer token that this server gave your device.");
  };
}

function claimedIssuer(token: string): string | undefined {
  try {
    return token.length > 16_384 ? undefined : decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

function requireScope(
  scopes: readonly OrbScope[],
  check: Check,
  audit: AuditLog,
): MiddlewareHandler<OrbEnv> {
  return async function requireOrbScope(c, next) {
    const { method, path } = c.req;
    let subject: string | undefined;
    const note = (status: number, reason: string, orb?: string) =>
      audit.refused({
        ...{ method, path, status, reason },
        ...(subject !== undefined && { subject }),
        ...(orb !== undefined && { orb }),
      });
    let caller: Caller;
    try {
      caller = await check(bearerToken(c.req.header("authorization")));
      subject = caller.subject;
      if (!scopes.some((scope) => caller.scopes.has(scope))) throw scopeMissing(scopes);
    } catch (error) {
      if (error instanceof ProblemError && error.status < 500) note(error.status, error.message);
      throw error;
    }
    c.set("caller", orbCaller(caller, (orb) => note(403, "It acts for another device.", orb)));
    await next();
  };
}

function orbCaller(caller: Caller, onForeign: (orb: string) => void): OrbCaller {
  const isAdmin = caller.scopes.has("orb:admin");
  return {
    subject: caller.subject,
    mayActFor(orbId) {
      const may = isAdmin || caller.subject === orbId;
      if (!may) onForeign(orbId);
      return may;
    },
  };
}

function scopeMissing(scopes: readonly string[]): ProblemError {
  const wanted = scopes.join(" ");
  const detail = `The token does not allow ${scopes.join(" or ")}.`;
  return new ProblemError(403, { title: "Scope missing", detail }, {
    "www-authenticate":
      `Bearer realm="orrery", error="insufficient_scope", error_description="${detail}", scope="${wanted}"`,
  });
}

function unauthorized(detail: string): ProblemError {
  return new ProblemError(401, { title: "Authentication needed", detail }, {
    "www-authenticate": 'Bearer realm="orrery"',
  });
}
