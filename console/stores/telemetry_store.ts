/**
 * All that the console holds: the ring buffers of the three signals, the services, the counters.
 *
 * @module
 */
import type { ServiceRow } from "../page_api/api.ts";
import type { ConsoleLimits, Signal, SignalStats, StatsEvent } from "../page_api/stream_events.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import { LogStore } from "./log_store.ts";
import { type Family, MetricStore } from "./metric_store.ts";
import { NoticeTable } from "./notices.ts";
import { ServiceTable, SourceReader } from "../intake/source.ts";
import { TraceStore } from "./trace_store.ts";
import { AttributeReader } from "../intake/values.ts";

/** The limits when nothing else is said: what a laptop does not notice. */
export const defaultLimits: ConsoleLimits = {
  maxSpans: 50_000,
  maxTraces: 20_000,
  maxSpansPerTrace: 10_000,
  maxLogs: 20_000,
  maxSeries: 5_000,
  maxPointsPerSeries: 360,
  maxServices: 500,
  maxValueLength: 16_384,
  maxAttributes: 128,
  maxEventsPerSpan: 128,
  maxHeldBytes: 96 * 1024 ** 2,
  maxBodyBytes: 16 * 1024 ** 2,
  maxDecompressedBytes: 64 * 1024 ** 2,
};

/** How the signals share `maxHeldBytes`. */
const shares: Record<Signal, number> = { traces: 0.6, metrics: 0.25, logs: 0.15 };

/** The counters of one signal; items are spans, data points, log records. */
export interface SignalCounters {
  /** Items taken in. */
  received: number;
  /** Attributes cut or left out at the limits. */
  truncated: number;
  /** Items refused, by reason. */
  readonly refused: Map<string, number>;
  /** Items taken in, a second, over the last second. */
  perSecond: number;
}

/**
 * All that the console holds.
 *
 * @example
 * ```ts
 * const store = new TelemetryStore({ maxSpans: 1_000 });
 * const refusal = takeRequest(store, "traces", message, world.nowMs());
 * for (const trace of store.traces.newestFirst()) console.log(traceSummary(trace).rootName);
 * ```
 */
export class TelemetryStore {
  readonly limits: ConsoleLimits;
  readonly traces: TraceStore;
  readonly metrics: MetricStore;
  /** The console's own metrics; see own_metrics.ts. */
  readonly ownMetrics: MetricStore;
  readonly logs: LogStore;
  readonly services: ServiceTable;
  readonly reader: AttributeReader;
  readonly sources: SourceReader;
  /** What was refused, cut or mended, by sender and reason. */
  readonly notices = new NoticeTable();
  readonly counters: Record<Signal, SignalCounters>;
  #seq = 0;
  #rateAtMs = 0;
  #rateFrom: Record<Signal, number> = { traces: 0, metrics: 0, logs: 0 };

  constructor(limits: Partial<ConsoleLimits> = {}) {
    this.limits = { ...defaultLimits, ...limits };
    // No bytes at all is a choice: a console that only passes on.
    const { maxHeldBytes, maxBodyBytes: _, maxDecompressedBytes: _2, ...counts } = this.limits;
    checkPositiveIntegers("hold telemetry", counts);
    this.reader = new AttributeReader(this.limits);
    this.sources = new SourceReader(this.reader);
    this.services = new ServiceTable(this.limits.maxServices);
    const nextSeq = () => this.nextSeq();
    this.traces = new TraceStore({
      ...this.limits,
      maxBytes: maxHeldBytes * shares.traces,
      nextSeq,
    });
    this.metrics = new MetricStore({ ...this.limits, maxBytes: maxHeldBytes * shares.metrics });
    this.ownMetrics = new MetricStore({
      maxSeries: 200,
      maxPointsPerSeries: this.limits.maxPointsPerSeries,
      maxBytes: 8 * 1024 ** 2,
    });
    this.logs = new LogStore({ ...this.limits, maxBytes: maxHeldBytes * shares.logs });
    this.counters = { traces: newCounters(), metrics: newCounters(), logs: newCounters() };
  }

  /** The last number given in the order of changes. */
  get seq(): number {
    return this.#seq;
  }

  /** The next number in the order of changes. */
  nextSeq(): number {
    return ++this.#seq;
  }

  /** Counts what was refused. */
  refuse(signal: Signal, reason: string, count = 1): void {
    const { refused } = this.counters[signal];
    refused.set(reason, (refused.get(reason) ?? 0) + count);
  }

  /** Forgets all telemetry and sets the counters to 0. The order of changes goes on. */
  clear(): void {
    this.traces.clear();
    this.metrics.clear();
    this.logs.clear();
    this.services.clear();
    this.resetCounters();
  }

  /** Sets the counters to 0, and forgets what was refused. */
  resetCounters(): void {
    this.notices.clear();
    for (const counters of Object.values(this.counters)) Object.assign(counters, newCounters());
    this.#rateFrom = { traces: 0, metrics: 0, logs: 0 };
  }

  /** Sets `perSecond`. To be called about each second. */
  measureRates(nowMs: number): void {
    const seconds = (nowMs - this.#rateAtMs) / 1000;
    for (const signal of ["traces", "metrics", "logs"] as const) {
      const counters = this.counters[signal];
      const items = counters.received - this.#rateFrom[signal];
      counters.perSecond = this.#rateAtMs === 0 ? 0 : Math.max(0, items / seconds);
      this.#rateFrom[signal] = counters.received;
    }
    this.#rateAtMs = nowMs;
  }

  /** Estimated bytes held. */
  get heldBytes(): number {
    return this.traces.bytes + this.metrics.bytes + this.logs.bytes;
  }

  /** All metrics: those received, then the console's own. */
  *metricFamilies(): Generator<Family> {
    yield* this.metrics.families();
    yield* this.ownMetrics.families();
  }

  /** Names of metrics with new points since the last call, the console's own too. */
  takeChangedMetrics(): string[] {
    return [...this.metrics.takeChanged(), ...this.ownMetrics.takeChanged()];
  }

  /** The services, sorted by name. */
  serviceRows(): ServiceRow[] {
    return this.services.rows();
  }

  /** The store's part of the stats. */
  signalStats(): Pick<StatsEvent, Signal> {
    const { limits, traces, metrics, logs } = this;
    return {
      traces: {
        ...this.#counted("traces", traces.spans, limits.maxSpans, traces),
        tracesHeld: traces.traces,
        tracesCapacity: limits.maxTraces,
      },
      metrics: {
        ...this.#counted(
          "metrics",
          metrics.points,
          limits.maxSeries * limits.maxPointsPerSeries,
          metrics,
        ),
        seriesHeld: metrics.series,
        seriesCapacity: limits.maxSeries,
      },
      logs: this.#counted("logs", logs.length, limits.maxLogs, logs),
    };
  }

  #counted(
    signal: Signal,
    held: number,
    capacity: number,
    { evicted, oldestMs }: { evicted: number; oldestMs: number | undefined },
  ): SignalStats {
    const { received, refused, truncated, perSecond } = this.counters[signal];
    return {
      perSecond,
      received,
      held,
      capacity,
      evicted,
      oldestMs: oldestMs ?? null,
      refused: Object.fromEntries(refused),
      truncated,
    };
  }
}

function newCounters(): SignalCounters {
  return { received: 0, truncated: 0, refused: new Map(), perSecond: 0 };
}
