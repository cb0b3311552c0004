/**
 * The knobs of each kind of fault at a point: how long it goes on, how late it makes a call, which way
 * it affects.
 *
 * @module
 */
import { formatDuration } from "../../service/page/format.ts";
import { type FaultKind, type FaultKnobs, isCrash, knobsOfKind } from "../simulation/engine.ts";
import type { FaultTarget } from "./fault_target.ts";
import type { PointFault } from "./faults.ts";
import { drawn, durations, orDrawn, type SliderScale, steps } from "./slider_scale.ts";

/** A duration that is set by a slider. */
export interface PointKnob {
  readonly field: "minDurationMs" | "delayMs";
  readonly label: string;
  readonly scale: SliderScale;
  /** A value in words, with its unit. */
  words(value: number): string;
}

type Limits = Pick<FaultTarget, "usual" | "maxMs">;

/** The sliders of a kind. */
export function slidersOf(kind: FaultKind, { usual, maxMs }: Limits): readonly PointKnob[] {
  return (["minDurationMs", "delayMs"] as const)
    .filter((field) => knobsOfKind[kind].includes(field))
    .map((field) => {
      const scale = steps([0, ...durations].filter((ms) => ms <= maxMs));
      return {
        field,
        label: labelOf(kind, field),
        scale: usual(kind)[field] === undefined ? orDrawn(scale) : scale,
        words: (ms) => durationWords(kind, field, ms),
      };
    });
}

/** Whether a kind affects one way or both. */
export function hasDirection(kind: FaultKind): boolean {
  return knobsOfKind[kind].includes("direction");
}

/** What a fault's knob stands at. */
export function valueOf(
  fault: PointFault,
  { field }: Pick<PointKnob, "field">,
  { usual }: Limits,
): number {
  return fault[field] ?? usual(fault.kind)[field] ?? drawn;
}

function labelOf(kind: FaultKind, field: PointKnob["field"]): string {
  if (field === "delayMs") {
    return kind === "duplicate" ? "Again after" : kind === "reorder" ? "Held for" : "Late by";
  }
  return isCrash(kind) ? "Down for" : kind === "outage" ? "Lasts" : "Goes on for";
}

function durationWords(kind: FaultKind, field: PointKnob["field"], ms: number): string {
  if (ms === drawn) return "as drawn";
  if (field === "delayMs" || kind === "outage") return formatDuration(ms);
  if (isCrash(kind)) return `${formatDuration(ms)} or more`;
  return ms === 0 ? "one call" : formatDuration(ms);
}

/** Which way is affected, in words. */
export const directionWords: Readonly<Record<NonNullable<FaultKnobs["direction"]>, string>> = {
  both: "both ways",
  there: "one way: there",
  back: "one way: back",
};

/** What is set beside how likely, in a few words; empty where nothing is. */
export function knobsInWords(fault: PointFault, limits: Limits): string {
  const words = slidersOf(fault.kind, limits)
    .filter(({ field }) => fault[field] !== undefined)
    .map(({ field, label, words }) => `${label.toLowerCase()} ${words(fault[field]!)}`);
  if (fault.direction !== undefined) words.push(directionWords[fault.direction]);
  return words.join(", ");
}
