/**
 * A line chart (npm `uplot`) in the theme's colours and the width there is, and the small line of
 * a list. A chart is a picture: its legend beside it says the values in words.
 *
 * @module
 */
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import uPlot from "uplot";
import { themeVersion } from "./theme.tsx";
import { formatTime } from "./format.ts";

/** A line. */
export interface ChartLine {
  /** Its name in the legend. */
  label: string;
  /** A colour of the stylesheet, as `--chart-0`. */
  color: string;
  /** Lengths of dashes and gaps in turn, in pixels, so that lines differ by more than colour. @default one stroke */
  dash?: number[];
  /** Values by point: null where there is a gap, undefined where only other lines have a point. */
  values: (number | null | undefined)[];
  /** Which axis it is drawn by: the one at the left or the one at the right, which is there only for such lines. @default "left" */
  axis?: "left" | "right";
  /** Text of its values in the legend. @default that of its axis */
  format?: (value: number) => string;
}

/** A single point of note, such as a measurement whose trace is known. */
export interface ChartMark {
  /** Milliseconds since the epoch. */
  timeMs: number;
  value: number;
  /** Opens what it stands for; a list beside the chart must offer the same. */
  onClick: () => void;
}

/** Options of {@linkcode Chart}. */
export interface ChartProps {
  /** Names the chart to a screen reader. */
  label: string;
  /** Times of the points, milliseconds since the epoch, ascending. */
  timesMs: number[];
  /** The lines, the first one drawn first. */
  lines: ChartLine[];
  /** The span of time shown, in milliseconds since the epoch. @default that of the points */
  range?: readonly [fromMs: number, toMs: number];
  /** Single points, drawn as diamonds. @default none */
  marks?: readonly ChartMark[];
  /** Stretches of time that are shaded, as those without a connection. @default none */
  shaded?: readonly (readonly [fromMs: number, toMs: number])[];
  /** Text of a value at the left axis. */
  format: (value: number) => string;
  /** Text of a value at the right axis. @default as at the left */
  rightFormat?: ((value: number) => string) | undefined;
  /** Gets a stretch of time that was drawn over. @default nothing can be drawn over */
  onSpan?: ((fromMs: number, toMs: number) => void) | undefined;
  /** Height of the drawing, in pixels. @default 240 */
  height?: number;
}

/**
 * See the module.
 *
 * @example
 * ```tsx
 * <Chart
 *   label="Requests a second"
 *   timesMs={[0, 1_000, 2_000]}
 *   lines={[{ label: "orb", color: "--chart-0", values: [12, null, 15] }]}
 *   format={(value) => `${value}/s`}
 * />
 * ```
 */
