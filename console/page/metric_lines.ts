/**
 * From a metric's series to the lines of a chart.
 *
 * @module
 */
import type { Attributes } from "../page_api/api.ts";
import type {
  HistogramPoint,
  MetricDataAnswer,
  MetricPoint,
  MetricRow,
  MetricSeries,
  NumberPoint,
} from "../page_api/metrics_api.ts";

/** What of a point is drawn. */
export type Figure = "value" | "rate" | "mean" | "p50" | "p95" | "p99";

/** What can be drawn of a metric of this kind, what it is first of all about first. */
export function figuresFor(metric: Pick<MetricRow, "type" | "monotonic">): readonly Figure[] {
  if (isHistogram(metric)) return ["p95", "p50", "p99", "mean", "rate"];
  const main = mainFigure(metric);
  return main === "rate" ? ["rate", "value"] : [main];
}

/** A line before it has a colour. */
export interface MetricLine {
  readonly label: string;
  /** Null where there is a gap, undefined where only other lines have a point. */
  readonly values: (number | null | undefined)[];
}

/** Lines over common times. */
export interface MetricLines {
  readonly timesMs: number[];
  readonly lines: MetricLine[];
}

/** What a metric of this kind is first of all about: a gauge's value, a counter's growth, a histogram's slow end. */
export function mainFigure(metric: Pick<MetricRow, "type" | "monotonic">): Figure {
  switch (metric.type) {
    case "gauge":
      return "value";
    case "sum":
      return metric.monotonic ? "rate" : "value";
    case "histogram":
    case "exponentialHistogram":
      return "p95";
    case "summary":
      return "value";
  }
}

/** Whether its points have percentiles. */
export function isHistogram(metric: Pick<MetricRow, "type">): boolean {
  return metric.type === "histogram" || metric.type === "exponentialHistogram";
}

/** The unit of a figure: a growth is the unit a second. */
export function figureUnit(metric: Pick<MetricRow, "type" | "unit">, figure: Figure): string {
  if (figure !== "rate") return metric.unit;
  if (isHistogram(metric)) return "/s";
  const unit = metric.unit.replace(/\{[^}]*\}/g, "");
  return unit === "" || unit === "1" ? "/s" : `${unit}/s`;
}

/** One figure of a point; a summary's value is its highest quantile. */
export function figureOf(point: MetricPoint, figure: Figure): number | null {
  if ("quantiles" in point) return point.quantiles.at(-1)?.[1] ?? null;
  if ("buckets" in point) {
    return figure === "value" ? point.mean : (point as HistogramPoint)[figure];
  }
  if (figure === "value") return point.value;
  return figure === "rate" ? (point as NumberPoint).rate : null;
}

/** The same figure of several series. */
export function linesOf(series: readonly MetricSeries[], figure: Figure): MetricLines {
  const labels = seriesLabels(series);
  return align(
    series.map((one, i) => ({ label: labels[i]!, series: one, figure })),
  );
}

/** Several figures of one series. */
export function figuresOf(series: MetricSeries, figures: readonly Figure[]): MetricLines {
  return align(figures.map((figure) => ({ label: figure, series, figure })));
}

/** A figure of a series, and its name. */
export interface WantedLine {
  readonly label: string;
  readonly series: MetricSeries;
  readonly figure: Figure;
}

/** Puts lines on common times. */
export function align(
  wanted: readonly WantedLine[],
): MetricLines {
  const times = new Set<number>();
  for (const { series } of wanted) for (const point of series.points) times.add(point.timeMs);
  const timesMs = [...times].sort((a, b) => a - b);
  const indexOf = new Map(timesMs.map((timeMs, i) => [timeMs, i]));
  return {
    timesMs,
    lines: wanted.map(({ label, series, figure }) => {
      const values = new Array<number | null | undefined>(timesMs.length).fill(undefined);
      const gapMs = longestStepMs(series.points);
      const newestMs = series.points.at(-1)?.timeMs ?? 0;
      const quiet = new Set<number>();
      let beforeMs = Infinity;
      for (const point of series.points) {
        const at = indexOf.get(point.timeMs)!;
        values[at] = figureOf(point, figure);
        if (values[at] === null) quiet.add(at);
        // A point of another line marks the gap, where there is one in it.
        // What is older stands further apart: it was thinned out.
        const longestMs = Math.max(gapMs, (newestMs - beforeMs) / 20);
        if (point.timeMs - beforeMs > longestMs && values[at - 1] === undefined) {
          values[at - 1] = null;
        }
        beforeMs = point.timeMs;
      }
      bridgeQuiet(timesMs, values, quiet);
      widenGaps(values);
      return { label, values };
    }),
  };
}

/**
 * A gap reaches from the line's own last value to its next one: where only other lines have a point in
 * it, too. Otherwise the line would be drawn up to there, as if it had been on its way.
 */
function widenGaps(values: (number | null | undefined)[]): void {
  for (let i = 1; i < values.length; i++) {
    if (values[i] === undefined && values[i - 1] === null) values[i] = null;
  }
  for (let i = values.length - 2; i >= 0; i--) {
    if (values[i] === undefined && values[i + 1] === null) values[i] = null;
  }
}

