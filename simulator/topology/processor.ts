/**
 * A processor takes messages from an inbox, in the order of each key, and has each consumer's effect
 * of them: effect, mark of the inbox and what is to be sent next are one transaction. A row is
 * claimed by a lease with a token; an effect under an old token is refused.
 *
 * @module
 */
import { OldestRows } from "./oldest_rows.ts";
import {
  LinkError,
  type Row,
  StoreError,
  type Surroundings,
  transact,
  type Transaction,
  type Value,
} from "./ports.ts";
import {
  attempt,
  backoffMs,
  messageOf,
  outboxRow,
  resultIdOf,
  resultOf,
  rowOf,
  type Settings,
  slotOf,
  type Stage,
} from "./settings.ts";
import { inLanes, type Step } from "./step.ts";

/** The handler has failed because of the message itself. */
export class HandlerError extends Error {
  override name = "HandlerError";
}

/** What the handler does beside the store: it takes time, and may throw {@linkcode HandlerError}. */
export type Work = (part: Surroundings, consumer: string, messageId: string) => Step<void>;

/** What a lambda does with a message before it writes it: it takes time, and may throw {@linkcode HandlerError}. */
export type LambdaWork = (part: Surroundings, messageId: string) => Step<void>;

/** A processor's state. */
interface Processor {
  readonly part: Surroundings;
  readonly settings: Settings;
  readonly stage: Stage;
  readonly work: Work;
  readonly box: OldestRows;
  /** What is known of each slot; nothing until it is asked for. */
  marks: ReadonlyMap<Value, Mark> | undefined;
}

/** The mark of a slot. Marks are made before the parts begin: there are no others, and their ids stay. */
interface Mark {
  readonly id: number;
  /** The largest number that was applied, as far as this processor knows: it may be larger by now. */
  applied: number;
}

/** Works for as long as its process lives. */
export function* processor(
  part: Surroundings,
  settings: Settings,
  stage: Stage,
  work: Work,
): Step<never> {
  const box = new OldestRows(part.clock, settings);
  const state: Processor = { part, settings, stage, work, box, marks: undefined };
  for (;;) {
    if (settings.plant === 24) yield* attempt(part, () => sweepAll(part));
    const found = yield* attempt(part, () => claimRows(state));
    const { claimed, isAll, waitMs } = found?.value ?? nothing;
    const failed: Row[] = [];
    // What takes long or fails holds up its own slot, and nothing else; and commits can share a wait for the disk.
    if (settings.plant !== 16) {
      yield* inLanes(claimed, slotOfRow, (rows) => processRows(state, rows, failed));
    } else yield* processUntilFailure(state, claimed);
    // What has come meanwhile, it is woken about.
    if (claimed.length === 0 || isAll && failed.length === 0) {
      const pollMs = settings.pollMs * (0.5 + part.chance.random());
      yield* part.sleepUntilWoken(Math.max(5, Math.min(pollMs, waitMs)));
    }
  }
}

function* processRows(processor: Processor, rows: readonly Row[], failed: Row[]): Step<void> {
  for (const row of rows) if (!(yield* processRow(processor, row))) failed.push(row);
}

/** Planted bug 16: one that fails ends the batch. */
function* processUntilFailure(processor: Processor, rows: readonly Row[]): Step<void> {
  for (const row of rows) if (!(yield* processRow(processor, row))) return;
}

function slotOfRow({ slot }: Row): Value {
  return slot!;
}

/** What a look at the inbox has given. */
interface Found {
  readonly claimed: readonly Row[];
  /** Whether nothing else was there. */
  readonly isAll: boolean;
  /** When one of the rows that are there can be claimed, in milliseconds from now. */
  readonly waitMs: number;
}

/** Rows of an inbox, and which of them are the next of their key. */
interface Heads {
  readonly rows: readonly Row[];
  readonly heads: readonly Row[];
  /** How many slots there are; 0 where these are all rows, and nobody asks. */
  readonly slots: number;
  /** By the store's clock. */
  readonly nowMs: number;
}

const nothing: Found = { claimed: [], isAll: true, waitMs: Infinity };

/** Claims rows that are the next of their key. */
function* claimRows(processor: Processor): Step<Found> {
  const found = yield* findHeads(processor);
  const { heads, nowMs } = found;
  if (!heads.some((row) => isClaimable(row, nowMs))) {
    return { ...nothing, waitMs: Math.min(...heads.map(claimableAtMs)) - nowMs };
  }
  const { store } = processor.part;
  const claimed = yield* transact(store, (tx) => claimHeads(tx, processor, found));
  return { claimed, isAll: claimed.length === found.rows.length, waitMs: Infinity };
}

