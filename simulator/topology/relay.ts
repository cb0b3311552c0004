/**
 * A relay moves messages from an outbox to the bus. Of its instances one owns a shard at a time, by
 * a lease with a token that grows with each owner; what it writes is refused once the token is old.
 *
 * @module
 */
import { OldestRows } from "./oldest_rows.ts";
import {
  type Row,
  type Snapshot,
  type Surroundings,
  transact,
  type Transaction,
  type Value,
} from "./ports.ts";
import { attempt, backoffMs, failureOf, messageOf, type Settings, type Stage } from "./settings.ts";
import { inLanes, type Step } from "./step.ts";

/** What a relay knows of a shard that it owns. */
interface Ownership {
  readonly shard: string;
  token: number;
  /** By the store's clock. */
  untilMs: number;
}

/** A relay's state. */
interface Relay {
  readonly part: Surroundings;
  readonly settings: Settings;
  readonly stage: Stage;
  readonly owned: Map<string, Ownership>;
  /** Shards of others: until when there is no use in asking, by this process' own clock. */
  readonly others: Map<string, number>;
  readonly boxes: Map<string, OldestRows>;
  /** Planted bug 17: what it was woken about, and nothing else. */
  woken: readonly string[];
  /** Planted bug 2: when it has polled last, by its own clock. */
  polledAtMs: number;
}

/** Works for as long as its process lives. */
export function* relay(part: Surroundings, settings: Settings, stage: Stage): Step<never> {
  const state: Relay = {
    part,
    settings,
    stage,
    owned: new Map(),
    others: new Map(),
    boxes: new Map(),
    woken: [],
    polledAtMs: 0,
  };
  for (;;) {
    let sent = 0;
    let waitMs = Infinity;
    for (let shard = 0; shard < settings.shards; shard++) {
      const served = (yield* attempt(part, () => serveShard(state, `shard-${shard}`)))?.value;
      if (served === undefined) continue;
      sent += served.sent;
      waitMs = Math.min(waitMs, served.waitMs);
    }
    if (sent > 0) continue;
    const pollMs = settings.pollMs * (0.5 + part.chance.random());
    // A bus that is full takes some messages after each back-off: a whole poll between them would make
    // it the slower, the smaller it is.
    state.woken = yield* part.sleepUntilWoken(Math.max(5, Math.min(pollMs, waitMs)));
  }
}

/** What has become of a shard. */
interface Served {
  /** Messages that the bus has accepted. */
  readonly sent: number;
  /** When something of it can be tried again, in milliseconds from now. */
  readonly waitMs: number;
}

const nothing: Served = { sent: 0, waitMs: Infinity };

/** Sends what can be sent of a shard, if it is this relay's. */
function* serveShard(relay: Relay, shard: string): Step<Served> {
  const { part, settings } = relay;
  if ((relay.others.get(shard) ?? -Infinity) > part.clock.nowMs()) return nothing;
  const { found: { rows: open, nowMs }, limit } = yield* boxOf(relay, shard).read(
    (limit) => part.store.read("outbox", { queue: shard }, { limit }),
    { takeable, isEnough: (found) => takeable(found) >= settings.batch },
  );
  if (open.length === 0) return nothing;
  const waitMs = dueAtMs(open) - nowMs;
  if (waitMs > 0) return { sent: 0, waitMs };
  const ownership = settings.plant === 3
    ? yield* ownByHeartbeat(relay, shard)
    : yield* ownByLease(relay, shard, nowMs);
  if (ownership === undefined) return nothing;
  const claimed = yield* claim(relay, ownership, limit);
  if (claimed.length === 0) return nothing;
  const failed = new Map<number, number>();
  yield* inLanes(claimed, ({ key }) => key, (rows) => sendKey(relay, rows, failed));
  yield* markSent(relay, ownership, claimed, failed);
  const sent = settings.plant === 20 ? claimed.length : claimed.length - failed.size;
  // What has failed is looked at again at once, to see when it is due.
  return { sent, waitMs: 0 };
}

