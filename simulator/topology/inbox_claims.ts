/**
 * How a processor finds and claims rows of an inbox: of each slot, a consumer's share of a key, the next one and what
 * follows it. A claim is a lease with a token, which grows with each claim.
 *
 * @module
 */
import { OldestRows } from "./oldest_rows.ts";
import { type Row, type Surroundings, transact, type Transaction, type Value } from "./ports.ts";
import type { Settings } from "./settings.ts";
import type { Step } from "./step.ts";

/** The mark of a slot. Marks are made before the parts begin: there are no others, and their ids stay. */
export interface Mark {
  readonly id: number;
  /** The largest number that was applied, as far as this processor knows: it may be larger by now. */
  applied: number;
}

/** What a turn has claimed. */
export interface Claimed {
  /** Those of a slot in their order. */
  readonly rows: readonly Row[];
  /** Whether nothing else was there. */
  readonly isAll: boolean;
  /** When one of the rows that are there can be claimed, in milliseconds from now. */
  readonly waitMs: number;
}

/** Rows of an inbox, and which of them are the next of their slot. */
interface Heads {
  readonly rows: readonly Row[];
  readonly heads: readonly Row[];
  /** How many slots there are; 0 where these are all rows, and nobody asks. */
  readonly slots: number;
  /** By the store's clock. */
  readonly nowMs: number;
}

/** Where there was nothing to claim. */
export const nothingClaimed: Claimed = { rows: [], isAll: true, waitMs: Infinity };

/** The rows of an inbox, as one processor claims them. */
export class InboxClaims {
  readonly #part: Surroundings;
  readonly #settings: Settings;
  readonly #box: OldestRows;
  #marks: ReadonlyMap<Value, Mark> | undefined;

  constructor(part: Surroundings, settings: Settings) {
    this.#part = part;
    this.#settings = settings;
    this.#box = new OldestRows(part.clock, settings);
  }

  /** The mark of each slot; nothing until they are read. */
  get marks(): ReadonlyMap<Value, Mark> | undefined {
    return this.#marks;
  }