function* claimHeads(
  tx: Transaction,
  processor: Processor,
  { heads, nowMs }: Heads,
): Step<readonly Row[]> {
  const { settings: { plant, batch: limit } } = processor;
  const isBad = (row: Row) => !isClaimable(row, nowMs);
  const firstBad = plant === 16 ? heads.findIndex(isBad) : -1;
  const free = firstBad < 0 ? heads.filter((row) => !isBad(row)) : heads.slice(0, firstBad);
  const ids = free.map(({ id }) => id);
  const claimed: Row[] = [];
  for (const row of yield* tx.select("inbox", { queue: "open" }, { lock: "skip", ids, limit })) {
    // It may be another's since it was read.
    if (isClaimable(row, tx.nowMs())) claimed.push(yield* claimRow(processor, tx, row));
  }
  return claimed;
}

/** Rows that are the next of their key: as many of the oldest as a turn takes, or of every slot. */
function* findHeads(processor: Processor): Step<Heads> {
  const { settings: { batch }, box } = processor;
  const isEnough = (found: Heads) =>
    takeable(found) >= batch ||
    countSlots(found.heads) >= found.slots;
  const read = (limit: number) => readHeads(processor, limit);
  return (yield* box.read(read, { takeable, isEnough })).found;
}

function* readHeads(processor: Processor, limit: number): Step<Heads> {
  const { rows, nowMs } = yield* processor.part.store.read("inbox", { queue: "open" }, { limit });
  const heads = rows.length === 0 ? rows : yield* headsOf(processor, rows);
  const slots = rows.length < limit ? 0 : (processor.marks ?? (yield* readMarks(processor))).size;
  return { rows, nowMs, heads, slots };
}

function takeable({ heads, nowMs }: Heads): number {
  return heads.filter((row) => isClaimable(row, nowMs)).length;
}

function* headsOf(processor: Processor, open: readonly Row[]): Step<readonly Row[]> {
  if (processor.settings.ordering === "queue") return headsByPosition(open);
  const heads = headsBySequence(open, processor.marks ?? (yield* readMarks(processor)));
  // A number is missing, or somebody else has applied it.
  const isHeldUp = countSlots(heads) < countSlots(open);
  return isHeldUp ? headsBySequence(open, yield* readMarks(processor)) : heads;
}

function countSlots(rows: readonly Row[]): number {
  return new Set(rows.map(slotOfRow)).size;
}

function* readMarks(processor: Processor): Step<ReadonlyMap<Value, Mark>> {
  const { rows } = yield* processor.part.store.read("marks", { box: 1 });
  return processor.marks = new Map(
    rows.map(({ slot, id, applied }) => [slot!, { id, applied: applied as number }]),
  );
}

