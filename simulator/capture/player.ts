/**
 * Plays a capture: its events come in again in their order, at their distances in time divided by
 * the speed, each from the client it was of.
 *
 * @module
 */
import { pause } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import type { ClientSource } from "../events/clients.ts";
import type { Recorder } from "../events/recorder.ts";
import { type CapturedEvent, readCapture } from "./capture_file.ts";

/** The slowest and the fastest that a capture is played. */
export const speedBounds = { min: 0.1, max: 100 } as const;

/** Options of {@linkcode playCapture}. */
export interface PlayOptions {
  /** The file. */
  path: string;
  /** How many times as fast as it happened, 0.1 to 100. @default 1 */
  speed?: number;
  recorder: Recorder;
  /** Ends it early. */
  signal: AbortSignal;
  world: World;
}

/** The longest silence that is kept, in milliseconds as played: nobody watches an empty stage. */
const longestPauseMs = 60_000;

/**
 * Plays it; resolves with the number of events when its end is reached or the signal aborts.
 *
 * @throws {CaptureError} the file cannot be read, is no capture, or has a broken line
 * @throws {RangeError} the speed is out of its bounds
 */
export async function playCapture(options: PlayOptions): Promise<number> {
  const { path, speed = 1, recorder, signal, world } = options;
  if (!(speed >= speedBounds.min && speed <= speedBounds.max)) {
    throw new RangeError(
      `Cannot play as 'speed' must be from ${speedBounds.min} to ${speedBounds.max}: current value is ${speed}`,
    );
  }
  const sources = new Map<number, ClientSource>();
  let played = 0;
  let dueMs = world.monotonicMs();
  let previous: CapturedEvent | undefined;
  for await (const event of readCapture(path)) {
    if (previous) {
      // Clocks jump: an event is never before the one that came before it.
      const gapMs = Math.max(0, event.atMs - previous.atMs) / speed;
      dueMs += Math.min(gapMs, longestPauseMs);
    }
    previous = event;
    const waitMs = dueMs - world.monotonicMs();
    // By the time it is due, not by each pause: many short ones would add up their lateness.
    if (waitMs >= 1) await pause(waitMs, { signal, world });
    if (signal.aborted) break;
    if (event.client === 0) {
      // The server that plays says its own; but whose connection was lost is lost again.
      sources.get(lostClient(event.json))?.end();
      continue;
    }
    let source = sources.get(event.client);
    if (!source) sources.set(event.client, source = recorder.source());
    recorder.take(event.json, source);
    played++;
  }
  for (const source of sources.values()) source.end();
  return played;
}

/** The client that the server's event says was lost; -1 when it is another event. */
function lostClient(json: string): number {
  if (!json.includes('"event":"clientLost"')) return -1;
  const { attributes } = JSON.parse(json) as {
    attributes?: { key: string; value: { value?: unknown } }[];
  };
  return Number(attributes?.find(({ key }) => key === "client")?.value.value ?? -1);
}
