/**
 * A store in virtual time. What is not committed is lost when its process crashes.
 *
 * Two profiles: `one-writer` lets one transaction run at a time, as SQLite does; `mvcc` runs them
 * together, as PostgreSQL does by `READ COMMITTED`: ids are taken at the insert and seen at the
 * commit, so that a smaller id can turn up after a larger one; who wants a row or a unique value that
 * another transaction holds waits for its end, and a circle of those who wait is a deadlock.
 *
 * What a statement takes is waited for where somebody needs its answer: at a `select` of `mvcc`, whose
 * clients pipeline what they write, and at the commit. With one writer nobody could see the difference,
 * and a store in the process has no round trips.
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
  /** Its rows' keys begin here: a key is one number for a row of a store. */
  readonly firstKey: number;
  readonly schema: TableSchema;
  /** For each set of columns that no two rows may have alike, who has which values. */
  readonly unique: readonly UniqueSet[];
  readonly rows: Map<number, Row>;
  readonly byIndex: Map<Value, IndexedRows>;
  lastId: number;
}

/** Committed rows that have the same value in the index. */
interface IndexedRows {
  readonly byId: Map<number, Row>;
  /** The same by ascending id, until one of them changes. */
  list: readonly Row[] | undefined;
}

interface UniqueSet {
  readonly columns: readonly string[];
  readonly claims: Map<Value, Claim>;
}

/** Rows of a table at most: a key of ten tables is still a small integer. */
const maxRows = 2 ** 26;

/** Who has a unique value: a row, as long as it is not committed by a transaction. */
interface Claim {
  id: number;
  transaction: SimulatedTransaction | undefined;
}

/** A row that somebody holds: who comes later gets it in the order of arrival, as in PostgreSQL. */
interface Lock {
  holder: SimulatedTransaction;
  waiters: SimulatedTransaction[];
}

const nobody: SimulatedTransaction[] = [];

/** Who waits to write, in the order of arrival. */
interface Waiter {
  readonly transaction: SimulatedTransaction;
  readonly process: Process;
  readonly life: number;
  readonly wake: () => void;
}

const noRows: readonly Row[] = [];

/** Made once: an error's stack would cost more than the statement. */
const unavailable = new StoreError("unavailable", "The store is down");
const full = new StoreError("unavailable", "The store is full");
const busy = new StoreError("busy", "Others write for too long");
const duplicate = new StoreError("duplicate", "Another row has that value");
const deadlock = new StoreError("deadlock", "Each waits for the other: rolled back");
const ended = new StoreError("ended", "The transaction has ended");

/** The store itself; processes use it through {@linkcode SimulatedStore.connect}. */
export class SimulatedStore {
  readonly name: string;
  readonly loop: EventLoop;
  readonly options: SimulatedStoreOptions;
  /** Who holds a row, by its key. */
  readonly locks = new Map<number, Lock>();
  /** Whether transactions run beside each other: with one writer there is nobody to lock rows against. */
  readonly isConcurrent: boolean;
  readonly active = new Set<SimulatedTransaction>();
  readonly #tables = new Map<string, Table>();
  #writer: SimulatedTransaction | undefined;
  #downUntilUs = 0;
  #fullUntilUs = 0;
  #waitingWriters: Waiter[] = [];

