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
  type Snapshot,
  type Store,
  StoreError,
  type Transaction,
  type Value,
} from "../topology/ports.ts";
import { done, leaf, type LeafKind, type Step, waitFor } from "../topology/step.ts";
import type { EventLoop, Process } from "./event_loop.ts";
import { type Change, SimulatedTable } from "./simulated_table.ts";
import { SimulatedTransaction, unavailable } from "./simulated_transaction.ts";

/** How transactions run beside each other. */
export type StoreProfile = "one-writer" | "mvcc";

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

/** Who waits to write, in the order of arrival. */
interface Waiter {
  readonly transaction: SimulatedTransaction;
  readonly process: Process;
  readonly life: number;
  readonly wake: () => void;
}

const full = new StoreError("unavailable", "The store is full");
const busy = new StoreError("busy", "Others write for too long");

/** The store itself; processes use it through {@linkcode SimulatedStore.connect}. */
export class SimulatedStore {
  readonly name: string;
  readonly loop: EventLoop;
  readonly options: SimulatedStoreOptions;
  /** Whether transactions run beside each other: with one writer there is nobody to lock rows against. */
  readonly isConcurrent: boolean;
  /**
   * Those that have begun, in that order. No set: one that is filled and emptied all the time is made anew again and
   * again, and what has outlived one of its makings keeps the next ones, and all that was in them, from the collector.
   */
  readonly active: SimulatedTransaction[] = [];
  readonly #tables = new Map<string, SimulatedTable>();
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
      this.#tables.set(name, new SimulatedTable(name, schema));
    }
  }

  /** The store as a process sees it. */
  connect(process: Process): Store {
    return {
      begin: () => this.#begin(process),
      read: (table, where, options) =>
        leaf(reading, { store: this, process, table, where, limit: options?.limit }),
    };
  }

  /** Puts a row in, at once. */
  load(table: string, row: Readonly<Record<string, Value>>): void {
    this.table(table).load(row);
  }

  /** Everything that is committed in a table, by ascending id; for judging a run. */
  all(table: string): readonly Row[] {
    return this.table(table).all();
  }

  /** Committed rows with that value in the index, by ascending id, until one of them changes; for judging a run. */
  find(table: string, value: Value): readonly Row[] {
    return this.table(table).list(value);
  }

  /** How many there are of them. */
  count(table: string, value: Value): number {
    return this.table(table).list(value).length;
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

  /** @throws {Error} there is none of that name */
  table(name: string): SimulatedTable {
    const table = this.#tables.get(name);
    if (table === undefined) throw new Error(`Store ${this.name} has no table '${name}'`);
    return table;
  }

  /** How long the next statement takes. */
  statementMs(process: Process): number {
    return this.options.statementMs?.(process) ?? 0.2;
  }

  /** A statement whose answer is needed. */
  statement(process: Process): Step<void> {
    return this.loop.sleep(this.statementMs(process), process);
  }

  /** A transaction has ended: the next writer has its turn. */
  released(transaction: SimulatedTransaction): void {
    if (this.#writer !== transaction) return;
    this.#writer = undefined;
    for (let waiter = this.#waitingWriters.shift(); waiter; waiter = this.#waitingWriters.shift()) {
      const { process, life } = waiter;
      if (!process.isLive || process.life !== life) continue;
      // Its turn from now on: nobody who comes in between may take it.
      this.#writer = waiter.transaction;
      this.active.push(waiter.transaction);
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

  #begin(process: Process): Step<Transaction> {
    const isFree = this.isConcurrent || this.#writer === undefined;
    return isFree && this.#downUntilUs <= this.loop.nowUs
      ? done(this.#open(new SimulatedTransaction(this, process)))
      : this.#beginLater(process);
  }

  *#beginLater(process: Process): Step<Transaction> {
    if (this.#downUntilUs > this.loop.nowUs) {
      yield* this.statement(process);
      this.judgeUp();
    }
    const transaction = new SimulatedTransaction(this, process);
    if (!this.isConcurrent && this.#writer !== undefined) {
      if (!(yield* this.#turn(transaction))) throw busy;
      // The store may have crashed since it was given the turn.
      if (transaction.isOver) throw unavailable;
    }
    this.#open(transaction);
    if (this.#downUntilUs > this.loop.nowUs) {
      transaction.end();
      throw unavailable;
    }
    return transaction;
  }

  #open(transaction: SimulatedTransaction): Transaction {
    if (!this.isConcurrent) this.#writer = transaction;
    if (!this.active.includes(transaction)) this.active.push(transaction);
    return transaction;
  }
}

interface Reading {
  readonly store: SimulatedStore;
  readonly process: Process;
  readonly table: string;
  readonly where: Readonly<Record<string, Value>>;
  readonly limit: number | undefined;
}

/** A read outside of a transaction. */
const reading: LeafKind<Reading, Snapshot> = {
  begin: ({ store, process }, resume) =>
    void store.loop.after(store.statementMs(process), resume as () => void, process),
  finish({ store, table, where, limit }) {
    store.judgeUp();
    return { rows: store.table(table).find(where, limit), nowMs: store.loop.nowMs };
  },
};
