/**
 * Many series of a metric as a few: put together by what they say of an attribute, over common steps of
 * time, so that their rates add up and their histograms have quantiles of all.
 *
 * @module
 */
import { attribute, plainAttributes, valueText } from "../intake/values.ts";
import type { Attributes } from "../page_api/api.ts";
import type {
  Combine,
  GroupKey,
  HistogramPoint,
  MetricSeries,
  NumberPoint,
} from "../page_api/metrics_api.ts";
import { addHistograms, type HistogramValue, scaleHistogram } from "../stores/histogram.ts";
import type { Family, Point, Series } from "../stores/metric_store.ts";
import {
  counterIntervals,
  exemplarsSince,
  histogramFigures,
  histogramIntervals,
  type Interval,
} from "./metric_query.ts";
import { stepFor, stepsOf, type TimeSteps } from "./time_steps.ts";

/** How series are put together. */
export interface Grouping {
  /** Attributes whose values are kept apart, as `attributeOfSeries` finds them; none makes one group of all. */
  by: readonly string[];
  /** What is made of the values of a group. Histograms are added up, whatever it is. */
  combine: Combine;
  /** The time that is looked at, milliseconds since the epoch. */
  fromMs: number;
  toMs: number;
}

/** What {@linkcode groupSeries} makes. */
export interface Grouped {
  /** The groups, those of the largest values first. */
  groups: MetricSeries[];
  /** Length of the steps, in milliseconds. */
  stepMs: number;
  /** Histograms whose buckets do not fit those of their group: they are in none. */
  leftOut: number;
}

/** How late a point may come. */
const settleMs = 5_000;
/** Attributes offered to group by. */
const maxKeys = 50;

/**
 * Puts series together.
 *
 * @example
 * ```ts
 * const series = [...family.series.values()];
 * groupSeries(family, series, { by: ["http.route"], combine: "sum", fromMs, toMs });
 * ```
 */
export function groupSeries(
  family: Pick<Family, "type" | "monotonic">,
  list: readonly Series[],
  grouping: Grouping,
): Grouped {
  const grid = gridOf(list, grouping);
  const members = new Map<string, Series[]>();
  for (const series of list) {
    const key = JSON.stringify(grouping.by.map((name) => attributeOfSeries(series, name) ?? null));
    const known = members.get(key);
    if (known === undefined) members.set(key, [series]);
    else known.push(series);
  }
  let leftOut = 0;
  const groups = [...members.values()].map((members) => {
    const { points, unfit } = isHistogram(family)
      ? mergedHistograms(members, grid)
      : { points: combinedNumbers(members, grid, family.monotonic, grouping.combine), unfit: 0 };
    leftOut += unfit;
    return { group: groupOf(members, grouping, points), size: sizeOf(points) };
  });
  groups.sort((a, b) => b.size - a.size);
  return { groups: groups.map(({ group }) => group), stepMs: grid.stepMs, leftOut };
}

/** What series can be grouped by: attributes of points, and those of resource and scope that differ. */
export function groupKeys(list: readonly Series[]): GroupKey[] {
  const values = new Map<string, Set<string>>();
  const own = new Set<string>();
  const add = (key: string, value: unknown) => {
    const known = values.get(key) ?? new Set();
    values.set(key, known.add(JSON.stringify(value)));
  };
  for (const { attributes, source, scope } of list) {
    add("service", source.service);
    for (const [key, value] of Object.entries(plainAttributes(attributes))) {
      own.add(key);
      add(key, value);
    }
    for (const place of [source.attributes, scope.attributes ?? []]) {
      for (const [key, value] of Object.entries(plainAttributes(place))) {
        if (!own.has(key) && key !== "service.name") add(key, value);
      }
    }
  }
  return [...values]
    .map(([key, known]) => ({ key, values: known.size }))
    .filter(({ key, values }) => values > 1 || own.has(key))
    .sort((a, b) =>
      Number(own.has(b.key)) - Number(own.has(a.key)) ||
      Number(b.values > 1) - Number(a.values > 1) || (a.key < b.key ? -1 : 1)
    )
    .slice(0, maxKeys);
}

