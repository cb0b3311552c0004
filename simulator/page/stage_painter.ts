/**
 * Draws the stage on a canvas: a bare 2D context holds the frame rate (figures in
 * `bench/README.md`). What costs most, shapes and text, is drawn once and copied after.
 *
 * @module
 */
import { serviceLook, type ServiceShape } from "../../service/page/service_look.ts";
import { cell, detailAt, type StageLayout, type View } from "./stage_layout.ts";
import { type Flight, labelOf, type Sprite, stageLimits, type StageModel } from "./stage_model.ts";
import { arcPoint, drawTrace, type Point, type ShownTrace } from "./trace_painter.ts";

/** What the stylesheet has in force. */
export interface StageColors {
  readonly text: string;
  readonly quiet: string;
  readonly rule: string;
  readonly error: string;
  readonly accent: string;
  readonly background: string;
  readonly raised: string;
  readonly services: readonly string[];
}

/** What is drawn of a moment. */
export interface Frame {
  readonly model: StageModel;
  readonly layout: StageLayout;
  readonly view: View;
  readonly width: number;
  readonly height: number;
  /** The stage's clock, in milliseconds. */
  readonly nowMs: number;
  /** Sprites and words stand still, and nothing flies. */
  readonly still: boolean;
  /** Whether a sprite is among those searched for; all are where nothing is. */
  readonly fits: (sprite: Sprite) => boolean;
  readonly selected: number | undefined;
  /** The trace that is followed; the rest is dim then, and does not fly. */
  readonly trace: ShownTrace | undefined;
}

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

/** A sprite's half width, in the stage's measure. */
const radius = 14;
const densityColumns = 64;
const densityRows = 40;

/** Draws frames. */
export class StagePainter {
  readonly #context: CanvasRenderingContext2D;
  #colors: StageColors;
  #ratio = 1;
  /** Pictures of sprites by look and size. */
  readonly #pictures = new Map<string, OffscreenCanvas>();
  /** Pictures of words: shaping text costs many times what copying it does. */
  readonly #words = new Map<string, OffscreenCanvas>();

  constructor(canvas: HTMLCanvasElement, colors: StageColors) {
    // Opaque: the browser need not look what lies behind.
    this.#context = canvas.getContext("2d", { alpha: false })!;
    this.#colors = colors;
  }

  /** Another theme is in force. */
  setColors(colors: StageColors): void {
    this.#colors = colors;
    this.#pictures.clear();
    this.#words.clear();
  }

