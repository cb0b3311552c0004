/**
 * Ids of traces and spans (W3C Trace Context, sections 3.2.2.3 and 3.2.2.4): random hexadecimal
 * digits, not all zero.
 *
 * @module
 */
import type { World } from "../world/world.ts";

const digit = Uint8Array.from("0123456789abcdef", (character) => character.charCodeAt(0));

/** Sixteen digits. In one call: what is put together of pieces has to be flattened when it is read. */
export function randomSpanId(world: Pick<World, "random">): string {
  const a = randomWord(world);
  const b = randomWord(world);
  if ((a | b) === 0) return randomSpanId(world);
  // deno-fmt-ignore
  return String.fromCharCode(
    digit[a >>> 28]!, digit[a >>> 24 & 15]!, digit[a >>> 20 & 15]!, digit[a >>> 16 & 15]!,
    digit[a >>> 12 & 15]!, digit[a >>> 8 & 15]!, digit[a >>> 4 & 15]!, digit[a & 15]!,
    digit[b >>> 28]!, digit[b >>> 24 & 15]!, digit[b >>> 20 & 15]!, digit[b >>> 16 & 15]!,
    digit[b >>> 12 & 15]!, digit[b >>> 8 & 15]!, digit[b >>> 4 & 15]!, digit[b & 15]!,
  );
}

/** Thirty-two digits. */
export function randomTraceId(world: Pick<World, "random">): string {
  const a = randomWord(world);
  const b = randomWord(world);
  const c = randomWord(world);
  const d = randomWord(world);
  if ((a | b | c | d) === 0) return randomTraceId(world);
  // deno-fmt-ignore
  return String.fromCharCode(
    digit[a >>> 28]!, digit[a >>> 24 & 15]!, digit[a >>> 20 & 15]!, digit[a >>> 16 & 15]!,
    digit[a >>> 12 & 15]!, digit[a >>> 8 & 15]!, digit[a >>> 4 & 15]!, digit[a & 15]!,
    digit[b >>> 28]!, digit[b >>> 24 & 15]!, digit[b >>> 20 & 15]!, digit[b >>> 16 & 15]!,
    digit[b >>> 12 & 15]!, digit[b >>> 8 & 15]!, digit[b >>> 4 & 15]!, digit[b & 15]!,
    digit[c >>> 28]!, digit[c >>> 24 & 15]!, digit[c >>> 20 & 15]!, digit[c >>> 16 & 15]!,
    digit[c >>> 12 & 15]!, digit[c >>> 8 & 15]!, digit[c >>> 4 & 15]!, digit[c & 15]!,
    digit[d >>> 28]!, digit[d >>> 24 & 15]!, digit[d >>> 20 & 15]!, digit[d >>> 16 & 15]!,
    digit[d >>> 12 & 15]!, digit[d >>> 8 & 15]!, digit[d >>> 4 & 15]!, digit[d & 15]!,
  );
}

function randomWord(world: Pick<World, "random">): number {
  return world.random() * 0x1_0000_0000 >>> 0;
}
