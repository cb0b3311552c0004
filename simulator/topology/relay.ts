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
  readonly token: number;
}

/** Of a shard that nobody owns yet: owners' tokens begin at 1. */
const noToken = 0;

function notYet(shard: string): Ownership {
  return { shard, token: noToken };
}

/** What one transaction has claimed of a shard. */
interface Turn {
  readonly ownership: Ownership;
  readonly claimed: readonly Row[];
  /** How many of the oldest rows are looked at. */
  readonly limit: number;
  /** When something that is not claimed can be tried, in milliseconds from then. */
  readonly waitMs: number;
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
  /** By shard, what is claimed and is to be sent next. */
  readonly turns: Map<string, Turn>;
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
    turns: new Map(),
    woken: [],
    polledAtMs: 0,
  };
  for (;;) {
    let waitMs = Infinity;
    for (let shard = 0; shard < settings.shards; shard++) {
      const name = `shard-${shard}`;
      if (isOthersShard(state, name)) continue;
      const served = yield* attempt(part, () => serveShard(state, name));
      waitMs = Math.min(waitMs, served?.value ?? Infinity);
    }
    if (state.turns.size === 0) state.woken = yield* rest(state, waitMs);
  }
}

function isOthersShard({ others, part }: Relay, shard: string): boolean {
  const untilMs = others.get(shard);
  return untilMs !== undefined && untilMs > part.clock.nowMs();
}

/** Waits until there may be something to do; gives what it was woken about. */
function* rest({ part, settings, others }: Relay, waitMs: number): Step<readonly string[]> {
  let takeoverMs = Infinity;
  for (const untilMs of others.values()) {
    takeoverMs = Math.min(takeoverMs, untilMs - part.clock.nowMs());
  }
  // Where all is another's, nothing that it could be woken about is its own: it waits to take over.
  if (others.size === settings.shards && takeoverMs > 0 && settings.plant !== 17) {
    yield* part.clock.sleep(Math.max(5, takeoverMs));
    return [];
  }
  const pollMs = settings.pollMs * (0.5 + part.chance.random());
  // A bus that is full takes some messages after each back-off: a whole poll between them would make
  // it the slower, the smaller it is.
  return yield* part.sleepUntilWoken(Math.max(5, Math.min(pollMs, waitMs)));
}

/** Sends some of a shard, if it is this relay's; gives when more of it can be tried, in milliseconds from now. */
function* serveShard(relay: Relay, shard: string): Step<number> {
  const begun = relay.turns.get(shard);
  // Whatever becomes of it: what is claimed and not marked is claimed again.
  relay.turns.delete(shard);
  const turn = begun ?? (yield* beginTurn(relay, shard));
  if (turn === undefined || turn.claimed.length === 0) return turn?.waitMs ?? Infinity;
  const failed = new Map<number, number>();
  yield* inLanes(turn.claimed, keyOf, (rows) => sendKey(relay, rows, failed));
  const next = yield* takeTurn(relay, turn, failed);
  if (next === undefined) return Infinity;
  if (next.claimed.length > 0) relay.turns.set(shard, next);
  return next.waitMs;
}

/** Looks at a shard, and claims what can be sent of it. */
function* beginTurn(relay: Relay, shard: string): Step<Turn | undefined> {
  const { part, settings } = relay;
  const { found: { rows: open, nowMs }, limit } = yield* boxOf(relay, shard).read(
    (limit) => part.store.read("outbox", { queue: shard }, { limit }),
    { takeable, isEnough: (found) => takeable(found) >= settings.batch },
  );
  if (open.length === 0) return undefined;
  const waitMs = dueAtMs(open) - nowMs;
  const turn = { ownership: notYet(shard), claimed: [], limit, waitMs };
  if (waitMs > 0) return turn;
  const ownership = settings.plant === 3
    ? yield* ownByHeartbeat(relay, shard)
    : yield* seekLease(relay, shard);
  return ownership && (yield* takeTurn(relay, { ...turn, ownership }, noneFailed));
}

/**
 * Marks what was sent, and claims what may be sent next, all in one transaction.
 *
 * @param failed how often each row that was not sent has failed, by its id
 */
function* takeTurn(
  relay: Relay,
  sent: Turn,
  failed: ReadonlyMap<number, number>,
): Step<Turn | undefined> {
  const turn = yield* transact(relay.part.store, (tx) => takeTurnIn(tx, relay, sent, failed));
  // Not before the commit: a token that was not committed is given to another.
  if (turn !== undefined) relay.owned.set(turn.ownership.shard, turn.ownership);
  return turn;
}

const noneFailed: ReadonlyMap<number, number> = new Map();

function keyOf({ key }: Row): Value {
  return key!;
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
  if (open.length === 1) return open[0]!["nextAtMs"] as number;
  const keys = new Set<Value>();
  let dueAtMs = Infinity;
  for (const row of open) {
    if (keys.has(row["key"]!)) continue;
    keys.add(row["key"]!);
    dueAtMs = Math.min(dueAtMs, row["nextAtMs"] as number);
  }
  return dueAtMs;
}

/** What the relay knows of a shard that it owns, or may own; nothing if it is somebody else's. */
function* seekLease(relay: Relay, shard: string): Step<Ownership | undefined> {
  const { part, owned, others } = relay;
  const known = owned.get(shard);
  // Should it be lost all the same, the fence says so.
  if (known !== undefined) return known;
  const { rows: [lease], nowMs } = yield* part.store.read("leases", { name: shard });
  const leftMs = lease!["untilMs"] as number - nowMs;
  if (leftMs <= 0) return notYet(shard);
  others.set(shard, part.clock.nowMs() + leftMs);
  return undefined;
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
  return { shard, token };
}

