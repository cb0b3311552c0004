/**
 * Looks at the queue now and again: metrics, and whether it is full, so that signups can be refused
 * before their bodies are read.
 *
 * @module
 */
import type { Meter, ObservableGauge, ObservableResult } from "@opentelemetry/api";
import { pause } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import type { QueueStatistics } from "../stores/record_commands.ts";
import type { RecordStore } from "../stores/record_store.ts";

/** Options of {@linkcode watchQueue}. */
export interface QueueWatchOptions {
  store: Pick<RecordStore, "run">;
  meter: Meter;
  world: World;
  signal: AbortSignal;
  /** How often, in milliseconds. @default 2_000 */
  intervalMs?: number;
}

/** Observes until the signal aborts. Where the store cannot be read, what was seen last stands. */
export async function watchQueue(options: QueueWatchOptions): Promise<void> {
  const { store, meter, world, signal, intervalMs = 2_000 } = options;
  let latest: QueueStatistics | undefined;
  const stops = [
    observe(meter, "orb.queue.signups", "{signup}", "Signups by state.", (result) => {
      for (const [state, count] of Object.entries(latest?.byState ?? {})) {
        result.observe(count, { state });
      }
    }),
    observe(
      meter,
      "orb.queue.depth",
      "{signup}",
      "Signups that wait or are worked on.",
      (result) => {
        if (latest) result.observe(latest.byState.queued + latest.byState.processing);
      },
    ),
    observe(
      meter,
      "orb.queue.age",
      "s",
      "How long the oldest signup waits that could be worked on.",
      (result) => {
        if (latest) result.observe(latest.oldestWaitMs / 1_000);
      },
    ),
    observe(meter, "orb.tokens", "{token}", "Image tokens stored.", (result) => {
      if (latest) result.observe(latest.tokens);
    }),
  ];
  try {
    while (!signal.aborted) {
      latest = await store.run({ type: "statistics" }).catch(() => latest);
      await pause(intervalMs, { signal, world });
    }
  } finally {
    for (const stop of stops) stop();
  }
}

function observe(
  meter: Meter,
  name: string,
  unit: string,
  description: string,
  callback: (result: ObservableResult) => void,
): () => void {
  const gauge: ObservableGauge = meter.createObservableGauge(name, { unit, description });
  gauge.addCallback(callback);
  return () => gauge.removeCallback(callback);
}
