/**
 * The token of an image: what Rust's `DefaultHasher` says of its bytes (SipHash-1-3, key 0/0, over
 * the length as u64 little-endian and the bytes), as lower-case hex without leading zeros.
 *
 * A token is for show. It is 64 bits long and unkeyed, so two images with the same token can be
 * made on purpose: uniqueness is decided on SHA-256, in `token_store.ts`.
 *
 * @module
 */
import { sipHashModule } from "./sip_hash_gen.ts";

interface SipHash {
  readonly memory: WebAssembly.Memory;
  hash(length: number): bigint;
}

const pageBytes = 65_536;
/** Where the message begins: the word before it is the module's own. */
const messageOffset = 8;
/** The module reads whole words, so it may read this much behind the message. */
const slackBytes = 8;

const sipHash = new WebAssembly.Instance(
  new WebAssembly.Module(Uint8Array.fromBase64(sipHashModule)),
).exports as unknown as SipHash;
let view = new Uint8Array(sipHash.memory.buffer);

/**
 * Memory in which an image may be made, so that {@linkcode hashToken} need not copy it. It is
 * everybody's: whatever is in it is there until this or `hashToken` is called again.
 *
 * @example
 * ```ts
 * const image = tokenMemory(5);
 * image.set([1, 2, 3, 4, 5]);
 * hashToken(image); // "371dd8e3f2423f4a"
 * ```
 */
export function tokenMemory(length: number): Uint8Array {
  const missingBytes = messageOffset + length + slackBytes - view.length;
  if (missingBytes > 0) {
    sipHash.memory.grow(Math.ceil(missingBytes / pageBytes));
    view = new Uint8Array(sipHash.memory.buffer);
  }
  return view.subarray(messageOffset, messageOffset + length);
}

/**
 * The token of an image.
 *
 * @example
 * ```ts
 * hashToken(new Uint8Array([1, 2, 3, 4, 5])); // "371dd8e3f2423f4a"
 * ```
 */
export function hashToken(image: Uint8Array): string {
  if (image.buffer !== view.buffer) tokenMemory(image.length).set(image);
  return BigInt.asUintN(64, sipHash.hash(image.length)).toString(16);
}
