/**
 * What has led to what in a run that the page has: worked out once for each.
 *
 * @module
 */
import { causalPast, causesOf } from "../simulation/causality.ts";
import type { RunInfo } from "./protocol.ts";

const known = new WeakMap<RunInfo, readonly (readonly number[])[]>();

/** By entry, the places of those that it follows from directly. */
export function causesIn(info: RunInfo): readonly (readonly number[])[] {
  let causes = known.get(info);
  if (causes === undefined) known.set(info, causes = causesOf(info.entries));
  return causes;
}

/** The place of the entry of another part that an entry follows from; `undefined` if there is none. */
export function causeOf(info: RunInfo, place: number): number | undefined {
  const { entries } = info;
  const others = causesIn(info)[place]!.filter((one) =>
    entries[one]!.part !== entries[place]!.part
  );
  return others.length === 0 ? undefined : Math.max(...others);
}

/** Everything that has led to an entry, itself included. */
export function pastOf(info: RunInfo, place: number): ReadonlySet<number> {
  return new Set(place < 0 ? [] : causalPast(causesIn(info), place));
}
