/**
 * Where each orb of a large fleet is on the canvas, and how it is drawn.
 *
 * @module
 */
import type { DeviceState } from "../devices/device_state.ts";
import { stateLooks } from "./orb_mark.tsx";
import type { Orb } from "./store.ts";

/** A grid of square places. */
export interface GridLayout {
  /** Side of a place, its gap included, in pixels. */
  readonly cell: number;
  readonly columns: number;
  readonly rows: number;
}

/** So many orbs have room as tiles with their glyphs. */
const maxTiles = 400;
const tilePixels = 28;
const cellPixels = 14;
const gapPixels = 2;

/**
 * Lays out so many orbs in so much room.
 *
 * @example
 * ```ts
 * gridLayout(2_000, 700); // { cell: 14, columns: 50, rows: 40 }
 * ```
 */
export function gridLayout(count: number, width: number): GridLayout {
  const cell = count <= maxTiles ? tilePixels : cellPixels;
  const columns = Math.max(1, Math.floor(width / cell));
  return { cell, columns, rows: Math.ceil(count / columns) };
}

/** The place at a point, which may hold nobody. */
export function slotAt(x: number, y: number, { cell, columns }: GridLayout): number {
  const column = Math.floor(x / cell);
  if (column < 0 || column >= columns || y < 0) return -1;
  return Math.floor(y / cell) * columns + column;
}

/** The place that a key leads to; `undefined` for a key that leads nowhere. */
export function slotAfterKey(
  key: string,
  slot: number,
  count: number,
  { columns }: GridLayout,
): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    ArrowLeft: slot - 1,
    ArrowRight: slot + 1,
    ArrowUp: slot - columns,
    ArrowDown: slot + columns,
    Home: 0,
    End: count - 1,
  };
  const next = steps[key];
  if (next === undefined) return undefined;
  return next < 0 || next >= count ? slot : next;
}

const colours: Readonly<Record<DeviceState, string>> = {
  ok: "--orb-ok",
  signing: "--orb-signing",
  duplicate: "--orb-duplicate",
  error: "--orb-error",
  silent: "--orb-silent",
};

const brightForMs = 500;

/** Draws everyone. */
export function drawFleet(
  canvas: HTMLCanvasElement,
  orbs: readonly Orb[],
  layout: GridLayout,
  { cursor, selected }: { cursor: number; selected: number },
): void {
  const { cell, columns, rows } = layout;
  const ratio = devicePixelRatio;
  const width = columns * cell;
  const height = rows * cell;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const fill = Object.fromEntries(
    Object.entries(colours).map(([state, name]) => [state, resolved(canvas, name)]),
  ) as Record<DeviceState, string>;
  const paths = Object.fromEntries(
    Object.entries(stateLooks).map(([state, { path }]) => [state, new Path2D(path)]),
  ) as Record<DeviceState, Path2D>;
  const nowMs = Date.now();
  const side = cell - gapPixels;

  orbs.forEach((orb, slot) => {
    const x = (slot % columns) * cell;
    const y = Math.floor(slot / columns) * cell;
    context.save();
    context.translate(x + gapPixels / 2, y + gapPixels / 2);
    context.fillStyle = fill[orb.state];
    context.globalAlpha = nowMs - orb.brightMs < brightForMs ? .55 : .14;
    context.fillRect(0, 0, side, side);
    context.globalAlpha = 1;
    const scale = (cell === tilePixels ? 12 : 8) / 12;
    context.translate((side - 12 * scale) / 2, (side - 12 * scale) / 2);
    context.scale(scale, scale);
    context.fill(paths[orb.state]);
    context.restore();
  });
  outline(context, cursor, layout, style.color, 1);
  outline(context, selected, layout, resolved(canvas, "--accent"), 2);
}

function outline(
  context: CanvasRenderingContext2D,
  slot: number,
  { cell, columns }: GridLayout,
  colour: string,
  width: number,
): void {
  if (slot < 0) return;
  const x = (slot % columns) * cell;
  const y = Math.floor(slot / columns) * cell;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect(x + width / 2, y + width / 2, cell - width, cell - width);
}

/** A variable's colour as it is now: `light-dark()` is nothing that a canvas knows. */
function resolved(canvas: HTMLCanvasElement, name: string): string {
  canvas.style.setProperty("outline-color", `var(${name})`);
  return getComputedStyle(canvas).outlineColor;
}
