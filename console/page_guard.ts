/**
 * Keeps other web sites away from a page port that asks nobody for a password: a browser would
 * carry their requests to loopback.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { isLoopback } from "../service/http_server.ts";
import { ProblemError } from "../service/problem.ts";

/** Options of {@linkcode pageGuard}. */
export interface PageGuardOptions {
  /** The address listened on; it is a good host name too. */
  host: string;
  /** Takes any host name: the operator has said that strangers may come. @default false */
  anyHost?: boolean;
}

/**
 * Refuses with 403 a request for a host name that is not this machine's (a name that was made to
 * point to loopback, "DNS rebinding"), and one that another origin's page sends to the API.
 */
export function pageGuard({ host, anyHost = false }: PageGuardOptions): MiddlewareHandler {
  return async function guardPage(c, next) {
    const url = new URL(c.req.url);
    if (!anyHost && !isLoopback(url.hostname) && url.hostname !== host) {
      throw new ProblemError(403, {
        title: "Foreign host name",
        detail:
          `This console answers to 127.0.0.1 and localhost only, not to ${url.hostname}. Listen with --allow-remote-without-auth to change that.`,
      });
    }
    const origin = c.req.header("origin");
    const site = c.req.header("sec-fetch-site");
    const foreign = (origin !== undefined && !sameHost(origin, c.req.header("host") ?? url.host)) ||
      site === "cross-site" || site === "same-site";
    if (foreign && url.pathname.startsWith("/api/")) {
      throw new ProblemError(403, {
        title: "Foreign origin",
        detail: "Pages of other origins may not use this API.",
      });
    }
    await next();
  };
}

function sameHost(origin: string, host: string): boolean {
  try {
    return new URL(origin).host === host;
  } catch {
    return false;
  }
}
