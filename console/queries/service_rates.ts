/**
 * How often, how well and how fast each service works, step by step of time, from the spans held.
 *
 * @module
 */
import type { RatesAnswer, ServiceRates } from "../page_api/api.ts";
import type { Trace } from "../stores/trace_store.ts";
import { CallCounter } from "./call_counter.ts";
import { isEntrance, spansById } from "./service_map.ts";
import { stepFor, stepsOf } from "./time_steps.ts";

/** Services in the answer, the busiest. */
const maxServices = 20;
/** Durations kept of a service and a step. */
const maxDurations = 512;
/** Spans come some seconds after their end: a step that is just over has not all of them. */
const settleMs = 6_000;

/**
 * Makes the figures of `/api/rates`.
 *
 * @example
 * ```ts
 * serviceRates({ traces: store.traces.newestFirst(), fromMs: nowMs - 900_000, nowMs });
 * ```
 */
export function serviceRates({ traces, fromMs, nowMs }: {
  traces: Iterable<Trace>;
  /** The time that is looked at: from then to now, milliseconds since the epoch. */
  fromMs: number;
  nowMs: number;
}): RatesAnswer {
  const stepMs = stepFor(nowMs - fromMs);
  const services = new Map<string, Map<number, CallCounter>>();
  let firstMs = nowMs;
  for (const trace of traces) {
    if (trace.endUs < fromMs * 1000) continue;
    firstMs = Math.min(firstMs, trace.startUs / 1000);
    const byId = spansById(trace);
    for (const span of trace.spans) {
      if (!isEntrance(span, byId.get(span.parentSpanId))) continue;
      const endMs = (Math.floor(span.startUs / 1000 / stepMs) + 1) * stepMs;
      const steps = services.get(span.source.service) ?? new Map<number, CallCounter>();
      services.set(span.source.service, steps);
      let step = steps.get(endMs);
      if (step === undefined) steps.set(endMs, step = new CallCounter(maxDurations));
      step.add(span);
    }
  }
  // What was held before the first trace is not known: its step would look like a rise.
  const beginMs = Math.max(fromMs, firstMs) + stepMs;
  const counted = new Set([...services.values()].flatMap((steps) => [...steps.keys()]));
  const whole = stepsOf(stepMs, beginMs, nowMs - settleMs).endsMs;
  // Where all there is came at once, such a rise says more than empty charts.
  const endsMs = whole.some((endMs) => counted.has(endMs))
    ? whole
    : stepsOf(stepMs, beginMs - stepMs, nowMs - settleMs).endsMs;
  return {
    stepMs,
    timesMs: [...endsMs],
    services: [...services]
      .map(([name, steps]) => ratesOf(name, endsMs.map((endMs) => steps.get(endMs)), stepMs))
      .filter(({ calls }) => calls > 0)
      .sort((a, b) => b.calls - a.calls || (a.name < b.name ? -1 : 1))
      .slice(0, maxServices),
  };
}

function ratesOf(
  name: string,
  steps: readonly (CallCounter | undefined)[],
  stepMs: number,
): ServiceRates {
  const all = steps.flatMap((step) => step ?? []);
  return {
    name,
    calls: all.reduce((sum, { calls }) => sum + calls, 0),
    errors: all.reduce((sum, { errors }) => sum + errors, 0),
    rates: steps.map((step) => (step?.calls ?? 0) / (stepMs / 1000)),
    errorShares: steps.map((step) => step === undefined ? null : step.errors / step.calls),
    p95sMs: steps.map((step) => step === undefined ? null : step.p95Ms),
  };
}
