/**
 * Whether a text is JSON, for who needs no more of it.
 *
 * @module
 */

/** Whether a text is JSON (RFC 8259). */
export function isJsonText(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
