/**
 * The page port's routes: the JSON API that `api.ts` describes, with Jaeger's query API in it.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import type { Refusal } from "../../service/otlp/otlp_message.ts";
import { ProblemError } from "../../service/problem.ts";
import {
  type ListedProgram,
  type ProgramsAnswer,
  programsPath,
} from "../../service/program_list.ts";
import type { World } from "../../service/world/world.ts";
import {
  apiPaths,
  type NoticesAnswer,
  type OperationsAnswer,
  type ServicesAnswer,
  type SuggestionsAnswer,
  type SummariesAnswer,
} from "./api.ts";
import type { DependenciesAnswer } from "./jaeger_api.ts";
import type { LogsAnswer } from "./logs_api.ts";
import { addMapRoutes } from "./map_route.ts";
import { exportAll, exportLogs, exportTraces, importOtlp, tracePage } from "./portable_routes.ts";
import type { Signal, StatsEvent } from "./stream_events.ts";
import { dependencies } from "../queries/dependencies.ts";
import { jaegerAnswer, jaegerTrace, spanKinds } from "../queries/jaeger.ts";
import type { LiveStream } from "./live_stream.ts";
import { logDetail, logRow, type StoredLog } from "../stores/log_store.ts";
import { metricData, metricList } from "../queries/metric_data.ts";
import {
  durationParameter,
  integerParameter,
  logFilter,
  parameterProblem,
  type Parameters,
  traceFilter,
} from "../queries/query.ts";
import { spanExtra } from "../queries/span_extra.ts";
import { suggestions } from "../queries/suggestions.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import { type Trace, traceSummary } from "../stores/trace_store.ts";

/** What the routes show. */
export interface PageApiOptions {
  /** What the answers are made from; `DELETE` empties it. */
  store: TelemetryStore;
  /** Where `/api/stream` is opened. */
  stream: LiveStream;
  /** What `/api/stats` answers. */
  stats: () => StatsEvent;
  /** Takes in a request of OTLP's JSON that came by import; says what of it was refused. */
  take: (signal: Signal, body: Uint8Array<ArrayBuffer>) => Refusal | undefined;
  /** The programs that run beside the console. */
  programs: () => Promise<readonly ListedProgram[]>;
  /** Forgets what is kept elsewhere, when all is to be forgotten. @default nothing is */
  onClear?: (() => Promise<void>) | undefined;
  /** Time and chance. */
  world: World;
}

/**
 * Makes the API's routes. Errors are thrown as {@linkcode ProblemError}.
 *
 * @example
 * ```ts
 * const app = httpApp({ name: "console", host }, context);
 * app.route("/", pageApi({ store, stream, stats, world }));
 * ```
 */
export function pageApi(options: PageApiOptions): Hono {
  const { store, stream, stats } = options;
  const app = new Hono();
  app.use("/api/*", async (c, next) => {
    await next();
    c.header("cache-control", "no-store");
    c.header("x-content-type-options", "nosniff");
  });

  addServiceRoutes(app, options);
  addSearchRoutes(app, options);
  addTraceRoutes(app, options);
  addLogAndMetricRoutes(app, options);
  app.get(programsPath, async (c) => {
    const answer: ProgramsAnswer = {
      console: new URL(c.req.url).origin,
      programs: await options.programs(),
    };
    return c.json(answer);
  });
  addMapRoutes(app, options);
  app.get(apiPaths.suggestions, (c) => {
    const what = c.req.query("for") ?? "traces";
    if (what !== "traces" && what !== "logs") {
      throw parameterProblem("for", "for must be traces or logs.");
    }
    const answer: SuggestionsAnswer = {
      suggestions: suggestions(store, what, c.req.query("key") || undefined),
    };
    return c.json(answer);
  });
  app.get(
    apiPaths.notices,
    (c) => c.json({ notices: store.notices.rows() } satisfies NoticesAnswer),
  );
  app.get(apiPaths.stats, (c) => c.json(stats()));

  app.get(
    apiPaths.stream,
    (c) => stream.open(parametersOf(c), c.req.header("last-event-id")),
  );

  app.post(
    apiPaths.import,
    (c) => importOtlp(c, { take: options.take, limitBytes: store.limits.maxDecompressedBytes }),
  );

  app.delete(apiPaths.data, async (c) => {
    store.clear();
    stream.cleared();
    await options.onClear?.();
    return c.body(null, 204);
  });
  return app;
}

