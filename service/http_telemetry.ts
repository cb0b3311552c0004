/**
 * Server spans and metrics of HTTP requests (OpenTelemetry semantic conventions, "HTTP spans" and
 * "HTTP metrics"): as `@hono/otel` makes them, at a third of its time. That library copies all
 * headers of request and response, twice, in case some are to be recorded.
 *
 * @module
 */
import {
  type Attributes,
  type Context,
  context,
  type Meter,
  metrics,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
  ValueType,
} from "@opentelemetry/api";
import type { Context as HonoContext, MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { routePath } from "hono/route";
import { version } from "./version.ts";
import { realWorld, type World } from "./world/world.ts";

const scope = "orrery.http";

/**
 * Makes the middleware; put it in front of the routes that shall be seen. Span `METHOD route`,
 * metrics `http.server.request.duration` and `http.server.active_requests`. The span goes on from
 * what the request's `traceparent` names. A method that HTTP has not is `_OTHER`: with HTTP/2 a client
 * may send any word, and each would be a series of its own.
 *
 * @param serviceName the program's `service.name`
 *
 * @example
 * ```ts
 * app.use(httpTelemetry("orb-server"));
 * ```
 */
export function httpTelemetry(
  serviceName: string,
  { world = realWorld }: { world?: Pick<World, "monotonicMs"> } = {},
): MiddlewareHandler {
  const tracer = trace.getTracer(scope, version);
  const meter = metrics.getMeter(scope, version);
  const active = activeRequests(meter, serviceName);
  const duration = requestDuration(meter);

  return async function traceRequest(c, next) {
    const original = c.req.method;
    const method = methods.has(original) ? original : otherMethod;
    const startMs = world.monotonicMs();
    const counted = active(method);
    counted.requests++;
    const parent = propagation.extract(context.active(), c.req.raw.headers, headersGetter);
    const span = tracer.startSpan(nameOf(method), {
      kind: SpanKind.SERVER,
      attributes: {
        ...counted.attributes,
        "url.full": c.req.url,
        ...(method !== original && { "http.request.method_original": original.slice(0, 100) }),
      },
    }, parent);
    try {
      await inContext(parent, span, next);
      finishSpan(span, method, c, c.error);
    } catch (error) {
      finishSpan(span, method, c, error);
      throw error;
    } finally {
      counted.requests--;
      duration.record((world.monotonicMs() - startMs) / 1_000, {
        ...counted.attributes,
        "http.route": routePath(c),
        "http.response.status_code": c.res.status,
      });
    }
  };
}

function inContext<Result>(parent: Context, span: Span, run: () => Result): Result {
  return context.with(trace.setSpan(parent, span), run);
}

const headersGetter: TextMapGetter<Headers> = {
  get: (headers, name) => headers.get(name) ?? undefined,
  keys: (headers) => [...headers.keys()],
};

/** Of RFC 9110, section 9, and RFC 5789. */
const methods: ReadonlySet<string> = new Set([
  ...["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"],
]);
const otherMethod = "_OTHER";

/** How a span calls a method. */
function nameOf(method: string): string {
  return method === otherMethod ? "HTTP" : method;
}

function finishSpan(span: Span, method: string, c: HonoContext, error: unknown): void {
  const { status } = c.res;
  const route = routePath(c);
  span.updateName(`${nameOf(method)} ${route}`);
  span.setAttribute("http.route", route);
  span.setAttribute("http.response.status_code", status);
  // A 4xx is the client's error: the server's span must not have the status ERROR for it ("Status").
  const isClients = error instanceof HTTPException && error.status < 500;
  if (error !== undefined && !isClients) {
    span.recordException(error instanceof Error ? error : String(error));
    span.setStatus({ code: SpanStatusCode.ERROR });
  } else if (status >= 500) {
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}

interface ActiveRequests {
  requests: number;
  readonly attributes: Attributes;
}

/** Of the whole process: two servers of one name are one sum. By service and method. */
const activeByName = new Map<string, ActiveRequests>();

/** The requests under way are counted here and asked for, which costs less than adding and taking away. */
function activeRequests(meter: Meter, serviceName: string): (method: string) => ActiveRequests {
  meter.createObservableUpDownCounter("http.server.active_requests", {
    description: "Number of active (in-flight) HTTP server requests",
    valueType: ValueType.DOUBLE,
  }).addCallback((result) => {
    for (const { requests, attributes } of activeByName.values()) {
      result.observe(requests, attributes);
    }
  });
  return function of(method) {
    const key = `${serviceName} ${method}`;
    let counted = activeByName.get(key);
    if (counted === undefined) {
      counted = {
        requests: 0,
        attributes: {
          "http.request.method": method,
          "service.name": serviceName,
          "service.version": version,
        },
      };
      activeByName.set(key, counted);
    }
    return counted;
  };
}

function requestDuration(meter: Meter) {
  return meter.createHistogram("http.server.request.duration", {
    description: "Duration of HTTP requests in seconds",
    unit: "s",
    valueType: ValueType.DOUBLE,
    advice: {
      explicitBucketBoundaries: [
        ...[.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10],
      ],
    },
  });
}
