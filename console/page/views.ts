/**
 * The console page's views, their addresses, and what the parameters of an address mean.
 *
 * @module
 */
import { computed } from "@preact/signals";
import { address, matchPath, wordParam } from "../../service/page/url_state.ts";
import { parseDuration } from "../../service/page/format.ts";
import { searchProblem } from "./complete_search.ts";
import { pagePaths } from "../page_api/api.ts";
import { condition } from "../queries/search_language.ts";

/** A view, from the path. */
export type View =
  | { readonly kind: "traces" }
  | { readonly kind: "trace"; readonly traceId: string }
  | { readonly kind: "charts" }
  | { readonly kind: "logs" }
  | { readonly kind: "status" }
  | { readonly kind: "map" }
  | { readonly kind: "flame" }
  | { readonly kind: "compare" }
  | { readonly kind: "unknown" };

/** The view shown. */
export const view = computed<View>(() => {
  const { path } = address.value;
  const trace = matchPath(pagePaths.trace, path);
  if (trace) return { kind: "trace", traceId: trace.traceId!.toLowerCase() };
  if (matchPath(pagePaths.traces, path)) return { kind: "traces" };
  if (matchPath(pagePaths.charts, path)) return { kind: "charts" };
  if (matchPath(pagePaths.logs, path)) return { kind: "logs" };
  if (matchPath(pagePaths.map, path)) return { kind: "map" };
  if (matchPath(pagePaths.flame, path)) return { kind: "flame" };
  if (matchPath(pagePaths.compare, path)) return { kind: "compare" };
  if (matchPath(pagePaths.status, path)) return { kind: "status" };
  return { kind: "unknown" };
});

/** Nothing moves until a person goes on. */
export const paused = computed(() => address.value.params.has("paused"));

/** Parameters of the trace list, as they stand in the address. */
export const traceFilterNames = ["service", "q", "errors", "min", "from", "to"] as const;

/** The severities a person chooses from; `all` is no filter. */
export const logLevels = ["all", "debug", "info", "warn", "error"] as const;

/** Spans of time for charts, in the API's words. */
export const chartRanges = ["15m", "5m", "1h"] as const;

/** Length of each range, in milliseconds. */
export const chartRangeMs: Readonly<Record<typeof chartRanges[number], number>> = {
  "5m": 5 * 6e4,
  "15m": 15 * 6e4,
  "1h": 60 * 6e4,
};

/** The range chosen. */
export const chartRange = computed(() => wordParam(address.value.params, "range", chartRanges));

/**
 * The ranges worth choosing, the shortest first: one that shows no more than the next shorter one is
 * not among them, unless it is chosen.
 */
export function rangesFor(
  heldMs: number,
  chosen: typeof chartRanges[number],
): (typeof chartRanges[number])[] {
  const all = ["5m", "15m", "1h"] as const;
  return all.filter((range, i) =>
    i === 0 || heldMs > chartRangeMs[all[i - 1]!] || range === chosen
  );
}

/** The trace list's filters as the API takes them; an unreadable minimum is no filter. */
export function traceQuery(params: URLSearchParams): URLSearchParams {
  const query = new URLSearchParams();
  copy(params, "service", query);
  copySearch(params, "traces", query);
  if (params.has("errors")) query.set("error", "true");
  const minMs = parseDuration(params.get("min") ?? "");
  if (minMs !== undefined) query.set("minDuration", `${minMs}ms`);
  // The API's are microseconds.
  for (const [name, theirs] of [["from", "start"], ["to", "end"]] as const) {
    if (/^\d{1,14}$/.test(params.get(name) ?? "")) query.set(theirs, `${params.get(name)}000`);
  }
  return query;
}

/** The log list's filters as the API takes them. */
export function logQuery(params: URLSearchParams): URLSearchParams {
  const query = new URLSearchParams();
  copy(params, "service", query);
  copySearch(params, "logs", query);
  const level = wordParam(params, "level", logLevels);
  if (level !== "all") query.set("severity", level);
  return query;
}

/** What of the live stream a view needs. */
export function streamQuery(now: View, params: URLSearchParams): URLSearchParams {
  switch (now.kind) {
    case "traces":
      return withSignals("traces", traceQuery(params));
    case "logs":
      return withSignals("logs", logQuery(params));
    case "trace":
      return withSignals("traces,logs", ofTrace(now.traceId));
    default:
      return withSignals("metrics", new URLSearchParams());
  }
}

/** The one trace and its log records, in the search language. */
export function ofTrace(traceId: string): URLSearchParams {
  return new URLSearchParams({ q: condition("trace", traceId.toLowerCase()) });
}

function withSignals(signals: string, query: URLSearchParams): URLSearchParams {
  query.set("signals", signals);
  return query;
}

/** A search that cannot be read is no filter: the field says what is wrong with it. */
function copySearch(from: URLSearchParams, what: "traces" | "logs", to: URLSearchParams): void {
  if (searchProblem(what, from.get("q") ?? "") === undefined) copy(from, "q", to);
}

function copy(from: URLSearchParams, name: string, to: URLSearchParams): void {
  const value = from.get(name);
  if (value) to.set(name, value);
}
