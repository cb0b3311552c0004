/**
 * The ring buffers of metrics: for each series the last points, always as totals since the start
 * of the series (deltas are added up), so that every reader sees one kind of point.
 *
 * @module
 */
import type { MetricType } from "../page_api/metrics_api.ts";
import { addHistograms, type HistogramValue } from "./histogram.ts";
import { Ring } from "./ring.ts";
import { minThinned, thinPoints } from "./thin_points.ts";
import type { Scope, Source } from "../intake/source.ts";
import { plainAttributes, type StoredAttributes } from "../intake/values.ts";

/** The quantiles of a `summary` point, as sent. */
export interface SummaryValue {
  readonly count: number;
  readonly sum: number;
  readonly quantiles: readonly [quantile: number, value: number][];
}

/** What a point says. */
export type PointValue = number | HistogramValue | SummaryValue;

/** A point of a series. */
export interface Point<Value extends PointValue = PointValue> {
  readonly timeMs: number;
  /** Since when it counts; 0 for gauges and when the sender does not say. */
  readonly startMs: number;
  /** Of a delta: where its own interval begins, unless its sender does not say. */
  readonly fromMs?: number;
  readonly value: Value;
}

/** A measurement that stands for others, with the span in which it was made. */
export interface StoredExemplar {
  readonly timeMs: number;
  readonly value: number;
  /** Empty outside of a trace. */
  readonly traceId: string;
  readonly spanId: string;
  /** What the series does not say of it. */
  readonly attributes: StoredAttributes;
}

/** What identifies a metric. */
export interface MetricIdentity {
  readonly name: string;
  readonly type: MetricType;
  readonly monotonic: boolean;
  readonly unit: string;
  readonly description: string;
}

/** A metric and its series. */
export interface Family extends MetricIdentity {
  readonly series: Map<string, Series>;
  lastSeenMs: number;
}

/** A series: one sender, one set of attributes. */
export interface Series {
  readonly family: Family;
  readonly key: string;
  readonly source: Source;
  readonly scope: Scope;
  readonly attributes: StoredAttributes;
  readonly points: Ring<Point>;
  /** The last point that had to make room: what the oldest one held counts from. */
  before: Point | undefined;
  /** The latest ones; made when the first one comes. */
  exemplars: Ring<StoredExemplar> | undefined;
  lastSeenMs: number;
  /** Estimated bytes of the series itself and of one of its points. */
  readonly ownBytes: number;
  pointBytes: number;
}

/** A point on its way in. */
export interface IncomingPoint extends Point {
  readonly source: Source;
  readonly scope: Scope;
  readonly attributes: StoredAttributes;
  /** The value counts since the point before, not since the start. */
  readonly delta: boolean;
  /** @default none */
  readonly exemplars?: readonly StoredExemplar[];
}

/** Limits of {@linkcode MetricStore}. */
export interface MetricStoreOptions {
  /** Series held, at least 1; a new one beyond it takes the place of one that is silent, or is refused. */
  maxSeries: number;
  /** Points held of one series, at least 1; with one more the older ones thin out. */
  maxPointsPerSeries: number;
  /** Estimated bytes held. */
  maxBytes: number;
}

/**
 * What became of a point: kept, a delta that was counted already, refused because there are too many
 * series, or older than the last one.
 */
export type PointOutcome = "kept" | "duplicate" | "series_limit" | "out_of_order";

/** Exemplars kept of one series. */
const maxExemplars = 32;
const exemplarBytes = 240;

/** A series that was silent for so long may be forgotten for a new one. */
const forgetSeriesAfterMs = 5 * 60_000;

/**
 * The ring buffers of metrics.
 *
 * @example
 * ```ts
 * const metrics = new MetricStore({ maxSeries: 5_000, maxPointsPerSeries: 360, maxBytes: 32e6 });
 * const outcome = metrics.add(identity, point, world.nowMs());
 * ```
 */
export class MetricStore {
  readonly #options: MetricStoreOptions;
  #families = new Map<string, Family>();
  #series = 0;
  #points = 0;
  #bytes = 0;
  #nextSearchMs = 0;
  #changed = new Set<string>();
  /** Points that had to make room. */
  evicted = 0;

  constructor(options: MetricStoreOptions) {
    this.#options = options;
  }

