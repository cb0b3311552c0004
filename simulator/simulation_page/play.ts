/**
 * Playing: virtual time that goes on by itself, at a speed, or event by event. With reduced motion
 * there are only steps.
 *
 * @module
 */
import { effect, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { atMs, current, entryPlace, event } from "./page_state.ts";
import { seek, seekEntry, seekTime, step } from "./position.ts";
import { entryWords } from "./words.ts";

/** Speeds against real time; 0 is event by event. */
export const speeds = [0, 0.1, 0.5, 1, 10, 100, 1_000] as const;

/** One of {@linkcode speeds}. */
export type Speed = typeof speeds[number];

/** Whether it plays. */
export const isPlaying = signal(false);
/** How fast. */
export const speed = signal<Speed>(0.1);
/** Whether a person asks for as little motion as possible. */
export const isStill = signal(false);

/** The place of an entry at which playing ends; `undefined` is the end of the run. */
export const stopPlace = signal<number | undefined>(undefined);

/** So long is an event to be seen when it goes event by event. */
const eventMs = 600;

let lastFrameMs: number | undefined;
let sinceEventMs = 0;

/** Follows the setting of the system. */
export function startPlay(): void {
  const query = matchMedia("(prefers-reduced-motion: reduce)");
  const follow = () => {
    isStill.value = query.matches;
    if (query.matches) isPlaying.value = false;
  };
  follow();
  query.addEventListener("change", follow);
  effect(() => {
    if (!isPlaying.value) return;
    lastFrameMs = undefined;
    sinceEventMs = eventMs;
    requestAnimationFrame(frame);
  });
}

/** Plays or pauses; from the end it begins anew. With reduced motion it is a step. */
export function togglePlay(): void {
  const run = current.peek();
  if (run === undefined) return;
  if (isStill.peek()) {
    step("event", 1);
    return;
  }
  if (!isPlaying.peek() && event.peek() >= run.info.length) seek(0);
  isPlaying.value = !isPlaying.peek();
}

function frame(nowMs: number): void {
  if (!isPlaying.peek()) return;
  const elapsedMs = lastFrameMs === undefined ? 0 : Math.min(250, nowMs - lastFrameMs);
  lastFrameMs = nowMs;
  advance(elapsedMs);
  requestAnimationFrame(frame);
}

function advance(elapsedMs: number): void {
  const run = current.peek();
  if (run === undefined) return;
  const before = entryPlace.peek();
  if (speed.peek() === 0) {
    sinceEventMs += elapsedMs;
    if (sinceEventMs < eventMs) return;
    sinceEventMs = 0;
    if (!step("event", 1)) isPlaying.value = false;
  } else {
    seekTime(atMs.peek() + elapsedMs * speed.peek());
  }
  if (event.peek() >= run.info.length) isPlaying.value = false;
  const last = stopPlace.peek();
  if (last !== undefined && before < last && entryPlace.peek() >= last) {
    isPlaying.value = false;
    seekEntry(last);
    return;
  }
  stopAtViolation(before);
}

/** Whatever breaks while it plays stops it there: that is what a person is here to see. */
function stopAtViolation(before: number): void {
  const { entries } = current.peek()!.info;
  for (let place = before + 1; place <= entryPlace.peek(); place++) {
    if (entries[place]!.kind !== "VIOLATION") continue;
    isPlaying.value = false;
    seekEntry(place);
    announce(`Stopped. ${entryWords(entries[place]!)}`, 8_000);
    return;
  }
}
