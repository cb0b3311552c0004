/**
 * A live list that never moves what is being read: while it is held, what is new waits and is
 * counted; once released, it goes on top. A row that changes does so in its place.
 *
 * @module
 */

/** Options of {@linkcode LiveRows}. */
export interface LiveRowsOptions<Row> {
  /** What makes two rows the same one. */
  key: (row: Row) => string | number;
  /** The most rows shown, and the most that wait. @default 2_000 */
  maxRows?: number;
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
  readonly #key: (row: Row) => string | number;
  readonly #maxRows: number;
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
  ) {
    this.#key = options.key;
    this.#maxRows = options.maxRows ?? 2_000;
    this.rows = rows;
    this.waiting = waiting;
    this.waitingCount = waitingCount;
  }

  #with(rows: readonly Row[], waiting: readonly Row[], waitingCount: number): LiveRows<Row> {
    return new LiveRows({ key: this.#key, maxRows: this.#maxRows }, rows, waiting, waitingCount);
  }

  /** Takes rows in, oldest first; while `held`, new ones wait. */
  push(incoming: readonly Row[], held: boolean): LiveRows<Row> {
    if (incoming.length === 0) return this;
    const latest = new Map<string | number, Row>();
    for (const row of incoming) latest.set(this.#key(row), row);
    const rows = this.#update(this.rows, latest);
    const waiting = this.#update(this.waiting, latest);
    const fresh = [...latest.values()].reverse();
    if (held) {
      return this.#with(
        rows,
        fresh.length === 0 ? waiting : [...fresh, ...waiting].slice(0, this.#maxRows),
        this.waitingCount + fresh.length,
      );
    }
    return this.#with([...fresh, ...waiting, ...rows].slice(0, this.#maxRows), [], 0);
  }

  /** Replaces rows by their newer selves, and takes those out of `latest`. */
  #update(rows: readonly Row[], latest: Map<string | number, Row>): readonly Row[] {
    if (latest.size === 0) return rows;
    let changed: Row[] | undefined;
    for (const [i, row] of rows.entries()) {
      const key = this.#key(row);
      const newer = latest.get(key);
      if (newer === undefined) continue;
      changed ??= [...rows];
      changed[i] = newer;
      latest.delete(key);
    }
    return changed ?? rows;
  }

  /** Puts what waits on top. */
  release(): LiveRows<Row> {
    if (this.waitingCount === 0) return this;
    return this.#with([...this.waiting, ...this.rows].slice(0, this.#maxRows), [], 0);
  }

  /** Adds older rows at the end (newest first), for reading on. */
  append(older: readonly Row[]): LiveRows<Row> {
    const known = new Set([...this.rows, ...this.waiting].map(this.#key));
    const added = older.filter((row) => !known.has(this.#key(row)));
    return added.length === 0
      ? this
      : this.#with([...this.rows, ...added], this.waiting, this.waitingCount);
  }

  /** Starts over with rows, newest first. */
  reset(rows: readonly Row[] = []): LiveRows<Row> {
    return this.#with(rows.slice(0, this.#maxRows), [], 0);
  }
}