/**
 * A quantile of what is measured now and then has no value in most intervals: its line would fall apart
 * into dots. A pause of a thirtieth of the time shown is no gap; points that were missed are one.
 *
 * @param quiet indexes of the line's own points that have no value
 */
function bridgeQuiet(
  timesMs: readonly number[],
  values: (number | null | undefined)[],
  quiet: ReadonlySet<number>,
): void {
  if (quiet.size === 0) return;
  const bridgedMs = (timesMs.at(-1)! - timesMs[0]!) / 30;
  let lastAt: number | undefined;
  values.forEach((value, at) => {
    if (typeof value !== "number") return;
    if (lastAt !== undefined && timesMs[at]! - timesMs[lastAt]! <= bridgedMs) {
      for (let i = lastAt + 1; i < at; i++) if (quiet.has(i)) values[i] = undefined;
    }
    lastAt = at;
  });
}

/** Three times the usual step between points: beyond it something was missed. */
function longestStepMs(points: readonly MetricPoint[]): number {
  const steps = points.slice(1).map((point, i) => point.timeMs - points[i]!.timeMs)
    .sort((a, b) => a - b);
  return 3 * (steps[Math.floor(steps.length / 2)] ?? Infinity);
}

/** The last value there is. */
export function lastFigure(series: MetricSeries, figure: Figure): number | null {
  for (let i = series.points.length - 1; i >= 0; i--) {
    const value = figureOf(series.points[i]!, figure);
    if (value !== null) return value;
  }
  return null;
}

/** A short name for each series: only what distinguishes it from the others, the service if there are several. */
export function seriesLabels(series: readonly MetricSeries[]): string[] {
  if (series.some((one) => one.members !== undefined)) return groupLabels(series);
  const described = series.map((one) => ({
    ...flatten(one.attributes),
    service: one.service,
    ...(one.instance !== undefined && { instance: one.instance }),
    ...(one.scope !== "" && { scope: one.scope }),
    ...(one.scopeVersion !== undefined && { "scope version": one.scopeVersion }),
    ...flatten(prefixed(one.resource ?? {})),
  } as Record<string, string>));
  const keys = [...new Set(described.flatMap((one) => Object.keys(one)))];
  const telling = keys.filter((key) => new Set(described.map((one) => one[key])).size > 1);
  // An instance is a long id, a scope a library, a resource many words: shown only where nothing else
  // distinguishes the series, and of them no more than it takes.
  const long = (key: string) =>
    key === "instance" || key.startsWith("scope") || key.startsWith(resourcePrefix);
  const shown = telling.filter((key) => !long(key));
  const groups = () =>
    new Set(described.map((one) => JSON.stringify(shown.map((key) => one[key])))).size;
  for (const key of telling.filter(long)) {
    const before = groups();
    if (before === series.length) break;
    shown.push(key);
    if (groups() === before) shown.pop();
  }
  return described.map((one, i) => {
    const parts = shown.flatMap((key) => one[key] === undefined ? [] : [one[key]]);
    return parts.length > 0 ? parts.join(" · ") : series[i]!.service;
  });
}

/** Groups are named by what they were grouped by: all of it, so that a name does not change with the others. */
function groupLabels(groups: readonly MetricSeries[]): string[] {
  const keys = [...new Set(groups.flatMap(({ attributes }) => Object.keys(attributes)))];
  if (keys.length === 0) return groups.map(() => "all");
  return groups.map(({ attributes }) => {
    const texts = flatten(attributes);
    return keys.map((key) => texts[key] ?? "(none)").join(" · ");
  });
}

const resourcePrefix = "resource ";

function prefixed(resource: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(resource).map(([key, value]) => [resourcePrefix + key, value]),
  );
}

/** Attributes as text by key. */
export function flatten(attributes: Attributes): Record<string, string> {
  return Object.fromEntries(
    Object.entries(attributes).map((
      [key, value],
    ) => [key, typeof value === "string" ? value : JSON.stringify(value)]),
  );
}

/** What a metric's row in the list shows: one line for all its series, and its last value. */
export function headline(
  metric: MetricDataAnswer,
): { values: (number | null)[]; last: number | null } {
  const figure = mainFigure(metric);
  const { lines } = linesOf(metric.data, figure);
  // Growths add up; of levels and percentiles the highest is shown.
  const add = figure === "rate";
  const lasts = metric.data.map((one) => lastFigure(one, figure)).filter((one) => one !== null);
  const last = lasts.length === 0
    ? null
    : add
    ? lasts.reduce((a, b) => a + b, 0)
    : Math.max(...lasts);
  const busiest = lines.reduce<MetricLine | undefined>(
    (best, line) => best === undefined || countOf(line.values) > countOf(best.values) ? line : best,
    undefined,
  );
  return { values: busiest?.values.filter((one) => one !== null && one !== undefined) ?? [], last };
}

function countOf(values: MetricLine["values"]): number {
  return values.filter((value) => value !== null && value !== undefined).length;
}