  /** Draws. */
  draw(frame: Frame, ratio: number): void {
    if (ratio !== this.#ratio) {
      this.#pictures.clear();
      this.#words.clear();
    }
    this.#ratio = ratio;
    const context = this.#context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = this.#colors.background;
    context.fillRect(0, 0, frame.width, frame.height);
    const detail = detailAt(frame.view.scale, frame.model.sprites.size);
    this.#drawFields(frame);
    if (detail === "density") this.#drawDensity(frame);
    else {
      if (!frame.still && frame.trace === undefined) this.#drawFlights(frame);
      if (detail === "dots") this.#drawDots(frame);
      else this.#drawSprites(frame);
    }
    if (frame.selected !== undefined) this.#drawSelection(frame);
    if (frame.trace !== undefined) {
      drawTrace(context, this.#colors, frame.trace, {
        placeOf: (number) => {
          const sprite = frame.model.sprites.get(number);
          return sprite && this.#placeOf(frame, sprite);
        },
        still: frame.still,
      });
    }
  }

  #toScreen({ view, width, height }: Frame, x: number, y: number): [x: number, y: number] {
    return [(x - view.x) * view.scale + width / 2, (y - view.y) * view.scale + height / 2];
  }

  /** Where a sprite is now; alive ones sway a little. */
  #placeOf(frame: Frame, sprite: Sprite): [x: number, y: number] | undefined {
    const place = frame.layout.placeOf(sprite.number, sprite.name);
    if (!place) return undefined;
    const phase = sprite.number * 2.4;
    const sway = frame.still || sprite.state !== "running" ? 0 : 3;
    const seconds = frame.nowMs / 1_000;
    return this.#toScreen(
      frame,
      place.x + Math.sin(seconds * 0.9 + phase) * sway,
      place.y + Math.cos(seconds * 1.1 + phase) * sway - 6,
    );
  }

  #drawFields(frame: Frame): void {
    const context = this.#context;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.font = "600 13px system-ui, sans-serif";
    for (const { name, x, y, width, count } of frame.layout.fields) {
      const [left, top] = this.#toScreen(frame, x, y);
      const right = left + width * frame.view.scale;
      if (right < 0 || left > frame.width || top > frame.height) continue;
      const headY = top + Math.max(12, 28 * frame.view.scale);
      context.strokeStyle = this.#colors.rule;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(left, headY + 6);
      context.lineTo(right, headY + 6);
      context.stroke();
      context.fillStyle = this.#colors.text;
      const room = right - left;
      const text = this.#clipped(`${name.split("::").at(-1)}  ${count.toLocaleString("en")}`, room);
      context.fillText(text, left, headY);
    }
  }

  #clipped(text: string, room: number, fontPixels = 12): string {
    const characters = Math.max(2, Math.floor(room / (fontPixels * 0.58)));
    return text.length <= characters ? text : `${text.slice(0, characters - 1)}…`;
  }

  #drawFlights(frame: Frame): void {
    const context = this.#context;
    context.lineCap = "round";
    for (const flight of frame.model.flights) {
      const from = frame.model.sprites.get(flight.from);
      const to = frame.model.sprites.get(flight.to);
      const begin = from && this.#placeOf(frame, from);
      const end = to && this.#placeOf(frame, to);
      if (begin && end) this.#drawFlight(flight, begin, end, frame);
    }
    context.globalAlpha = 1;
  }

  /** A comet on a gentle arc, brightest in the middle of its way. */
  #drawFlight(
    { fromMs, fault }: Flight,
    begin: Point,
    end: Point,
    { nowMs, view }: Frame,
  ): void {
    const context = this.#context;
    const way = Math.min(1, (nowMs - fromMs) / stageLimits.flightMs);
    const head = 1 - (1 - way) ** 2;
    const [tailX, tailY] = arcPoint(begin, end, Math.max(0, head - 0.14));
    const [headX, headY] = arcPoint(begin, end, head);
    context.globalAlpha = Math.min(1, 3 * Math.sin(Math.PI * Math.min(0.98, way + 0.02)));
    context.strokeStyle = fault ? this.#colors.error : this.#colors.accent;
    context.lineWidth = Math.max(1.5, Math.min(3, 3 * view.scale));
    context.beginPath();
    context.moveTo(tailX, tailY);
    context.lineTo(headX, headY);
    context.stroke();
    context.fillStyle = context.strokeStyle;
    context.fillRect(headX - 2, headY - 2, 4, 4);
  }

  #drawSprites(frame: Frame): void {
    const context = this.#context;
    const { view, nowMs } = frame;
    const size = Math.max(6, radius * Math.min(1.4, view.scale));
    const margin = cell.width * view.scale;
    for (const sprite of frame.model.sprites.values()) {
      const place = this.#placeOf(frame, sprite);
      if (!place) continue;
      const [x, y] = place;
      if (x < -margin || x > frame.width + margin || y < -margin || y > frame.height + margin) {
        continue;
      }
      const left = sprite.leftMs === undefined
        ? 0
        : Math.min(1, (nowMs - sprite.leftMs) / stageLimits.leavingMs);
      const fits = frame.fits(sprite);
      context.globalAlpha = (1 - left) * (fits ? 1 : 0.15);
      const away = frame.still ? 0 : left * left * 40 * view.scale;
      this.#drawPicture(sprite, x, y + away, size, nowMs, frame.still);
      if (fits) this.#drawWords(frame, sprite, x, y + away, size);
    }
    context.globalAlpha = 1;
  }

  /** Too small for a shape: squares, one fill for each colour, as each change of style costs. */
  #drawDots(frame: Frame): void {
    const context = this.#context;
    const { view, nowMs } = frame;
    const side = Math.max(2, 24 * Math.min(1, view.scale));
    const byStyle = new Map<string, number[]>();
    for (const sprite of frame.model.sprites.values()) {
      const place = this.#placeOf(frame, sprite);
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
      context.fillStyle = this.#colors.services[color] ?? this.#colors.error;
      context.globalAlpha = [0.2, 0.7, 1][bright]!;
      const wide = bright === 2 ? side * 1.5 : side;
      for (let i = 0; i < points.length; i += 2) {
        context.fillRect(points[i]! - wide / 2, points[i + 1]! - wide / 2, wide, wide);
      }
    }
    context.globalAlpha = 1;
  }

  #drawPicture(
    sprite: Sprite,
    x: number,
    y: number,
    size: number,
    nowMs: number,
    still: boolean,
  ): void {
    const context = this.#context;
    const fresh = still ? 0 : Math.max(0, 1 - (nowMs - sprite.activeMs) / 700);
    if (fresh > 0 && size > 3) {
      const alpha = context.globalAlpha;
      context.globalAlpha = alpha * fresh * 0.5;
      context.strokeStyle = this.#colors.services[serviceLook(sprite.name).color]!;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, y, size + 3 + (1 - fresh) * 9, 0, 2 * Math.PI);
      context.stroke();
      context.globalAlpha = alpha;
    }
    const picture = this.#pictureOf(sprite, size);
    const side = picture.width / this.#ratio;
    context.drawImage(picture, x - side / 2, y - side / 2, side, side);
  }

  /** Shape and colour of a name, crossed out for one that was lost; drawn once for each size. */
  #pictureOf({ name, state }: Sprite, size: number): OffscreenCanvas {
    const rounded = Math.round(size * 2) / 2;
    const { color, shape } = serviceLook(name);
    const key = `${color} ${shape} ${state === "lost"} ${rounded}`;
    let picture = this.#pictures.get(key);
    if (picture) return picture;
    const side = Math.ceil((rounded * 2.6 + 4) * this.#ratio);
    picture = new OffscreenCanvas(side, side);
    const context = picture.getContext("2d")!;
    context.translate(side / 2, side / 2);
    context.scale(this.#ratio, this.#ratio);
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
    this.#pictures.set(key, picture);
    return picture;
  }

  /** What a sprite is and says, as far as there is room for it. */
  #drawWords(frame: Frame, sprite: Sprite, x: number, y: number, size: number): void {
    const room = cell.width * frame.view.scale - 6;
    const fontPixels = room < 64 ? 10 : 12;
    if (room >= 28) {
      const color = sprite.state === "lost" ? this.#colors.error : this.#colors.quiet;
      const label = this.#labelIn(sprite, room, fontPixels);
      this.#drawText(label, x, y + size + 4, color, fontPixels);
    }
    const lineHeight = fontPixels + 2;
    const above = cell.height * frame.view.scale - 2 * size - lineHeight - 8;
    const lines = Math.min(stageLimits.bubbles, Math.floor(above / lineHeight));
    if (room >= 56 && lines > 0) {
      this.#drawBubbles(frame, sprite, { x, y: y - size - lineHeight, room, lines, fontPixels });
    }
  }

  #drawBubbles(
    frame: Frame,
    sprite: Sprite,
    { x, y, room, lines, fontPixels }: {
      x: number;
      y: number;
      room: number;
      lines: number;
      fontPixels: number;
    },
  ): void {
    const context = this.#context;
    const alpha = context.globalAlpha;
    const bubbles = frame.model.bubblesOf(sprite, frame.nowMs);
    for (let i = 0; i < Math.min(lines, bubbles.length); i++) {
      const { text, fault, fromMs } = bubbles[bubbles.length - 1 - i]!;
      const age = (frame.nowMs - fromMs) / stageLimits.bubbleMs;
      if (age >= 1) continue;
      context.globalAlpha = frame.still ? alpha : alpha * (1 - age * age);
      const color = fault ? this.#colors.error : this.#colors.text;
      const words = this.#clipped(text, room, fontPixels);
      this.#drawText(words, x, y - i * (fontPixels + 2), color, fontPixels);
    }
    context.globalAlpha = alpha;
  }

  /** Words with their top middle at a point, from a picture of them. */
  #drawText(text: string, x: number, y: number, color: string, fontPixels: number): void {
    const key = `${fontPixels} ${color} ${text}`;
    let picture = this.#words.get(key);
    if (!picture) {
      if (this.#words.size >= maxWords) this.#words.clear();
      picture = pictureOf(text, color, fontPixels, this.#ratio);
      this.#words.set(key, picture);
    }
    const width = picture.width / this.#ratio;
    // On whole pixels, as letters between them are blurred.
    const left = Math.round((x - width / 2) * this.#ratio) / this.#ratio;
    const top = Math.round(y * this.#ratio) / this.#ratio;
    this.#context.drawImage(picture, left, top, width, picture.height / this.#ratio);
  }

  /** In little room the process alone: its name is the field's. */
  #labelIn(sprite: Sprite, room: number, fontPixels: number): string {
    if (sprite.state !== "running") return this.#clipped(sprite.state, room, fontPixels);
    const whole = labelOf(sprite);
    if (room >= whole.length * fontPixels * 0.58) return whole;
    return this.#clipped(whole.split(" ").at(-1)!, room, fontPixels);
  }

  /** So many that each would be a speck: how many stand where, and how lively it is there. */
  #drawDensity(frame: Frame): void {
    const context = this.#context;
    const counts = new Uint16Array(densityColumns * densityRows);
    const active = new Uint16Array(densityColumns * densityRows);
    let most = 1;
    for (const sprite of frame.model.sprites.values()) {
      const place = frame.layout.placeOf(sprite.number, sprite.name);
      if (!place || !frame.fits(sprite)) continue;
      const [x, y] = this.#toScreen(frame, place.x, place.y);
      const column = Math.floor(x / frame.width * densityColumns);
      const row = Math.floor(y / frame.height * densityRows);
      if (column < 0 || column >= densityColumns || row < 0 || row >= densityRows) continue;
      const index = row * densityColumns + column;
      most = Math.max(most, ++counts[index]!);
      if (frame.nowMs - sprite.activeMs < 1_000) active[index]!++;
    }
    const [width, height] = [frame.width / densityColumns, frame.height / densityRows];
    context.fillStyle = this.#colors.accent;
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

  #drawSelection(frame: Frame): void {
    const sprite = frame.model.sprites.get(frame.selected!);
    const place = sprite && this.#placeOf(frame, sprite);
    if (!place) return;
    const context = this.#context;
    context.strokeStyle = this.#colors.accent;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(place[0], place[1], Math.max(8, radius * frame.view.scale + 7), 0, 2 * Math.PI);
    context.stroke();
  }
}