function* claimRow({ part, settings }: Processor, tx: Transaction, row: Row): Step<Row> {
  if (row["state"] === "claimed") part.note("lease-over", row["messageId"] as string);
  const token = row["token"] as number + 1;
  const leaseMs = settings.plant === 22 ? settings.leaseMs / 20 : settings.leaseMs;
  yield* tx.update("inbox", row.id, { state: "claimed", token, untilMs: tx.nowMs() + leaseMs });
  return { ...row, state: "claimed", token };
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
function headsByPosition(open: readonly Row[]): Row[] {
  const seen = new Set<Value>();
  return open.filter(({ slot }) => !seen.has(slot!) && seen.add(slot!));
}

/** Rows whose predecessors have been applied; one whose predecessor is missing waits for it. */
function headsBySequence(open: readonly Row[], marks: ReadonlyMap<Value, Mark>): Row[] {
  return open.filter((row) => row["sequence"] as number <= marks.get(row["slot"]!)!.applied + 1);
}

/** Gives whether it has been processed. */
function* processRow(processor: Processor, row: Row): Step<boolean> {
  const { part, settings, stage } = processor;
  const perform = () => handle(processor, row);
  try {
    const id = row["messageId"] as string;
    const done = stage.processPoint === undefined
      ? yield* perform()
      : yield* part.link.call(stage.processPoint, id, perform, row["trace"] as string);
    if (done && settings.pattern !== "outbox" && row["consumer"] === stage.producer) {
      yield* publishResult(part, row);
    }
    return done;
  } catch (error) {
    if (
      !(error instanceof HandlerError || error instanceof LinkError || error instanceof StoreError)
    ) throw error;
    if (settings.plant !== 16) {
      yield* attempt(part, () => recordFailure(processor, row, error));
    }
    return false;
  }
}

/** Patterns without an outbox: sent after the commit, and lost if that fails. */
function* publishResult(part: Surroundings, row: Row): Step<void> {
  const message = resultOf(messageOf(row));
  yield* attempt(
    part,
    () => part.link.call(6, message.id, () => part.bus.publish("results", message), message.trace),
  );
}

/** Gives whether the effect is there now by this call. */
function* handle(processor: Processor, row: Row): Step<boolean> {
  const { part, settings, stage, work } = processor;
  const consumer = row["consumer"] as string;
  const message = messageOf(row);
  yield* work(part, consumer, message.id);
  const marks = processor.marks ?? (yield* readMarks(processor));
  const mark = marks.get(slotOf(consumer, message.key))!;
  const isDone = yield* transact(part.store, (tx) => apply(tx, processor, row, mark));
  if (isDone) mark.applied = Math.max(mark.applied, message.sequence);
  // Not before the commit: whoever is woken would find nothing, and sleep on.
  if (isDone && consumer === stage.producer && settings.pattern === "outbox") {
    part.wake("outbox", resultIdOf(message.id));
  }
  return isDone;
}

/** The effect, the mark of the inbox and what is to be sent next; gives whether they are there by this call. */
function* apply(
  tx: Transaction,
  { part, settings, stage }: Processor,
  row: Row,
  mark: Mark,
): Step<boolean> {
  const message = messageOf(row);
  const consumer = row["consumer"] as string;
  const ids = [row.id];
  const [current] = yield* tx.select("inbox", { queue: "open" }, { lock: "wait", ids });
  const isFenced = current === undefined || current["token"] !== row["token"];
  if (isFenced && settings.plant !== 22 && settings.plant !== 24) {
    part.note("fenced", message.id, consumer);
    return false;
  }
  yield* tx.insert("effects", { ...rowOf(message), consumer });
  yield* tx.update("marks", mark.id, { applied: message.sequence });
  yield* tx.update("inbox", row.id, { queue: "done", state: "done", doneAtMs: tx.nowMs() });
  if (consumer === stage.producer && settings.pattern === "outbox") {
    const result = resultOf(message);
    yield* tx.insert("outbox", outboxRow(part, settings, result, tx.nowMs()));
    if (settings.plant === 17) part.wake("outbox", result.id);
  }
  return true;
}

/** What fails by itself again and again is parked; what fails by the world is only tried later. */
function* recordFailure(processor: Processor, row: Row, error: Error): Step<void> {
  const { part, settings } = processor;
  const { id } = row;
  const attempts = row["attempts"] as number + 1;
  const isParked = error instanceof HandlerError && attempts >= settings.maxAttempts;
  if (settings.plant === 8 && error instanceof LinkError) yield* buryCopy(part, row);
  yield* transact(part.store, function* (tx) {
    const [current] = yield* tx.select("inbox", { queue: "open", id }, { lock: "wait" });
    if (current === undefined || current["token"] !== row["token"]) return;
    if (isParked) part.note("parked", row["messageId"] as string, row["consumer"] as string);
    yield* tx.update("inbox", id, {
      state: isParked ? "parked" : "pending",
      // Planted bug 15: what is parked does not hold up its key.
      queue: isParked && settings.plant === 15 ? "parked" : "open",
      attempts,
      nextAtMs: tx.nowMs() + backoffMs(part, settings, attempts),
    });
  });
}

/** Planted bug 8: the failure is believed without a look at what is stored. */
function* buryCopy(part: Surroundings, row: Row): Step<void> {
  yield* transact(part.store, function* (tx) {
    const consumer = row["consumer"] as string;
    yield* tx.insert("dead", { box: 1, consumer, ...rowOf(messageOf(row)) });
  });
}

/** Planted bug 24: takes back what is in progress. */
function* sweepAll(part: Surroundings): Step<void> {
  const { rows: open } = yield* part.store.read("inbox", { queue: "open" });
  const unfinished = open.filter(({ state }) => state === "claimed");
  if (unfinished.length === 0) return;
  yield* transact(part.store, function* (tx) {
    for (const { id } of unfinished) {
      const [row] = yield* tx.select("inbox", { queue: "open", id }, { lock: "skip" });
      if (row?.["state"] === "claimed") yield* tx.update("inbox", id, { state: "pending" });
    }
  });
}
