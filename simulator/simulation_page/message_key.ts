/**
 * Which key a message has: messages of a key keep their order, and have one colour.
 *
 * @module
 */
import type { RunOptions } from "../simulation/engine.ts";

/** How many keys there are, or the key of each order where they do not take turns. */
export type Keys = number | readonly string[];

/** The keys of a run's messages. */
export function keysOf({ keys, orderKeys }: RunOptions): Keys {
  return orderKeys ?? keys;
}

/** The key of a message, from 1: `k1` is 1. */
export function keyOf(message: string, keys: Keys): number {
  const number = Number(message.slice(1));
  if (typeof keys === "number") return 1 + (number % keys || 0);
  return Number(keys[number - 1]?.slice(1)) || 1;
}

/** The colour of a message's key, of the seven that there are. */
export function keyColor(message: string, keys: Keys): number {
  return (keyOf(message, keys) - 1) % 7;
}
