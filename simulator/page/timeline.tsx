/**
 * A timeline: how many events came when, and a lane of marks for each kind of trouble. Any view that
 * has lanes uses it.
 *
 * @module
 */
import { useEffect, useRef } from "preact/hooks";
import { formatCount, formatCounted, formatTime } from "../../service/page/format.ts";
import { readColors } from "./stage_painter.ts";

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
}

/** Options of {@linkcode Timeline}. */
export interface TimelineProps {
  /** What is shown, in milliseconds since the epoch. */
  fromMs: number;
  toMs: number;
  /** How many events each second had. */
  counts: readonly { readonly second: number; readonly count: number }[];
  lanes: readonly TimelineLane[];
}

const laneHeight = 16;
const countsHeight = 32;
const labelWidth = 120;

/** See the module. */
export function Timeline(props: TimelineProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => draw(canvas.current!, props));
  const shown = props.lanes.map(({ name, marks }) => ({
    name,
    marks: marks.filter(({ atMs }) => atMs >= props.fromMs && atMs <= props.toMs),
  }));
  const events = props.counts
    .filter(({ second }) => second * 1_000 >= props.fromMs)
    .reduce((sum, { count }) => sum + count, 0);
  return (
    <section class="timeline" aria-label="The last minute">
      <canvas ref={canvas} aria-hidden="true" />
      <p class="hidden-text">
        {formatCounted(events, "event")} in the last minute. {shown.map(({ name, marks }) =>
          `${name}: ${formatCount(marks.length)}${
            marks.length > 0 ? `, the last ${marks.at(-1)!.label}` : ""
          }`
        ).join(". ")}
      </p>
    </section>
  );
}

function draw(canvas: HTMLCanvasElement, { fromMs, toMs, counts, lanes }: TimelineProps): void {
  const box = canvas.parentElement!;
  const ratio = devicePixelRatio;
  const width = box.clientWidth;
  const height = countsHeight + lanes.length * laneHeight + 16;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  const colors = readColors(box);
  const left = width < 480 ? 0 : labelWidth;
  const x = (atMs: number) => left + (atMs - fromMs) / (toMs - fromMs) * (width - left);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";

  const most = Math.max(1, ...counts.map(({ count }) => count));
  const second = Math.max(1, (width - left) / ((toMs - fromMs) / 1_000));
  context.fillStyle = colors.accent;
  for (const { second: at, count } of counts) {
    if (at * 1_000 < fromMs) continue;
    const bar = Math.max(1, count / most * (countsHeight - 6));
    context.fillRect(x(at * 1_000), countsHeight - bar, Math.max(1, second - 1), bar);
  }
  context.fillStyle = colors.quiet;
  if (left > 0) context.fillText(`events, ≤ ${formatCount(most)}/s`, 0, countsHeight - 10);

  for (const [index, { name, marks }] of lanes.entries()) {
    const y = countsHeight + (index + 0.5) * laneHeight;
    context.strokeStyle = colors.rule;
    context.beginPath();
    context.moveTo(left, y);
    context.lineTo(width, y);
    context.stroke();
    context.fillStyle = colors.quiet;
    if (left > 0) context.fillText(name, 0, y);
    context.fillStyle = colors.error;
    for (const { atMs } of marks) {
      if (atMs < fromMs || atMs > toMs) continue;
      // A shape of its own for each lane, as colour alone would not do.
      if (index % 2 === 0) context.fillRect(x(atMs) - 2, y - 5, 4, 10);
      else diamond(context, x(atMs), y);
    }
  }
  context.fillStyle = colors.quiet;
  context.fillText(formatTime(fromMs).slice(0, 8), left, height - 8);
  context.textAlign = "right";
  context.fillText(formatTime(toMs).slice(0, 8), width, height - 8);
}

function diamond(context: CanvasRenderingContext2D, x: number, y: number): void {
  context.beginPath();
  context.moveTo(x, y - 6);
  context.lineTo(x + 5, y);
  context.lineTo(x, y + 6);
  context.lineTo(x - 5, y);
  context.fill();
}