  constructor(loop: EventLoop, options: SimulatedStoreOptions) {
    this.loop = loop;
    this.name = options.name;
    this.options = options;
    this.isConcurrent = options.profile === "mvcc";
    for (const [name, schema] of Object.entries(options.schema)) {
      this.#tables.set(name, {
        name,
        firstKey: this.#tables.size * maxRows,
        schema,
        unique: (schema.unique ?? []).map((columns) => ({ columns, claims: new Map() })),
        rows: new Map(),
        byIndex: new Map(),
        lastId: 0,
      });
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
    const { unique } = this.table(table);
    const id = ++this.table(table).lastId;
    this.apply({ table, id, before: undefined, after: { ...row, id } });
    for (const { columns, claims } of unique) {
      claims.set(valueOf(columns, row), { id, transaction: undefined });
    }
  }

  /** Everything that is committed in a table, by ascending id; for judging a run. */
  all(table: string): readonly Row[] {
    return [...this.table(table).rows.values()].sort(byId);
  }

  /** Committed rows with that value in the index; for judging a run. */
  find(table: string, value: Value): readonly Row[] {
    const rows = this.table(table).byIndex.get(value);
    return rows === undefined ? noRows : listOf(rows);
  }

  /**
   * The store itself crashes, and is down for so long. What was not committed is gone; of a commit
   * that was under way nobody is told.
   *
   * @param hasCommitted whether such a commit was done all the same
   */
  crash(downMs: number, hasCommitted: (process: Process) => boolean): void {
    // Who is down for longer already stays down.
    this.#downUntilUs = Math.max(this.#downUntilUs, this.loop.nowUs + downMs * 1_000);
    for (const transaction of [...this.active]) {
      transaction.cut(transaction.isCommitting && hasCommitted(transaction.process));
    }
  }

  /** It takes nothing in for so long; what is there can be read, and removed. */
  fill(durationMs: number): void {
    this.#fullUntilUs = Math.max(this.#fullUntilUs, this.loop.nowUs + durationMs * 1_000);
  }

  /** It is up, and has room. */
  heal(): void {
    this.#downUntilUs = 0;
    this.#fullUntilUs = 0;
  }

  /** @throws {StoreError} it is down */
  judgeUp(): void {
    if (this.#downUntilUs > this.loop.nowUs) throw unavailable;
  }

  /** @throws {StoreError} it has no room */
  judgeRoom(): void {
    if (this.#fullUntilUs > this.loop.nowUs) throw full;
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

  /** How long the next statement takes. */
  statementMs(process: Process): number {
    return this.options.statementMs?.(process) ?? 0.2;
  }

  /** What is yielded for a statement whose answer is needed. */
  statement(process: Process, owedMs = 0): Wait {
    return this.loop.pause(owedMs + this.statementMs(process), process);
  }

  /** Rows that are committed and fit, by ascending id. */
  committed(name: string, where: Readonly<Record<string, Value>>): readonly Row[] {
    const table = this.table(name);
    const value = where[table.schema.index];
    if (value === undefined) {
      throw new Error(`Give '${table.schema.index}' to find rows of ${name}`);
    }
    const rows = table.byIndex.get(value);
    if (rows === undefined || rows.byId.size === 0) return noRows;
    const columns = Object.keys(where);
    const id = where["id"];
    if (id !== undefined) {
      const row = rows.byId.get(id as number);
      return row !== undefined && fits(row, where, columns) ? [row] : noRows;
    }
    const list = listOf(rows);
    return columns.length === 1 ? list : list.filter((row) => fits(row, where, columns));
  }

  /** How many committed rows have that value in the index; for judging a run. */
  count(table: string, value: Value): number {
    return this.table(table).byIndex.get(value)?.byId.size ?? 0;
  }

  apply({ table: name, id, before, after }: Change): void {
    const table = this.table(name);
    const { index } = table.schema;
    if (before !== undefined && before[index] !== after?.[index]) {
      const rows = table.byIndex.get(before[index]!)!;
      rows.byId.delete(id);
      rows.list = undefined;
    }
    if (after === undefined) {
      table.rows.delete(id);
      return;
    }
    table.rows.set(id, after);
    const value = after[index]!;
    let rows = table.byIndex.get(value);
    if (rows === undefined) table.byIndex.set(value, rows = { byId: new Map(), list: undefined });
    rows.byId.set(id, after);
    rows.list = undefined;
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
      const wake = () => {
        this.loop.callOff(timer);
        resume(true);
      };
      const waiter = { transaction, process, life: process.life, wake };
      this.#waitingWriters.push(waiter);
      const timer = this.loop.after(this.options.busyMs ?? 5_000, () => {
        const place = this.#waitingWriters.indexOf(waiter);
        if (place < 0) return;
        this.#waitingWriters.splice(place, 1);
        resume(false);
      }, process);
    });
  }

  *#begin(process: Process): Step<Transaction> {
    if (this.#downUntilUs > this.loop.nowUs) {
      yield this.statement(process);
      this.judgeUp();
    }
    const transaction = new SimulatedTransaction(this, process);
    if (!this.isConcurrent) {
      if (this.#writer !== undefined && !(yield* this.#turn(transaction))) {
        throw busy;
      }
      // The store may have crashed since it was given the turn.
      if (transaction.isOver) throw unavailable;
      this.#writer = transaction;
    }
    this.active.add(transaction);
    if (this.#downUntilUs > this.loop.nowUs) {
      transaction.end();
      throw unavailable;
    }
    return transaction;
  }

  *#read(process: Process, table: string, where: Readonly<Record<string, Value>>): Step<Snapshot> {
    yield this.statement(process);
    this.judgeUp();
    return { rows: this.committed(table, where), nowMs: this.loop.nowMs };
  }
}

