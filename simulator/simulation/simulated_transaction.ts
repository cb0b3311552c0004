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
import { done, leaf, type Step, waitFor } from "../topology/step.ts";
import type { Process } from "./event_loop.ts";
import type { SimulatedStore } from "./simulated_store.ts";
import { type Claim, fits, type Lock, type SimulatedTable, sorted } from "./simulated_table.ts";
import { committing, selection } from "./transaction_steps.ts";

/** Made once: an error's stack would cost more than the statement. */
export const unavailable = new StoreError("unavailable", "The store is down");
const duplicate = new StoreError("duplicate", "Another row has that value");
const deadlock = new StoreError("deadlock", "Each waits for the other: rolled back");
const ended = new StoreError("ended", "The transaction has ended");

const nothing: readonly never[] = [];

/** A {@linkcode Change} that nobody else sees yet. */
interface OwnChange {
  readonly table: string;
  readonly of: SimulatedTable;
  readonly id: number;
  readonly before: Row | undefined;
  after: Row | undefined;
  next: OwnChange | undefined;
}

/** A row that it holds. */
interface HeldRow {
  readonly of: SimulatedTable;
  readonly id: number;
  next: HeldRow | undefined;
}

/**
 * What a process has begun at a store. Its lists are chains of what they hold: most have one or two, and the first
 * that is pushed into an array makes room for seventeen.
 */
export class SimulatedTransaction implements Transaction {
  readonly process: Process;
  readonly #store: SimulatedStore;
  /** In the order in which their rows were changed first. Few: looking through them costs less than a map. */
  #firstChange: OwnChange | undefined;
  #lastChange: OwnChange | undefined;
  #firstHeld: HeldRow | undefined;
  #lastHeld: HeldRow | undefined;
  #lastClaimed: Claim | undefined;
  /** Those who want a unique value that it has taken. */
  #waiting: SimulatedTransaction[] | undefined;
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
    for (const set of known.unique) {
      const claims = set.claimsOf(row);
      const value = set.valueOf(row);
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
    for (const set of table.unique) {
      const claims = set.claimsOf(row);
      const value = set.valueOf(row);
      const claim = claims.get(value);
      if (claim?.id === id) continue;
      if (claim !== undefined) yield* this.#claimable(table, claims, value);
      this.#claim(claims, value, id);
    }
    return this.#put(table, row, id);
  }

  #claim(claims: Map<Value, Claim>, value: Value, id: number): void {
    const before = claims.get(value);
    const claim = { claims, value, id, transaction: this, before, earlier: this.#lastClaimed };
    claims.set(value, claim);
    this.#lastClaimed = claim;
  }

