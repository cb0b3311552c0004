/**
 * What is to be run next: a seed, and what is not drawn from it.
 *
 * @module
 */
import { useRef } from "preact/hooks";
import { type Signal, useSignal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { plants, type RunOptions } from "../simulation/engine.ts";
import { KnobSlider } from "./knob_slider.tsx";
import { type GivenTrouble, troubleKnobs } from "./run_trouble.ts";
import { drawn } from "./slider_scale.ts";
import type { Branch } from "./page_state.ts";
import { show } from "./store.ts";

/** What can be chosen. */
export const patterns = ["outbox", "dual-write", "fire-and-forget"] as const;

/** See the module. */
export function NewRun({ run }: { run: Branch }) {
  const { input, options } = run.info;
  const seed = useSignal(String(input.seed));
  const orders = useSignal(String(options.orders));
  const pattern = useSignal<RunOptions["pattern"]>(options.pattern);
  const plant = useSignal(input.plant ?? 0);
  const trouble = useSignal<GivenTrouble>({});
  const menu = useRef<HTMLDetailsElement>(null);
  function start(chosen: number) {
    const count = Number(orders.peek());
    if (!Number.isInteger(chosen) || chosen < 0 || chosen > 0xffff_ffff) {
      return announce("The seed must be a whole number from 0 to 4,294,967,295");
    }
    if (!Number.isInteger(count) || count < 1 || count > 1_000) {
      return announce("The orders must be a whole number from 1 to 1,000");
    }
    seed.value = String(chosen);
    menu.current!.open = false;
    const given = { orders: count, pattern: pattern.peek(), ...trouble.peek() };
    void show({ seed: chosen, plant: plant.peek(), given }, "drawn from its seed");
  }
  return (
    <details class="menu" ref={menu}>
      <summary class="button">New run</summary>
      <form
        class="menu-body"
        onSubmit={(event) => {
          event.preventDefault();
          start(Number(seed.peek()));
        }}
      >
        <p class="quiet">
          Faults, instances and times are drawn from the seed: half of all kinds of fault are
          absent.
        </p>
        <NumberField label="Seed" text={seed} />
        <NumberField label="Orders" text={orders} />
        <PatternField pattern={pattern} />
        <PlantField plant={plant} />
        <TroubleFields trouble={trouble} />
        <div class="menu-actions">
          <button type="submit" class="button">Run this seed</button>
          <button
            type="button"
            class="button"
            onClick={() => start(Math.floor(Math.random() * 1_000_000))}
          >
            Any seed
          </button>
        </div>
      </form>
    </details>
  );
}

function NumberField({ label, text }: { label: string; text: Signal<string> }) {
  return (
    <label class="menu-field">
      {label}
      <input
        type="text"
        inputMode="numeric"
        value={text.value}
        onInput={({ currentTarget }) => text.value = currentTarget.value}
      />
    </label>
  );
}

/** How messages get to the bus. */
export function PatternField({ pattern }: { pattern: Signal<RunOptions["pattern"]> }) {
  return (
    <label class="menu-field">
      Pattern
      <select
        value={pattern.value}
        onChange={({ currentTarget }) =>
          pattern.value = currentTarget.value as RunOptions["pattern"]}
      >
        {patterns.map((one) => <option key={one} value={one}>{one}</option>)}
      </select>
    </label>
  );
}

/** A bug that is in the parts. */
export function PlantField({ plant }: { plant: Signal<number> }) {
  return (
    <label class="menu-field">
      Planted bug
      <select
        value={String(plant.value)}
        onChange={({ currentTarget }) => plant.value = Number(currentTarget.value)}
      >
        <option value="0">none</option>
        {plants.map(({ number, mechanism }) => (
          <option key={number} value={String(number)}>{number}: {mechanism}</option>
        ))}
      </select>
    </label>
  );
}

/** What goes wrong beyond the points, unless it is drawn. */
function TroubleFields({ trouble }: { trouble: Signal<GivenTrouble> }) {
  return (
    <details class="new-run-trouble">
      <summary class="text-button">Beyond the points</summary>
      <div class="knob-rows">
        {troubleKnobs.map(({ option, label, scale, words }) => (
          <div key={option} class="knob-row">
            <KnobSlider
              label={label}
              name={label}
              value={trouble.value[option] ?? drawn}
              scale={scale}
              words={words}
              restMs={0}
              onSet={(value) => {
                const { [option]: _, ...others } = trouble.peek();
                trouble.value = value === drawn ? others : { ...others, [option]: value };
              }}
            />
          </div>
        ))}
      </div>
    </details>
  );
}
