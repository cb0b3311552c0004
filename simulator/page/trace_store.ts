/**
 * The trace that is followed: which one, how far it has been played, and how it goes on.
 *
 * @module
 */
import { computed, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { address, setParams } from "../../service/page/url_state.ts";
import { model } from "./store.ts";
import {
  sharedTraces,
  slowness,
  stepAt,
  stepWords,
  type TracePath,
  tracePath,
} from "./trace_path.ts";

/** The trace that is followed, as the address says. */
export const followed = computed(() => address.value.params.get("trace") ?? undefined);
/** Its path, while any of its events is known. */
export const path = signal<TracePath | undefined>(undefined);
/** How far it has been played, in its own milliseconds. */
export const playheadMs = signal(0);
/** Whether it is played. */
export const playing = signal(false);

/** Takes in what has come of it; for the page's tick. */
export function refreshPath(): void {
  const traceId = followed.peek();
  const before = path.peek();
  if (traceId === undefined) {
    if (before !== undefined) path.value = undefined;
    return;
  }
  const now = tracePath(model.events, traceId);
  const isSame = before?.traceId === traceId;
  // What the page remembers has an end: a path that is looked at does not fall apart.
  if (isSame && (now?.steps.length ?? 0) <= before.steps.length) return;
  path.value = now;
  if (!isSame) {
    playheadMs.value = 0;
    playing.value = false;
  }
}

/** Lets so much time pass, as a person feels it. */
export function playTrace(elapsedMs: number): void {
  const { value } = path;
  if (!playing.peek() || value === undefined) return;
  playheadMs.value = Math.min(
    value.durationMs,
    playheadMs.peek() + elapsedMs / slowness(value.durationMs),
  );
  if (playheadMs.peek() >= value.durationMs) playing.value = false;
}

/** Plays on, from the beginning if it has come to its end; or stops. */
export function togglePlay(): void {
  const { value } = path;
  if (value === undefined) return;
  if (!playing.peek() && playheadMs.peek() >= value.durationMs) playheadMs.value = 0;
  playing.value = !playing.peek();
}

/** Goes to a step and says it. */
export function seekStep(index: number): void {
  const { value } = path;
  const step = value?.steps[Math.min(value.steps.length - 1, Math.max(0, index))];
  if (value === undefined || step === undefined) return;
  playing.value = false;
  playheadMs.value = step.atMs;
  chosen.value = value.steps.indexOf(step);
  announce(stepWords(value, step));
}

/** The step that was chosen: steps at one time cannot be told apart by it. */
const chosen = signal<number | undefined>(undefined);

/** The index of the step that is shown. */
export const shownStep = computed(() => {
  const { value } = path;
  if (value === undefined) return 0;
  const one = chosen.value === undefined ? undefined : value.steps[chosen.value];
  return one?.atMs === playheadMs.value ? chosen.value! : stepAt(value, playheadMs.value);
});

/** Follows the next trace that sprites share, or the one before. */
export function followNext(by: 1 | -1): void {
  const traces = sharedTraces(model.events);
  if (traces.length === 0) {
    return announce("No trace has gone from one process to another yet");
  }
  const at = traces.indexOf(followed.peek() ?? "");
  // The newest is what a person has just seen.
  const next = at === -1 ? traces.length - 1 : (at + by + traces.length) % traces.length;
  follow(traces[next]);
}

/** Follows a trace, or none. */
export function follow(traceId: string | undefined): void {
  setParams({ trace: traceId });
  chosen.value = undefined;
  refreshPath();
}
