/**
 * Where the page is in the run that is shown: anywhere by event, by entry and by time, and step by step.
 *
 * @module
 */
import { batch } from "@preact/signals";
import { setParams } from "../../service/page/url_state.ts";
import type { LogEntry } from "../simulation/engine.ts";
import { atMs, current, entryPlace, event, message } from "./page_state.ts";
import type { RunInfo } from "./protocol.ts";
import { isQuiet } from "./words.ts";

/** The place of the last entry up to an event; -1 before the first. */
export function placeAt(entries: readonly LogEntry[], event: number): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle]!.event <= event) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The last event of a run that has run at that time. */
export function eventAt({ timesMs }: RunInfo, ms: number): number {
  let [low, high] = [0, timesMs.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (timesMs[middle]! <= ms) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Goes to an event of the run that is shown. */
export function seek(to: number): void {
  const run = current.peek();
  if (run === undefined) return;
  const target = Math.max(0, Math.min(run.info.length, Math.round(to)));
  batch(() => {
    event.value = target;
    atMs.value = run.info.timesMs[target]!;
    entryPlace.value = placeAt(run.info.entries, target);
  });
  rememberPosition();
}

/** Goes to an entry of the log of the run that is shown: several can be of one event. */
export function seekEntry(place: number): void {
  const entry = current.peek()?.info.entries[place];
  if (entry === undefined) return;
  batch(() => {
    seek(entry.event);
    entryPlace.value = place;
  });
}

/** Goes to a time of the run that is shown, in milliseconds. */
export function seekTime(ms: number): void {
  const run = current.peek();
  if (run === undefined) return;
  const target = Math.max(0, Math.min(run.info.endMs, ms));
  batch(() => {
    event.value = eventAt(run.info, target);
    atMs.value = target;
    entryPlace.value = placeAt(run.info.entries, event.value);
  });
  rememberPosition();
}

let rememberTimer: ReturnType<typeof setTimeout> | undefined;

/** The address follows once a person rests: browsers refuse to be told at each frame. */
function rememberPosition(): void {
  clearTimeout(rememberTimer);
  rememberTimer = setTimeout(() => {
    const { entries } = current.peek()!.info;
    const place = entryPlace.peek();
    const isUsual = place === placeAt(entries, event.peek());
    setParams({ at: event.peek(), entry: isUsual ? undefined : place }, { replace: true });
  }, 400);
}

/** What a step goes to: the next event, or the next that a message does. */
export type StepBy = "event" | "message";

const movements = new Set(["publish", "deliver", "acknowledge", "effect", "placed", "parked"]);

/** Goes one step on, or back; gives whether there was one. */
export function step(by: StepBy, direction: 1 | -1): boolean {
  const run = current.peek();
  if (run === undefined) return false;
  const { entries } = run.info;
  const looked = message.peek();
  const isWanted = (entry: LogEntry) =>
    by === "event"
      ? !isQuiet(entry)
      : looked === undefined
      ? movements.has(entry.kind) || entry.kind.startsWith("fault-")
      : isAbout(entry, looked);
  let place = entryPlace.peek() + direction;
  while (place >= 0 && place < entries.length && !isWanted(entries[place]!)) place += direction;
  const entry = entries[place];
  if (entry === undefined) {
    if (direction === -1 && event.peek() > 0) {
      seek(0);
      return true;
    }
    if (direction === 1 && event.peek() < run.info.length) {
      seek(run.info.length);
      return true;
    }
    return false;
  }
  seekEntry(place);
  return true;
}

/** Whether an entry is about a message, or the order that it belongs to. */
export function isAbout({ subject, messages, kind, detail }: LogEntry, wanted: string): boolean {
  const number = wanted.slice(1);
  const isIt = (text: string) => /^[or]\d+$/.test(text) && text.slice(1) === number;
  return isIt(subject) || messages.some(isIt) || kind === "claim" && detail.split(" ").some(isIt);
}

/**
 * When something happens that is done to the run where the page is: after the event that is shown, as
 * what has been seen is not to change.
 */
export function interventionMs(): number {
  const run = current.peek();
  if (run === undefined || event.peek() === 0 && atMs.peek() === 0) return 0;
  // Whole microseconds, as the run counts them.
  return Math.round(Math.max(atMs.peek(), run.info.timesMs[event.peek()]! + 0.001) * 1_000) / 1_000;
}
