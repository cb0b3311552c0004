/**
 * The four things a part knows of its world: a clock, chance, a store and a link it sends over.
 * What stands behind them is simulated (`simulator/simulation/`) or real.
 *
 * @module
 */
import type { Step } from "./step.ts";

/** A clock of the part's own process: it may be wrong against those of others. */
export interface Clock {
  nowMs(): number;
  sleep(delayMs: number): Step<void>;
}

/** Chance that belongs to the part's process. */
export interface Chance {
  /** From 0 up to, but not including, 1. */
  random(): number;
}

/** A value of a column. */
export type Value = string | number;

/** A row; `id` is given by the store when it is inserted. */
export type Row = { readonly id: number } & Record<string, Value>;

/** What a column holds. */
export type ColumnType = "text" | "number";

/** What a table is like. */
export interface TableSchema {
  /** Its columns beside `id`, for stores that have to know them. @default those of its rows */
  readonly columns?: Readonly<Record<string, ColumnType>>;
  /** Sets of columns that no two rows may have alike. */
  readonly unique?: readonly (readonly string[])[];
  /** The column that {@linkcode Transaction.select} finds rows by; it must be given in each `where`. */
  readonly index: string;
}

/** The tables of a store, by name. */
export type Schema = Readonly<Record<string, TableSchema>>;

/** Options of {@linkcode Store.read}. */
export interface ReadOptions {
  /** The most rows, at least 1: those of the smallest ids. @default all */
  readonly limit?: number | undefined;
}

/** Options of {@linkcode Transaction.select}. */
export interface SelectOptions extends ReadOptions {
  /** Only rows of these ids. @default all */
  readonly ids?: readonly number[] | undefined;
  /**
   * `wait`: each row is locked until the transaction ends, after waiting for whoever holds it;
   * `skip`: the same, but leaves out rows that somebody else holds; they do not count for `limit`.
   *
   * @default none: reads what is committed
   */
  readonly lock?: "wait" | "skip" | undefined;
}

/**
 * A transaction: reads see what is committed when they run, and its own writes. Nothing it writes is
 * seen by others before `commit`; nothing of it remains if its process crashes or it is rolled back.
 */
export interface Transaction {
  /** The store's own clock, which all its clients share. */
  nowMs(): number;
  /** Gives the row's id, taken now, although others see the row only after the commit. */
  insert(table: string, row: Readonly<Record<string, Value>>): Step<number>;
  /** Rows whose columns are equal to those of `where`, by ascending id. */
  select(
    table: string,
    where: Readonly<Record<string, Value>>,
    options?: SelectOptions,
  ): Step<readonly Row[]>;
  /** Waits for whoever holds the row; `false` if there is none of that id any more. */
  update(table: string, id: number, changes: Readonly<Record<string, Value>>): Step<boolean>;
  /** Waits for whoever holds the row; `false` if there is none of that id any more. */
  delete(table: string, id: number): Step<boolean>;
  /** After it has thrown, nobody knows whether it is committed. */
  commit(): Step<void>;
  rollback(): Step<void>;
}

/** What was committed when it was read. */
export interface Snapshot {
  /** By ascending id. */
  readonly rows: readonly Row[];
  /** By the store's own clock. */
  readonly nowMs: number;
}

/** A store, as one process sees it. */
export interface Store {
  /** @throws {StoreError} `busy` */
  begin(): Step<Transaction>;
  /** Reads outside of a transaction, without waiting for writers. */
  read(
    table: string,
    where: Readonly<Record<string, Value>>,
    options?: ReadOptions,
  ): Step<Snapshot>;
}

/**
 * Why a store could not do something.
 *
 * - `busy`: others write for too long; nothing was begun
 * - `duplicate`: a unique set of columns is taken
 * - `deadlock`: it was chosen to give way; the transaction is rolled back
 * - `ended`: the transaction has ended
 * - `unavailable`: it cannot be reached, or cannot write; nobody knows what has become of a commit
 */
