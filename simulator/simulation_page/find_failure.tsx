/**
 * "Find me a failure": sweeps seeds in workers, and shows what it finds.
 *
 * @module
 */
import { useSignal } from "@preact/signals";
import { formatCount, formatCounted, formatNumber } from "../../service/page/format.ts";
import type { RunOptions } from "../simulation/engine.ts";
import { startSweep, stopSweep, sweep, sweepLimits } from "./investigation.ts";
import { PatternField, PlantField } from "./new_run.tsx";
import { current } from "./page_state.ts";
import { show } from "./store.ts";
import { invariantTitles, textWords } from "./words.ts";

/** Sweeps seeds in workers, and shows what it finds. */
export function FindFailure() {
  const run = current.value;
  const pattern = useSignal<RunOptions["pattern"]>("outbox");
  const plant = useSignal(14);
  const now = sweep.value;
  if (run === undefined) return null;
  const isRunning = now?.state === "running";
  return (
    <details class="menu">
      <summary class="button">
        Find a failure{isRunning && ` · ${formatNumber(now.seedsPerSecond)} seeds/s`}
      </summary>
      <div class="menu-body">
        <p class="quiet">
          Runs seed after seed of 20 orders, each with faults of its own, on every core of this
          machine.
        </p>
        <PatternField pattern={pattern} />
        <PlantField plant={plant} />
        <div class="menu-actions">
          {isRunning
            ? <button type="button" class="button" onClick={stopSweep}>Stop</button>
            : (
              <button
                type="button"
                class="button"
                onClick={() => startSweep(plant.peek(), { orders: 20, pattern: pattern.peek() })}
              >
                Find me a failure
              </button>
            )}
        </div>
        {now !== undefined && <SweepResult />}
      </div>
    </details>
  );
}

function SweepResult() {
  const { state, seeds, seedsPerSecond, found, plant, given, workers, error } = sweep.value!;
  return (
    <div class="sweep">
      <p role="status">
        {formatCounted(seeds, "seed")}, {formatNumber(seedsPerSecond)} seeds/s by{" "}
        {formatCounted(workers, "worker")}; {formatCounted(found.length, "failure")}
        {state === "running" ? "…" : "."}
      </p>
      {state === "failed" && <p class="error-text">It has failed: {error}</p>}
      {state === "done" && found.length === 0 && (
        <p>
          Nothing in {formatCount(sweepLimits.seeds)}{" "}
          seeds. Choose another pattern or a planted bug to see what a failure is like.
        </p>
      )}
      <ul class="sweep-found">
        {found.map(({ seed, violations }) => (
          <li key={seed}>
            <button
              type="button"
              class="event-button"
              onClick={() => void show({ seed, plant, given }, "found by the sweep")}
            >
              <b>seed {seed}</b>
              <span>
                <span class="error-text">{invariantTitles[violations[0]!.invariant]}</span>:{" "}
                {textWords(violations[0]!.text)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
