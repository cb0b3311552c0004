/**
 * A table of a simulated store: what is committed, by id and by the value of its index, who has which
 * unique values, and who holds which rows.
 *
 * Ids are dense, so rows are in arrays by id; those of a value of the index are in arrays too, by ascending id, as
 * most come and go at the ends. Both cost less than maps, of which the collector has the most work.
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
  readonly claims: Map<Value, Claim>;
  readonly value: Value;
  readonly id: number;
  transaction: SimulatedTransaction | undefined;
  /** Whose the value was, and is again if the transaction is rolled back. */
  before: Claim | undefined;
  /** What its transaction has taken before it. */
  earlier: Claim | undefined;
}

/**
 * Columns that no two rows may have alike. Claims are found by the first of them, then by the second: what is made of
 * both for each row would have to be hashed anew each time.
 */
export class UniqueSet {
  readonly #first: string | undefined;
  readonly #last: string;
  readonly #byFirst = new Map<Value | undefined, Map<Value, Claim>>();

  /** @param columns one or two */
  constructor(columns: readonly string[]) {
    if (columns.length < 1 || columns.length > 2) {
      throw new Error(`A unique set has one column or two, not ${columns.length}`);
    }
    this.#first = columns.length === 1 ? undefined : columns[0];
    this.#last = columns.at(-1)!;
  }

  /** Claims of rows that may be like that one, by {@linkcode valueOf}. */
  claimsOf(row: Readonly<Record<string, Value>>): Map<Value, Claim> {
    const first = this.#first === undefined ? undefined : row[this.#first];
    let claims = this.#byFirst.get(first);
    if (claims === undefined) this.#byFirst.set(first, claims = new Map());
    return claims;
  }

  /** What of a row no other of {@linkcode claimsOf} may have. */
  valueOf(row: Readonly<Record<string, Value>>): Value {
    return row[this.#last]!;
  }
}

/** A row that others wait for: who comes later gets it in the order of arrival, as in PostgreSQL. */
export interface Lock {
  holder: SimulatedTransaction;
  readonly waiters: SimulatedTransaction[];
}

const noRows: readonly Row[] = [];

/** The committed content of a table. */
export class SimulatedTable {
  readonly name: string;
  /** For each set of columns that no two rows may have alike, who has which values. */
  readonly unique: readonly UniqueSet[];
  /** By id; whoever holds a row has it to itself until its transaction ends. */
  readonly holders: (SimulatedTransaction | undefined)[] = [undefined];
  /** By id, where somebody waits for a row. */
  readonly locks = new Map<number, Lock>();
  readonly #index: string;
  /** By id. */
  readonly #rows: (Row | undefined)[] = [undefined];
  readonly #byIndex = new Map<Value, Row[]>();

  constructor(name: string, { index, unique = [] }: TableSchema) {
    this.name = name;
    this.unique = unique.map((columns) => new UniqueSet(columns));
    this.#index = index;
  }

  /** The id of the next row; it is taken, whatever becomes of the row. */
  takeId(): number {
    this.holders.push(undefined);
    return this.#rows.push(undefined) - 1;
  }

  /** Puts a row in, at once. */
  load(row: Readonly<Record<string, Value>>): void {
    const id = this.takeId();
    this.apply({ table: this.name, id, before: undefined, after: { ...row, id } });
    for (const set of this.unique) {
      const claims = set.claimsOf(row);
      const value = set.valueOf(row);
      claims.set(value, {
        claims,
        value,
        id,
        transaction: undefined,
        before: undefined,
        earlier: undefined,
      });
    }
  }

  /** The row of that id. */
  row(id: number): Row | undefined {
    return this.#rows[id];
  }

  /** Everything, by ascending id. */
  all(): readonly Row[] {
    return this.#rows.filter((row) => row !== undefined);
  }

  /** Rows with that value in the index, by ascending id, until one of them changes. */
  list(value: Value): readonly Row[] {
    return this.#byIndex.get(value) ?? noRows;
  }

  /** Rows that fit, by ascending id; at most so many of them. */
  find(where: Readonly<Record<string, Value>>, limit = Infinity): readonly Row[] {
    const value = where[this.#index];
    if (value === undefined) throw new Error(`Give '${this.#index}' to find rows of ${this.name}`);
    const id = where["id"];
    if (id !== undefined) {
      const row = this.#rows[id as number];
      return row !== undefined && fits(row, where) ? [row] : noRows;
    }
    const list = this.list(value);
    const found = this.#isIndexOnly(where) ? list : list.filter((row) => fits(row, where));
    return found === list || found.length > limit ? found.slice(0, limit) : found;
  }

  /** Commits a change. */
  apply({ id, before, after }: Change): void {
    const was = before?.[this.#index];
    const is = after?.[this.#index];
    this.#rows[id] = after;
    if (was !== undefined && was !== is) remove(this.#byIndex.get(was)!, id);
    if (after === undefined) {
      if (before !== undefined) this.#unclaim(id, before);
      return;
    }
    const rows = this.#byIndex.get(is!);
    if (rows === undefined) this.#byIndex.set(is!, [after]);
    else put(rows, after);
  }

  #isIndexOnly(where: Readonly<Record<string, Value>>): boolean {
    for (const column in where) if (column !== this.#index) return false;
    return true;
  }

  #unclaim(id: number, row: Row): void {
    for (const set of this.unique) {
      const claims = set.claimsOf(row);
      const value = set.valueOf(row);
      if (claims.get(value)?.id === id) claims.delete(value);
    }
  }
}

/** Whether a row has those values in those columns. */
export function fits(row: Row, where: Readonly<Record<string, Value>>): boolean {
  for (const column in where) if (row[column] !== where[column]) return false;
  return true;
}

/** By ascending id. Rows mostly are in order: they are put in so. */
export function sorted(rows: Row[]): Row[] {
  for (let i = 1; i < rows.length; i++) {
    if (rows[i - 1]!.id > rows[i]!.id) return rows.sort((a, b) => a.id - b.id);
  }
  return rows;
}

/** Puts a row at its place among those by ascending id, in place of what has its id. */
function put(rows: Row[], row: Row): void {
  const { id } = row;
  if (rows.length === 0 || rows[rows.length - 1]!.id < id) return void rows.push(row);
  const place = placeOf(rows, id);
  if (rows[place]!.id === id) rows[place] = row;
  else rows.splice(place, 0, row);
}

function remove(rows: Row[], id: number): void {
  const place = placeOf(rows, id);
  if (place === 0) rows.shift();
  else if (place === rows.length - 1) rows.pop();
  else rows.splice(place, 1);
}

/** The place of the first row whose id is not smaller. */
function placeOf(rows: readonly Row[], id: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]!.id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