  /** Nobody else knows of the row before the commit, so nobody is kept from it. */
  #put(table: SimulatedTable, row: Readonly<Record<string, Value>>, id: number): number {
    this.#add(table, id, undefined, changed(row, { id }));
    return id;
  }

  #add(of: SimulatedTable, id: number, before: Row | undefined, after: Row | undefined): void {
    const change = { table: of.name, of, id, before, after, next: undefined };
    if (this.#lastChange === undefined) this.#firstChange = change;
    else this.#lastChange.next = change;
    this.#lastChange = change;
  }

  select(
    table: string,
    where: Readonly<Record<string, Value>>,
    { lock, limit = Infinity, ids }: SelectOptions = {},
  ): Step<readonly Row[]> {
    if (!this.#store.isConcurrent) {
      this.#pipeline();
      return done(this.visible(this.#store.table(table), where, ids, limit));
    }
    const known = this.#store.table(table);
    const rest = undefined;
    return leaf(selection, { transaction: this, table: known, where, lock, ids, limit, rest });
  }

  /** Begins to wait for the answer of a statement, and of those before it. */
  flush(resume: () => void): void {
    const tookMs = this.#owedMs + this.#store.statementMs(this.process);
    this.#store.loop.after(tookMs, resume, this.process);
    this.#owedMs = 0;
  }

  /** Locks the row if that takes no waiting; gives whether it is this transaction's now. */
  tryLock(table: SimulatedTable, id: number): boolean {
    const { holders } = table;
    const holder = holders[id];
    if (holder !== undefined) return holder === this;
    holders[id] = this;
    this.#hold(table, id);
    return true;
  }

  /** Locks rows one after the other; gives those that still fit by then, after those that were locked before. */
  *lockEach(
    table: SimulatedTable,
    where: Readonly<Record<string, Value>>,
    ids: readonly number[],
    locked: Row[],
    limit: number,
  ): Step<readonly Row[]> {
    for (const id of ids) {
      if (locked.length >= limit) break;
      if (!this.tryLock(table, id)) yield* this.#lock(table, id);
      const row = this.current(table, id);
      if (row !== undefined && fits(row, where)) locked.push(row);
    }
    return locked;
  }

  update(table: string, id: number, changes: Readonly<Record<string, Value>>): Step<boolean> {
    return this.#write(table, id, changes);
  }

  delete(table: string, id: number): Step<boolean> {
    return this.#write(table, id, undefined);
  }

  commit(): Step<void> {
    return leaf(committing, this);
  }

  /** Begins to wait for its commit. */
  beginCommit(resume: () => void): void {
    const { loop, options: { commitMs } } = this.#store;
    loop.after(this.#owedMs + (commitMs?.(this.process) ?? 0.2), resume, this.process);
  }

  /** Commits, unless its process crashes before. */
  finishCommit(): void {
    const { options: { crash } } = this.#store;
    const { process } = this;
    this.judgeOpen();
    if (process.doom === "before-commit") {
      process.doom = "none";
      crash?.(process);
      if (!process.isLive) return;
    }
    this.#finish();
    if (process.doom === "after-commit") {
      process.doom = "none";
      crash?.(process);
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
    // What has come and gone within it is nobody's business.
    const changes = this.#effective();
    for (const change of changes) change.of.apply(change);
    for (let claim = this.#lastClaimed; claim !== undefined;) {
      const { earlier }: Claim = claim;
      claim.transaction = undefined;
      claim.before = undefined;
      claim.earlier = undefined;
      claim = earlier;
    }
    this.#lastClaimed = undefined;
    this.end();
    if (changes.length > 0) this.#store.options.onCommit?.(changes, this.process);
  }

  #effective(): readonly OwnChange[] {
    let count = 0;
    for (let one = this.#firstChange; one !== undefined; one = one.next) {
      if (one.before !== one.after) count++;
    }
    if (count === 0) return nothing;
    const changes = new Array<OwnChange>(count);
    let place = 0;
    for (let one = this.#firstChange; one !== undefined; one = one.next) {
      if (one.before !== one.after) changes[place++] = one;
    }
    return changes;
  }

  *rollback(): Step<void> {
    if (this.isOver) return;
    yield* this.#store.statement(this.process);
    this.end();
  }

  /** Gives back all it holds; what was not applied is gone. */
  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    for (let row = this.#firstHeld; row !== undefined; row = row.next) this.#handOver(row);
    for (let claim = this.#lastClaimed; claim !== undefined; claim = claim.earlier) {
      const { claims, value, before } = claim;
      if (before === undefined) claims.delete(value);
      else claims.set(value, before);
    }
    const { active } = this.#store;
    const place = active.indexOf(this);
    // One that waits for its turn has not begun.
    if (place >= 0) active.splice(place, 1);
    for (const one of this.#waiting ?? nothing) one.#wake?.();
    // Its store may have ended it while it waited for another.
    this.#wake?.();
    this.#store.released(this);
  }

  /** Gives a row to who has waited for it longest. */
  #handOver({ of, id }: HeldRow): void {
    const { holders, locks } = of;
    const lock = locks.get(id);
    for (let next = lock?.waiters.shift(); next !== undefined; next = lock!.waiters.shift()) {
      if (next.isOver) continue;
      lock!.holder = next;
      holders[id] = next;
      next.#hold(of, id);
      next.#wake?.();
      return;
    }
    holders[id] = undefined;
    if (lock !== undefined) locks.delete(id);
  }

  #hold(of: SimulatedTable, id: number): void {
    const row = { of, id, next: undefined };
    if (this.#lastHeld === undefined) this.#firstHeld = row;
    else this.#lastHeld.next = row;
    this.#lastHeld = row;
  }

  judgeOpen(): void {
    if (this.isOver) throw this.#isCut ? unavailable : ended;
  }

  #pipeline(): void {
    this.judgeOpen();
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
    if (!this.#store.isConcurrent || this.tryLock(known, id)) {
      return this.#change(known, id, changes) ? done(true) : done(false);
    }
    return this.#writeAfterOthers(known, id, changes);
  }

  *#writeAfterOthers(
    table: SimulatedTable,
    id: number,
    changes: Readonly<Record<string, Value>> | undefined,
  ): Step<boolean> {
    yield* this.#lock(table, id);
    return this.#change(table, id, changes);
  }

  /** Whether there is such a row. */
  #change(
    table: SimulatedTable,
    id: number,
    changes: Readonly<Record<string, Value>> | undefined,
  ): boolean {
    const own = this.#own(table, id);
    const row = own === undefined ? table.row(id) : own.after;
    if (row === undefined) return false;
    const after = changes === undefined ? undefined : changed(row, changes);
    if (own !== undefined) own.after = after;
    else this.#add(table, id, row, after);
    return true;
  }

  /** Waits until nobody else has a unique value. @throws {StoreError} somebody keeps it */
  *#claimable(table: SimulatedTable, claims: Map<Value, Claim>, value: Value): Step<void> {
    for (let claim = claims.get(value); claim !== undefined; claim = claims.get(value)) {
      const own = this.#own(table, claim.id);
      if (own !== undefined && own.after === undefined) break;
      if (claim.transaction === undefined || claim.transaction === this) {
        throw duplicate;
      }
      const holder = claim.transaction;
      (holder.#waiting ??= []).push(this);
      yield* this.#waitFor({ holder });
    }
  }

  *#lock({ holders, locks }: SimulatedTable, id: number): Step<void> {
    let lock: Lock | undefined = locks.get(id);
    if (lock === undefined) locks.set(id, lock = { holder: holders[id]!, waiters: [] });
    lock.waiters.push(this);
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
    this.judgeOpen();
  }

  #own(table: SimulatedTable, id: number): OwnChange | undefined {
    for (let one = this.#firstChange; one !== undefined; one = one.next) {
      if (one.id === id && one.of === table) return one;
    }
    return undefined;
  }

  /** The row as this transaction sees it. */
  current(table: SimulatedTable, id: number): Row | undefined {
    const own = this.#own(table, id);
    return own === undefined ? table.row(id) : own.after;
  }

  /** Rows that fit as this transaction sees them: what is committed, and its own changes. */
  visible(
    table: SimulatedTable,
    where: Readonly<Record<string, Value>>,
    ids: readonly number[] | undefined,
    limit: number,
  ): readonly Row[] {
    if (ids !== undefined) return this.#ofIds(table, where, ids, limit);
    const changed = this.#countChanges(table);
    if (changed === 0) return table.find(where, limit);
    const visible = table.find(where, limit + changed)
      .filter(({ id }) => this.#own(table, id) === undefined);
    for (let one = this.#firstChange; one !== undefined; one = one.next) {
      const { of, after } = one;
      if (of === table && after !== undefined && fits(after, where)) visible.push(after);
    }
    return sorted(visible).slice(0, limit);
  }

  #ofIds(
    table: SimulatedTable,
    where: Readonly<Record<string, Value>>,
    ids: readonly number[],
    limit: number,
  ): readonly Row[] {
    const rows: Row[] = [];
    for (const id of ids) {
      const row = this.current(table, id);
      if (row !== undefined && fits(row, where)) rows.push(row);
    }
    sorted(rows);
    return rows.length > limit ? rows.slice(0, limit) : rows;
  }

  #countChanges(table: SimulatedTable): number {
    let count = 0;
    for (let one = this.#firstChange; one !== undefined; one = one.next) {
      if (one.of === table) count++;
    }
    return count;
  }
}

/**
 * A row with some values in place of its own. Rows are of as many shapes as there are tables: for more than a few,
 * the engine copies by a spread several times as slowly as so.
 */
function changed(
  row: Readonly<Record<string, Value>>,
  changes: Readonly<Record<string, Value>>,
): Row {
  const after: Record<string, Value> = Object.assign({}, row);
  for (const column in changes) after[column] = changes[column]!;
  return after as Row;
}
