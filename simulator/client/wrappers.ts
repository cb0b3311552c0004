/**
 * What programs do most, seen as events and, where OpenTelemetry is set up, as spans: calls of an
 * HTTP client, jobs of a worker, invocations of a lambda-style handler.
 *
 * The trace goes along by W3C Trace Context: a call's `traceparent` header, a job's or an event's
 * field of that name. So a call made here and the work it causes there are one trace, and on the page
 * a flight from one sprite to the other.
 *
 * @module
 */
import {
  type Attributes,
  type Context,
  context,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { reasonOf } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import type { TelemetryClient } from "../telemetry_client.ts";
import { type EventAttributes, traceIdAsUuid } from "./event_json.ts";

/** What a job or an event may carry to say which trace it belongs to. */
export interface Traced {
  /** W3C Trace Context, level 1: `00-<trace id>-<parent id>-<flags>`. */
  traceparent?: string | undefined;
}

/** Options of the wrappers. */
export interface WrapperOptions {
  /** Time and chance. @default the real world */
  world?: World;
}

/** One piece of work that is wrapped. */
interface Work {
  client: TelemetryClient;
  world: World;
  /** Begins the names of its events: `<what>Started`, `<what>Performed`, `<what>Failed`. */
  what: "httpRequest" | "job" | "invocation";
  spanName: string;
  kind: SpanKind;
  attributes: Attributes & EventAttributes;
  parent: Traced | undefined;
}

/**
 * Wraps `fetch`: `httpRequestStarted`, then `httpRequestPerformed` with the status or
 * `httpRequestFailed` with the reason. Query and credentials of the URL stay out of the events.
 *
 * @example
 * ```ts
 * const fetch = tracedFetch(client);
 * await fetch("http://127.0.0.1:4242/api/signup", { method: "POST", body });
 * ```
 */
export function tracedFetch(
  client: TelemetryClient,
  { world = realWorld }: WrapperOptions = {},
): typeof fetch {
  return function fetchWithEvents(input, init) {
    const request = new Request(input, init);
    const { origin, pathname, hostname } = new URL(request.url);
    const work: Work = {
      client,
      world,
      what: "httpRequest",
      spanName: request.method,
      kind: SpanKind.CLIENT,
      attributes: {
        "http.request.method": request.method,
        "url.full": `${origin}${pathname}`,
        "server.address": hostname,
      },
      parent: undefined,
    };
    return perform(work, async (traceparent, span) => {
      request.headers.set("traceparent", traceparent);
      const response = await fetch(request);
      span.setAttribute("http.response.status_code", response.status);
      return [response, { "http.response.status_code": response.status }];
    });
  };
}

/**
 * Wraps the handler of a job worker: `jobStarted`, then `jobPerformed` or `jobFailed`; what the
 * handler throws is thrown on, as the worker retries by it.
 *
 * @example
 * ```ts
 * worker.process(tracedJob(client, "resize", async (job) => await resize(job.image)));
 * ```
 */
export function tracedJob<Job extends Traced, Result>(
  client: TelemetryClient,
  name: string,
  handle: (job: Job) => Promise<Result>,
  { world = realWorld }: WrapperOptions = {},
): (job: Job) => Promise<Result> {
  return function performJob(job) {
    const work: Work = {
      client,
      world,
      what: "job",
      spanName: `process ${name}`,
      kind: SpanKind.CONSUMER,
      attributes: { "messaging.operation.name": "process", "messaging.destination.name": name },
      parent: job,
    };
    return perform(work, async () => [await handle(job), {}]);
  };
}

/**
 * Wraps a lambda-style handler: `invocationStarted`, then `invocationPerformed` or
 * `invocationFailed`. The trace comes from the event's `traceparent`, or from its `headers`.
 *
 * @example
 * ```ts
 * export const handler = tracedLambda(client, "on-order", async (event) => ({ statusCode: 200 }));
 * ```
 */
export function tracedLambda<
  Event extends Traced & { headers?: Record<string, string | undefined> },
  Invocation,
  Result,
>(
  client: TelemetryClient,
  name: string,
  handle: (event: Event, invocation: Invocation) => Promise<Result>,
  { world = realWorld }: WrapperOptions = {},
): (event: Event, invocation: Invocation) => Promise<Result> {
  return function invokeHandler(event, invocation) {
    const work: Work = {
      client,
      world,
      what: "invocation",
      spanName: name,
      kind: SpanKind.SERVER,
      attributes: { "faas.name": name },
      parent: { traceparent: event.traceparent ?? event.headers?.["traceparent"] },
    };
    return perform(work, async () => [await handle(event, invocation), {}]);
  };
}

async function perform<Result>(
  { client, world, what, spanName, kind, attributes, parent }: Work,
  run: (traceparent: string, span: Span) => Promise<[Result, EventAttributes]>,
): Promise<Result> {
  const parentContext = contextOf(parent?.traceparent);
  const span = trace.getTracer("simulator").startSpan(
    spanName,
    { kind, attributes },
    parentContext,
  );
  const active = trace.setSpan(parentContext, span);
  const ids = idsOf(span, parent?.traceparent, world);
  const traceId = traceIdAsUuid(ids.traceId);
  const startMs = world.monotonicMs();
  const elapsed = () => ({
    "duration.ms": Math.round((world.monotonicMs() - startMs) * 1_000) / 1_000,
  });
  client.send(`${what}Started`, attributes, traceId);
  try {
    const [result, more] = await context.with(
      active,
      () => run(`00-${ids.traceId}-${ids.spanId}-01`, span),
    );
    client.send(`${what}Performed`, { ...attributes, ...more, ...elapsed() }, traceId);
    return result;
  } catch (error) {
    const reason = reasonOf(error);
    span.recordException(error instanceof Error ? error : reason);
    span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
    client.send(`${what}Failed`, { ...attributes, reason, ...elapsed() }, traceId);
    throw error;
  } finally {
    span.end();
  }
}

function contextOf(traceparent: string | undefined): Context {
  return traceparent === undefined
    ? context.active()
    : propagation.extract(context.active(), { traceparent });
}

const traceparentForm = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;
const invalidTraceId = "0".repeat(32);

/** The span's ids; where OpenTelemetry is not set up, the caller's trace or a new one. */
function idsOf(span: Span, traceparent: string | undefined, world: World) {
  const { traceId, spanId } = span.spanContext();
  if (traceId !== invalidTraceId) return { traceId, spanId };
  const given = traceparentForm.exec(traceparent ?? "")?.[1];
  return {
    traceId: given ?? world.randomBytes(16).toHex(),
    spanId: world.randomBytes(8).toHex(),
  };
}