/** An attribute as text, wherever it is: of the point, its resource, its scope; `service` is the service's name. */
export function attributeOfSeries(series: Series, key: string): string | undefined {
  const { attributes, source, scope } = series;
  if (key === "service") return source.service;
  for (const place of [attributes, source.attributes, scope.attributes ?? []]) {
    const value = attribute(place, key);
    if (value !== undefined) return valueText(value);
  }
  return undefined;
}

function isHistogram({ type }: Pick<Family, "type">): boolean {
  return type === "histogram" || type === "exponentialHistogram";
}

function groupOf(
  members: readonly Series[],
  { by, fromMs, toMs }: Grouping,
  points: MetricSeries["points"],
): MetricSeries {
  const services = new Set(members.map(({ source }) => source.service));
  const attributes: Attributes = {};
  for (const key of by) {
    const value = attributeOfSeries(members[0]!, key);
    if (value !== undefined) attributes[key] = value;
  }
  const exemplars = members.flatMap((series) => exemplarsSince(series, fromMs, toMs))
    .sort((a, b) => a.timeMs - b.timeMs).slice(-32);
  return {
    service: services.size === 1 ? [...services][0]! : "",
    scope: "",
    attributes,
    members: members.length,
    points,
    ...(exemplars.length > 0 && { exemplars }),
  };
}

/** What a group is ordered by: what it has on average. */
function sizeOf(points: MetricSeries["points"]): number {
  let sum = 0;
  for (const point of points) {
    sum += "rate" in point ? point.rate ?? ("value" in point ? point.value : 0) : 0;
  }
  return points.length === 0 ? -Infinity : sum / points.length;
}

// Time

function gridOf(list: readonly Series[], { fromMs, toMs }: Grouping): TimeSteps {
  let newestMs = 0;
  let intervalMs = 0;
  let oldestMs = Infinity;
  for (const { points } of list) {
    intervalMs = Math.max(intervalMs, usualIntervalMs([...points]));
    newestMs = Math.max(newestMs, points.at(-1)?.timeMs ?? 0);
    oldestMs = Math.min(oldestMs, points.at(0)?.timeMs ?? Infinity);
  }
  // With steps no shorter than the points stand apart each has something of every series.
  const stepMs = stepFor(toMs - fromMs, intervalMs);
  // A step is over when newer points are there, or none are to be expected any more.
  const silentMs = toMs - intervalMs - settleMs;
  const lastMs = Math.max(newestMs, Math.min(silentMs, Math.ceil(newestMs / stepMs) * stepMs));
  return stepsOf(stepMs, Math.max(fromMs, oldestMs), Math.min(toMs, lastMs));
}

/** How far apart the newest points stand: the older ones may be thinned out. */
function usualIntervalMs(points: readonly Point[]): number {
  const newest = points.slice(-9);
  const steps = newest.slice(1).map(({ timeMs }, i) => timeMs - newest[i]!.timeMs);
  return steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
}

/** Calls `visit` with each step that an interval reaches into, and how much of both they share. */
function spread(
  { fromMs, timeMs }: { fromMs: number; timeMs: number },
  { stepMs, endsMs }: TimeSteps,
  visit: (step: number, sharedMs: number) => void,
): void {
  const first = endsMs[0];
  if (first === undefined) return;
  const begin = Math.max(0, Math.floor((fromMs - (first - stepMs)) / stepMs));
  for (let i = begin; i < endsMs.length && endsMs[i]! - stepMs < timeMs; i++) {
    const sharedMs = Math.min(timeMs, endsMs[i]!) - Math.max(fromMs, endsMs[i]! - stepMs);
    if (sharedMs > 0) visit(i, sharedMs);
  }
}

// Numbers