/** Sends rows of one key: what follows one that fails waits for it. */
function* sendKey(relay: Relay, rows: readonly Row[], failed: Map<number, number>): Step<void> {
  const { part, settings: { plant }, stage } = relay;
  let isBlocked = false;
  for (const row of rows) {
    const message = messageOf(row);
    if (isBlocked) {
      failed.set(row.id, row["attempts"] as number);
      continue;
    }
    try {
      yield* part.link.call(
        stage.publishPoint,
        message.id,
        () => part.bus.publish(stage.topic, message),
        message.trace,
      );
      if (plant === 12 && message.sequence % 5 === 0) {
        part.note("hook-threw", message.id);
        failed.set(row.id, 0);
      }
    } catch (error) {
      part.note("not-sent", message.id, failureOf(error));
      if (plant === 11) continue;
      isBlocked = true;
      failed.set(row.id, row["attempts"] as number + 1);
    }
  }
}

function boxOf({ boxes, settings, part }: Relay, shard: string): OldestRows {
  let box = boxes.get(shard);
  if (box === undefined) boxes.set(shard, box = new OldestRows(part.clock, settings));
  return box;
}

/** When the first of the rows that are next of their keys may be tried. */
function dueAtMs(open: readonly Row[]): number {
  const keys = new Set<Value>();
  let dueAtMs = Infinity;
  for (const row of open) {
    if (keys.has(row["key"]!)) continue;
    keys.add(row["key"]!);
    dueAtMs = Math.min(dueAtMs, row["nextAtMs"] as number);
  }
  return dueAtMs;
}

/**
 * Takes or renews the lease; nothing if it is somebody else's. One that has half of its time left is
 * not looked at: should it be lost all the same, the fence says so.
 */
function* ownByLease(relay: Relay, shard: string, nowMs: number): Step<Ownership | undefined> {
  const { part, settings: { leaseMs }, owned, others } = relay;
  const known = owned.get(shard);
  if (known !== undefined && known.untilMs - nowMs > leaseMs / 2) return known;
  const { rows: [seen], nowMs: seenAtMs } = yield* part.store.read("leases", { name: shard });
  const isMine = known !== undefined && seen!["token"] === known.token;
  const leftMs = seen!["untilMs"] as number - seenAtMs;
  if (!isMine) owned.delete(shard);
  if (!isMine && leftMs > 0) {
    others.set(shard, part.clock.nowMs() + leftMs);
    return undefined;
  }
  return yield* transact(part.store, function* (tx) {
    const [lease] = yield* tx.select("leases", { name: shard }, { lock: "wait" });
    const nowMs = tx.nowMs();
    const stillMine = known !== undefined && lease!["token"] === known.token;
    if (!stillMine && lease!["untilMs"] as number > nowMs) return undefined;
    const token = stillMine ? known.token : lease!["token"] as number + 1;
    const untilMs = nowMs + leaseMs;
    yield* tx.update("leases", lease!.id, {
      owner: part.name,
      session: part.session,
      token,
      untilMs,
    });
    const ownership = { shard, token, untilMs };
    owned.set(shard, ownership);
    return ownership;
  });
}

/** Planted bug 3: who is alive is guessed from heartbeats, each by the clock of its writer. */
function* ownByHeartbeat(relay: Relay, shard: string): Step<Ownership | undefined> {
  const { part, settings: { leaseMs } } = relay;
  const nowMs = part.clock.nowMs();
  const { rows: all } = yield* part.store.read("heartbeats", { box: 1 });
  const mine = all.find(({ name }) => name === part.name);
  let token = mine?.id ?? 0;
  if (mine === undefined || nowMs - (mine["atMs"] as number) > leaseMs / 3) {
    token = yield* transact(part.store, function* (tx) {
      if (mine === undefined) {
        return yield* tx.insert("heartbeats", { box: 1, name: part.name, atMs: nowMs });
      }
      yield* tx.update("heartbeats", mine.id, { atMs: nowMs });
      return mine.id;
    });
  }
  const alive = all
    .filter(({ name, atMs }) => name === part.name || nowMs - (atMs as number) < leaseMs)
    .map(({ name }) => name as string).sort();
  if (!alive.includes(part.name)) alive.push(part.name);
  const index = Number(shard.slice("shard-".length)) % alive.length;
  if (alive[index] !== part.name) return undefined;
  part.note("owns", shard, String(token));
  return { shard, token, untilMs: 0 };
}

/**
 * Claims what may be sent now: of each key the oldest, and what follows it.
 *
 * @param limit how many of the oldest rows are looked at
 */
function claim(relay: Relay, ownership: Ownership, limit: number): Step<readonly Row[]> {
  return transact(relay.part.store, (tx) => claimIn(tx, relay, ownership, limit));
}