  /** The time of the oldest point held, milliseconds since the epoch. */
  get oldestMs(): number | undefined {
    let oldestMs = Infinity;
    for (const family of this.#families.values()) {
      for (const { points } of family.series.values()) {
        oldestMs = Math.min(oldestMs, points.at(0)?.timeMs ?? Infinity);
      }
    }
    return Number.isFinite(oldestMs) ? oldestMs : undefined;
  }

  /** Series held. */
  get series(): number {
    return this.#series;
  }

  /** Points held. */
  get points(): number {
    return this.#points;
  }

  /** Estimated bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a point. */
  add(metric: MetricIdentity, point: IncomingPoint, nowMs: number): PointOutcome {
    // Seconds and milliseconds are two metrics, whatever their name.
    const familyKey = `${metric.type}${metric.monotonic ? "+" : " "}${metric.name}\0${metric.unit}`;
    const seriesKey = identityOf(point);
    let family = this.#families.get(familyKey);
    let series = family?.series.get(seriesKey);
    if (series === undefined) {
      if (this.#series >= this.#options.maxSeries && !this.#forgetSilent(nowMs)) {
        return "series_limit";
      }
      // Found again by its name: the last series of the family may just have been forgotten.
      family = this.#families.get(familyKey);
      if (family === undefined) {
        family = { ...metric, series: new Map(), lastSeenMs: nowMs };
        this.#families.set(familyKey, family);
      }
      series = this.#newSeries(family, seriesKey, point, nowMs);
    }
    const outcome = this.#append(series, point);
    if (outcome === "kept") {
      series.lastSeenMs = nowMs;
      series.family.lastSeenMs = nowMs;
      this.#changed.add(metric.name);
    }
    if (this.#bytes > this.#options.maxBytes) this.#shrink();
    return outcome;
  }

  /** All metrics, in order of first appearance. */
  families(): Iterable<Family> {
    return this.#families.values();
  }

  /** Names of metrics with new points since the last call. */
  takeChanged(): Set<string> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** Forgets all metrics. */
  clear(): void {
    this.#families.clear();
    this.#series = 0;
    this.#points = 0;
    this.#bytes = 0;
    this.evicted = 0;
  }

  #newSeries(family: Family, key: string, point: IncomingPoint, nowMs: number): Series {
    const series: Series = {
      family,
      key,
      source: point.source,
      scope: point.scope,
      attributes: point.attributes,
      points: new Ring(),
      before: undefined,
      exemplars: undefined,
      lastSeenMs: nowMs,
      ownBytes: 600 + 2 * key.length,
      pointBytes: 80,
    };
    family.series.set(key, series);
    this.#series++;
    this.#bytes += series.ownBytes;
    return series;
  }

  #append(series: Series, incoming: IncomingPoint): PointOutcome {
    const last = series.points.at(-1);
    let { value, startMs } = incoming;
    const { timeMs, delta, startMs: fromMs } = incoming;
    if (last !== undefined && timeMs < last.timeMs) return "out_of_order";
    if (delta && last !== undefined) {
      // Sent again after an answer that got lost: adding it once more would count it twice.
      if (timeMs === last.timeMs) return "duplicate";
      const total = addValues(last.value, value);
      // Bounds that changed begin the series again.
      if (total !== undefined) [value, startMs] = [total, last.startMs];
    }
    if (incoming.exemplars !== undefined) this.#keepExemplars(series, incoming.exemplars);
    const point: Point = delta && fromMs > 0
      ? { timeMs, startMs, fromMs, value }
      : { timeMs, startMs, value };
    const bytes = bytesOf(value);
    // All points of a series count as large as its largest one, so that taking one away is exact.
    if (bytes > series.pointBytes) {
      this.#bytes += (bytes - series.pointBytes) * series.points.length;
      series.pointBytes = bytes;
    }
    if (last !== undefined && timeMs === last.timeMs) {
      series.points.replaceLast(point);
      return "kept";
    }
    series.points.push(point);
    this.#points++;
    this.#bytes += series.pointBytes;
    if (series.points.length > this.#options.maxPointsPerSeries) this.#makeRoom(series);
    return "kept";
  }

