/**
 * What goes wrong in a run beyond the eight points, where it is not drawn from the seed.
 *
 * @module
 */
import { formatCounted, formatDuration, formatPercent } from "../../service/page/format.ts";
import type { RunOptions } from "../simulation/engine.ts";
import { drawn, durations, orDrawn, rateScale, type SliderScale, steps } from "./slider_scale.ts";

/** Options that can be set. */
export type TroubleOption = "capacity" | "poison" | "slow" | "skewMs" | "crashes" | "pauses";

/** What is set. */
export type GivenTrouble = Partial<Pick<RunOptions, TroubleOption>>;

/** A slider of an option. */
export interface TroubleKnob {
  readonly option: TroubleOption;
  readonly label: string;
  readonly scale: SliderScale;
  /** A value in words, with its unit. */
  words(value: number): string;
}

const orAsDrawn = (words: (value: number) => string) => (value: number) =>
  value === drawn ? "as drawn" : words(value);

const knob = (
  option: TroubleOption,
  label: string,
  scale: SliderScale,
  words: (value: number) => string,
): TroubleKnob => ({ option, label, scale: orDrawn(scale), words: orAsDrawn(words) });

const ofMessages = (rate: number) => `${formatPercent(rate)} of messages`;
const times = (count: number) => formatCounted(count, "time");
const counts = steps([0, 1, 2, 3, 5, 10, 20, 50, 100]);

/** All of them. */
export const troubleKnobs: readonly TroubleKnob[] = [
  knob(
    "capacity",
    "Full queue",
    steps([1, 2, 3, 4, 5, 10, 20, 50, 100, 1_000, 100_000]),
    (room) => `room for ${formatCounted(room, "message")}`,
  ),
  knob("poison", "Poison", rateScale, ofMessages),
  knob("slow", "Slow", rateScale, ofMessages),
  knob(
    "skewMs",
    "Clock skew",
    steps([0, ...durations.filter((ms) => ms <= 600_000)]),
    (ms) => ms === 0 ? "none" : `up to ${formatDuration(ms)}`,
  ),
  knob("crashes", "Crashes", counts, times),
  knob("pauses", "Pauses", counts, times),
];
