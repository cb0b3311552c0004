/**
 * A histogram over time: a column for each point, a row for each bucket, the darker the more. The
 * percentiles beside it say the same in figures.
 *
 * @module
 */
import type { TargetedPointerEvent } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { themeVersion } from "../../service/page/theme.tsx";
import { formatNumber, formatTime } from "../../service/page/format.ts";
import type { HistogramPoint, MetricSeries } from "../page_api/metrics_api.ts";

/** What is drawn. */
export interface HeatCells {
  /** Upper bounds, ascending; the last one may be null, which is infinity. */
  readonly bounds: readonly (number | null)[];
  /** Times of the columns, milliseconds since the epoch. */
  readonly timesMs: readonly number[];
  /** Counts by column and row. */
  readonly counts: readonly (readonly number[])[];
  /** The largest of them. */
  readonly most: number;
}

/** At most so many rows: exponential histograms have hundreds of buckets. */
const maxRows = 40;

/** Puts the buckets of several series on common bounds. */
export function heatCells(
  series: readonly MetricSeries[],
  [fromMs, toMs]: readonly [number, number],
): HeatCells {
  const points = series.flatMap(({ points }) => points)
    .filter((point): point is HistogramPoint =>
      "buckets" in point && point.timeMs >= fromMs && point.timeMs <= toMs
    );
  const known = new Set(points.flatMap(({ buckets }) => buckets.map(([upper]) => upper)));
  const all = [...known].sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
  const step = Math.ceil(all.length / maxRows) || 1;
  const bounds = all.filter((_, i) => (all.length - 1 - i) % step === 0);
  const timesMs = [...new Set(points.map(({ timeMs }) => timeMs))].sort((a, b) => a - b);
  const columns = new Map(timesMs.map((timeMs) => [timeMs, bounds.map(() => 0)]));
  for (const { timeMs, buckets } of points) {
    const column = columns.get(timeMs)!;
    for (const [upper, count] of buckets) {
      const row = bounds.findIndex((bound) => (bound ?? Infinity) >= (upper ?? Infinity));
      column[row]! += count;
    }
  }
  const counts = [...columns.values()];
  return { bounds, timesMs, counts, most: Math.max(0, ...counts.flat()) };
}

