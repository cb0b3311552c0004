/**
 * The answers of `/api/metrics`: which metrics there are, and one of them with its series or with groups of them.
 *
 * @module
 */
import { ProblemError } from "../../service/problem.ts";
import type { World } from "../../service/world/world.ts";
import {
  type Combine,
  combines,
  maxGroupKeys,
  type MetricDataAnswer,
  type MetricsAnswer,
} from "../page_api/metrics_api.ts";
import type { Family, Series } from "../stores/metric_store.ts";
import { groupKeys, groupSeries } from "./metric_groups.ts";
import { differingResources, metricRow, metricSeries } from "./metric_query.ts";
import { durationParameter, integerParameter, parameterProblem, type Parameters } from "./query.ts";

/** Where the metrics are. */
export interface MetricSource {
  metricFamilies(): Iterable<Family>;
}

/** What the answers are made from. */
export interface MetricDataOptions {
  store: MetricSource;
  world: Pick<World, "nowMs">;
}

/** Characters of an attribute's name that is asked for, at most. */
const maxKeyLength = 256;

/** All metrics, by name. */
export function metricList({ store }: Pick<MetricDataOptions, "store">): MetricsAnswer {
  const metrics = [...store.metricFamilies()].map(metricRow);
  return { metrics: metrics.sort((a, b) => a.name < b.name ? -1 : 1) };
}

/**
 * One metric, as the parameters of `MetricQuery` ask for it.
 *
 * @throws {ProblemError} 404 when none has the name, 400 for a bad parameter
 */
export function metricData(
  name: string,
  parameters: Parameters,
  { store, world }: MetricDataOptions,
): MetricDataAnswer {
  const limit = integerParameter(parameters, "limit", { fallback: 50, max: 500 });
  const { fromMs, toMs } = timeOf(parameters, world);
  const family = familyOf(store, name, parameters);
  const by = groupParameter(parameters);
  const service = parameters("service");
  const matching = [...family.series.values()]
    .filter((series) => !service || series.source.service === service)
    .sort((a, b) => b.lastSeenMs - a.lastSeenMs);
  const common = { ...metricRow(family), keys: groupKeys(matching) };
  if (by === undefined) {
    const shown = matching.slice(0, limit);
    return { ...common, data: seriesOf(shown, fromMs, toMs), matched: matching.length };
  }
  if (family.type === "summary") {
    throw parameterProblem(
      "by",
      "by cannot put summaries together: quantiles of quantiles say nothing. Leave it out.",
    );
  }
  const combine = combineParameter(parameters, family);
  const { groups, stepMs, leftOut } = groupSeries(family, matching, { by, combine, fromMs, toMs });
  return {
    ...common,
    data: groups.slice(0, limit),
    matched: groups.length,
    grouped: { by, combine, stepMs, leftOut },
  };
}

function seriesOf(list: readonly Series[], fromMs: number, toMs: number) {
  const resources = differingResources(list);
  return list.map((series, i) => ({
    ...metricSeries(series, fromMs, toMs),
    ...(resources[i] !== undefined && { resource: resources[i] }),
  }));
}

/** Senders may disagree on a metric's type and unit: unless it is said, the one received last is shown. */
function familyOf(
  store: MetricSource,
  name: string,
  parameters: Parameters,
): Family {
  const unit = parameters("unit");
  const type = parameters("type");
  let family: Family | undefined;
  for (const candidate of store.metricFamilies()) {
    if (candidate.name !== name || (type && candidate.type !== type)) continue;
    if (unit !== undefined && candidate.unit !== unit) continue;
    if (family === undefined || candidate.lastSeenMs > family.lastSeenMs) family = candidate;
  }
  if (family !== undefined) return family;
  throw new ProblemError(404, {
    title: "Metric not found",
    detail: `No series of a metric named ${JSON.stringify(name)} is held.`,
  });
}

function timeOf(
  parameters: Parameters,
  world: Pick<World, "nowMs">,
): { fromMs: number; toMs: number } {
  const lookbackUs = durationParameter(parameters, "lookback") ?? 15 * 60_000_000;
  const us = (name: string, fallback: number) =>
    integerParameter(parameters, name, { fallback, max: Number.MAX_SAFE_INTEGER });
  const endUs = us("end", world.nowMs() * 1000);
  const startUs = us("start", endUs - lookbackUs);
  if (startUs >= endUs) {
    throw parameterProblem(
      "start",
      "start must be before end; both are microseconds since the epoch.",
    );
  }
  return { fromMs: startUs / 1000, toMs: endUs / 1000 };
}

/** Undefined when nothing is to be grouped; empty puts all together. */
function groupParameter(parameters: Parameters): string[] | undefined {
  const given = parameters.all?.("by") ?? [];
  if (given.length === 0) return undefined;
  const by = [...new Set(given.filter((key) => key !== ""))];
  if (by.length > maxGroupKeys || by.some((key) => key.length > maxKeyLength)) {
    throw parameterProblem(
      "by",
      `by takes at most ${maxGroupKeys} attributes, each of at most ${maxKeyLength} characters.`,
    );
  }
  return by;
}

function combineParameter(parameters: Parameters, { type }: Family): Combine {
  const text = parameters("combine");
  if (!text) return type === "gauge" ? "mean" : "sum";
  const combine = combines.find((one) => one === text);
  if (combine === undefined) {
    throw parameterProblem("combine", `combine must be one of ${combines.join(", ")}.`);
  }
  if (combine !== "sum" && (type === "histogram" || type === "exponentialHistogram")) {
    throw parameterProblem("combine", "combine is for gauges and sums: histograms are added up.");
  }
  return combine;
}