export function Chart(props: ChartProps) {
  const { timesMs, lines, height = 240 } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const cursor = useSignal<number | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const theme = themeVersion.value;
  // The chart is rebuilt only when its lines are others; new points are given to it.
  const shape = lines.map((line) => `${line.label}|${line.color}|${line.dash}|${line.axis}`)
    .join("\n");

  useEffect(() => {
    const element = place.current!;
    const made = drawChart(element, latest, height, (index) => cursor.value = index);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      made.setSize({ width: Math.max(200, element.clientWidth), height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape, theme, height]);

  useEffect(() => plot.current?.setData(dataOf(props)), [
    timesMs,
    lines,
    props.marks,
    props.shaded,
  ]);

  const at = cursor.value;
  const shown = at !== null && at < timesMs.length ? at : timesMs.length - 1;
  return (
    <figure class="chart" aria-label={props.label}>
      <div class="chart-plot" ref={place} aria-hidden="true" />
      <ChartCaption chart={props} shown={shown} atRest={at === null} />
    </figure>
  );
}

function ChartCaption({ chart, shown, atRest }: {
  chart: ChartProps;
  /** Index of the point whose values are shown. */
  shown: number;
  /** The pointer is elsewhere: the latest values are shown. */
  atRest: boolean;
}) {
  const { timesMs, lines } = chart;
  return (
    <figcaption>
      <span class="chart-time">
        {shown < 0 ? "no points yet" : atRest ? "latest" : formatTime(timesMs[shown]!)}
      </span>
      <ul class="legend">
        {lines.map((line) => {
          const value = valueAt(line, shown, atRest);
          return (
            <li key={line.label}>
              <LineSample line={line} />
              <span class="legend-label" title={line.label}>{line.label}</span>
              <b>{value === null ? "–" : formatOf(line, chart)(value)}</b>
            </li>
          );
        })}
      </ul>
    </figcaption>
  );
}

/** Text of a line's values. */
function formatOf(line: ChartLine, { format, rightFormat }: ChartProps): (value: number) => string {
  return line.format ?? (line.axis === "right" ? rightFormat ?? format : format);
}

/** All charts of a page show the time that the pointer is at in one of them. */
const cursorSync = "time";

/** What the drawing asks for at each frame: the props of the latest render. */
type Latest = { readonly current: ChartProps };

function drawChart(
  element: HTMLElement,
  latest: Latest,
  height: number,
  onCursor: (index: number | null) => void,
): uPlot {
  const style = getComputedStyle(element);
  const color = (name: string) => resolveColor(element, name);
  const right = latest.current.lines.some((line) => line.axis === "right");
  return new uPlot(
    {
      width: Math.max(200, element.clientWidth),
      height,
      legend: { show: false },
      padding: [8, right ? 0 : 24, 0, 0],
      cursor: {
        y: false,
        points: { size: 6 },
        sync: {
          key: cursorSync,
          scales: ["x", null],
          // A stretch is drawn over on one of them; where it is chosen is the page's business.
          filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
        },
        drag: { x: latest.current.onSpan !== undefined, y: false, setScale: false, dist: 8 },
      },
      scales: scalesOf(latest),
      axes: axesOf(latest, right, {
        stroke: color("--text-3"),
        font: `11px ${style.fontFamily}`,
        grid: { stroke: color("--rule"), width: 1 },
        ticks: { show: false },
      }),
      series: [
        {},
        ...latest.current.lines.map((line): uPlot.Series => ({
          stroke: color(line.color),
          scale: line.axis === "right" ? "right" : "y",
          width: 1.5,
          points: { show: true, size: 4, filter: lonely },
          ...(line.dash && { dash: line.dash }),
        })),
      ],
      hooks: {
        setCursor: [(now) => onCursor(now.cursor.idx ?? null)],
        setSelect: [(now) => takeSpan(now, latest)],
        drawClear: [(now) => drawShaded(now, latest.current.shaded ?? [], color("--shade"))],
        draw: [(now) => drawMarks(now, latest.current.marks ?? [], color("--text"))],
        ready: [(now) => now.over.addEventListener("click", () => openMark(now, latest))],
      },
    },
    dataOf(latest.current),
    element,
  );
}

function axesOf(latest: Latest, right: boolean, axis: uPlot.Axis): uPlot.Axis[] {
  const time: uPlot.Axis = {
    ...axis,
    size: 24,
    space: 80,
    values: (_, ticks, __, ___, stepS) => ticks.map((at) => clock(at * 1e3, stepS < 60)),
  };
  const left: uPlot.Axis = {
    ...axis,
    size: 72,
    values: (_, ticks) => ticks.map((value) => latest.current.format(value)),
  };
  if (!right) return [time, left];
  return [time, left, {
    ...axis,
    side: 1,
    scale: "right",
    size: 72,
    // One grid: that of the left.
    grid: { show: false },
    values: (_, ticks) => {
      const { format, rightFormat = format } = latest.current;
      return ticks.map((value) => rightFormat(value));
    },
  }];
}

function takeSpan(plot: uPlot, latest: Latest): void {
  const { left, width } = plot.select;
  if (width <= 0) return;
  const at = (x: number) => plot.posToVal(x, "x") * 1e3;
  latest.current.onSpan?.(at(left), at(left + width));
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

function drawShaded(
  { ctx, bbox, valToPos }: uPlot,
  shaded: readonly (readonly [number, number])[],
  color: string,
): void {
  ctx.save();
  ctx.fillStyle = color;
  for (const [fromMs, toMs] of shaded) {
    const left = Math.max(bbox.left, valToPos(fromMs / 1e3, "x", true));
    const right = Math.min(bbox.left + bbox.width, valToPos(toMs / 1e3, "x", true));
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

/** Half the diagonal of a diamond, and how far from it a click still hits, in pixels. */
const markSize = 5;
const markReach = 12;

function drawMarks(plot: uPlot, marks: readonly ChartMark[], color: string): void {
  const { ctx } = plot;
  const size = markSize * devicePixelRatio;
  ctx.save();
  ctx.fillStyle = color;
  for (const mark of marks) {
    const x = plot.valToPos(mark.timeMs / 1e3, "x", true);
    const y = plot.valToPos(mark.value, "y", true);
    const { left, top, width, height } = plot.bbox;
    if (x < left || x > left + width || y < top || y > top + height) continue;
    ctx.beginPath();
    ctx.moveTo(x, y - size);
    ctx.lineTo(x + size, y);
    ctx.lineTo(x, y + size);
    ctx.lineTo(x - size, y);
    ctx.fill();
  }
  ctx.restore();
}

/** Opens the mark under the pointer. */
function openMark(plot: uPlot, latest: Latest): void {
  const { left = -1, top = -1 } = plot.cursor;
  let best: { mark: ChartMark; distance: number } | undefined;
  for (const mark of latest.current.marks ?? []) {
    const distance = Math.hypot(
      plot.valToPos(mark.timeMs / 1e3, "x") - left,
      plot.valToPos(mark.value, "y") - top,
    );
    if (distance <= markReach && distance < (best?.distance ?? Infinity)) best = { mark, distance };
  }
  best?.mark.onClick();
}

function scalesOf(latest: Latest): uPlot.Scales {
  return {
    x: {
      time: true,
      range: (_, min, max) => {
        const range = latest.current.range;
        return range ? [range[0] / 1e3, range[1] / 1e3] : [min ?? 0, max ?? 1];
      },
    },
    y: { range: fromZero },
    right: { range: fromZero },
  };
}

/** A scale begins at 0: a small change is not to look like a large one. */
function fromZero(_: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  if (min === null || max === null) return [0, 1];
  return [Math.min(0, min), max > 0 ? max * 1.1 : max === min ? 1 : 0];
}

/** The colour that a variable of the stylesheet stands for in the theme in force: a canvas does not know variables. */
function resolveColor(place: HTMLElement, name: string): string {
  const probe = place.appendChild(document.createElement("span"));
  // Forced colours would make all lines one: on a canvas they are the browser's no more.
  probe.style.cssText = `color: var(${name}); forced-color-adjust: none`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/**
 * At rest the last value there is; under the cursor the one that the line has there, which is of its
 * last point before where the point under the cursor is another line's. In a gap there is none.
 */
function valueAt({ values }: ChartLine, index: number, atRest: boolean): number | null {
  for (let i = atRest ? values.length - 1 : index; i >= 0; i--) {
    const value = values[i];
    if (value !== null && value !== undefined) return value;
    if (value === null && !atRest) return null;
  }
  return null;
}

function LineSample({ line }: { line: ChartLine }) {
  return (
    <svg class="line-sample" viewBox="0 0 20 8" width="20" height="8" aria-hidden="true">
      <line
        x1="0"
        y1="4"
        x2="20"
        y2="4"
        style={{ stroke: `var(${line.color})`, strokeDasharray: line.dash?.join(" ") ?? "none" }}
      />
    </svg>
  );
}

function dataOf({ timesMs, lines }: ChartProps): uPlot.AlignedData {
  return [timesMs.map((ms) => ms / 1e3), ...lines.map((line) => line.values)];
}

function clock(ms: number, withSeconds: boolean): string {
  return formatTime(ms).slice(0, withSeconds ? 8 : 5);
}

/** A point with no neighbour is no line: it is drawn as a dot. */
function lonely(plot: uPlot, series: number): number[] {
  const values = plot.data[series]!;
  const there = (value: number | null | undefined) => value !== null && value !== undefined;
  const found: number[] = [];
  let before: number | null | undefined = null;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === undefined) continue;
    let next = i + 1;
    while (next < values.length && values[next] === undefined) next++;
    if (there(values[i]) && !there(before) && !there(values[next])) found.push(i);
    before = values[i];
  }
  return found;
}

/** A line without axes, for a list. Decoration: the value stands beside it. */
export function Sparkline({ values }: { values: readonly (number | null)[] }) {
  const known = values.filter((value) => value !== null);
  const width = 96;
  const height = 24;
  if (known.length < 2) {
    return <svg class="sparkline" width={width} height={height} aria-hidden="true" />;
  }
  const min = Math.min(...known);
  const max = Math.max(...known);
  const points = values.flatMap((value, i) => {
    if (value === null) return [];
    const x = i / (values.length - 1) * (width - 2) + 1;
    const y = max === min ? height / 2 : height - 3 - (value - min) / (max - min) * (height - 6);
    return [`${x.toFixed(1)},${y.toFixed(1)}`];
  });
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      aria-hidden="true"
    >
      <polyline points={points.join(" ")} />
    </svg>
  );
}