class SimulatedTransaction implements Transaction {
  readonly process: Process;
  readonly #store: SimulatedStore;
  /** By the keys of their rows. */
  readonly #changes = new Map<number, Change>();
  readonly #locked: number[] = [];
  readonly #claimed: {
    readonly claims: Map<Value, Claim>;
    readonly value: Value;
    readonly before: Claim | undefined;
  }[] = [];
  /** Those who want a unique value that it has taken. */
  #waiting: SimulatedTransaction[] = [];
  #waitsFor: { readonly holder: SimulatedTransaction } | undefined;
  #wake: (() => void) | undefined;
  isOver = false;
  /** Ended by its store, not by itself. */
  #isCut = false;
  isCommitting = false;
  /** What its statements have taken that nobody has waited for yet. The first is its beginning. */
  #owedMs: number;

  constructor(store: SimulatedStore, process: Process) {
    this.#store = store;
    this.process = process;
    this.#owedMs = store.statementMs(process);
  }

  nowMs(): number {
    return this.#store.loop.nowMs;
  }

  *insert(table: string, row: Readonly<Record<string, Value>>): Step<number> {
    this.#pipeline();
    this.#store.judgeRoom();
    const known = this.#store.table(table);
    const id = ++known.lastId;
    for (const { columns, claims } of known.unique) {
      const value = valueOf(columns, row);
      if (claims.has(value)) yield* this.#claimable(known, claims, value);
      this.#claimed.push({ claims, value, before: claims.get(value) });
      claims.set(value, { id, transaction: this });
    }
    const key = known.firstKey + id;
    // Nobody else knows of it before the commit, so nobody is kept from it.
    this.#changes.set(key, { table, id, before: undefined, after: { ...row, id } });
    return id;
  }

  *select(
    table: string,
    where: Readonly<Record<string, Value>>,
    { lock }: SelectOptions = {},
  ): Step<readonly Row[]> {
    this.#judgeOpen();
    if (this.#store.isConcurrent) {
      yield this.#store.statement(this.process, this.#owedMs);
      this.#owedMs = 0;
      this.#judgeOpen();
    } else this.#pipeline();
    const rows = this.#visible(table, where);
    if (lock === undefined || !this.#store.isConcurrent) return rows;
    const locked: Row[] = [];
    const columns = Object.keys(where);
    const { firstKey } = this.#store.table(table);
    for (const { id } of rows) {
      const key = firstKey + id;
      if (lock === "skip" && this.#isOthers(key)) continue;
      if (!this.#tryLock(key)) yield* this.#lock(key);
      const row = this.#current(table, id);
      if (row !== undefined && fits(row, where, columns)) locked.push(row);
    }
    return locked;
  }

  update(table: string, id: number, changes: Readonly<Record<string, Value>>): Step<boolean> {
    return this.#write(table, id, changes);
  }

  delete(table: string, id: number): Step<boolean> {
    return this.#write(table, id, undefined);
  }

  *commit(): Step<void> {
    const { loop, options: { crash, commitMs } } = this.#store;
    const { process } = this;
    this.#judgeOpen();
    this.isCommitting = true;
    yield loop.pause(this.#owedMs + (commitMs?.(process) ?? 0.2), process);
    this.#judgeOpen();
    if (process.doom === "before-commit") {
      process.doom = "none";
      crash?.(process);
      if (!process.isLive) return yield* forever();
    }
    this.#finish();
    if (process.doom === "after-commit") {
      process.doom = "none";
      crash?.(process);
      if (!process.isLive) yield* forever();
    }
  }

  /** Its store crashes. */
  cut(isCommitted: boolean): void {
    this.#isCut = true;
    if (isCommitted) this.#finish();
    else this.end();
  }

  /** Makes its changes seen by all, at once. */
  #finish(): void {
    const changes: Change[] = [];
    for (const change of this.#changes.values()) {
      // What has come and gone within it is nobody's business.
      if (change.before === undefined && change.after === undefined) continue;
      changes.push(change);
      this.#apply(change);
    }
    for (const { claims, value } of this.#claimed) claims.get(value)!.transaction = undefined;
    this.#claimed.length = 0;
    this.end();
    if (changes.length > 0) this.#store.options.onCommit?.(changes, this.process);
  }

  *rollback(): Step<void> {
    if (this.isOver) return;
    yield this.#store.statement(this.process);
    this.end();
  }

  /** Gives back all it holds; what was not applied is gone. */
  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    const { locks, active } = this.#store;
    for (const key of this.#locked) this.#handOver(key, locks.get(key)!);
    for (const { claims, value, before } of this.#claimed.reverse()) {
      if (before === undefined) claims.delete(value);
      else claims.set(value, before);
    }
    active.delete(this);
    for (const one of this.#waiting) one.#wake?.();
    // Its store may have ended it while it waited for another.
    this.#wake?.();
    this.#store.released(this);
  }

  /** Gives a row to who has waited for it longest. */
  #handOver(key: number, lock: Lock): void {
    const { locks } = this.#store;
    for (let next = lock.waiters.shift(); next !== undefined; next = lock.waiters.shift()) {
      if (next.isOver) continue;
      lock.holder = next;
      next.#locked.push(key);
      next.#wake?.();
      return;
    }
    locks.delete(key);
  }

  #judgeOpen(): void {
    if (this.isOver) throw this.#isCut ? unavailable : ended;
  }

  #pipeline(): void {
    this.#judgeOpen();
    this.#owedMs += this.#store.statementMs(this.process);
  }

  /** @param changes `undefined` removes the row */
  *#write(
    table: string,
    id: number,
    changes: Readonly<Record<string, Value>> | undefined,
  ): Step<boolean> {
    this.#pipeline();
    const { firstKey, rows } = this.#store.table(table);
    const key = firstKey + id;
    if (this.#store.isConcurrent && !this.#tryLock(key)) yield* this.#lock(key);
    const row = this.#current(table, id);
    if (row === undefined) return false;
    const before = rows.get(id);
    const after = changes === undefined ? undefined : { ...row, ...changes, id };
    this.#changes.set(key, { table, id, before, after });
    return true;
  }

  #apply(change: Change): void {
    this.#store.apply(change);
    if (change.after !== undefined || change.before === undefined) return;
    for (const { columns, claims } of this.#store.table(change.table).unique) {
      const value = valueOf(columns, change.before);
      if (claims.get(value)?.id === change.id) claims.delete(value);
    }
  }

  /** Waits until nobody else has a unique value. @throws {StoreError} somebody keeps it */
  *#claimable(table: Table, claims: Map<Value, Claim>, value: Value): Step<void> {
    for (let claim = claims.get(value); claim !== undefined; claim = claims.get(value)) {
      const own = this.#changes.get(table.firstKey + claim.id);
      if (own !== undefined && own.after === undefined) break;
      if (claim.transaction === undefined || claim.transaction === this) {
        throw duplicate;
      }
      const holder = claim.transaction;
      holder.#waiting.push(this);
      yield* this.#waitFor({ holder });
    }
  }

  #isOthers(key: number): boolean {
    const lock = this.#store.locks.get(key);
    return lock !== undefined && lock.holder !== this;
  }

  /** Locks a row if nobody else holds it. */
  #tryLock(key: number): boolean {
    const { locks } = this.#store;
    const lock = locks.get(key);
    if (lock !== undefined) return lock.holder === this;
    locks.set(key, { holder: this, waiters: nobody });
    this.#locked.push(key);
    return true;
  }

  *#lock(key: number): Step<void> {
    const lock = this.#store.locks.get(key)!;
    if (lock.waiters === nobody) lock.waiters = [this];
    else lock.waiters.push(this);
    yield* this.#waitFor(lock);
  }

  /** Waits until it is woken: the lock is its own by then, or the value's holder has ended. */
  *#waitFor(what: { readonly holder: SimulatedTransaction }): Step<void> {
    const { loop, options: { onContention } } = this.#store;
    // A lock changes hands while others wait for it; whoever gets it waits for nobody, so no circle closes then.
    let one: SimulatedTransaction | undefined = what.holder;
    for (; one !== undefined && one !== this; one = one.#waitsFor?.holder);
    if (one === this) {
      onContention?.("deadlock", this.process);
      this.end();
      throw deadlock;
    }
    onContention?.("lock-wait", this.process);
    this.#waitsFor = what;
    yield* waitFor<void>((resume) => {
      this.#wake = () => {
        this.#wake = undefined;
        this.#waitsFor = undefined;
        loop.after(0, resume as () => void, this.process);
      };
    });
    this.#judgeOpen();
  }

  #current(table: string, id: number): Row | undefined {
    const { firstKey, rows } = this.#store.table(table);
    const own = this.#changes.get(firstKey + id);
    return own === undefined ? rows.get(id) : own.after;
  }

  #visible(table: string, where: Readonly<Record<string, Value>>): readonly Row[] {
    const rows = this.#store.committed(table, where);
    if (this.#changes.size === 0) return rows;
    const columns = Object.keys(where);
    const { firstKey } = this.#store.table(table);
    const visible: Row[] = [];
    for (const row of rows) if (!this.#changes.has(firstKey + row.id)) visible.push(row);
    for (const change of this.#changes.values()) {
      const { after } = change;
      if (change.table !== table || after === undefined) continue;
      if (fits(after, where, columns)) visible.push(after);
    }
    return sorted(visible);
  }
}

/** The values that a row has in a unique set, as one. */
function valueOf(columns: readonly string[], row: Readonly<Record<string, Value>>): Value {
  let value: Value = row[columns[0]!]!;
  for (let place = 1; place < columns.length; place++) value += `\n${row[columns[place]!]}`;
  return value;
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

function listOf(rows: IndexedRows): readonly Row[] {
  return rows.list ??= sorted([...rows.byId.values()]);
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
