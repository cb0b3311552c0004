/**
 * What a space-time diagram shows of a run: the events around a position, one lane for each part, and
 * lines from what has led to what.
 *
 * @module
 */
import type { LogEntry } from "../simulation/engine.ts";
import { causesIn, pastOf } from "./causes.ts";
import { keyOf, type Keys, keysOf } from "./message_key.ts";
import type { RunInfo } from "./protocol.ts";
import { nodeOfPart } from "./topology_layout.ts";
import { isQuiet } from "./words.ts";

/** Lanes, along the way of an order. */
export const laneNames = [
  "frontend",
  "backend-1",
  "relay-1",
  "lambda-2",
  "processor-2",
  "relay-2",
  "lambda-1",
  "processor-1",
  "world",
] as const;

/** One of {@linkcode laneNames}. */
export type LaneName = typeof laneNames[number];

/** What is left out. */
export interface SpaceTimeFilter {
  readonly hidden: ReadonlySet<LaneName>;
  /** Only orders of this key, from 1. @default all keys */
  readonly key?: number | undefined;
  /** Only what has led to the event at the position. @default false */
  readonly isPastOnly?: boolean;
}

/** An event in the diagram. */
export interface Dot {
  readonly place: number;
  readonly entry: LogEntry;
  /** From the left, from 0. */
  readonly column: number;
  readonly lane: LaneName;
}

/** A line between two events, by their places. */
export interface Line {
  readonly from: Dot;
  readonly to: Dot;
}

/** A diagram. */
export interface SpaceTime {
  readonly dots: readonly Dot[];
  readonly lines: readonly Line[];
}

/** The lane of a part. */
export function laneOf(part: string): LaneName {
  const node = nodeOfPart(part);
  return (laneNames as readonly string[]).includes(node ?? "") ? node as LaneName : "world";
}

/** The diagram around a position, of at most so many events. */
export function spaceTime(
  info: RunInfo,
  position: number,
  { hidden, key, isPastOnly = false }: SpaceTimeFilter,
  most: number,
): SpaceTime {
  const { entries, options } = info;
  const keys = keysOf(options);
  const past = isPastOnly ? pastOf(info, position) : undefined;
  const isShown = (place: number) => {
    const entry = entries[place]!;
    if (past !== undefined ? !past.has(place) : isQuiet(entry)) return false;
    if (hidden.has(laneOf(entry.part))) return false;
    return key === undefined || isOfKey(entry, key, keys);
  };
  const chosen: number[] = [];
  // What has been is worth more room than what will be.
  const before = isPastOnly ? most : Math.ceil(most * 2 / 3);
  for (let place = position; place >= 0 && chosen.length < before; place--) {
    if (isShown(place)) chosen.unshift(place);
  }
  for (let place = position + 1; place < entries.length && chosen.length < most; place++) {
    if (isShown(place)) chosen.push(place);
  }
  const dots = chosen.map((place, column): Dot => {
    const entry = entries[place]!;
    return { place, entry, column, lane: laneOf(entry.part) };
  });
  const byPlace = new Map(dots.map((dot) => [dot.place, dot]));
  const lines = dots.flatMap((to) =>
    causesIn(info)[to.place]!.flatMap((cause): Line[] => {
      const from = byPlace.get(cause);
      return from === undefined || from.entry.part === to.entry.part ? [] : [{ from, to }];
    })
  );
  return { dots, lines };
}

function isOfKey(
  { subject, messages, detail, kind }: LogEntry,
  key: number,
  keys: Keys,
): boolean {
  const isIt = (text: string) => /^[or]\d+$/.test(text) && keyOf(text, keys) === key;
  return isIt(subject) || messages.some(isIt) || kind === "claim" && detail.split(" ").some(isIt);
}
