/**
 * A store in virtual time. What is not committed is lost when its process crashes.
 *
 * Two profiles: `one-writer` lets one transaction run at a time, as SQLite does; `mvcc` runs them
 * together, as PostgreSQL does by `READ COMMITTED`: ids are taken at the insert and seen at the
 * commit, so that a smaller id can turn up after a larger one; who wants a row or a unique value that
 * another transaction holds waits for its end, and a circle of those who wait is a deadlock.
 *
 * @module
 */
import {
  type Row,
  type Schema,
  type SelectOptions,
  type Snapshot,
  type Store,
  StoreError,
  type TableSchema,
  type Transaction,
  type Value,
} from "../topology/ports.ts";
import { type Step, type Wait, waitFor } from "../topology/step.ts";
import type { EventLoop, Process } from "./event_loop.ts";

/** How transactions run beside each other. */
export type StoreProfile = "one-writer" | "mvcc";

/** A row that a transaction has changed: no `after` is a removal, no `before` a new row. */
export interface Change {
  readonly table: string;
  readonly id: number;
  readonly before: Row | undefined;
  readonly after: Row | undefined;
}

/** Options of {@linkcode SimulatedStore}. */
export interface SimulatedStoreOptions {
  readonly name: string;
  readonly profile: StoreProfile;
  readonly schema: Schema;
  /** How long the next statement takes, in milliseconds. @default 0.2 */
  readonly statementMs?: (process: Process) => number;
  /** How long the next commit takes, in milliseconds. @default 0.2 */
  readonly commitMs?: (process: Process) => number;
  /** How long a writer waits for its turn, in milliseconds. @default 5_000, SQLite's usual one */
  readonly busyMs?: number;
  /** What happens to a process that is doomed to crash at its commit. @default it does not crash */
  readonly crash?: (process: Process) => void;
  /** Notified of each commit, at its instant. @default nobody is */
  readonly onCommit?: (changes: readonly Change[], process: Process) => void;
  /** Notified when a transaction waits for another, or is a deadlock's victim. @default nobody is */
  readonly onContention?: (what: "lock-wait" | "deadlock", process: Process) => void;
}

interface Table {
  readonly name: string;
  readonly schema: TableSchema;
  readonly rows: Map<number, Row>;
  readonly byIndex: Map<Value, Map<number, Row>>;
  lastId: number;
}

/** Who has a unique value: a row, as long as it is not committed by a transaction. */
interface Claim {
  id: number;
  transaction: SimulatedTransaction | undefined;
}

/** Who waits to write, in the order of arrival. */
interface Waiter {
  readonly transaction: SimulatedTransaction;
  readonly process: Process;
  readonly life: number;
  readonly wake: () => void;
}

const noRows: readonly Row[] = [];

/** The store itself; processes use it through {@linkcode SimulatedStore.connect}. */
export class SimulatedStore {
  readonly name: string;
  readonly loop: EventLoop;
  readonly options: SimulatedStoreOptions;
  readonly locks = new Map<string, SimulatedTransaction>();
  readonly unique = new Map<string, Claim>();
  readonly active = new Set<SimulatedTransaction>();
  readonly #tables = new Map<string, Table>();
  #writer: SimulatedTransaction | undefined;
  #waitingWriters: Waiter[] = [];

  constructor(loop: EventLoop, options: SimulatedStoreOptions) {
    this.loop = loop;
    this.name = options.name;
    this.options = options;
    for (const [name, schema] of Object.entries(options.schema)) {
      const table = { name, schema, rows: new Map(), byIndex: new Map(), lastId: 0 };
      this.#tables.set(name, table);
    }
  }

  /** The store as a process sees it. */
  connect(process: Process): Store {
    return {
      begin: () => this.#begin(process),
      read: (table, where) => this.#read(process, table, where),
    };
  }

  /** Puts a row in, at once. */
  load(table: string, row: Readonly<Record<string, Value>>): void {
    const id = ++this.table(table).lastId;
    this.apply({ table, id, before: undefined, after: { ...row, id } });
    for (const key of this.uniqueKeys(table, row)) {
      this.unique.set(key, { id, transaction: undefined });
    }
  }

