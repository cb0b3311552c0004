/**
 * What a page of one file shows: the answers that its server would have given.
 *
 * @module
 */

/** Where the page begins, and what it is answered. */
export interface SharedData {
  /** The address it begins at, as `/traces/4bf9…`. */
  readonly path: string;
  /** Answers by path and query. */
  readonly answers: Readonly<Record<string, unknown>>;
}

let known: SharedData | null | undefined;

/** What this page has in itself; nothing where it has a server. */
export function sharedData(): SharedData | undefined {
  if (known === undefined) {
    const text = globalThis.document?.getElementById("orrery-shared")?.textContent;
    known = text ? JSON.parse(text) as SharedData : null;
  }
  return known ?? undefined;
}
