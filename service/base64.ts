/**
 * Base64 and base64url (RFC 4648, sections 4 and 5) as they are written, and nothing else: no white
 * space, no line breaks, no bits left over, padding whole or none. So a text has one meaning, and
 * bytes have one text.
 *
 * @module
 */

/** The two alphabets. */
export type Base64Alphabet = "base64" | "base64url";

/**
 * The bytes of a text; nothing if it is not strictly what it claims to be.
 *
 * @param alphabet the only one that is taken
 *
 * @example
 * ```ts
 * decodeBase64("_w", "base64url"); // Uint8Array [255]
 * decodeBase64("_x", "base64url"); // undefined: the last character has bits that belong to no byte
 * decodeBase64("/w=", "base64"); // undefined: half of the padding
 * ```
 */
export function decodeBase64(
  text: string,
  alphabet: Base64Alphabet,
): Uint8Array<ArrayBuffer> | undefined {
  const digits = text.replace(/={1,2}$/, "");
  const padding = text.length - digits.length;
  if (padding > 0 && text.length % 4 !== 0) return undefined;
  const isDigits = alphabet === "base64" ? /^[A-Za-z0-9+/]*$/ : /^[A-Za-z0-9_-]*$/;
  if (!isDigits.test(digits) || digits.length % 4 === 1) return undefined;
  const bytes = Uint8Array.fromBase64(digits, { alphabet, lastChunkHandling: "loose" });
  // Bits that are left over would be lost here.
  return bytes.toBase64({ alphabet, omitPadding: true }) === digits ? bytes : undefined;
}