  /** Everything that is committed in a table, by ascending id; for judging a run. */
  all(table: string): readonly Row[] {
    return [...this.table(table).rows.values()].sort(byId);
  }

  /** Committed rows with that value in the index; for judging a run. */
  find(table: string, value: Value): readonly Row[] {
    const rows = this.table(table).byIndex.get(value);
    return rows === undefined ? noRows : [...rows.values()];
  }

  /** Rolls back whatever a crashed process had under way. */
  abandon(process: Process): number {
    let count = 0;
    for (const transaction of [...this.active]) {
      if (transaction.process !== process) continue;
      transaction.end();
      count++;
    }
    return count;
  }

  table(name: string): Table {
    const table = this.#tables.get(name);
    if (table === undefined) throw new Error(`Store ${this.name} has no table '${name}'`);
    return table;
  }

  /** What is yielded for a statement. */
  statement(process: Process): Wait {
    return this.loop.pause(this.options.statementMs?.(process) ?? 0.2, process);
  }

  /** Rows that are committed and fit, by ascending id. */
  committed(name: string, where: Readonly<Record<string, Value>>): readonly Row[] {
    const table = this.table(name);
    const value = where[table.schema.index];
    if (value === undefined) {
      throw new Error(`Give '${table.schema.index}' to find rows of ${name}`);
    }
    const rows = table.byIndex.get(value);
    if (rows === undefined || rows.size === 0) return noRows;
    const columns = Object.keys(where);
    const id = where["id"];
    if (id !== undefined) {
      const row = rows.get(id as number);
      return row !== undefined && fits(row, where, columns) ? [row] : noRows;
    }
    const found: Row[] = [];
    for (const row of rows.values()) {
      if (columns.length === 1 || fits(row, where, columns)) found.push(row);
    }
    return sorted(found);
  }

  apply({ table: name, id, before, after }: Change): void {
    const table = this.table(name);
    const { index } = table.schema;
    const isMoved = before !== undefined && before[index] !== after?.[index];
    if (isMoved) table.byIndex.get(before[index]!)?.delete(id);
    if (after === undefined) {
      table.rows.delete(id);
      return;
    }
    table.rows.set(id, after);
    const value = after[index]!;
    const rows = table.byIndex.get(value);
    if (rows === undefined) table.byIndex.set(value, new Map([[id, after]]));
    else rows.set(id, after);
  }

  uniqueKeys(table: string, row: Readonly<Record<string, Value>>): string[] {
    const sets = this.table(table).schema.unique;
    if (sets === undefined) return [];
    return sets.map((columns) => {
      let key = table;
      for (const column of columns) key += `\n${row[column]}`;
      return key;
    });
  }

  released(transaction: SimulatedTransaction): void {
    if (this.#writer !== transaction) return;
    this.#writer = undefined;
    for (let waiter = this.#waitingWriters.shift(); waiter; waiter = this.#waitingWriters.shift()) {
      const { process, life } = waiter;
      if (!process.isLive || process.life !== life) continue;
      // Its turn from now on: nobody who comes in between may take it.
      this.#writer = waiter.transaction;
      this.active.add(waiter.transaction);
      this.loop.after(0, waiter.wake, process);
      return;
    }
  }

  /** Waits for its turn to write, at most so long. */
  #turn(transaction: SimulatedTransaction): Step<boolean> {
    const { process } = transaction;
    this.options.onContention?.("lock-wait", process);
    return waitFor<boolean>((resume) => {
      const waiter = { transaction, process, life: process.life, wake: () => resume(true) };
      this.#waitingWriters.push(waiter);
      this.loop.after(this.options.busyMs ?? 5_000, () => {
        const place = this.#waitingWriters.indexOf(waiter);
        if (place < 0) return;
        this.#waitingWriters.splice(place, 1);
        resume(false);
      }, process);
    });
  }

