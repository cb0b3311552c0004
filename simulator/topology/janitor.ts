/**
 * A janitor keeps a backend's boxes small, and an operator's redrive gives parked messages another
 * chance.
 *
 * @module
 */
import { type Row, type Surroundings, transact } from "./ports.ts";
import { attempt, messageOf, rowOf, type Settings, slotOf } from "./settings.ts";
import type { Step } from "./step.ts";

/** Works for as long as its process lives. */
export function* janitor(part: Surroundings, settings: Settings): Step<never> {
  for (;;) {
    yield* part.clock.sleep(settings.windowMs * (0.25 + part.chance.random() / 4));
    yield* attempt(part, () => purgeOutbox(part, settings));
    yield* attempt(part, () => purgeInbox(part, settings));
  }
}

/** The most rows that are looked at, and changed, in one transaction. */
const maxTogether = 500;

/** How many rows are looked at first: most often none of them is old. */
const firstLook = 32;

/** Removes what was sent long ago. */
function* purgeOutbox(part: Surroundings, settings: Settings): Step<void> {
  const queues = ["sent"];
  if (settings.plant === 19) {
    for (let shard = 0; shard < settings.shards; shard++) queues.push(`shard-${shard}`);
  }
  for (const queue of queues) {
    yield* purge(part, settings, { table: "outbox", queue, since: "storedAtMs" }, function* (old) {
      yield* transact(part.store, function* (tx) {
        for (const { id } of old) yield* tx.delete("outbox", id);
      });
      part.note("purged", queue, String(old.length));
    });
  }
}

/**
 * Hands on what is older than the window, some of the oldest rows at a time, until one of these is not:
 * those behind it are younger. Of an inbox, one that has waited long to be handled lies before older ones; they
 * wait for it, at most one window longer.
 */
function* purge(
  part: Surroundings,
  { windowMs }: Settings,
  { table, queue, since }: {
    readonly table: string;
    readonly queue: string;
    readonly since: string;
  },
  remove: (old: readonly Row[]) => Step<void>,
): Step<void> {
  for (let limit = firstLook;; limit = maxTogether) {
    const { rows, nowMs } = yield* part.store.read(table, { queue }, { limit });
    const old = rows.filter((row) => nowMs - (row[since] as number) > windowMs);
    if (old.length > 0) yield* remove(old);
    if (old.length < limit) return;
  }
}

/**
 * Removes what was handled long ago. A mark stays behind: up to which number of its key everything
 * is forgotten, so that what comes again after that is still known as a duplicate.
 */
function* purgeInbox(part: Surroundings, settings: Settings): Step<void> {
  yield* purge(
    part,
    settings,
    { table: "inbox", queue: "done", since: "doneAtMs" },
    (old) => forget(part, settings, old),
  );
}

function* forget(part: Surroundings, settings: Settings, old: readonly Row[]): Step<void> {
  const forgotten = new Map<string, number>();
  for (const row of old) {
    const slot = row["slot"] as string;
    const sequence = row["sequence"] as number;
    forgotten.set(slot, Math.max(sequence, forgotten.get(slot) ?? 0));
  }
  yield* transact(part.store, function* (tx) {
    for (const { id } of old) yield* tx.delete("inbox", id);
    if (settings.plant === 7) return;
    for (const [slot, sequence] of forgotten) {
      const [mark] = yield* tx.select("marks", { box: 1, slot }, { lock: "wait" });
      if (sequence > (mark!["forgotten"] as number)) {
        yield* tx.update("marks", mark!.id, { forgotten: sequence });
      }
    }
  });
  part.note("purged", "inbox", String(old.length));
}

/** Makes parked messages pending again, at the place they had. */
export function* redrive(part: Surroundings, settings: Settings): Step<void> {
  if (settings.plant === 15) yield* redriveToTail(part);
  if (settings.plant === 8) yield* attempt(part, () => redriveCopies(part));
  // What is parked again meanwhile is for the next time.
  const redriven = new Set<number>();
  for (;;) {
    const where = { queue: "open", state: "parked" };
    const { rows } = yield* part.store.read("inbox", where, { limit: maxTogether });
    const parked = rows.filter(({ id }) => !redriven.has(id));
    if (parked.length === 0) return;
    yield* transact(part.store, function* (tx) {
      for (const { id, messageId } of parked) {
        part.note("redriven", messageId as string);
        redriven.add(id);
        yield* tx.update("inbox", id, { state: "pending", attempts: 0, nextAtMs: 0 });
      }
    });
    if (rows.length < maxTogether) return;
  }
}

/** Planted bug 15: behind those that have come after it. */
function* redriveToTail(part: Surroundings): Step<void> {
  const { rows } = yield* part.store.read("inbox", { queue: "parked" });
  for (const row of rows) {
    yield* transact(part.store, function* (tx) {
      yield* tx.delete("inbox", row.id);
      yield* tx.insert("inbox", pendingRow(row));
    });
  }
}

/** Planted bug 8: what the inbox has forgotten is taken as never handled. */
function* redriveCopies(part: Surroundings): Step<void> {
  const { rows } = yield* part.store.read("dead", { box: 1 });
  const known = new Set<string>();
  for (const queue of ["open", "done"]) {
    for (const row of (yield* part.store.read("inbox", { queue })).rows) known.add(nameOf(row));
  }
  for (const row of rows) {
    const isKnown = known.has(nameOf(row));
    known.add(nameOf(row));
    yield* transact(part.store, function* (tx) {
      yield* tx.delete("dead", row.id);
      if (!isKnown) yield* tx.insert("inbox", pendingRow(row));
    });
  }
}

function nameOf(row: Row): string {
  return `${row["consumer"]}/${row["messageId"]}`;
}

function pendingRow(row: Row): Record<string, string | number> {
  const fresh = { token: 0, untilMs: 0, attempts: 0, nextAtMs: 0, doneAtMs: 0 };
  return {
    ...rowOf(messageOf(row)),
    consumer: row["consumer"]!,
    slot: slotOf(row["consumer"] as string, row["key"] as string),
    queue: "open",
    state: "pending",
    ...fresh,
    storedAtMs: row["storedAtMs"] ?? 0,
  };
}