  *readMarks(): Step<ReadonlyMap<Value, Mark>> {
    const { rows } = yield* this.#part.store.read("marks", { box: 1 });
    return this.#marks = new Map(
      rows.map(({ slot, id, applied }) => [slot!, { id, applied: applied as number }]),
    );
  }

  /** Claims rows that are the next of their slot, and those that follow them. */
  *claim(): Step<Claimed> {
    const found = yield* this.#findHeads();
    const { heads, nowMs } = found;
    if (!heads.some((row) => isClaimable(row, nowMs))) {
      return { ...nothingClaimed, waitMs: Math.min(...heads.map(claimableAtMs)) - nowMs };
    }
    const runs = this.#runsOf(found);
    const rows = yield* transact(this.#part.store, (tx) => this.#claimIn(tx, runs));
    return { rows, isAll: rows.length === found.rows.length, waitMs: Infinity };
  }

  /** Makes the leases of claimed rows anew; gives whether all of them still were this processor's. */
  renew(rows: readonly Row[]): Step<boolean> {
    return transact(this.#part.store, (tx) => this.#renewIn(tx, rows));
  }

  /** As many of the oldest as a turn takes, or of every slot. */
  *#findHeads(): Step<Heads> {
    const { batch } = this.#settings;
    const isEnough = (found: Heads) =>
      takeable(found) >= batch || countSlots(found.heads) >= found.slots;
    const read = (limit: number) => this.#readHeads(limit);
    return (yield* this.#box.read(read, { takeable, isEnough })).found;
  }

  *#readHeads(limit: number): Step<Heads> {
    const { rows, nowMs } = yield* this.#part.store.read("inbox", { queue: "open" }, { limit });
    const heads = rows.length === 0 ? rows : yield* this.#headsOf(rows);
    const slots = rows.length < limit ? 0 : (this.#marks ?? (yield* this.readMarks())).size;
    return { rows, nowMs, heads, slots };
  }

  *#headsOf(open: readonly Row[]): Step<readonly Row[]> {
    if (this.#settings.ordering === "queue") return headsByPosition(open);
    const heads = headsBySequence(open, this.#marks ?? (yield* this.readMarks()));
    // A number is missing, or somebody else has applied it.
    const isHeldUp = heads.length < open.length && countSlots(heads) < countSlots(open);
    return isHeldUp ? headsBySequence(open, yield* this.readMarks()) : heads;
  }

  /** What a turn may claim, the heads first: a row comes after all that it follows. */
  #runsOf({ rows, heads, nowMs }: Heads): readonly Row[] {
    const { plant, batch, ordering } = this.#settings;
    const free = heads.filter((row) => isClaimable(row, nowMs));
    if (plant === 16) {
      const firstBad = heads.findIndex((row) => !isClaimable(row, nowMs));
      return firstBad < 0 ? free : heads.slice(0, firstBad);
    }
    if (free.length >= batch) return free.slice(0, batch);
    if (rows.length === free.length) return free;
    const last = new Map<Value, Row>(free.map((row) => [row["slot"]!, row]));
    for (const row of rows) {
      if (free.length >= batch) break;
      const before = last.get(row["slot"]!);
      if (before === undefined || row.id <= before.id) continue;
      const isNext = ordering === "queue" || row["sequence"] === before["sequence"] as number + 1;
      if (isNext && isClaimable(row, nowMs)) {
        free.push(row);
        last.set(row["slot"]!, row);
      } else if (ordering === "queue") last.delete(row["slot"]!);
    }
    return free;
  }

  *#claimIn(tx: Transaction, runs: readonly Row[]): Step<readonly Row[]> {
    const options = { lock: "skip", ids: idsOf(runs) } as const;
    const locked = yield* tx.select("inbox", { queue: "open" }, options);
    const claimed: Row[] = [];
    const heldUp: Value[] = [];
    for (const { id, slot } of runs) {
      // Few: looking through them costs less than a map.
      const row = locked.find((one) => one.id === id);
      // It may be another's since it was read, and what follows it is not the next then.
      if (row === undefined || !isClaimable(row, tx.nowMs())) heldUp.push(slot!);
      else if (!heldUp.includes(slot!)) claimed.push(yield* this.#claimRow(tx, row));
    }
    return claimed;
  }

  *#claimRow(tx: Transaction, row: Row): Step<Row> {
    if (row["state"] === "claimed") this.#part.note("lease-over", row["messageId"] as string);
    const token = row["token"] as number + 1;
    yield* tx.update("inbox", row.id, { state: "claimed", token, untilMs: this.#untilMs(tx) });
    return { ...row, state: "claimed", token };
  }

  *#renewIn(tx: Transaction, rows: readonly Row[]): Step<boolean> {
    const held = yield* selectClaimed(tx, rows);
    for (const { id } of held) yield* tx.update("inbox", id, { untilMs: this.#untilMs(tx) });
    return held.length === rows.length;
  }

  #untilMs(tx: Transaction): number {
    const { plant, leaseMs } = this.#settings;
    return tx.nowMs() + (plant === 22 ? leaseMs / 20 : leaseMs);
  }
}

/** The slot of a row, which is a lane of its own. */
export function slotOfRow({ slot }: Row): Value {
  return slot!;
}

/** Those of some claimed rows that are claimed so still, locked. */
export function* selectClaimed(tx: Transaction, rows: readonly Row[]): Step<readonly Row[]> {
  const options = { lock: "wait", ids: idsOf(rows) } as const;
  const found = yield* tx.select("inbox", { queue: "open" }, options);
  return found.filter(({ id, token }) =>
    rows.some((row) => row.id === id && row["token"] === token)
  );
}

function idsOf(rows: readonly Row[]): number[] {
  return rows.map(({ id }) => id);
}

function countSlots(rows: readonly Row[]): number {
  return rows.length < 2 ? rows.length : new Set(rows.map(slotOfRow)).size;
}

function takeable({ heads, nowMs }: Heads): number {
  return heads.filter((row) => isClaimable(row, nowMs)).length;
}

function isClaimable(row: Row, nowMs: number): boolean {
  return claimableAtMs(row) <= nowMs;
}

/** When it can be claimed: after its lease, or after its wait; never if it is parked. */
function claimableAtMs(row: Row): number {
  if (row["state"] === "claimed") return row["untilMs"] as number;
  return row["state"] === "pending" ? row["nextAtMs"] as number : Infinity;
}

/** The oldest row of each consumer and key. */
function headsByPosition(open: readonly Row[]): readonly Row[] {
  if (open.length === 1) return open;
  const seen = new Set<Value>();
  return open.filter(({ slot }) => !seen.has(slot!) && seen.add(slot!));
}

/** Rows whose predecessors have been applied; one whose predecessor is missing waits for it. */
function headsBySequence(
  open: readonly Row[],
  marks: ReadonlyMap<Value, Mark>,
): readonly Row[] {
  return open.filter((row) => row["sequence"] as number <= marks.get(row["slot"]!)!.applied + 1);
}