  *#begin(process: Process): Step<Transaction> {
    yield this.statement(process);
    const transaction = new SimulatedTransaction(this, process);
    if (this.options.profile === "one-writer") {
      if (this.#writer !== undefined && !(yield* this.#turn(transaction))) {
        throw new StoreError("busy", "Others write for too long");
      }
      this.#writer = transaction;
    }
    this.active.add(transaction);
    return transaction;
  }

  *#read(process: Process, table: string, where: Readonly<Record<string, Value>>): Step<Snapshot> {
    yield this.statement(process);
    return { rows: this.committed(table, where), nowMs: this.loop.nowMs };
  }
}

class SimulatedTransaction implements Transaction {
  readonly process: Process;
  readonly #store: SimulatedStore;
  readonly #changes = new Map<string, Change>();
  readonly #locked: string[] = [];
  readonly #claimed: [key: string, before: Claim | undefined][] = [];
  #waiting: (() => void)[] = [];
  #waitsFor: SimulatedTransaction | undefined;
  #isOver = false;

  constructor(store: SimulatedStore, process: Process) {
    this.#store = store;
    this.process = process;
  }

  nowMs(): number {
    return this.#store.loop.nowMs;
  }

  *insert(table: string, row: Readonly<Record<string, Value>>): Step<number> {
    yield this.#statement();
    const id = ++this.#store.table(table).lastId;
    for (const key of this.#store.uniqueKeys(table, row)) yield* this.#claim(table, key, id);
    const key = rowKey(table, id);
    this.#store.locks.set(key, this);
    this.#locked.push(key);
    this.#changes.set(key, { table, id, before: undefined, after: { ...row, id } });
    return id;
  }

  *select(
    table: string,
    where: Readonly<Record<string, Value>>,
    { lock }: SelectOptions = {},
  ): Step<readonly Row[]> {
    yield this.#statement();
    const rows = this.#visible(table, where);
    if (lock === undefined) return rows;
    const locked: Row[] = [];
    const columns = Object.keys(where);
    for (const { id } of rows) {
      if (lock === "skip" && this.#isOthers(rowKey(table, id))) continue;
      yield* this.#lock(rowKey(table, id));
      const row = this.#current(table, id);
      if (row !== undefined && fits(row, where, columns)) locked.push(row);
    }
    return locked;
  }

  *update(table: string, id: number, changes: Readonly<Record<string, Value>>): Step<boolean> {
    return yield* this.#write(table, id, (row) => ({ ...row, ...changes, id }));
  }

  *delete(table: string, id: number): Step<boolean> {
    return yield* this.#write(table, id, () => undefined);
  }

  *commit(): Step<void> {
    const { loop, options: { crash, commitMs, onCommit } } = this.#store;
    const { process } = this;
    if (this.#isOver) throw new StoreError("ended", "The transaction has ended");
    yield loop.pause(commitMs?.(process) ?? 0.2, process);
    if (process.doom === "before-commit") {
      process.doom = "none";
      crash?.(process);
      if (!process.isLive) return yield* forever();
    }
    const changes = [...this.#changes.values()]
      .filter(({ before, after }) => before !== undefined || after !== undefined);
    for (const change of changes) this.#apply(change);
    for (const [key] of this.#claimed) this.#store.unique.get(key)!.transaction = undefined;
    this.#claimed.length = 0;
    this.end();
    if (changes.length > 0) onCommit?.(changes, process);
    if (process.doom === "after-commit") {
      process.doom = "none";
      crash?.(process);
      if (!process.isLive) yield* forever();
    }
  }

  *rollback(): Step<void> {
    if (this.#isOver) return;
    yield this.#store.statement(this.process);
    this.end();
  }

  /** Gives back all it holds; what was not applied is gone. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { locks, unique, active } = this.#store;
    for (const key of this.#locked) locks.delete(key);
    for (const [key, before] of this.#claimed.reverse()) {
      if (before === undefined) unique.delete(key);
      else unique.set(key, before);
    }
    active.delete(this);
    for (const wake of this.#waiting) wake();
    this.#store.released(this);
  }

  #statement(): Wait {
    if (this.#isOver) throw new StoreError("ended", "The transaction has ended");
    return this.#store.statement(this.process);
  }

  *#write(table: string, id: number, change: (row: Row) => Row | undefined): Step<boolean> {
    yield this.#statement();
    const key = rowKey(table, id);
    yield* this.#lock(key);
    const row = this.#current(table, id);
    if (row === undefined) return false;
    const before = this.#store.table(table).rows.get(id);
    this.#changes.set(key, { table, id, before, after: change(row) });
    return true;
  }

  #apply(change: Change): void {
    this.#store.apply(change);
    if (change.after !== undefined || change.before === undefined) return;
    for (const key of this.#store.uniqueKeys(change.table, change.before)) {
      const claim = this.#store.unique.get(key);
      if (claim?.id === change.id) this.#store.unique.delete(key);
    }
  }

  *#claim(table: string, key: string, id: number): Step<void> {
    const { unique } = this.#store;
    for (let claim = unique.get(key); claim !== undefined; claim = unique.get(key)) {
      const own = this.#changes.get(rowKey(table, claim.id));
      if (own !== undefined && own.after === undefined) break;
      if (claim.transaction === undefined || claim.transaction === this) {
        throw new StoreError("duplicate", `${table}: taken by row ${claim.id}`);
      }
      yield* this.#waitFor(claim.transaction);
    }
    this.#claimed.push([key, unique.get(key)]);
    unique.set(key, { id, transaction: this });
  }

  #isOthers(key: string): boolean {
    const holder = this.#store.locks.get(key);
    return holder !== undefined && holder !== this;
  }

  *#lock(key: string): Step<void> {
    const { locks } = this.#store;
    for (let holder = locks.get(key); holder !== this; holder = locks.get(key)) {
      if (holder === undefined) {
        locks.set(key, this);
        this.#locked.push(key);
        return;
      }
      yield* this.#waitFor(holder);
    }
  }

  *#waitFor(holder: SimulatedTransaction): Step<void> {
    const { onContention } = this.#store.options;
    for (let one: SimulatedTransaction | undefined = holder; one; one = one.#waitsFor) {
      if (one !== this) continue;
      onContention?.("deadlock", this.process);
      this.end();
      throw new StoreError("deadlock", "Each waits for the other: rolled back");
    }
    onContention?.("lock-wait", this.process);
    this.#waitsFor = holder;
    yield* waitFor<void>((resume) => {
      holder.#waiting.push(() => this.#store.loop.after(0, resume as () => void, this.process));
    });
    this.#waitsFor = undefined;
  }

  #current(table: string, id: number): Row | undefined {
    const own = this.#changes.get(rowKey(table, id));
    return own === undefined ? this.#store.table(table).rows.get(id) : own.after;
  }

  #visible(table: string, where: Readonly<Record<string, Value>>): readonly Row[] {
    const rows = this.#store.committed(table, where);
    if (this.#changes.size === 0) return rows;
    const columns = Object.keys(where);
    const own = [...this.#changes.values()].filter((change) => change.table === table);
    if (own.length === 0) return rows;
    const ids = new Set(own.map(({ id }) => id));
    const visible = rows.filter(({ id }) => !ids.has(id));
    for (const { after } of own) {
      if (after !== undefined && fits(after, where, columns)) visible.push(after);
    }
    return sorted(visible);
  }
}

function rowKey(table: string, id: number): string {
  return table + id;
}

function fits(
  row: Row,
  where: Readonly<Record<string, Value>>,
  columns: readonly string[],
): boolean {
  for (const column of columns) if (row[column] !== where[column]) return false;
  return true;
}

function byId(a: Row, b: Row): number {
  return a.id - b.id;
}

/** Rows mostly are in order: they are put in by ascending id. */
function sorted(rows: Row[]): Row[] {
  for (let i = 1; i < rows.length; i++) if (rows[i - 1]!.id > rows[i]!.id) return rows.sort(byId);
  return rows;
}

/** Where a crashed process stays. */
export function forever(): Step<never> {
  return waitFor<never>(() => {});
}
