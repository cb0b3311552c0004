/**
 * Why the records did not do what they were asked.
 *
 * @module
 */

/**
 * What stands in the way:
 *
 * - `busy`: too much waits already; try again later
 * - `closing`: the store is being closed
 * - `disk`: the disk refused, or the file is not the one that was opened
 * - `unavailable`: the database cannot be reached, or refused for now
 * - `worker`: nothing will ever be stored any more
 */
export type StoreErrorKind = "busy" | "closing" | "disk" | "unavailable" | "worker";

/** The store's reason. For `disk` and `unavailable` it is in the database's words. */
export class StoreError extends Error {
  override name = "StoreError";
  /** What stands in the way. */
  readonly kind: StoreErrorKind;
  /** The database's own code: SQLite's extended result code, or PostgreSQL's SQLSTATE; "" if there is none. */
  readonly code: string;

  constructor(
    kind: StoreErrorKind,
    message: string,
    { code = "", cause }: { code?: string | number; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.kind = kind;
    this.code = String(code);
  }
}
