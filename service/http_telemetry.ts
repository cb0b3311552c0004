/**
 * Server spans and metrics of HTTP requests: `@hono/otel`, with what it leaves to be done.
 *
 * @module
 */
import { httpInstrumentationMiddleware } from "@hono/otel";
import type { MiddlewareHandler } from "hono";
import { every } from "hono/combine";
import { HTTPException } from "hono/http-exception";
import { version } from "./version.ts";

/**
 * Makes the middleware; put it in front of the routes that shall be seen. Span `METHOD route`,
 * metrics `http.server.request.duration` and `http.server.active_requests`.
 *
 * @param serviceName the program's `service.name`; left out, the library sends an empty attribute.
 */
export function httpTelemetry(serviceName: string): MiddlewareHandler {
  return every(
    httpInstrumentationMiddleware({ serviceName, serviceVersion: version }),
    forgetClientErrors,
  );
}

/**
 * A 4xx is the client's error: the server's span must not have the status ERROR for it (HTTP
 * semantic conventions, "Status"). The library takes every throw for one of ours.
 */
const forgetClientErrors: MiddlewareHandler = async function forgetClientErrors(c, next) {
  await next();
  if (c.error instanceof HTTPException && c.error.status < 500) c.error = undefined;
};