/** See the module. */
export function HeatMap({ series, range, format, label, onSpan }: {
  series: readonly MetricSeries[];
  range: readonly [number, number];
  /** Text of a bound. */
  format: (value: number) => string;
  /** Names it to a screen reader. */
  label: string;
  /** Gets a stretch of time that was drawn over. */
  onSpan: (fromMs: number, toMs: number) => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const cells = useMemo(() => heatCells(series, range), [series, range]);
  const theme = themeVersion.value;
  const pointer = usePointer(range, onSpan);
  useEffect(() => {
    if (canvas.current) draw(canvas.current, cells, range);
  }, [cells, range, theme]);
  if (cells.most === 0) return null;
  const { bounds } = cells;
  const text = (bound: number | null | undefined) =>
    bound === null || bound === undefined ? "∞" : format(bound);
  return (
    <figure class="chart heat" aria-label={label}>
      <div class="heat-place" aria-hidden="true">
        <div class="heat-bounds">
          <span>{text(bounds.at(-1))}</span>
          <span>{text(bounds[Math.floor(bounds.length / 2)])}</span>
          <span>{text(bounds[0])}</span>
        </div>
        <div class="heat-plot" {...pointer.handlers}>
          <canvas ref={canvas} width={1200} height={320} />
          {pointer.span && <span class="heat-span" style={spanStyle(pointer.span)} />}
        </div>
      </div>
      <figcaption class="quiet">
        {cellText(cells, range, pointer.at, text) ??
          `${formatTime(range[0]).slice(0, 8)} to ${formatTime(range[1]).slice(0, 8)}; darkest: ${
            formatNumber(cells.most)
          } at once`}
      </figcaption>
    </figure>
  );
}

/** A place in the picture, as shares of its width and height. */
interface Place {
  x: number;
  y: number;
}

/** Where the pointer is, and what it has drawn over so far. */
function usePointer(
  [fromMs, toMs]: readonly [number, number],
  onSpan: (fromMs: number, toMs: number) => void,
) {
  const [at, setAt] = useState<Place | undefined>(undefined);
  const [downAt, setDownAt] = useState<number | undefined>(undefined);
  const placeOf = (event: TargetedPointerEvent<HTMLDivElement>): Place => {
    const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
    const share = (value: number) => Math.min(1, Math.max(0, value));
    return { x: share((event.clientX - left) / width), y: share((event.clientY - top) / height) };
  };
  const timeOf = (x: number) => fromMs + x * (toMs - fromMs);
  return {
    at,
    span: at && downAt !== undefined
      ? [Math.min(at.x, downAt), Math.max(at.x, downAt)] as const
      : undefined,
    handlers: {
      onPointerMove: (event: TargetedPointerEvent<HTMLDivElement>) => setAt(placeOf(event)),
      onPointerLeave: () => downAt === undefined && setAt(undefined),
      onPointerCancel: () => setDownAt(undefined),
      onPointerDown(event: TargetedPointerEvent<HTMLDivElement>) {
        // A finger scrolls the page.
        if (event.button !== 0 || event.pointerType === "touch") return;
        event.currentTarget.setPointerCapture(event.pointerId);
        setDownAt(placeOf(event).x);
      },
      onPointerUp(event: TargetedPointerEvent<HTMLDivElement>) {
        if (downAt === undefined) return;
        setDownAt(undefined);
        const { x } = placeOf(event);
        // A click is no stretch.
        if (Math.abs(x - downAt) < 0.01) return;
        onSpan(timeOf(Math.min(x, downAt)), timeOf(Math.max(x, downAt)));
      },
    },
  };
}

function spanStyle([from, to]: readonly [number, number]) {
  return { left: `${from * 100}%`, width: `${(to - from) * 100}%` };
}

/** What the picture shows where the pointer is; undefined where it is nowhere. */
export function cellText(
  { bounds, timesMs, counts }: HeatCells,
  [fromMs, toMs]: readonly [number, number],
  at: Place | undefined,
  text: (bound: number | null | undefined) => string,
): string | undefined {
  if (at === undefined) return undefined;
  const atMs = fromMs + at.x * (toMs - fromMs);
  // A column reaches from the point before it to its own.
  const column = timesMs.findIndex((timeMs) => timeMs >= atMs);
  const row = Math.min(bounds.length - 1, Math.floor((1 - at.y) * bounds.length));
  const count = counts[column]?.[row] ?? 0;
  const below = row === 0 ? "up to" : `${text(bounds[row - 1])} to`;
  return `${formatTime(timesMs[column] ?? atMs).slice(0, 8)}, ${below} ${text(bounds[row])}: ${
    formatNumber(count)
  }`;
}

function draw(
  canvas: HTMLCanvasElement,
  { bounds, timesMs, counts, most }: HeatCells,
  [fromMs, toMs]: readonly [number, number],
): void {
  const context = canvas.getContext("2d");
  if (!context || most === 0) return;
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.fillStyle = getComputedStyle(canvas).color;
  const rowHeight = height / bounds.length;
  const steps = timesMs.slice(1).map((at, i) => at - timesMs[i]!).sort((a, b) => a - b);
  const stepMs = steps[Math.floor(steps.length / 2)] ?? (toMs - fromMs) / 20;
  const scale = width / (toMs - fromMs);
  timesMs.forEach((at, column) => {
    counts[column]!.forEach((count, row) => {
      if (count === 0) return;
      // By the root: one of a hundred is to be seen, too.
      context.globalAlpha = 0.12 + 0.88 * Math.sqrt(count / most);
      context.fillRect(
        (at - stepMs - fromMs) * scale,
        height - (row + 1) * rowHeight,
        Math.max(1, stepMs * scale - 1),
        Math.max(1, rowHeight - 1),
      );
    });
  });
  context.globalAlpha = 1;
}