function* takeTurnIn(
  tx: Transaction,
  relay: Relay,
  sent: Turn,
  failed: ReadonlyMap<number, number>,
): Step<Turn | undefined> {
  const { part, settings } = relay;
  const { ownership: { shard }, limit } = sent;
  const held = yield* fence(relay, tx, sent.ownership);
  if (held === undefined) return undefined;
  const { lease, ownership } = held;
  // Before what was sent is marked: a store has less to do for what a transaction has not changed.
  const rows = yield* tx.select("outbox", { queue: shard }, { limit: limit + sent.claimed.length });
  const open = yield* markSent(tx, relay, sent, failed, rows);
  const cursor = settings.plant === 1 ? yield* moveCursor(tx, lease, sent, failed) : 0;
  const nowMs = tx.nowMs();
  const claimed = sendable(believed(relay, open, nowMs, ownership, cursor), nowMs)
    .slice(0, settings.batch);
  for (const row of claimed) {
    if (isOthers(row, ownership)) part.note("claim-taken", row["messageId"] as string);
    const { token } = ownership;
    yield* tx.update("outbox", row.id, { state: "claimed", token, claimedAtMs: tx.nowMs() });
  }
  if (claimed.length > 0) {
    part.note("claim", shard, claimed.map(({ messageId }) => messageId).join(" "));
    return { ownership, claimed, limit, waitMs: 0 };
  }
  const isMore = sent.claimed.length > 0 && rows.length === limit + sent.claimed.length;
  const waitMs = isMore ? 0 : dueAtMs(open) - tx.nowMs();
  return { ownership, claimed, limit, waitMs: isMore || waitMs > 0 ? waitMs : Infinity };
}

/** The rows of a shard, or what planted bugs take for them. */
function believed(
  relay: Relay,
  open: readonly Row[],
  nowMs: number,
  ownership: Ownership,
  cursor: number,
): readonly Row[] {
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
  if (plant !== 18 && plant !== 3) return open;
  // The claim of another is believed.
  const untilMs = plant === 18 ? Infinity : 4 * leaseMs;
  return open.filter((row) =>
    !isOthers(row, ownership) || nowMs - (row["claimedAtMs"] as number) >= untilMs
  );
}

function takeable({ rows, nowMs }: Snapshot): number {
  return sendable(rows, nowMs).length;
}

/** Rows whose key does not wait: neither they themselves nor one before them. */
function sendable(open: readonly Row[], nowMs: number): readonly Row[] {
  if (open.every((row) => row["nextAtMs"] as number <= nowMs)) return open;
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

/**
 * The lease's row, locked, if it is this relay's: taken now if nobody has it, and renewed if less than half of its
 * time is left.
 */
function* fence(
  relay: Relay,
  tx: Transaction,
  ownership: Ownership,
): Step<{ readonly lease: Row; readonly ownership: Ownership } | undefined> {
  const { part, owned, settings: { plant, leaseMs } } = relay;
  const { shard, token } = ownership;
  const lease = (yield* tx.select("leases", { name: shard }, { lock: "wait" }))[0]!;
  if (plant === 3) return { lease, ownership };
  const leftMs = lease["untilMs"] as number - tx.nowMs();
  const isMine = token !== noToken && lease["token"] === token;
  if (isMine && leftMs > leaseMs / 2) return { lease, ownership };
  if (!isMine && (token !== noToken || leftMs > 0)) {
    owned.delete(shard);
    if (token !== noToken) part.note("fenced", shard, `token ${token}`);
    return undefined;
  }
  const held = { shard, token: isMine ? token : lease["token"] as number + 1 };
  yield* tx.update("leases", lease.id, {
    owner: part.name,
    session: part.session,
    token: held.token,
    untilMs: tx.nowMs() + leaseMs,
  });
  return { lease, ownership: held };
}

/** Gives which of those rows are open still, as they are then. */
function* markSent(
  tx: Transaction,
  { part, settings }: Relay,
  { claimed }: Turn,
  failed: ReadonlyMap<number, number>,
  rows: readonly Row[],
): Step<readonly Row[]> {
  if (claimed.length === 0) return rows;
  const nowMs = tx.nowMs();
  const tried = new Map<number, number>();
  for (const { id } of claimed) {
    const attempts = failed.get(id);
    if (attempts === undefined) {
      tried.set(id, Infinity);
      yield* tx.update("outbox", id, { queue: "sent", state: "sent", sentAtMs: nowMs });
      continue;
    }
    const nextAtMs = nowMs + (attempts === 0 ? 0 : backoffMs(part, settings, attempts));
    tried.set(id, nextAtMs);
    yield* tx.update("outbox", id, { state: "pending", attempts, nextAtMs });
  }
  const open: Row[] = [];
  for (const row of rows) {
    const nextAtMs = tried.get(row.id);
    if (nextAtMs === undefined) open.push(row);
    else if (nextAtMs !== Infinity) {
      open.push({ ...row, state: "pending", attempts: failed.get(row.id)!, nextAtMs });
    }
  }
  return open;
}

/** Planted bug 1: what was sent is known by the largest id. */
function* moveCursor(
  tx: Transaction,
  lease: Row,
  { claimed }: Turn,
  failed: ReadonlyMap<number, number>,
): Step<number> {
  const firstFailed = claimed.findIndex(({ id }) => failed.has(id));
  const last = firstFailed < 0 ? claimed.at(-1) : claimed[firstFailed - 1];
  if (last === undefined) return lease["cursor"] as number;
  yield* tx.update("leases", lease.id, { cursor: last.id });
  return last.id;
}
