/**
 * Messages as sprites: what flies after a step or while it plays. A flight takes as long as it takes
 * to be seen, whatever it took in the run; flights of one message wait for each other.
 *
 * @module
 */
import type { StageColors } from "../page/stage_colors.ts";
import type { LogEntry } from "../simulation/engine.ts";
import { type Flight, flightsOf, type TopologyLayout } from "./topology_layout.ts";

/** More are not drawn at once. */
const maxSprites = 160;

interface Sprite {
  readonly flight: Flight;
  readonly startMs: number;
  readonly endMs: number;
}

/** Draws what flies over a topology. */
export class Sprites {
  #sprites: Sprite[] = [];
  readonly #busyUntilMs = new Map<string, number>();

  /** Lets them fly. */
  add(flights: readonly Flight[], nowMs: number): void {
    // Where there is much to see, each is seen for a shorter time.
    const legMs = flights.length > 24 ? 180 : flights.length > 6 ? 320 : 520;
    for (const flight of flights) {
      if (this.#sprites.length >= maxSprites) return;
      const name = flight.message || "call";
      // A message that is far behind would tell of what is long over.
      const startMs = Math.min(
        Math.max(nowMs, this.#busyUntilMs.get(name) ?? 0),
        nowMs + 4 * legMs,
      );
      const endMs = startMs + legMs * (flight.way.length - 1) + (flight.kind === "lost" ? 500 : 0);
      this.#busyUntilMs.set(name, endMs);
      this.#sprites.push({ flight, startMs, endMs });
    }
  }

  /** Nothing flies any more. */
  clear(): void {
    this.#sprites = [];
    this.#busyUntilMs.clear();
  }

  /** Draws the frame of a moment; gives whether there is another one to come. */
  draw(
    context: CanvasRenderingContext2D,
    layout: TopologyLayout,
    colors: StageColors,
    nowMs: number,
    colorOf: (message: string) => string,
  ): boolean {
    this.#sprites = this.#sprites.filter(({ endMs }) => endMs > nowMs);
    for (const sprite of this.#sprites) {
      if (sprite.startMs > nowMs) continue;
      const share = (nowMs - sprite.startMs) / (sprite.endMs - sprite.startMs);
      drawSprite(context, layout, colors, sprite.flight, share, colorOf);
    }
    return this.#sprites.length > 0;
  }
}

/** Draws where an entry's messages are, without motion: halfway, with the number of the step. */
export function drawStill(
  context: CanvasRenderingContext2D,
  layout: TopologyLayout,
  colors: StageColors,
  entry: LogEntry,
  colorOf: (message: string) => string,
): void {
  for (const flight of flightsOf(entry).slice(0, 12)) {
    drawSprite(context, layout, colors, flight, flight.kind === "lost" ? 1 : 0.5, colorOf);
  }
}

function drawSprite(
  context: CanvasRenderingContext2D,
  layout: TopologyLayout,
  colors: StageColors,
  flight: Flight,
  share: number,
  colorOf: (message: string) => string,
): void {
  const { kind, message, way } = flight;
  const isLost = kind === "lost";
  // What is lost gets halfway, and stays there to be seen.
  const at = pointOn(layout, way, isLost ? Math.min(0.5, share) : ease(share));
  // Beside the switch that stands on the edge.
  if (isLost && layout.isNarrow) at.x -= 30;
  const y = at.y - (isLost && !layout.isNarrow ? 22 : kind === "copy" ? 9 : 0) +
    (kind === "acknowledgement" ? 12 : 0);
  const color = message === "" ? colors.quiet : colorOf(message);
  context.lineWidth = 1.5;
  if (kind === "acknowledgement") {
    context.strokeStyle = color;
    context.beginPath();
    context.arc(at.x, y, 4, 0, 2 * Math.PI);
    context.stroke();
    return;
  }
  shape(context, message, at.x, y, 11);
  context.fillStyle = kind === "copy" ? colors.raised : color;
  context.fill();
  context.strokeStyle = kind === "copy" ? color : colors.background;
  context.stroke();
  context.fillStyle = kind === "copy" ? color : colors.background;
  context.font = "600 10px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(message.slice(1), at.x, y + 0.5);
  if (!isLost || share < 0.45) return;
  context.strokeStyle = colors.error;
  context.lineWidth = 3;
  context.beginPath();
  context.moveTo(at.x - 13, y - 13);
  context.lineTo(at.x + 13, y + 13);
  context.moveTo(at.x + 13, y - 13);
  context.lineTo(at.x - 13, y + 13);
  context.stroke();
}

/** Orders are round, results are diamonds. */
function shape(
  context: CanvasRenderingContext2D,
  message: string,
  x: number,
  y: number,
  radius: number,
): void {
  context.beginPath();
  if (!message.startsWith("r")) {
    context.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  const reach = radius * 1.25;
  context.moveTo(x, y - reach);
  context.lineTo(x + reach, y);
  context.lineTo(x, y + reach);
  context.lineTo(x - reach, y);
  context.closePath();
}

function pointOn(
  layout: TopologyLayout,
  way: Flight["way"],
  share: number,
): { x: number; y: number } {
  const legs = way.length - 1;
  const leg = Math.min(legs - 1, Math.floor(share * legs));
  const rest = share * legs - leg;
  const [from, to] = [layout.place(way[leg]!), layout.place(way[leg + 1]!)];
  return { x: from.x + (to.x - from.x) * rest, y: from.y + (to.y - from.y) * rest };
}

function ease(share: number): number {
  return share < 0.5 ? 2 * share * share : 1 - 2 * (1 - share) * (1 - share);
}