/** Which services there are, and what they do, as the page and Jaeger's clients ask for it. */
function addServiceRoutes(app: Hono, { store }: PageApiOptions): void {
  app.get(apiPaths.services, (c) => {
    const services = store.serviceRows();
    const answer: ServicesAnswer = { ...jaegerAnswer(services.map(({ name }) => name)), services };
    return c.json(answer);
  });

  app.get(apiPaths.operations, (c) => {
    const service = c.req.query("service");
    if (!service) throw parameterProblem("service", "service must name a service.");
    const kind = c.req.query("spanKind");
    const answer = operations(store, service);
    if (!kind) return c.json(answer);
    return c.json(jaegerAnswer(answer.data.filter(({ spanKind }) => spanKind === kind)));
  });

  app.get(routeOf(apiPaths.serviceOperations), (c) => {
    const { data } = operations(store, c.req.param("service")!);
    return c.json(jaegerAnswer(data.map(({ name }) => name)));
  });
}

/** Traces that a search finds, in Jaeger's JSON, a row each, or as OTLP. */
function addSearchRoutes(app: Hono, { store, world }: PageApiOptions): void {
  app.get(apiPaths.summaries, (c) => {
    const { traces, matched } = findTraces(store, parametersOf(c), {
      limit: 200,
      world,
      durationOfSpan: false,
    });
    const answer: SummariesAnswer = {
      traces: traces.map(traceSummary),
      matched,
      held: store.traces.traces,
    };
    return c.json(answer);
  });

  app.get(apiPaths.traces, (c) => {
    const parameters = parametersOf(c);
    const asked = c.req.queries("traceID");
    if (asked !== undefined) {
      const found = asked.map((id) => store.traces.get(normalTraceId(id)));
      return c.json(jaegerAnswer(found.filter((trace) => trace !== undefined).map(jaegerTrace)));
    }
    const { traces } = findTraces(store, parameters, { limit: 20, world, durationOfSpan: true });
    return c.json(jaegerAnswer(traces.map(jaegerTrace)));
  });

  app.get(apiPaths.export, (c) => {
    const what = c.req.query("what") ?? "traces";
    if (what === "all") return exportAll(store);
    const parameters = parametersOf(c);
    if (what === "logs") {
      return exportLogs(findLogs(store, parameters, { limit: 2_000, world }).logs);
    }
    if (what !== "traces") throw parameterProblem("what", "what must be traces, logs or all.");
    const asked = c.req.queries("traceID")?.map((id) => store.traces.get(normalTraceId(id)));
    return exportTraces(
      asked?.filter((trace) => trace !== undefined) ??
        findTraces(store, parameters, { limit: 1_500, world, durationOfSpan: false }).traces,
    );
  });
}

/** One trace, and what is known of its spans. */
function addTraceRoutes(app: Hono, { store }: PageApiOptions): void {
  app.get(routeOf(apiPaths.span), (c) => {
    const { spans } = heldTrace(store, c.req.param("traceId")!);
    const id = c.req.param("spanId")!.toLowerCase();
    const span = spans.find(({ spanId }) => spanId === id);
    if (span === undefined) {
      throw new ProblemError(404, {
        title: "Span not found",
        detail: `The trace has no span ${JSON.stringify(id.slice(0, 40))}.`,
      });
    }
    return c.json(spanExtra(span, store.traces.newestFirst(), (id) => store.traces.get(id)));
  });

  app.get(
    routeOf(apiPaths.tracePage),
    (c) => tracePage(store, heldTrace(store, c.req.param("traceId")!)),
  );

  app.get(
    routeOf(apiPaths.trace),
    (c) => c.json(jaegerAnswer([jaegerTrace(heldTrace(store, c.req.param("traceId")!))])),
  );
}

/** @throws {ProblemError} 404 when it is not, or no longer, held */
function heldTrace(store: TelemetryStore, id: string): Trace {
  const traceId = normalTraceId(id);
  const trace = store.traces.get(traceId);
  if (trace === undefined) {
    throw new ProblemError(404, {
      title: "Trace not found",
      detail:
        `No span of trace ${traceId} is held: none has arrived yet, or newer ones took its place.`,
      // Jaeger's own form of the same, for its clients.
      data: null,
      errors: [{ code: 404, msg: "trace not found", traceID: traceId }],
    });
  }
  return trace;
}