function* claimIn(
  tx: Transaction,
  relay: Relay,
  ownership: Ownership,
  limit: number,
): Step<readonly Row[]> {
  const { part, settings } = relay;
  const { shard, token } = ownership;
  const lease = yield* fence(relay, tx, ownership);
  if (lease === undefined) return [];
  const open = yield* tx.select("outbox", { queue: shard }, { limit });
  const chosen = choose(relay, open, tx.nowMs(), ownership, lease["cursor"] as number)
    .slice(0, settings.batch);
  for (const row of chosen) {
    if (isOthers(row, ownership)) part.note("claim-taken", row["messageId"] as string);
    yield* tx.update("outbox", row.id, { state: "claimed", token, claimedAtMs: tx.nowMs() });
  }
  if (chosen.length > 0) {
    part.note(
      "claim",
      shard,
      chosen.map(({ messageId }) => messageId).join(" "),
    );
  }
  return chosen;
}

function choose(
  relay: Relay,
  open: readonly Row[],
  nowMs: number,
  ownership: Ownership,
  cursor: number,
): Row[] {
  const { part, settings: { plant, leaseMs } } = relay;
  if (plant === 1) return open.filter(({ id }) => id > cursor);
  if (plant === 2) {
    const sinceMs = relay.polledAtMs - 2 * leaseMs;
    relay.polledAtMs = part.clock.nowMs();
    return open.filter(({ createdAtMs }) => createdAtMs as number > sinceMs);
  }
  if (plant === 17) {
    return open.filter(({ messageId }) => relay.woken.includes(messageId as string));
  }
  // Planted bugs 18 and 3: the claim of another is believed.
  const believedMs = plant === 18 ? Infinity : plant === 3 ? 4 * leaseMs : 0;
  const free = believedMs === 0
    ? open
    : open.filter((row) =>
      !isOthers(row, ownership) || nowMs - (row["claimedAtMs"] as number) >= believedMs
    );
  return sendable(free, nowMs);
}

function takeable({ rows, nowMs }: Snapshot): number {
  return sendable(rows, nowMs).length;
}

/** Rows whose key does not wait: neither they themselves nor one before them. */
function sendable(open: readonly Row[], nowMs: number): Row[] {
  const waiting = new Set<Value>();
  return open.filter((row) => {
    if (row["nextAtMs"] as number > nowMs) waiting.add(row["key"]!);
    return !waiting.has(row["key"]!);
  });
}

/** Whether an earlier owner has claimed it. */
function isOthers(row: Row, { token }: Ownership): boolean {
  return row["state"] === "claimed" && row["token"] !== token;
}

/** The lease's row, locked, if it still is this owner's. */
function* fence(relay: Relay, tx: Transaction, ownership: Ownership): Step<Row | undefined> {
  const [lease] = yield* tx.select("leases", { name: ownership.shard }, { lock: "wait" });
  if (relay.settings.plant === 3) return lease;
  if (lease!["token"] === ownership.token) return lease;
  relay.owned.delete(ownership.shard);
  relay.part.note("fenced", ownership.shard, `token ${ownership.token}`);
  return undefined;
}

/** @param failed how often each row that was not sent has failed, by its id */
function markSent(
  relay: Relay,
  ownership: Ownership,
  claimed: readonly Row[],
  failed: ReadonlyMap<number, number>,
): Step<void> {
  return transact(relay.part.store, (tx) => markSentIn(tx, relay, ownership, claimed, failed));
}

function* markSentIn(
  tx: Transaction,
  relay: Relay,
  ownership: Ownership,
  claimed: readonly Row[],
  failed: ReadonlyMap<number, number>,
): Step<void> {
  const { part, settings } = relay;
  const lease = yield* fence(relay, tx, ownership);
  if (lease === undefined) return;
  const nowMs = tx.nowMs();
  for (const row of claimed) {
    const attempts = failed.get(row.id);
    if (attempts === undefined) {
      yield* tx.update("outbox", row.id, { queue: "sent", state: "sent", sentAtMs: nowMs });
    } else {
      const waitMs = attempts === 0 ? 0 : backoffMs(part, settings, attempts);
      yield* tx.update("outbox", row.id, {
        state: "pending",
        attempts,
        nextAtMs: nowMs + waitMs,
      });
    }
  }
  if (settings.plant !== 1) return;
  const firstFailed = claimed.findIndex(({ id }) => failed.has(id));
  const last = firstFailed < 0 ? claimed.at(-1) : claimed[firstFailed - 1];
  if (last !== undefined) yield* tx.update("leases", lease.id, { cursor: last.id });
}
