/**
 * Draws the stage on a canvas: a bare 2D context holds the frame rate (figures in
 * `bench/README.md`). What costs most, shapes and text, is drawn once and copied after.
 *
 * @module
 */
import { serviceLook } from "../../service/page/service_look.ts";
import type { StageColors } from "./stage_colors.ts";
import { drawDensity, drawDots } from "./stage_crowd.ts";
import { drawFlights } from "./stage_flights.ts";
import { type Frame, placeOf, radius, toScreen } from "./stage_frame.ts";
import { cell, detailAt } from "./stage_layout.ts";
import { labelOf, type Sprite, stageLimits } from "./stage_model.ts";
import { StagePictures } from "./stage_pictures.ts";
import { drawTrace } from "./trace_painter.ts";

/** Draws frames. */
export class StagePainter {
  readonly #context: CanvasRenderingContext2D;
  #colors: StageColors;
  #pictures: StagePictures;

  constructor(canvas: HTMLCanvasElement, colors: StageColors) {
    // Opaque: the browser need not look what lies behind.
    this.#context = canvas.getContext("2d", { alpha: false })!;
    this.#colors = colors;
    this.#pictures = new StagePictures(colors, 1);
  }

  /** Another theme is in force. */
  setColors(colors: StageColors): void {
    this.#colors = colors;
    this.#pictures = new StagePictures(colors, this.#pictures.ratio);
  }

  /** Draws. */
  draw(frame: Frame, ratio: number): void {
    if (ratio !== this.#pictures.ratio) this.#pictures = new StagePictures(this.#colors, ratio);
    const context = this.#context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = this.#colors.background;
    context.fillRect(0, 0, frame.width, frame.height);
    const detail = detailAt(frame.view.scale, frame.model.sprites.size);
    this.#drawFields(frame);
    if (detail === "density") drawDensity(context, this.#colors, frame);
    else {
      if (!frame.still && frame.trace === undefined) drawFlights(context, this.#colors, frame);
      if (detail === "dots") drawDots(context, this.#colors, frame);
      else this.#drawSprites(frame);
    }
    if (frame.selected !== undefined) this.#drawSelection(frame);
    if (frame.trace !== undefined) {
      drawTrace(context, this.#colors, frame.trace, {
        placeOf: (number) => {
          const sprite = frame.model.sprites.get(number);
          return sprite && placeOf(frame, sprite);
        },
        still: frame.still,
      });
    }
  }

  #drawFields(frame: Frame): void {
    const context = this.#context;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.font = "600 13px system-ui, sans-serif";
    for (const { name, x, y, width, count } of frame.layout.fields) {
      const [left, top] = toScreen(frame, x, y);
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

  #drawSprites(frame: Frame): void {
    const context = this.#context;
    const { view, nowMs } = frame;
    const size = Math.max(6, radius * Math.min(1.4, view.scale));
    const margin = cell.width * view.scale;
    for (const sprite of frame.model.sprites.values()) {
      const place = placeOf(frame, sprite);
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
    const picture = this.#pictures.spriteOf(sprite, size);
    const side = picture.width / this.#pictures.ratio;
    context.drawImage(picture, x - side / 2, y - side / 2, side, side);
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

  /** Words with their top middle at a point. */
  #drawText(text: string, x: number, y: number, color: string, fontPixels: number): void {
    const { ratio } = this.#pictures;
    const picture = this.#pictures.wordsOf(text, color, fontPixels);
    const width = picture.width / ratio;
    // On whole pixels, as letters between them are blurred.
    const left = Math.round((x - width / 2) * ratio) / ratio;
    const top = Math.round(y * ratio) / ratio;
    this.#context.drawImage(picture, left, top, width, picture.height / ratio);
  }

  /** In little room the process alone: its name is the field's. */
  #labelIn(sprite: Sprite, room: number, fontPixels: number): string {
    if (sprite.state !== "running") return this.#clipped(sprite.state, room, fontPixels);
    const whole = labelOf(sprite);
    if (room >= whole.length * fontPixels * 0.58) return whole;
    return this.#clipped(whole.split(" ").at(-1)!, room, fontPixels);
  }

  #drawSelection(frame: Frame): void {
    const sprite = frame.model.sprites.get(frame.selected!);
    const place = sprite && placeOf(frame, sprite);
    if (!place) return;
    const context = this.#context;
    context.strokeStyle = this.#colors.accent;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(place[0], place[1], Math.max(8, radius * frame.view.scale + 7), 0, 2 * Math.PI);
    context.stroke();
  }
}
