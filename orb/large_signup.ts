/**
 * The body of a large signup without the text that it is: base64 is decoded out of the pieces in
 * which it came, straight to where it is hashed. An image of 213 kB is otherwise written five times
 * (joined, as text, as JSON's string, decoded, hashed), which takes longer than to hash it.
 *
 * It knows the form that programs send, and leaves every other one, and every fault, to
 * `parseSignup`.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { tokenMemory } from "./hash_token.ts";
import { isJsonText } from "./json_text.ts";

/** What stands for the image in what is left of the body. */
export const imageMark = "@";

/** A signup whose image is decoded already. */
export interface LargeSignup {
  /** The body, with {@linkcode imageMark} for its image. */
  readonly envelope: string;
  /** In `tokenMemory`: to be used before anything else is awaited. */
  readonly image: Uint8Array;
}

/** Below it the plain way is as fast. */
const minBytes = 16_384;
/** The most bytes of what is not the image. */
const maxEnvelopeBytes = 4_096;
const opening = Buffer.from('"image_base64":"');
const quote = 0x22;

/**
 * Reads a signup; nothing where the body has not the form that is known here.
 *
 * @example
 * ```ts
 * const large = readLargeSignup(await readPieces(request, { limitBytes }));
 * const { id } = parseSignup(large.envelope);
 * ```
 */
export function readLargeSignup(pieces: readonly Uint8Array[]): LargeSignup | undefined {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  if (length < minBytes) return undefined;
  const [first, ...others] = pieces.map(asBuffer);
  const start = first!.subarray(0, maxEnvelopeBytes).indexOf(opening);
  if (start < 0) return undefined;
  const from = start + opening.length;
  const text = untilQuote([first!.subarray(from), ...others]);
  if (!text) return undefined;
  const before = new TextDecoder().decode(first!.subarray(0, from));
  const after = new TextDecoder().decode(text.rest);
  // An escape could be the mark, and the mark in another place would be taken for the image.
  if (/[\\@]/.test(before) || /[\\@]/.test(after)) return undefined;
  const envelope = before + imageMark + after;
  // What is none is refused by who reads the whole body, and can say where.
  const image = isJsonText(envelope) ? decode(text.parts) : undefined;
  return image && { envelope, image };
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/**
 * What comes before the next quote, and what from it on, which is short. So it is looked for at the
 * end only: one before that is found by who decodes what has none in it.
 */
function untilQuote(
  pieces: readonly Buffer[],
): { parts: Buffer[]; rest: Buffer } | undefined {
  let from = -maxEnvelopeBytes;
  for (const { length } of pieces) from += length;
  for (const [index, piece] of pieces.entries()) {
    // Of a typed array: a Buffer's own goes byte by byte in JavaScript.
    const end = from >= piece.length
      ? -1
      : Uint8Array.prototype.indexOf.call(piece, quote, Math.max(0, from));
    from -= piece.length;
    if (end < 0) continue;
    return {
      parts: [...pieces.slice(0, index), piece.subarray(0, end)],
      rest: Buffer.concat([piece.subarray(end), ...pieces.slice(index + 1)]),
    };
  }
  return undefined;
}

/** Standard base64 with its padding and nothing else (RFC 4648, section 4), in parts of any length. */
function decode(parts: readonly Buffer[]): Uint8Array | undefined {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length === 0 || length % 4 !== 0) return undefined;
  const memory = tokenMemory(length / 4 * 3);
  let left = "";
  let read = 0;
  let written = 0;
  const append = (text: string): boolean => {
    const bytes = decodePart(text, memory.subarray(written));
    if (bytes === undefined) return false;
    read += text.length;
    written += bytes;
    // White space is skipped, and padding is for the end only.
    return read === length || bytes === text.length / 4 * 3;
  };
  for (const part of parts) {
    // A quantum of four characters may lie in two parts. A text that is joined would be copied.
    const from = left === "" ? 0 : Math.min(4 - left.length, part.length);
    left += part.toString("latin1", 0, from);
    if (left.length === 4) {
      if (!append(left)) return undefined;
      left = "";
    }
    const to = part.length - (part.length - from) % 4;
    if (to > from && !append(part.toString("latin1", from, to))) return undefined;
    left += part.toString("latin1", to);
  }
  return Math.ceil(written / 3) * 4 === length ? memory.subarray(0, written) : undefined;
}

function decodePart(text: string, target: Uint8Array): number | undefined {
  try {
    return target.setFromBase64(text, { lastChunkHandling: "strict" }).written;
  } catch {
    // No base64: who reads the body the plain way says so, in its words.
    return undefined;
  }
}
