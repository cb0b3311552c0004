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

/** Removes what was sent long ago. */
function* purgeOutbox(part: Surroundings, settings: Settings): Step<void> {
  const queues = ["sent"];
  if (settings.plant === 19) {
    for (let shard = 0; shard < settings.shards; shard++) queues.push(`shard-${shard}`);
  }
  for (const queue of queues) {
    const { rows, nowMs } = yield* part.store.read("outbox", { queue });
    const old = rows.filter(({ storedAtMs }) => nowMs - (storedAtMs as number) > settings.windowMs);
    if (old.length === 0) continue;
    yield* transact(part.store, function* (tx) {
      for (const { id } of old) yield* tx.delete("outbox", id);
    });
    part.note("purged", queue, String(old.length));
  }
}

/**
 * Removes what was handled long ago. A mark stays behind: up to which number of its key everything
 * is forgotten, so that what comes again after that is still known as a duplicate.
 */
function* purgeInbox(part: Surroundings, settings: Settings): Step<void> {
  const { rows, nowMs } = yield* part.store.read("inbox", { queue: "done" });
  const old = rows.filter(({ doneAtMs }) => nowMs - (doneAtMs as number) > settings.windowMs);
  if (old.length === 0) return;
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
  const { rows } = yield* part.store.read("inbox", { queue: "open" });
  const parked = rows.filter(({ state }) => state === "parked");
  if (parked.length === 0) return;
  yield* transact(part.store, function* (tx) {
    for (const { id, messageId } of parked) {
      part.note("redriven", messageId as string);
      yield* tx.update("inbox", id, { state: "pending", attempts: 0, nextAtMs: 0 });
    }
  });
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