/** Words that are kept as pictures; then all are drawn anew. */
const maxWords = 2_000;

function pictureOf(
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

/** The sprite at a point of the screen, if one is near. */
export function spriteAt(
  frame: Pick<Frame, "model" | "layout" | "view" | "width" | "height">,
  x: number,
  y: number,
): Sprite | undefined {
  const { view, width, height, layout, model } = frame;
  const stageX = view.x + (x - width / 2) / view.scale;
  const stageY = view.y + (y - height / 2) / view.scale;
  let nearest: Sprite | undefined;
  // At least a finger's width, however small the sprite is.
  let nearestDistance = Math.max(radius * 1.6, 14 / view.scale);
  for (const sprite of model.sprites.values()) {
    const place = layout.placeOf(sprite.number, sprite.name);
    if (!place) continue;
    const distance = Math.hypot(place.x - stageX, place.y - 6 - stageY);
    if (distance >= nearestDistance) continue;
    nearest = sprite;
    nearestDistance = distance;
  }
  return nearest;
}

/** The colours that the stylesheet has in force. */
export function readColors(element: Element): StageColors {
  const probe = document.createElement("span");
  element.append(probe);
  const value = (name: string) => {
    // A variable may be `light-dark(…)`: only a property that uses it has the colour in force.
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colors = {
    text: value("--text"),
    quiet: value("--text-2"),
    rule: value("--rule"),
    error: value("--error"),
    accent: value("--accent"),
    background: value("--bg"),
    raised: value("--raised"),
    services: Array.from({ length: 7 }, (_, i) => value(`--service-${i}`)),
  };
  probe.remove();
  return colors;
}
