/**
 * Counts the rows of a table that only grows, without reading all of them each time: those up to an id
 * below which nothing more can come are counted once.
 *
 * Where transactions run beside each other, ids are taken at the insert and seen at the commit: a row may
 * come to be seen after rows with higher ids. So an id is settled only once everybody has ended who had
 * written to the table when it was the highest that could be seen.
 *
 * @module
 */

/** Rows of a group, and the highest of their ids. */
export interface CountedRows {
  readonly name: string;
  readonly count: number;
  readonly lastId: number;
}

/** A table that is counted. */
export interface CountedTable {
  readonly table: string;
  /** The column whose values are counted apart. @default all rows together, under the name `all` */
  readonly by?: string;
}

/** What counts the rows whose ids are greater than the first parameter, and at most the second. */
export function countQuery({ table, by }: CountedTable, parameter: (index: 1 | 2) => string) {
  const name = by === undefined ? "'all'" : `"${by}"`;
  return `SELECT ${name} AS name, count(*) AS count, max(id) AS "lastId" FROM "${table}" ` +
    `WHERE id > ${parameter(1)} AND id <= ${parameter(2)}${
      by === undefined ? "" : ` GROUP BY ${name}`
    }`;
}

/** A row of {@linkcode countQuery} as a database gives it. */
export function countedRows(rows: readonly Readonly<Record<string, unknown>>[]): CountedRows[] {
  return rows.map(({ name, count, lastId }) => ({
    ...{ name: String(name), count: Number(count), lastId: Number(lastId ?? 0) },
  })).filter(({ count }) => count > 0);
}

/** Higher than any id. */
export const noId = Number.MAX_SAFE_INTEGER;

/**
 * What is settled of a table, and up to which id.
 *
 * @example
 * ```ts
 * const until = counts.settledBy(await writersNow());
 * if (until !== undefined) counts.settle(await rowsBetween(counts.settledTo, until), until);
 * const rest = await rowsBetween(counts.settledTo, noId);
 * counts.seen(rest);
 * counts.totals(rest); // { billing: 17, stock: 16 }
 * ```
 */
export class RowCounts {
  readonly #settled = new Map<string, number>();
  #settledTo = 0;
  /** An id that was the highest, and who was writing after that; not known yet at first. */
  #mark: { readonly lastId: number; writers?: ReadonlySet<string> } | undefined;

  /** Rows up to this id are counted for good. */
  get settledTo(): number {
    return this.#settledTo;
  }

  /**
   * Up to which id nothing more can come; `undefined` if that is not further than before.
   *
   * @param writers who has written to the table and not ended: asked for after {@linkcode seen} was
   * called, and before the rows are counted
   */
  settledBy(writers: readonly string[]): number | undefined {
    const mark = this.#mark;
    if (mark === undefined) return undefined;
    mark.writers ??= new Set(writers);
    return writers.some((one) => mark.writers!.has(one)) ? undefined : mark.lastId;
  }

  /** Takes rows for good: all there are between what was settled and this id. */
  settle(rows: readonly CountedRows[], until: number): void {
    for (const { name, count } of rows) {
      this.#settled.set(name, (this.#settled.get(name) ?? 0) + count);
    }
    this.#settledTo = until;
    this.#mark = undefined;
  }

  /** Takes note of the rows that can be seen beyond those that are settled. */
  seen(rest: readonly CountedRows[]): void {
    if (rest.length > 0) this.#mark ??= { lastId: lastIdOf(rest) };
  }

  /** What is settled, and the rest, by name. */
  totals(rest: readonly CountedRows[] = []): Record<string, number> {
    const totals = Object.fromEntries(this.#settled);
    for (const { name, count } of rest) totals[name] = (totals[name] ?? 0) + count;
    return totals;
  }
}

/** The highest id of rows that there are. */
export function lastIdOf(rows: readonly CountedRows[]): number {
  return Math.max(...rows.map(({ lastId }) => lastId));
}
