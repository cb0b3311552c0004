/**
 * A table of a simulated store: what is committed, by id and by the value of its index, and who has which
 * unique values.
 *
 * @module
 */
import type { Row, TableSchema, Value } from "../topology/ports.ts";
import type { SimulatedTransaction } from "./simulated_transaction.ts";

/** A row that a transaction has changed: no `after` is a removal, no `before` a new row. */
export interface Change {
  readonly table: string;
  readonly id: number;
  readonly before: Row | undefined;
  readonly after: Row | undefined;
}

/** Who has a unique value: a row, as long as it is not committed by a transaction. */
export interface Claim {
  id: number;
  transaction: SimulatedTransaction | undefined;
}

/** Columns that no two rows may have alike. */
export interface UniqueSet {
  readonly columns: readonly string[];
  readonly claims: Map<Value, Claim>;
}

/** Committed rows that have the same value in the index. */
interface IndexedRows {
  readonly byId: Map<number, Row>;
  /** The same by ascending id, until one of them changes. */
  list: readonly Row[] | undefined;
}

/** Rows of a table at most: a key of ten tables is still a small integer. */
const maxRows = 2 ** 26;

const noRows: readonly Row[] = [];

/** The committed content of a table. */
export class SimulatedTable {
  readonly name: string;
  /** Its rows' keys begin here: a key is one number for a row of a store. */
  readonly firstKey: number;
  /** For each set of columns that no two rows may have alike, who has which values. */
  readonly unique: readonly UniqueSet[];
  readonly rows = new Map<number, Row>();
  readonly #index: string;
  readonly #byIndex = new Map<Value, IndexedRows>();
  #lastId = 0;

  /** @param place its place among the tables of its store */
  constructor(name: string, { index, unique = [] }: TableSchema, place: number) {
    this.name = name;
    this.firstKey = place * maxRows;
    this.unique = unique.map((columns) => ({ columns, claims: new Map() }));
    this.#index = index;
  }

  /** The id of the next row; it is taken, whatever becomes of the row. */
  takeId(): number {
    return ++this.#lastId;
  }

  /** Puts a row in, at once. */
  load(row: Readonly<Record<string, Value>>): void {
    const id = this.takeId();
    this.apply({ table: this.name, id, before: undefined, after: { ...row, id } });
    for (const { columns, claims } of this.unique) {
      claims.set(valueOf(columns, row), { id, transaction: undefined });
    }
  }

  /** Everything, by ascending id. */
  all(): readonly Row[] {
    return sorted([...this.rows.values()]);
  }

  /** Rows with that value in the index, by ascending id. */
  list(value: Value): readonly Row[] {
    const rows = this.#byIndex.get(value);
    if (rows === undefined || rows.byId.size === 0) return noRows;
    return rows.list ??= sorted([...rows.byId.values()]);
  }

  /** How many rows have that value in the index. */
  count(value: Value): number {
    return this.#byIndex.get(value)?.byId.size ?? 0;
  }

  /** Rows that fit, by ascending id; at most so many of them. */
  find(where: Readonly<Record<string, Value>>, limit = Infinity): readonly Row[] {
    const value = where[this.#index];
    if (value === undefined) throw new Error(`Give '${this.#index}' to find rows of ${this.name}`);
    const columns = Object.keys(where);
    const id = where["id"];
    if (id !== undefined) {
      const row = this.#byIndex.get(value)?.byId.get(id as number);
      return row !== undefined && fits(row, where, columns) ? [row] : noRows;
    }
    const list = this.list(value);
    return atMost(
      limit,
      columns.length === 1 ? list : list.filter((row) => fits(row, where, columns)),
    );
  }

  /** Commits a change. */
  apply({ id, before, after }: Change): void {
    if (before !== undefined && before[this.#index] !== after?.[this.#index]) {
      const rows = this.#byIndex.get(before[this.#index]!)!;
      rows.byId.delete(id);
      rows.list = undefined;
    }
    if (after === undefined) {
      this.rows.delete(id);
      if (before !== undefined) this.#unclaim(id, before);
      return;
    }
    this.rows.set(id, after);
    const value = after[this.#index]!;
    let rows = this.#byIndex.get(value);
    if (rows === undefined) this.#byIndex.set(value, rows = { byId: new Map(), list: undefined });
    rows.byId.set(id, after);
    rows.list = undefined;
  }

  #unclaim(id: number, row: Row): void {
    for (const { columns, claims } of this.unique) {
      const value = valueOf(columns, row);
      if (claims.get(value)?.id === id) claims.delete(value);
    }
  }
}

/** The values that a row has in a unique set, as one. */
export function valueOf(
  columns: readonly string[],
  row: Readonly<Record<string, Value>>,
): Value {
  let value: Value = row[columns[0]!]!;
  for (let place = 1; place < columns.length; place++) value += `\n${row[columns[place]!]}`;
  return value;
}

/** Whether a row has those values in those columns. */
export function fits(
  row: Row,
  where: Readonly<Record<string, Value>>,
  columns: readonly string[],
): boolean {
  for (const column of columns) if (row[column] !== where[column]) return false;
  return true;
}

/** The first of them, without a copy where that is all. */
export function atMost(limit: number, rows: readonly Row[]): readonly Row[] {
  return rows.length <= limit ? rows : rows.slice(0, limit);
}

/** By ascending id. Rows mostly are in order: they are put in so. */
export function sorted(rows: Row[]): Row[] {
  for (let i = 1; i < rows.length; i++) {
    if (rows[i - 1]!.id > rows[i]!.id) return rows.sort((a, b) => a.id - b.id);
  }
  return rows;
}