export type StoreErrorKind = "busy" | "duplicate" | "deadlock" | "ended" | "unavailable";

/** An error of a store. */
export class StoreError extends Error {
  override name = "StoreError";
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/**
 * Runs `work` in a transaction: commits, or rolls back and throws what it threw.
 *
 * What runs for each message gives a call of a named generator, not a generator of its own: the engine makes each
 * generator function a hidden class at its first call, which costs more than the rest of the transaction.
 *
 * @example
 * ```ts
 * yield* transact(part.store, (tx) => claimRowsIn(tx, rows));
 * ```
 */
export function* transact<T>(store: Store, work: (tx: Transaction) => Step<T>): Step<T> {
  const tx = yield* store.begin();
  let result: T;
  try {
    result = yield* work(tx);
  } catch (error) {
    yield* tx.rollback();
    throw error;
  }
  yield* tx.commit();
  return result;
}

/**
 * What travels.
 *
 * An order and its result are each one message; all messages of a key are numbered from 1.
 */
export interface Message {
  readonly id: string;
  readonly key: string;
  /** Its place among the messages of its key. */
  readonly sequence: number;
  /** The trace of the order that it follows from; live, its `traceparent` (W3C Trace Context). */
  readonly trace: string;
}

/** A message that a lambda has got, and may acknowledge. */
export interface Delivery {
  readonly message: Message;
  /** What the bus knows this delivery by. */
  readonly receipt: number;
  /** How often it has been given out, this time included. */
  readonly attempt: number;
}

/** A bus with groups, at-least-once delivery and leases, as one process sees it. */
export interface BusPort {
  /** Resolves when the bus has the message for every group. */
  publish(topic: string, message: Message): Step<void>;
  /** Waits a while for messages; each is the caller's until its lease runs out. */
  receive(topic: string, group: string, limit: number): Step<readonly Delivery[]>;
  acknowledge(delivery: Delivery): Step<void>;
  /** Gives it back, to be given out again after `delayMs`. */
  release(delivery: Delivery, delayMs: number): Step<void>;
}

/** The link's point, as the contract numbers them. */
export type FaultPoint = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** A link: everything a part sends, receives or writes to another part goes over one. */
export interface Link {
  /**
   * Does `perform` at the other end. It may throw {@linkcode LinkError} although it was performed,
   * perform it later or twice.
   *
   * @param trace the trace of the message that it is about, where it is about one
   */
  call<T>(point: FaultPoint, subject: string, perform: () => Step<T>, trace?: string): Step<T>;
}

/**
 * - `refused`: it was not performed
 * - `timeout`: nobody knows whether it was, is, or will be performed
 * - `full`: the other end has no room for it; it was not performed
 */
export type LinkErrorKind = "refused" | "timeout" | "full";

/** An error of a link. */
export class LinkError extends Error {
  override name = "LinkError";
  readonly kind: LinkErrorKind;

  constructor(kind: LinkErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Why a call over a link has failed, in a word. */
export function errorWord(error: unknown): string {
  if (error instanceof LinkError || error instanceof StoreError) return error.kind;
  return error instanceof Error ? error.name : "error";
}

/** What a process is handed: its world, and nothing else. */
export interface Surroundings {
  /** Such as `relay-1.0`: the part and its instance. */
  readonly name: string;
  /** Differs with each start of the process. */
  readonly session: string;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly store: Store;
  readonly bus: BusPort;
  readonly link: Link;
  /** Waits for a wake-up by {@linkcode wake} about the box it works at, at most `limitMs`; gives what it was about. */
  sleepUntilWoken(limitMs: number): Step<readonly string[]>;
  /** Wakes those of this backend who work at a box: its relays, or its processors. A hint only: it may be lost. */
  wake(box: "outbox" | "inbox", subject: string): void;
  /** Notes what happened, for the event log and for telemetry. */
  note(event: string, subject: string, detail?: string): void;
}
