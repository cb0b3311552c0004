/**
 * Which web pages may call us: our own, and those of origins that the operator names. Programs
 * send no `Origin` and are not meant.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { problemResponse } from "../../service/problem.ts";

/** Middleware that refuses what changes or begins something for a page of another origin. */
export function checkOrigin(allowedOrigins: readonly string[] = []): MiddlewareHandler {
  return async function checkRequestOrigin(c, next) {
    const origin = c.req.header("origin");
    const asks = c.req.method !== "GET" || c.req.header("upgrade") !== undefined;
    if (origin !== undefined && asks && !isAllowed(origin, c.req.header("host"), allowedOrigins)) {
      return problemResponse(403, {
        title: "Origin refused",
        detail: `Pages of ${
          origin.slice(0, 200)
        } may not call this: name it with --allowed-origin.`,
      });
    }
    await next();
  };
}

function isAllowed(origin: string, host: string | undefined, allowed: readonly string[]): boolean {
  if (allowed.includes(origin)) return true;
  try {
    return new URL(origin).host === host;
  } catch {
    // `null`, which sandboxed pages send.
    return false;
  }
}