  #keepExemplars(series: Series, exemplars: readonly StoredExemplar[]): void {
    const kept = series.exemplars ??= new Ring();
    for (const one of exemplars.slice(-maxExemplars)) {
      if (hasExemplar(kept, one)) continue;
      kept.push(one);
      this.#bytes += exemplarBytes;
      if (kept.length <= maxExemplars) continue;
      kept.shift();
      this.#bytes -= exemplarBytes;
    }
  }

  /** The older points thin out; where that is not enough, the oldest go. */
  #makeRoom(series: Series): void {
    const { maxPointsPerSeries } = this.#options;
    if (maxPointsPerSeries < minThinned) return this.#dropOldest(series, 1);
    const before = series.points.length;
    const kept = thinPoints([...series.points]);
    series.points.clear();
    for (const point of kept) series.points.push(point);
    const went = before - kept.length;
    this.#points -= went;
    this.#bytes -= went * series.pointBytes;
    this.evicted += went;
    // Some room at once: going through all with every point would cost more than it gives.
    const surplus = kept.length - Math.floor(maxPointsPerSeries * 0.9);
    if (surplus > 0) this.#dropOldest(series, surplus);
  }

  #dropOldest(series: Series, count: number): void {
    for (let i = 0; i < count; i++) series.before = series.points.shift();
    this.#points -= count;
    this.#bytes -= count * series.pointBytes;
    this.evicted += count;
  }

  #remove(series: Series): void {
    this.#dropOldest(series, series.points.length);
    this.#bytes -= series.ownBytes + exemplarBytes * (series.exemplars?.length ?? 0);
    this.#series--;
    series.family.series.delete(series.key);
    if (series.family.series.size === 0) {
      for (const [key, family] of this.#families) {
        if (family === series.family) this.#families.delete(key);
      }
    }
  }

  /** Every series gives its oldest quarter; when all have given what they can, the most silent ones go. */
  #shrink(): void {
    while (this.#bytes > this.#options.maxBytes) {
      let gave = false;
      for (const family of this.#families.values()) {
        for (const series of family.series.values()) {
          const count = series.points.length > 2 ? Math.ceil(series.points.length / 4) : 0;
          if (count === 0) continue;
          this.#dropOldest(series, count);
          gave = true;
        }
      }
      if (gave) continue;
      const bySilence = [...this.#families.values()]
        .flatMap((family) => [...family.series.values()])
        .sort((a, b) => a.lastSeenMs - b.lastSeenMs);
      if (bySilence.length === 0) return;
      for (const series of bySilence.slice(0, Math.ceil(bySilence.length / 4))) {
        this.#remove(series);
      }
    }
  }

  /** Forgets all series silent for five minutes; true if there was one. Not more than once a second. */
  #forgetSilent(nowMs: number): boolean {
    if (nowMs < this.#nextSearchMs) return false;
    this.#nextSearchMs = nowMs + 1_000;
    const before = this.#series;
    for (const family of [...this.#families.values()]) {
      for (const series of [...family.series.values()]) {
        if (nowMs - series.lastSeenMs > forgetSeriesAfterMs) this.#remove(series);
      }
    }
    return this.#series < before;
  }
}

/** Cumulative senders may repeat their exemplars with every point. */
function hasExemplar(kept: Ring<StoredExemplar>, { timeMs, value, spanId }: StoredExemplar) {
  for (const one of kept.newestFirst()) {
    if (one.timeMs === timeMs && one.value === value && one.spanId === spanId) return true;
  }
  return false;
}

/** Equal for points of the same series, whatever the order of their attributes. */
function identityOf({ source, scope, attributes }: IncomingPoint): string {
  const pairs: string[] = [];
  const plain = plainAttributes(attributes);
  for (const key of Object.keys(plain).sort()) pairs.push(key, JSON.stringify(plain[key]));
  return JSON.stringify([source.key, scope.key ?? `${scope.name}\0${scope.version}`, ...pairs]);
}

function addValues(a: PointValue, b: PointValue): PointValue | undefined {
  if (typeof a === "number") return typeof b === "number" ? a + b : undefined;
  if (typeof b === "number" || !("buckets" in a) || !("buckets" in b)) return undefined;
  return addHistograms(a, b);
}

function bytesOf(value: PointValue): number {
  if (typeof value === "number") return 80;
  if ("quantiles" in value) return 160 + 80 * value.quantiles.length;
  const { buckets } = value;
  return buckets.kind === "explicit"
    ? 240 + 8 * buckets.counts.length
    : 400 + 8 * (buckets.positive.counts.length + buckets.negative.counts.length);
}
