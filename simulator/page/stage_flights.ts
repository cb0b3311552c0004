/**
 * What flies over the stage.
 *
 * @module
 */
import type { StageColors } from "./stage_colors.ts";
import { type Frame, placeOf } from "./stage_frame.ts";
import { type Flight, stageLimits } from "./stage_model.ts";
import { arcPoint, type Point } from "./trace_painter.ts";

/** What flies between sprites. */
export function drawFlights(
  context: CanvasRenderingContext2D,
  colors: StageColors,
  frame: Frame,
): void {
  context.lineCap = "round";
  for (const flight of frame.model.flights) {
    const from = frame.model.sprites.get(flight.from);
    const to = frame.model.sprites.get(flight.to);
    const begin = from && placeOf(frame, from);
    const end = to && placeOf(frame, to);
    if (begin && end) drawFlight(context, colors, frame, { flight, begin, end });
  }
  context.globalAlpha = 1;
}

/** A comet on a gentle arc, brightest in the middle of its way. */
function drawFlight(
  context: CanvasRenderingContext2D,
  colors: StageColors,
  { nowMs, view }: Frame,
  { flight: { fromMs, fault }, begin, end }: { flight: Flight; begin: Point; end: Point },
): void {
  const way = Math.min(1, (nowMs - fromMs) / stageLimits.flightMs);
  const head = 1 - (1 - way) ** 2;
  const [tailX, tailY] = arcPoint(begin, end, Math.max(0, head - 0.14));
  const [headX, headY] = arcPoint(begin, end, head);
  context.globalAlpha = Math.min(1, 3 * Math.sin(Math.PI * Math.min(0.98, way + 0.02)));
  context.strokeStyle = fault ? colors.error : colors.accent;
  context.lineWidth = Math.max(1.5, Math.min(3, 3 * view.scale));
  context.beginPath();
  context.moveTo(tailX, tailY);
  context.lineTo(headX, headY);
  context.stroke();
  context.fillStyle = context.strokeStyle;
  context.fillRect(headX - 2, headY - 2, 4, 4);
}
