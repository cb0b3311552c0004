/**
 * Very many sprites: each a dot, or only how many stand where.
 *
 * @module
 */
import { serviceLook } from "../../service/page/service_look.ts";
import type { StageColors } from "./stage_colors.ts";
import { type Frame, placeOf, toScreen } from "./stage_frame.ts";

const densityColumns = 64;
const densityRows = 40;

/** Too small for a shape: squares, one fill for each colour, as each change of style costs. */
export function drawDots(
  context: CanvasRenderingContext2D,
  colors: StageColors,
  frame: Frame,
): void {
  const { view, nowMs } = frame;
  const side = Math.max(2, 24 * Math.min(1, view.scale));
  const byStyle = new Map<string, number[]>();
  for (const sprite of frame.model.sprites.values()) {
    const place = placeOf(frame, sprite);
    if (!place) continue;
    const [x, y] = place;
    if (x < 0 || x > frame.width || y < 0 || y > frame.height) continue;
    const color = sprite.state === "lost" ? 7 : serviceLook(sprite.name).color;
    const bright = sprite.state !== "running" ? 0 : nowMs - sprite.activeMs < 700 ? 2 : 1;
    const style = `${color} ${frame.fits(sprite) ? bright : 0}`;
    const points = byStyle.get(style);
    if (points) points.push(x, y);
    else byStyle.set(style, [x, y]);
  }
  for (const [style, points] of byStyle) {
    const [color, bright] = style.split(" ").map(Number) as [number, number];
    context.fillStyle = colors.services[color] ?? colors.error;
    context.globalAlpha = [0.2, 0.7, 1][bright]!;
    const wide = bright === 2 ? side * 1.5 : side;
    for (let i = 0; i < points.length; i += 2) {
      context.fillRect(points[i]! - wide / 2, points[i + 1]! - wide / 2, wide, wide);
    }
  }
  context.globalAlpha = 1;
}

/** So many that each would be a speck: how many stand where, and how lively it is there. */
export function drawDensity(
  context: CanvasRenderingContext2D,
  colors: StageColors,
  frame: Frame,
): void {
  const counts = new Uint16Array(densityColumns * densityRows);
  const active = new Uint16Array(densityColumns * densityRows);
  let most = 1;
  for (const sprite of frame.model.sprites.values()) {
    const place = frame.layout.placeOf(sprite.number, sprite.name);
    if (!place || !frame.fits(sprite)) continue;
    const [x, y] = toScreen(frame, place.x, place.y);
    const column = Math.floor(x / frame.width * densityColumns);
    const row = Math.floor(y / frame.height * densityRows);
    if (column < 0 || column >= densityColumns || row < 0 || row >= densityRows) continue;
    const index = row * densityColumns + column;
    most = Math.max(most, ++counts[index]!);
    if (frame.nowMs - sprite.activeMs < 1_000) active[index]!++;
  }
  const [width, height] = [frame.width / densityColumns, frame.height / densityRows];
  context.fillStyle = colors.accent;
  for (let index = 0; index < counts.length; index++) {
    if (counts[index] === 0) continue;
    context.globalAlpha = 0.15 + 0.35 * counts[index]! / most +
      0.5 * active[index]! / counts[index]!;
    context.fillRect(
      index % densityColumns * width + 1,
      Math.floor(index / densityColumns) * height + 1,
      width - 2,
      height - 2,
    );
  }
  context.globalAlpha = 1;
}
