/**
 * A moment of the stage as it is drawn, and where in it everything is.
 *
 * @module
 */
import type { StageLayout, View } from "./stage_layout.ts";
import type { Sprite, StageModel } from "./stage_model.ts";
import type { Point, ShownTrace } from "./trace_painter.ts";

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

/** A sprite's half width, in the stage's measure. */
export const radius = 14;

/** A place of the stage on the screen. */
export function toScreen(
  { view, width, height }: Pick<Frame, "view" | "width" | "height">,
  x: number,
  y: number,
): Point {
  return [(x - view.x) * view.scale + width / 2, (y - view.y) * view.scale + height / 2];
}

/** Where a sprite is now; alive ones sway a little. */
export function placeOf(frame: Frame, sprite: Sprite): Point | undefined {
  const place = frame.layout.placeOf(sprite.number, sprite.name);
  if (!place) return undefined;
  const phase = sprite.number * 2.4;
  const sway = frame.still || sprite.state !== "running" ? 0 : 3;
  const seconds = frame.nowMs / 1_000;
  return toScreen(
    frame,
    place.x + Math.sin(seconds * 0.9 + phase) * sway,
    place.y + Math.cos(seconds * 1.1 + phase) * sway - 6,
  );
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