function combinedNumbers(
  members: readonly Series[],
  grid: TimeSteps,
  monotonic: boolean,
  combine: Combine,
): NumberPoint[] {
  const levels = grid.endsMs.map((): number[] => []);
  const rates = grid.endsMs.map((): number[] => []);
  for (const series of members) {
    const points = [...series.points] as Point<number>[];
    levelsAt(points, grid).forEach((value, i) => value !== undefined && levels[i]!.push(value));
    if (!monotonic) continue;
    const grown = grid.endsMs.map(() => ({ sum: 0, coveredMs: 0 }));
    for (const interval of counterIntervals(points, series.before)) {
      const lengthMs = interval.timeMs - interval.fromMs;
      spread(interval, grid, (i, sharedMs) => {
        grown[i]!.sum += interval.value * sharedMs / lengthMs;
        grown[i]!.coveredMs += sharedMs;
      });
    }
    grown.forEach(({ sum, coveredMs }, i) =>
      coveredMs > 0 && rates[i]!.push(sum / coveredMs * 1000)
    );
  }
  return grid.endsMs.flatMap((timeMs, i): NumberPoint[] => {
    const value = combined(levels[i]!, combine);
    return value === null ? [] : [{ timeMs, value, rate: combined(rates[i]!, combine) }];
  });
}

function combined(values: readonly number[], how: Combine): number | null {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return null;
  switch (how) {
    case "sum":
      return finite.reduce((a, b) => a + b, 0);
    case "mean":
      return finite.reduce((a, b) => a + b, 0) / finite.length;
    case "min":
      return Math.min(...finite);
    case "max":
      return Math.max(...finite);
  }
}

/** The value at the end of each step: a point's holds until the next one, but not for ever. */
function levelsAt(
  points: readonly Point<number>[],
  { stepMs, endsMs }: TimeSteps,
): (number | undefined)[] {
  const newestMs = points.at(-1)?.timeMs ?? 0;
  const staleMs = Math.max(stepMs, 2.5 * usualIntervalMs(points));
  let next = 0;
  return endsMs.map((endMs) => {
    while (next < points.length && points[next]!.timeMs <= endMs) next++;
    const point = points[next - 1];
    if (point === undefined) return undefined;
    const holdMs = Math.max(staleMs, (newestMs - point.timeMs) / 20);
    return endMs - point.timeMs <= holdMs ? point.value : undefined;
  });
}

// Histograms

function mergedHistograms(
  members: readonly Series[],
  grid: TimeSteps,
): { points: HistogramPoint[]; unfit: number } {
  const steps = grid.endsMs.map(() => ({
    value: undefined as HistogramValue | undefined,
    rate: 0,
  }));
  let unfit = 0;
  for (const series of members) {
    const own = histogramsOfSteps(histogramIntervals(series), grid);
    const sums = own.map(({ value }, i) => {
      const before = steps[i]!.value;
      return value === undefined || before === undefined
        ? value ?? before
        : addHistograms(before, value);
    });
    // Wholly or not at all: a series that is in some of the steps alone would look like one that comes and goes.
    if (sums.some((sum, i) => sum === undefined && own[i]!.value !== undefined)) {
      unfit++;
      continue;
    }
    sums.forEach((sum, i) => {
      steps[i]!.value = sum;
      const { value, coveredMs } = own[i]!;
      if (value !== undefined) steps[i]!.rate += value.count / coveredMs * 1000;
    });
  }
  const points = steps.flatMap(({ value, rate }, i): HistogramPoint[] => {
    if (value === undefined) return [];
    const timeMs = grid.endsMs[i]!;
    return [{ ...histogramFigures(value, timeMs - grid.stepMs, timeMs), rate }];
  });
  return { points, unfit };
}

/** What a series counted in each step: what it counted over several is shared out by their lengths. */
function histogramsOfSteps(intervals: Iterable<Interval<HistogramValue>>, grid: TimeSteps) {
  const steps = grid.endsMs.map(() => ({
    value: undefined as HistogramValue | undefined,
    coveredMs: 0,
  }));
  for (const interval of intervals) {
    const lengthMs = interval.timeMs - interval.fromMs;
    spread(interval, grid, (i, sharedMs) => {
      const step = steps[i]!;
      const part = scaleHistogram(interval.value, sharedMs / lengthMs);
      // A sender that changes its buckets begins anew with the later ones.
      step.value = step.value === undefined ? part : addHistograms(step.value, part) ?? part;
      step.coveredMs += sharedMs;
    });
  }
  return steps;
}
