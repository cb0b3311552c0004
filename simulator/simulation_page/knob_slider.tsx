/**
 * A slider whose value is set once it has rested, and what it is set to.
 *
 * @module
 */
import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { SliderScale } from "./slider_scale.ts";

/** Options of {@linkcode KnobSlider}. */
export interface KnobSliderProps {
  /** What stands beside it. @default nothing does */
  label?: string;
  /** What it is called where what is around it cannot be seen. */
  name: string;
  /** What is set, which may lie between two places of the slider. */
  value: number;
  scale: SliderScale;
  disabled?: boolean;
  words: (value: number) => string;
  /** For so long it has to rest, in milliseconds: a drag is one change, not a hundred. @default 250 */
  restMs?: number;
  /** Sets it; until that is done the slider stays where it was put. */
  onSet: (value: number) => void | Promise<unknown>;
}

/** See the module. */
export function KnobSlider(props: KnobSliderProps) {
  const { label, name, value, scale, disabled = false, words, restMs = 250, onSet } = props;
  const dragged = useSignal<number | undefined>(undefined);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const shown = dragged.value === undefined ? value : scale.valueOf(dragged.value);
  function slide(place: number) {
    dragged.value = place;
    clearTimeout(timer.current);
    const mine = timer.current = setTimeout(async () => {
      try {
        await onSet(scale.valueOf(place));
      } finally {
        if (timer.current === mine) dragged.value = undefined;
      }
    }, restMs);
  }
  return (
    <>
      <label>
        {label !== undefined && <span class="knob-label">{label}</span>}
        <input
          type="range"
          min="0"
          max={scale.last}
          value={dragged.value ?? scale.placeOf(value)}
          disabled={disabled}
          aria-label={name}
          aria-valuetext={words(shown)}
          onInput={({ currentTarget }) => slide(Number(currentTarget.value))}
        />
      </label>
      <span class="fault-rate">{words(shown)}</span>
    </>
  );
}
