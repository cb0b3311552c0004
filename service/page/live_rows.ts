/**
 * A live list that never moves what is being read: while it is held, what is new waits and is
 * counted, and what is shown stays as it is; once released, new rows take their places and changed
 * ones change in theirs.
 *
 * @module
 */

/** Options of {@linkcode LiveRows}. */
export interface LiveRowsOptions<Row> {
  /** What makes two rows the same one. */
  key: (row: Row) => string | number;
  /** The most rows shown, and the most that wait. @default 2_000 */
  maxRows?: number;
  /**
   * What rows are ordered by, the largest on top; a row keeps its place when it changes.
   *
   * @default the order in which they came
   */
  orderOf?: ((row: Row) => number) | undefined;
}

/**
 * Rows, newest first. Immutable: every change gives a new one.
 *
 * @example
 * ```ts
 * let list = new LiveRows<TraceSummary>({ key: ({ traceId }) => traceId });
 * list = list.push(event.traces, held); // while held they wait: list.waitingCount
 * list = list.release(); // and now they are on top
 * ```
 */
export class LiveRows<Row> {
  readonly #options: LiveRowsOptions<Row>;
  /** Newer selves of rows that are shown, while held. */
  readonly #changed: ReadonlyMap<string | number, Row>;
  /** What is shown. */
  readonly rows: readonly Row[];
  /** What waits, newest first. */
  readonly waiting: readonly Row[];
  /** How many rows came while held, those included that found no room. */
  readonly waitingCount: number;

  constructor(
    options: LiveRowsOptions<Row>,
    rows: readonly Row[] = [],
    waiting: readonly Row[] = [],
    waitingCount = 0,
    changed: ReadonlyMap<string | number, Row> = new Map(),
  ) {
    this.#options = options;
    this.#changed = changed;
    this.rows = rows;
    this.waiting = waiting;
    this.waitingCount = waitingCount;
  }

  get #maxRows(): number {
    return this.#options.maxRows ?? 2_000;
  }

  #with(
    rows: readonly Row[],
    waiting: readonly Row[],
    waitingCount: number,
    changed: ReadonlyMap<string | number, Row> = new Map(),
  ): LiveRows<Row> {
    return new LiveRows(this.#options, rows, waiting, waitingCount, changed);
  }

  /** Takes rows in, oldest first; while `held`, new ones wait. */
  push(incoming: readonly Row[], held: boolean): LiveRows<Row> {
    if (incoming.length === 0) return this;
    const latest = new Map<string | number, Row>();
    for (const row of incoming) latest.set(this.#options.key(row), row);
    const waiting = this.#update(this.waiting, latest);
    if (!held) {
      const rows = this.#update(this.rows, new Map([...this.#changed, ...latest]), latest);
      const fresh = [...latest.values()].reverse();
      return this.#with(this.#placed([...fresh, ...waiting], rows), [], 0);
    }
    const changed = new Map(this.#changed);
    for (const row of this.rows) {
      const key = this.#options.key(row);
      const newer = latest.get(key);
      if (newer === undefined) continue;
      changed.set(key, newer);
      latest.delete(key);
    }
    const fresh = [...latest.values()].reverse();
    return this.#with(
      this.rows,
      fresh.length === 0 ? waiting : [...fresh, ...waiting].slice(0, this.#maxRows),
      this.waitingCount + fresh.length,
      changed,
    );
  }

  /** Replaces rows by their newer selves, and takes those out of `taken`. */
  #update(
    rows: readonly Row[],
    latest: Map<string | number, Row>,
    taken: Map<string | number, Row> = latest,
  ): readonly Row[] {
    if (latest.size === 0) return rows;
    let changed: Row[] | undefined;
    for (const [i, row] of rows.entries()) {
      const key = this.#options.key(row);
      const newer = latest.get(key);
      if (newer === undefined) continue;
      changed ??= [...rows];
      changed[i] = newer;
      taken.delete(key);
    }
    return changed ?? rows;
  }

  /** New rows among those that are shown, whose order stays. */
  #placed(fresh: readonly Row[], rows: readonly Row[]): readonly Row[] {
    const { orderOf } = this.#options;
    if (orderOf === undefined) return [...fresh, ...rows].slice(0, this.#maxRows);
    const sorted = fresh.toSorted((a, b) => orderOf(b) - orderOf(a));
    const placed: Row[] = [];
    let next = 0;
    for (const row of rows) {
      while (next < sorted.length && orderOf(sorted[next]!) >= orderOf(row)) {
        placed.push(sorted[next++]!);
      }
      placed.push(row);
    }
    return [...placed, ...sorted.slice(next)].slice(0, this.#maxRows);
  }

  /** Puts what waits in its place. */
  release(): LiveRows<Row> {
    if (this.waitingCount === 0 && this.#changed.size === 0) return this;
    const rows = this.#update(this.rows, new Map(this.#changed));
    return this.#with(this.#placed(this.waiting, rows), [], 0);
  }

  /** Adds older rows at the end (newest first), for reading on. */
  append(older: readonly Row[]): LiveRows<Row> {
    const { key } = this.#options;
    const known = new Set([...this.rows, ...this.waiting].map(key));
    const added = older.filter((row) => !known.has(key(row)));
    return added.length === 0
      ? this
      : this.#with([...this.rows, ...added], this.waiting, this.waitingCount, this.#changed);
  }

  /** Starts over with rows, newest first. */
  reset(rows: readonly Row[] = []): LiveRows<Row> {
    return this.#with(rows.slice(0, this.#maxRows), [], 0);
  }
}
