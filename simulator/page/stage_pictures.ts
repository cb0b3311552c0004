/**
 * Pictures of sprites and of words: what costs most, shapes and text, is drawn once and copied after.
 *
 * @module
 */
import { serviceLook, type ServiceShape } from "../../service/page/service_look.ts";
import type { StageColors } from "./stage_colors.ts";
import type { Sprite } from "./stage_model.ts";

const shapes: Readonly<Record<ServiceShape, (path: Path2D, radius: number) => void>> = {
  circle: (path, r) => path.arc(0, 0, r, 0, 2 * Math.PI),
  square: (path, r) => path.rect(-r * 0.86, -r * 0.86, r * 1.72, r * 1.72),
  diamond: (path, r) => polygon(path, [0, -r * 1.15, r * 1.15, 0, 0, r * 1.15, -r * 1.15, 0]),
  triangle: (path, r) => polygon(path, [0, -r * 1.1, r * 1.15, r * 0.85, -r * 1.15, r * 0.85]),
};

function polygon(path: Path2D, points: readonly number[]): void {
  for (let i = 0; i < points.length; i += 2) path.lineTo(points[i]!, points[i + 1]!);
  path.closePath();
}

/** Words that are kept as pictures; then all are drawn anew. */
const maxWords = 2_000;

/** All pictures in the colours of a theme, for a screen. */
export class StagePictures {
  readonly #colors: StageColors;
  /** The screen's pixels in one of the page's. */
  readonly ratio: number;
  /** By look and size. */
  readonly #sprites = new Map<string, OffscreenCanvas>();
  /** Shaping text costs many times what copying it does. */
  readonly #words = new Map<string, OffscreenCanvas>();

  constructor(colors: StageColors, ratio: number) {
    this.#colors = colors;
    this.ratio = ratio;
  }

  /** Shape and colour of a name, crossed out for one that was lost. */
  spriteOf({ name, state }: Sprite, size: number): OffscreenCanvas {
    const rounded = Math.round(size * 2) / 2;
    const { color, shape } = serviceLook(name);
    const key = `${color} ${shape} ${state === "lost"} ${rounded}`;
    let picture = this.#sprites.get(key);
    if (picture) return picture;
    const side = Math.ceil((rounded * 2.6 + 4) * this.ratio);
    picture = new OffscreenCanvas(side, side);
    const context = picture.getContext("2d")!;
    context.translate(side / 2, side / 2);
    context.scale(this.ratio, this.ratio);
    const path = new Path2D();
    shapes[shape](path, rounded);
    context.fillStyle = this.#colors.services[color]!;
    if (state === "lost") {
      context.strokeStyle = this.#colors.error;
      context.lineWidth = 2;
      context.stroke(path);
      context.beginPath();
      context.moveTo(-rounded, -rounded);
      context.lineTo(rounded, rounded);
      context.moveTo(rounded, -rounded);
      context.lineTo(-rounded, rounded);
      context.stroke();
    } else context.fill(path);
    this.#sprites.set(key, picture);
    return picture;
  }

  /** Words in a colour. */
  wordsOf(text: string, color: string, fontPixels: number): OffscreenCanvas {
    const key = `${fontPixels} ${color} ${text}`;
    let picture = this.#words.get(key);
    if (picture) return picture;
    if (this.#words.size >= maxWords) this.#words.clear();
    picture = drawnWords(text, color, fontPixels, this.ratio);
    this.#words.set(key, picture);
    return picture;
  }
}

function drawnWords(
  text: string,
  color: string,
  fontPixels: number,
  ratio: number,
): OffscreenCanvas {
  const font = `${fontPixels}px system-ui, sans-serif`;
  const measure = new OffscreenCanvas(1, 1).getContext("2d")!;
  measure.font = font;
  const picture = new OffscreenCanvas(
    Math.max(1, Math.ceil((measure.measureText(text).width + 2) * ratio)),
    Math.ceil((fontPixels + 4) * ratio),
  );
  const context = picture.getContext("2d")!;
  context.scale(ratio, ratio);
  context.font = font;
  context.textBaseline = "top";
  context.fillStyle = color;
  context.fillText(text, 1, 1);
  return picture;
}
