/**
 * `fetch` that is seen: a client span with the HTTP conventions, W3C context in the request's
 * headers, and `http.client.request.duration`.
 *
 * @module
 */
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { realWorld, type World } from "./world/world.ts";

/** The buckets that the HTTP conventions ask for, in seconds. */
export const httpDurationBuckets = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.075,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10,
];

/**
 * Makes a traced `fetch` whose spans carry `scope` as instrumentation scope.
 *
 * @example
 * ```ts
 * const fetch = tracedFetch("orb-client");
 * const response = await fetch("http://127.0.0.1:4242/api/signup", { method: "POST", body });
 * ```
 */
export function tracedFetch(
  scope: string,
  { world = realWorld }: { /** Whose time it is. @default the real world */ world?: World } = {},
): typeof fetch {
  const tracer = trace.getTracer(scope);
  const duration = metrics.getMeter(scope).createHistogram("http.client.request.duration", {
    description: "Duration of HTTP client requests.",
    unit: "s",
    advice: { explicitBucketBoundaries: httpDurationBuckets },
  });
  return async function fetchWithSpan(input, init) {
    const request = new Request(input, init);
    const url = new URL(request.url);
    const attributes: Record<string, string | number> = {
      "http.request.method": request.method,
      "server.address": url.hostname,
      "server.port": Number(url.port) || (url.protocol === "https:" ? 443 : 80),
    };
    const span = tracer.startSpan(request.method, {
      kind: SpanKind.CLIENT,
      attributes: { ...attributes, "url.full": `${url.origin}${url.pathname}` },
    });
    const startMs = world.monotonicMs();
    const active = trace.setSpan(context.active(), span);
    try {
      propagation.inject(active, request.headers, {
        set: (headers, name, value) => headers.set(name, value),
      });
      const response = await context.with(active, () => fetch(request));
      attributes["http.response.status_code"] = response.status;
      if (response.status >= 400) {
        attributes["error.type"] = String(response.status);
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      return response;
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      attributes["error.type"] = cause.name;
      span.recordException(cause);
      span.setStatus({ code: SpanStatusCode.ERROR, message: cause.message });
      throw error;
    } finally {
      span.setAttributes(attributes);
      span.end();
      duration.record((world.monotonicMs() - startMs) / 1_000, attributes, active);
    }
  };
}
