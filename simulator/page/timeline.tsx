/**
 * A timeline: how many events came when, and a lane of marks for each kind of trouble. Live events and
 * simulated runs are shown with it; where there is a position, a click or a drag goes to another one.
 *
 * @module
 */
import { useEffect, useRef } from "preact/hooks";
import { formatCount, formatCounted, formatTime } from "../../service/page/format.ts";
import { readColors, type StageColors } from "./stage_colors.ts";

/** Something that happened at a time. */
export interface TimelineMark {
  readonly atMs: number;
  /** What, in a few words. */
  readonly label: string;
}

/** A row of marks. */
export interface TimelineLane {
  readonly name: string;
  readonly marks: readonly TimelineMark[];
  /** Whether its marks are trouble; else they are good to see. @default true */
  readonly isTrouble?: boolean;
}

/** A share of one over time, drawn in place of how many events came. */
export interface TimelineCurve {
  readonly name: string;
  readonly points: readonly { readonly atMs: number; readonly share: number }[];
}

/** Options of {@linkcode Timeline}. */
export interface TimelineProps {
  /** What is shown, in milliseconds since the epoch, or since a run began. */
  fromMs: number;
  toMs: number;
  /** How many events each second, or each bin, had. */
  counts: readonly { readonly second: number; readonly count: number }[];
  /** How long a bin of `counts` is, in milliseconds. @default 1_000 */
  binMs?: number;
  lanes: readonly TimelineLane[];
  /** What it is called, as in "12 events in the last minute". @default "the last minute" */
  label?: string;
  /** Writes a time. @default the time of day */
  formatAt?: (atMs: number) => string;
  /** The position, which is marked. @default there is none */
  cursorMs?: number;
  /** Goes to another position. @default it cannot be changed */
  onSeek?: (atMs: number) => void;
  curve?: TimelineCurve | undefined;
}

const laneHeight = 16;
/** Where there is no room beside a lane its name stands above it. */
const narrowLaneHeight = 30;
const narrowBelow = 480;
const countsHeight = 32;
const labelWidth = 120;

/** See the module. */
export function Timeline(props: TimelineProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const isDragged = useRef(false);
  useEffect(() => draw(canvas.current!, props));
  const { fromMs, toMs, counts, lanes, binMs = 1_000, label = "the last minute", onSeek } = props;
  const shown = lanes.map(({ name, marks }) => ({
    name,
    marks: marks.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs),
  }));
  const events = counts
    .filter(({ second }) => second * binMs >= fromMs)
    .reduce((sum, { count }) => sum + count, 0);
  function seek(event: PointerEvent) {
    const box = canvas.current!.getBoundingClientRect();
    const left = leftOf(box.width);
    const share = (event.clientX - box.left - left) / (box.width - left);
    onSeek!(fromMs + Math.min(1, Math.max(0, share)) * (toMs - fromMs));
  }
  const dragging = onSeek && {
    onPointerDown(event: PointerEvent) {
      canvas.current!.setPointerCapture(event.pointerId);
      isDragged.current = true;
      seek(event);
    },
    onPointerMove(event: PointerEvent) {
      if (isDragged.current) seek(event);
    },
    onPointerUp() {
      isDragged.current = false;
    },
  };
  return (
    <section class="timeline" aria-label={capital(label)}>
      <canvas ref={canvas} aria-hidden="true" {...dragging} />
      <p class="hidden-text">
        {formatCounted(events, "event")} in {label}. {shown.map(({ name, marks }) =>
          `${name}: ${formatCount(marks.length)}${
            marks.length > 0 ? `, the last ${marks.at(-1)!.label}` : ""
          }`
        ).join(". ")}
      </p>
    </section>
  );
}

function capital(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}

/** Where the lanes begin: behind their names, or below them where there is no room. */
function leftOf(width: number): number {
  return width < narrowBelow ? 0 : labelWidth;
}

function laneHeightOf(width: number): number {
  return width < narrowBelow ? narrowLaneHeight : laneHeight;
}

