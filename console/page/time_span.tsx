/**
 * A stretch of time that was drawn over on a chart: shown by every chart, and the way from there to
 * the traces of that time. It is in the address.
 *
 * @module
 */
import { formatTime } from "../../service/page/format.ts";
import { useRoving } from "../../service/page/roving.ts";
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
export function TimeLinks({ lines, of, range, service }: {
  lines: MetricLines;
  /** What of several things the lines are. @default all that is shown */
  of?: string;
  /** The time shown. */
  range: readonly [number, number];
  /** The service that a line is of; empty for none or several. */
  service: (line: number) => string;
}) {
  const roving = useRoving<HTMLDivElement>();
  const span = chosenSpan(address.value.params);
  const peak = peakOf(lines, range);
  const traces = (fromMs: number, toMs: number, ofService: string) =>
    href("/", undefined, {
      service: ofService,
      from: Math.floor(fromMs),
      to: Math.ceil(toMs),
    });
  return (
    <div class="button-row chart-links" {...roving}>
      {span !== undefined && (
        <>
          <a class="button" href={traces(...span, onlyService(lines, service))}>
            Traces of this time
          </a>
          <ShowAllTime />
        </>
      )}
      {peak !== undefined && (
        <>
          <a
            class="button"
            href={traces(peak.fromMs - aroundMs, peak.atMs + aroundMs, service(peak.line))}
          >
            Traces at the peak{of !== undefined && ` of ${of}`}, {formatTime(peak.atMs).slice(0, 8)}
          </a>
          <button
            type="button"
            class="button"
            onClick={() => {
              const aroundMs = (range[1] - range[0]) / 8;
              chooseSpan(peak.atMs - aroundMs, peak.atMs + aroundMs);
            }}
          >
            Zoom to the peak
          </button>
        </>
      )}
      {span === undefined && (
        <span class="quiet">Draw over a chart: all of them show that time.</span>
      )}
    </div>
  );
}

/** The way back from a stretch of time. */
export function ShowAllTime() {
  return (
    <button
      type="button"
      class="button"
      onClick={() => setParams({ from: undefined, to: undefined })}
    >
      Show all of it
    </button>
  );
}

/** The service of all lines, if it is one. */
function onlyService({ lines }: MetricLines, service: (line: number) => string): string {
  const all = new Set(lines.map((_, i) => service(i)));
  return all.size === 1 ? [...all][0]! : "";
}

/** Where a value is the largest. */
export interface Peak {
  readonly atMs: number;
  /** The line's point before: what the value was measured since. */
  readonly fromMs: number;
  /** Index of the line. */
  readonly line: number;
}

/** The largest value within a time; undefined if there is none. */
export function peakOf(
  { timesMs, lines }: MetricLines,
  [fromMs, toMs]: readonly [number, number],
): Peak | undefined {
  let best: Peak & { value: number } | undefined;
  for (const [line, { values }] of lines.entries()) {
    let beforeMs: number | undefined;
    values.forEach((value, i) => {
      if (typeof value !== "number") return;
      const atMs = timesMs[i]!;
      if (atMs >= fromMs && atMs <= toMs && value > (best?.value ?? -Infinity)) {
        best = { atMs, fromMs: beforeMs ?? atMs, line, value };
      }
      beforeMs = atMs;
    });
  }
  return best;
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
