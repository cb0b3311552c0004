/**
 * A transaction of a simulated store: what it has changed and nobody else sees, the rows that it has
 * locked, and its place among those who wait for another's.
 *
 * @module
 */
import {
  type Row,
  type SelectOptions,
  StoreError,
  type Transaction,
  type Value,
} from "../topology/ports.ts";
import { done, type Step, waitFor } from "../topology/step.ts";
import { forever, type Process } from "./event_loop.ts";
import type { SimulatedStore } from "./simulated_store.ts";
import {
  atMost,
  type Change,
  type Claim,
  fits,
  type SimulatedTable,
  sorted,
  valueOf,
} from "./simulated_table.ts";

/** Made once: an error's stack would cost more than the statement. */
export const unavailable = new StoreError("unavailable", "The store is down");
const duplicate = new StoreError("duplicate", "Another row has that value");
const deadlock = new StoreError("deadlock", "Each waits for the other: rolled back");
const ended = new StoreError("ended", "The transaction has ended");

/** A row that somebody holds: who comes later gets it in the order of arrival, as in PostgreSQL. */
export interface Lock {
  holder: SimulatedTransaction;
  waiters: SimulatedTransaction[];
}

const nobody: SimulatedTransaction[] = [];

/** What a process has begun at a store. */
export class SimulatedTransaction implements Transaction {
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

  insert(table: string, row: Readonly<Record<string, Value>>): Step<number> {
    this.#pipeline();
    this.#store.judgeRoom();
    const known = this.#store.table(table);
    const id = known.takeId();
    for (const { columns, claims } of known.unique) {
      const value = valueOf(columns, row);
      if (claims.has(value)) return this.#insertAfterOthers(known, row, id);
      this.#claim(claims, value, id);
    }
    return done(this.#put(known, row, id));
  }

  /** Somebody has one of its unique values: for good, or as long as it is not committed. */
  *#insertAfterOthers(
    table: SimulatedTable,
    row: Readonly<Record<string, Value>>,
    id: number,
  ): Step<number> {
    for (const { columns, claims } of table.unique) {
      const value = valueOf(columns, row);
      const claim = claims.get(value);
      if (claim?.id === id) continue;
      if (claim !== undefined) yield* this.#claimable(table, claims, value);
      this.#claim(claims, value, id);
    }
    return this.#put(table, row, id);
  }

  #claim(claims: Map<Value, Claim>, value: Value, id: number): void {
    this.#claimed.push({ claims, value, before: claims.get(value) });
    claims.set(value, { id, transaction: this });
  }

  /** Nobody else knows of the row before the commit, so nobody is kept from it. */
  #put(
    { name, firstKey }: SimulatedTable,
    row: Readonly<Record<string, Value>>,
    id: number,
  ): number {
    const change = { table: name, id, before: undefined, after: { ...row, id } };
    this.#changes.set(firstKey + id, change);
    return id;
  }

  select(
    table: string,
    where: Readonly<Record<string, Value>>,
    { lock, limit }: SelectOptions = {},
  ): Step<readonly Row[]> {
    if (this.#store.isConcurrent) return this.#selectAmongOthers(table, where, lock, limit);
    this.#pipeline();
    return done(this.#visible(table, where, limit));
  }

  *#selectAmongOthers(
    table: string,
    where: Readonly<Record<string, Value>>,
    lock: SelectOptions["lock"],
    limit = Infinity,
  ): Step<readonly Row[]> {
    this.#judgeOpen();
    yield this.#store.statement(this.process, this.#owedMs);
    this.#owedMs = 0;
    this.#judgeOpen();
    if (lock === undefined) return this.#visible(table, where, limit);
    const rows = this.#visible(table, where);
    const locked: Row[] = [];
    const columns = Object.keys(where);
    const { firstKey } = this.#store.table(table);
    for (const { id } of rows) {
      if (locked.length >= limit) break;
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
      this.#store.table(change.table).apply(change);
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
  #write(
    table: string,
    id: number,
    changes: Readonly<Record<string, Value>> | undefined,
  ): Step<boolean> {
    this.#pipeline();
    const known = this.#store.table(table);
    const key = known.firstKey + id;
    if (!this.#store.isConcurrent || this.#tryLock(key)) {
      return this.#change(known, id, changes) ? done(true) : done(false);
    }
    return this.#writeAfterOthers(known, id, changes);
  }

  *#writeAfterOthers(
    table: SimulatedTable,
    id: number,
    changes: Readonly<Record<string, Value>> | undefined,
  ): Step<boolean> {
    yield* this.#lock(table.firstKey + id);
    return this.#change(table, id, changes);
  }

  /** Whether there is such a row. */
  #change(
    { name, firstKey, rows }: SimulatedTable,
    id: number,
    changes: Readonly<Record<string, Value>> | undefined,
  ): boolean {
    const row = this.#current(name, id);
    if (row === undefined) return false;
    const before = rows.get(id);
    const after = changes === undefined ? undefined : { ...row, ...changes, id };
    this.#changes.set(firstKey + id, { table: name, id, before, after });
    return true;
  }

  /** Waits until nobody else has a unique value. @throws {StoreError} somebody keeps it */
  *#claimable(table: SimulatedTable, claims: Map<Value, Claim>, value: Value): Step<void> {
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

  #visible(
    table: string,
    where: Readonly<Record<string, Value>>,
    limit = Infinity,
  ): readonly Row[] {
    const known = this.#store.table(table);
    if (this.#changes.size === 0) return known.find(where, limit);
    const rows = known.find(where);
    const columns = Object.keys(where);
    const { firstKey } = known;
    const visible: Row[] = [];
    for (const row of rows) if (!this.#changes.has(firstKey + row.id)) visible.push(row);
    for (const change of this.#changes.values()) {
      const { after } = change;
      if (change.table !== table || after === undefined) continue;
      if (fits(after, where, columns)) visible.push(after);
    }
    return atMost(limit, sorted(visible));
  }
}