function draw(canvas: HTMLCanvasElement, props: TimelineProps): void {
  const { fromMs, toMs, lanes, cursorMs } = props;
  const formatAt = props.formatAt ?? ((atMs: number) => formatTime(atMs).slice(0, 8));
  const box = canvas.parentElement!;
  const ratio = devicePixelRatio;
  const width = canvas.clientWidth || box.clientWidth;
  const height = countsHeight + lanes.length * laneHeightOf(width) + 16;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  const colors = readColors(box);
  const left = leftOf(width);
  const x = (atMs: number) => left + (atMs - fromMs) / (toMs - fromMs) * (width - left);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  const drawing: Drawing = { context, colors, left, width, x };
  if (props.curve === undefined) drawCounts(drawing, props);
  else drawCurve(drawing, props.curve);
  for (const [index, lane] of lanes.entries()) {
    drawLane(drawing, lane, index);
  }
  context.fillStyle = colors.quiet;
  context.textAlign = "left";
  context.fillText(formatAt(fromMs), left, height - 8);
  context.textAlign = "right";
  context.fillText(formatAt(toMs), width, height - 8);
  if (cursorMs === undefined) return;
  context.strokeStyle = colors.accent;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x(cursorMs), 0);
  context.lineTo(x(cursorMs), height - 16);
  context.stroke();
}

/** What everything is drawn with. */
interface Drawing {
  readonly context: CanvasRenderingContext2D;
  readonly colors: StageColors;
  /** Where the lanes begin, and the whole width. */
  readonly left: number;
  readonly width: number;
  /** Where a time is. */
  readonly x: (atMs: number) => number;
}

function drawCounts(
  { context, colors, left, width, x }: Drawing,
  { fromMs, toMs, counts, binMs = 1_000 }: TimelineProps,
): void {
  const most = Math.max(1, ...counts.map(({ count }) => count));
  const bin = Math.max(1, (width - left) / ((toMs - fromMs) / binMs));
  context.fillStyle = colors.accent;
  for (const { second: at, count } of counts) {
    if (at * binMs < fromMs || count === 0) continue;
    const bar = Math.max(1, count / most * (countsHeight - 6));
    context.fillRect(x(at * binMs), countsHeight - bar, Math.max(1, bin - 1), bar);
  }
  context.fillStyle = colors.quiet;
  const name = binMs === 1_000 ? `events, ≤ ${formatCount(most)}/s` : "events";
  context.fillText(name, 0, left > 0 ? countsHeight - 10 : 8);
}

function drawCurve({ context, colors, left, x }: Drawing, { name, points }: TimelineCurve): void {
  const y = (share: number) => countsHeight - 2 - share * (countsHeight - 6);
  context.strokeStyle = colors.error;
  context.lineWidth = 2;
  context.beginPath();
  for (const [index, { atMs, share }] of points.entries()) {
    if (index === 0) context.moveTo(x(atMs), y(share));
    else context.lineTo(x(atMs), y(share));
  }
  context.stroke();
  context.lineWidth = 1;
  context.fillStyle = colors.quiet;
  context.fillText(name, 0, left > 0 ? countsHeight - 10 : 8);
}

function drawLane(
  { context, colors, left, width, x }: Drawing,
  { name, marks, isTrouble = true }: TimelineLane,
  index: number,
): void {
  const y = countsHeight + (index + 1) * laneHeightOf(width) - laneHeight / 2;
  context.strokeStyle = colors.rule;
  context.beginPath();
  context.moveTo(left, y);
  context.lineTo(width, y);
  context.stroke();
  context.fillStyle = colors.quiet;
  context.fillText(name, 0, left > 0 ? y : y - laneHeight + 2);
  context.fillStyle = isTrouble ? colors.error : colors.quiet;
  for (const { atMs } of marks) {
    if (x(atMs) < left || x(atMs) > width) continue;
    // A shape of its own for each lane, as colour alone would not do.
    if (index % 3 === 0) context.fillRect(x(atMs) - 2, y - 5, 4, 10);
    else if (index % 3 === 1) diamond(context, x(atMs), y);
    else dot(context, x(atMs), y);
  }
}

function dot(context: CanvasRenderingContext2D, x: number, y: number): void {
  context.beginPath();
  context.arc(x, y, 3.5, 0, 2 * Math.PI);
  context.fill();
}

function diamond(context: CanvasRenderingContext2D, x: number, y: number): void {
  context.beginPath();
  context.moveTo(x, y - 6);
  context.lineTo(x + 5, y);
  context.lineTo(x, y + 6);
  context.lineTo(x - 5, y);
  context.fill();
}