function addLogAndMetricRoutes(app: Hono, { store, world }: PageApiOptions): void {
  app.get(apiPaths.logs, (c) => {
    const { logs, more } = findLogs(store, parametersOf(c), { limit: 200, world });
    return c.json({ logs: logs.map(logRow), more, held: store.logs.length } satisfies LogsAnswer);
  });

  app.get(routeOf(apiPaths.log), (c) => {
    const log = store.logs.get(Number(c.req.param("seq")));
    if (log === undefined) {
      throw new ProblemError(404, {
        title: "Log record not found",
        detail: "It has made room for newer ones, or there has never been one of this number.",
      });
    }
    return c.json(logDetail(log));
  });

  app.get(apiPaths.metrics, (c) => {
    const parameters = parametersOf(c);
    const name = parameters("name");
    return c.json(name ? metricData(name, parameters, { store, world }) : metricList({ store }));
  });

  app.get(apiPaths.dependencies, (c) => {
    const { fromUs, toUs } = dependencyWindow(parametersOf(c), world);
    const traces = [...store.traces.newestFirst()]
      .filter(({ startUs }) => startUs >= fromUs && startUs <= toUs);
    const answer: DependenciesAnswer = jaegerAnswer(dependencies(traces));
    return c.json(answer);
  });
}

/** Jaeger's `endTs` and `lookback` are milliseconds; a length such as `15m` is taken, too. */
function dependencyWindow(
  parameters: Parameters,
  world: World,
): { fromUs: number; toUs: number } {
  const endMs = integerParameter(parameters, "endTs", {
    fallback: Infinity,
    max: Number.MAX_SAFE_INTEGER,
  });
  const text = parameters("lookback");
  const lookbackUs = text !== undefined && /^\d+$/.test(text)
    ? Number(text) * 1000
    : durationParameter(parameters, "lookback") ?? Infinity;
  const baseUs = (endMs === Infinity ? world.nowMs() : endMs) * 1000;
  return { fromUs: baseUs - lookbackUs, toUs: endMs * 1000 };
}

/** `/api/traces/{traceId}` as Hono writes it. */
function routeOf(path: string): string {
  return path.replace(/\{(\w+)\}/g, ":$1");
}

function parametersOf(c: Context): Parameters {
  return Object.assign((name: string) => c.req.query(name), {
    all: (name: string) => c.req.queries(name) ?? [],
  });
}

/** Jaeger takes ids without their leading zeros. */
function normalTraceId(text: string): string {
  if (!/^[0-9a-f]{1,32}$/i.test(text)) {
    throw parameterProblem("traceId", "A trace id is at most 32 hex digits.");
  }
  return text.toLowerCase().padStart(32, "0");
}

function operations(store: TelemetryStore, service: string): OperationsAnswer {
  const names = store.services.get(service)?.operations ?? new Map<string, number>();
  return jaegerAnswer(
    [...names]
      .map(([name, kind]) => ({ name, spanKind: spanKinds[kind] ?? "" }))
      .sort((a, b) => a.name < b.name ? -1 : 1),
  );
}

function findTraces(
  store: TelemetryStore,
  parameters: Parameters,
  defaults: { limit: number; world: World; durationOfSpan: boolean },
): { traces: Trace[]; matched: number } {
  const limit = integerParameter(parameters, "limit", { fallback: defaults.limit, max: 1_500 });
  const filter = traceFilter(parameters, defaults);
  const matching = [...store.traces.newestFirst()].filter((trace) => filter.matches(trace));
  matching.sort((a, b) => b.startUs - a.startUs);
  return { traces: matching.slice(0, limit), matched: matching.length };
}

/** Newest first. */
function findLogs(
  store: TelemetryStore,
  parameters: Parameters,
  defaults: { limit: number; world: World },
): { logs: StoredLog[]; more: boolean } {
  const limit = integerParameter(parameters, "limit", { fallback: defaults.limit, max: 2_000 });
  const filter = logFilter(parameters, defaults.world);
  const logs: StoredLog[] = [];
  let more = false;
  for (const log of store.logs.newestFirst()) {
    if (!filter.matches(log)) continue;
    if (logs.length === limit) {
      more = true;
      break;
    }
    logs.push(log);
  }
  return { logs, more };
}
