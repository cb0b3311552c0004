/**
 * What a screen reader says, and the page shows for a few seconds, when something has happened.
 *
 * @module
 */
import { signal } from "@preact/signals";

/** The message now, if any. */
export const announcement = signal<string>("");

let timer: ReturnType<typeof setTimeout> | undefined;

/**
 * Says something for some seconds.
 *
 * @example
 * ```ts
 * announce("Copied the trace id");
 * ```
 */
export function announce(message: string, durationMs = 4_000): void {
  clearTimeout(timer);
  announcement.value = message;
  timer = setTimeout(() => announcement.value = "", durationMs);
}
