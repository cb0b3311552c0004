/**
 * A stretch of time that was drawn over on a chart: shown by every chart, and the way from there to
 * the traces of that time. It is in the address.
 *
 * @module
 */
import { formatTime } from "../../service/page/format.ts";
import { address, href, setParams } from "../../service/page/url_state.ts";
import type { MetricLines } from "./metric_lines.ts";

/** The stretch in the address, milliseconds since the epoch; undefined if there is none. */
export function chosenSpan(params: URLSearchParams): readonly [number, number] | undefined {
  const [from, to] = [Number(params.get("from")), Number(params.get("to"))];
  return from > 0 && to > from && Number.isFinite(to) ? [from, to] : undefined;
}

/** Chooses a stretch. */
export function chooseSpan(fromMs: number, toMs: number): void {
  setParams({ from: Math.floor(fromMs), to: Math.ceil(toMs) });
}

/** How far around a peak its traces are looked for, in milliseconds. */
const aroundMs = 15_000;

/** What can be done with the time that is shown. */
export function TimeLinks({ lines, service }: { lines: MetricLines; service: string }) {
  const { params } = address.value;
  const span = chosenSpan(params);
  const peakMs = peakOf(lines);
  const traces = (fromMs: number, toMs: number) =>
    href("/", undefined, {
      service,
      from: Math.floor(fromMs),
      to: Math.ceil(toMs),
    });
  return (
    <div class="button-row">
      {span !== undefined && (
        <>
          <a class="button" href={traces(...span)}>Traces of this time</a>
          <button
            type="button"
            class="button"
            onClick={() => setParams({ from: undefined, to: undefined })}
          >
            Show all of it
          </button>
        </>
      )}
      {peakMs !== undefined && (
        <a class="button" href={traces(peakMs - aroundMs, peakMs + aroundMs)}>
          Traces at the peak, {formatTime(peakMs)}
        </a>
      )}
      {span === undefined && <span class="quiet">Draw over a chart to see that time alone.</span>}
    </div>
  );
}

/** The time of the largest value. */
export function peakOf({ timesMs, lines }: MetricLines): number | undefined {
  let best: { atMs: number; value: number } | undefined;
  for (const { values } of lines) {
    values.forEach((value, i) => {
      if (typeof value !== "number" || value <= (best?.value ?? -Infinity)) return;
      best = { atMs: timesMs[i]!, value };
    });
  }
  return best?.atMs;
}

/** Says that a list shows the traces of a time alone. */
export function SpanNotice() {
  const span = chosenSpan(address.value.params);
  if (span === undefined) return null;
  return (
    <p class="compare-notice" role="status">
      Traces that began between {formatTime(span[0])} and {formatTime(span[1])}.{" "}
      <button
        type="button"
        class="button"
        onClick={() => setParams({ from: undefined, to: undefined })}
      >
        All times
      </button>
    </p>
  );
}
