/**
 * Why the token store did not do what it was asked.
 *
 * @module
 */

/**
 * What stands in the way: too many signups wait already (`busy`: try again later), the store is
 * being closed (`closing`), the disk refused (`disk`), or the worker died (`worker`).
 */
export type StoreErrorKind = "busy" | "closing" | "disk" | "worker";

/** The store's reason. For `disk` it is in SQLite's words. */
export class StoreError extends Error {
  override name = "StoreError";
  /** What stands in the way. */
  readonly kind: StoreErrorKind;
  /** SQLite's extended result code (https://www.sqlite.org/rescode.html), 0 if it has none. */
  readonly sqliteCode: number;

  constructor(
    kind: StoreErrorKind,
    message: string,
    { sqliteCode = 0, cause }: { sqliteCode?: number; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.kind = kind;
    this.sqliteCode = sqliteCode;
  }
}
