/**
 * A processor takes messages from an inbox, in the order of each key, and has each consumer's effect
 * of them: effect, mark of the inbox and what is to be sent next are one transaction. A row is
 * claimed by a lease with a token; an effect under an old token is refused.
 *
 * @module
 */
import {
  InboxClaims,
  type Mark,
  nothingClaimed,
  selectClaimed,
  slotOfRow,
} from "./inbox_claims.ts";
import {
  LinkError,
  type Row,
  StoreError,
  type Surroundings,
  transact,
  type Transaction,
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
  readonly claims: InboxClaims;
}

const none: readonly Row[] = [];

/** Works for as long as its process lives. */
export function* processor(
  part: Surroundings,
  settings: Settings,
  stage: Stage,
  work: Work,
): Step<never> {
  const claims = new InboxClaims(part, settings);
  const state: Processor = { part, settings, stage, work, claims };
  for (;;) {
    if (settings.plant === 24) yield* attempt(part, () => sweepAll(part));
    const claimed = yield* attempt(part, () => claims.claim());
    const { rows, isAll, waitMs } = claimed?.value ?? nothingClaimed;
    let isDone = true;
    // What takes long or fails holds up its own slot, and nothing else; and commits can share a wait for the disk.
    if (settings.plant !== 16) {
      const failed = () => isDone = false;
      yield* inLanes(rows, slotOfRow, (ofSlot) => processRows(state, ofSlot, failed));
    } else yield* processUntilFailure(state, rows);
    // What has come meanwhile, it is woken about.
    if (rows.length === 0 || isAll && isDone) {
      const pollMs = settings.pollMs * (0.5 + part.chance.random());
      yield* part.sleepUntilWoken(Math.max(5, Math.min(pollMs, waitMs)));
    }
  }
}

/** Processes rows of one slot, until one fails: what follows it has to wait for it. */
function* processRows(
  processor: Processor,
  rows: readonly Row[],
  failed: () => void,
): Step<void> {
  const { part: { clock }, settings: { leaseMs } } = processor;
  let sinceMs = clock.nowMs();
  for (let place = 0; place < rows.length; place++) {
    const row = rows[place]!;
    const others = place + 1 === rows.length ? none : rows.slice(place + 1);
    if (place > 0 && Math.abs(clock.nowMs() - sinceMs) > leaseMs / 2) {
      sinceMs = clock.nowMs();
      if (!(yield* renewLeases(processor, rows.slice(place)))) return failed();
    }
    if (!(yield* processRow(processor, row, others))) return failed();
  }
}

/** Gives whether all of them still are this processor's. */
function* renewLeases({ part, claims }: Processor, rows: readonly Row[]): Step<boolean> {
  return (yield* attempt(part, () => claims.renew(rows)))?.value ?? false;
}

/** Planted bug 16: one that fails ends the batch. */
function* processUntilFailure(processor: Processor, rows: readonly Row[]): Step<void> {
  for (const row of rows) if (!(yield* processRow(processor, row, none))) return;
}

/**
 * Gives whether it has been processed.
 *
 * @param others claimed with it, and next of its slot after it
 */
function* processRow(
  processor: Processor,
  row: Row,
  others: readonly Row[],
): Step<boolean> {
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
      yield* attempt(part, () => recordFailure(processor, row, others, error));
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
  const { part, settings, stage, work, claims } = processor;
  const consumer = row["consumer"] as string;
  const message = messageOf(row);
  yield* work(part, consumer, message.id);
  const marks = claims.marks ?? (yield* claims.readMarks());
  const mark = marks.get(row["slot"]!)!;
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
  const options = { lock: "wait", ids: [row.id] } as const;
  const current = (yield* tx.select("inbox", { queue: "open" }, options))[0];
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
function* recordFailure(
  processor: Processor,
  row: Row,
  others: readonly Row[],
  error: Error,
): Step<void> {
  const { part, settings } = processor;
  const attempts = row["attempts"] as number + 1;
  const isParked = error instanceof HandlerError && attempts >= settings.maxAttempts;
  if (settings.plant === 8 && error instanceof LinkError) yield* buryCopy(part, row);
  yield* transact(part.store, function* (tx) {
    const mine = yield* selectClaimed(tx, [row, ...others]);
    for (const { id } of mine) {
      if (id !== row.id) {
        yield* tx.update("inbox", id, { state: "pending" });
        continue;
      }
      if (isParked) part.note("parked", row["messageId"] as string, row["consumer"] as string);
      yield* tx.update("inbox", id, {
        state: isParked ? "parked" : "pending",
        // Planted bug 15: what is parked does not hold up its key.
        queue: isParked && settings.plant === 15 ? "parked" : "open",
        attempts,
        nextAtMs: tx.nowMs() + backoffMs(part, settings, attempts),
      });
    }
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
