/**
 * What must hold, each a named check. They are judged at each event that can break them, from what
 * is committed in the stores and what the bus has, never from what parts say of themselves.
 *
 * @module
 */
import type { FaultPoint, Message, Row, Value } from "../topology/ports.ts";
import type { InvariantName } from "../topology/plants.ts";
import { orderStage, resultIdOf, resultStage, type Stage } from "../topology/settings.ts";
import type { Outage } from "./faulty_link.ts";
import type { SimulatedStore } from "./simulated_store.ts";
import type { Change } from "./simulated_table.ts";

/** The first time that an invariant was found broken. */
export interface Violation {
  readonly invariant: InvariantName;
  /** `safety`: something bad has happened; `liveness`: something good has not. */
  readonly kind: "safety" | "liveness";
  readonly atMs: number;
  /** In words, for this instant. */
  readonly text: string;
}

/** What the invariants see of the world. */
export interface Observed {
  nowMs(): number;
  /** Where a stage comes from and where it goes. */
  source(stage: Stage): SimulatedStore;
  target(stage: Stage): SimulatedStore;
  /** Whether the bus can still give that message out. */
  busHas(topic: string, messageId: string): boolean;
  /** Whether its handler fails at that message. */
  isPoison(messageId: string): boolean;
  onViolation(violation: Violation): void;
}

/** Options of {@linkcode Invariants}. */
export interface InvariantsOptions {
  /** Whether inboxes know duplicates: patterns without do not promise a window. */
  readonly deduplicates: boolean;
  readonly orders: number;
  /** The longest that a next attempt may be put off: what heals must be noticed by then. */
  readonly retryMs: number;
  /** Keys that messages have: of each, one is tried at a time. */
  readonly keys: number;
  /** Calls of the bus that a message may cost for each second that it has to wait. */
  readonly callsPerSecond: number;
}

/** Calls of the bus that a message may cost beside those of {@linkcode InvariantsOptions.callsPerSecond}. */
const freeCalls = 15;

interface Calls {
  readonly sinceMs: number;
  count: number;
}

/** Judges one run. */
export class Invariants {
  readonly violations: Violation[] = [];
  /** Effects that are still to come. */
  outstanding = 0;
  readonly #world: Observed;
  readonly #options: InvariantsOptions;
  readonly #placed = new Map<string, Row>();
  /** By consumer and message. */
  readonly #effects = new Map<string, number>();
  /** By consumer and key, the largest number that was applied. */
  readonly #applied = new Map<string, number>();
  readonly #accepted = new Set<string>();
  readonly #takenIn = new Set<string>();
  readonly #calls = new Map<string, Calls>();
  readonly #owners = new Map<string, { owner: string; atMs: number }>();
  /** Rows of inboxes that are parked, and hold up what comes after them. */
  #parked = 0;

  constructor(world: Observed, options: InvariantsOptions) {
    this.#world = world;
    this.#options = options;
  }

  /** Orders that are stored. */
  get placed(): number {
    return this.#placed.size;
  }

  /** Effects that were had, each once. */
  get applied(): number {
    return this.#effects.size;
  }

  /** @param stage whose outbox is in that store */
  committed(store: SimulatedStore, changes: readonly Change[]): void {
    for (const change of changes) {
      switch (change.table) {
        case "orders":
          if (change.before === undefined) this.#orderPlaced(change.after!);
          break;
        case "effects":
          if (change.before === undefined) this.#effectApplied(change.after!);
          break;
        case "outbox":
          this.#judgeRetry(change);
          this.#outboxChanged(change);
          break;
        case "inbox":
          this.#judgeRetry(change);
          this.#inboxChanged(store, change);
          break;
        case "leases":
          this.#leaseChanged(store, change);
      }
    }
  }

  /** A part calls over a link. */
  called(point: FaultPoint, subject: string): void {
    if (point !== 2 && point !== 6) return;
    const nowMs = this.#world.nowMs();
    const calls = this.#calls.get(subject);
    if (calls === undefined) {
      this.#calls.set(subject, { sinceMs: nowMs, count: 1 });
      return;
    }
    calls.count++;
    const seconds = (nowMs - calls.sinceMs) / 1_000;
    const most = freeCalls + this.#options.callsPerSecond * seconds;
    if (calls.count > most) {
      this.#violated(
        "amplification",
        "safety",
        `${subject}: ${calls.count} calls of the bus in ${seconds.toFixed(1)} s`,
      );
    }
  }

  /** A part calls what is out: of each key some, and some for each second that the outage lasts. */
  metOutage(point: FaultPoint, outage: Outage): void {
    outage.calls++;
    if (point !== 2 && point !== 6) return;
    const { keys, orders, callsPerSecond } = this.#options;
    const seconds = (this.#world.nowMs() - outage.sinceMs) / 1_000;
    const most = orders + keys * (freeCalls + callsPerSecond * seconds);
    if (outage.calls <= most) return;
    this.#violated(
      "amplification",
      "safety",
      `point ${point}: ${outage.calls} calls in ${seconds.toFixed(1)} s of an outage`,
    );
  }

  accepted(message: Message): void {
    this.#accepted.add(message.id);
  }

  /** The bus has removed a message because it was acknowledged. */
  acknowledged(message: Message): void {
    if (this.#takenIn.has(message.id)) return;
    this.#violated(
      "conservation",
      "safety",
      `${message.id}: acknowledged, but neither delivered, nor dropped, nor in flight`,
    );
  }

  /** A part says that it owns something, where ownership has no row. */
  owns(part: string, what: string): void {
    const nowMs = this.#world.nowMs();
    const owner = this.#owners.get(what);
    if (owner !== undefined && owner.owner !== part && nowMs - owner.atMs < 50) {
      this.#violated("one-owner", "safety", `${what}: ${owner.owner} and ${part} at once`);
    }
    this.#owners.set(what, { owner: part, atMs: nowMs });
  }

  /** Judged so long after the last fault that everything must have been done but what is poison. */
  judgeProgress(): void {
    for (const stage of [orderStage, resultStage]) this.#judgeIdle(stage);
    const poisoned = new Map(
      [orderStage, resultStage].map((stage) => [stage, this.#poisonedKeys(stage)]),
    );
    const late = this.missing().filter(({ key, stage }) => !poisoned.get(stage)!.has(key));
    if (late.length === 0) return;
    this.#violated(
      "progress",
      "liveness",
      `${late.length} effects are late, such as ${this.#whereIs(late[0]!)}`,
    );
  }

  /** Judged when poison has been mended and redriven, and time given for the rest. */
  judgeEnd(): void {
    for (const stage of [orderStage, resultStage]) this.#judgeBoxes(stage);
    const missing = this.missing();
    const lost = missing.filter((one) => !this.#isCarried(one));
    if (lost.length > 0) {
      this.#violated(
        "no-lost-effect",
        "safety",
        `${lost.length} effects are lost, such as ${this.#whereIs(lost[0]!)}`,
      );
    } else if (missing.length > 0) {
      this.#violated(
        "progress",
        "liveness",
        `${missing.length} effects never came, such as ${this.#whereIs(missing[0]!)}`,
      );
    }
  }

  /** Whether all is done and all boxes are empty. */
  isAtRest(): boolean {
    if (this.outstanding > 0 || this.#placed.size < this.#options.orders) return false;
    return [orderStage, resultStage].every((stage) => this.#openRows(stage) === 0);
  }

  /**
   * Whether all orders are placed, all boxes but inboxes are empty, and what is in those is parked or
   * comes after what is.
   */
  isStuck(): boolean {
    if (this.#placed.size < this.#options.orders) return false;
    return [orderStage, resultStage].every((stage) => {
      const source = this.#world.source(stage);
      if (source.count("outbox", "shard-0") + source.count("outbox", "shard-1") > 0) return false;
      const target = this.#world.target(stage);
      if (this.#parked === 0) return target.count("inbox", "open") === 0;
      const rows = target.find("inbox", "open");
      // By its number, not by when it has come: what was sent first may come last.
      const parked = new Map<Value, number>();
      for (const { state, slot, sequence } of rows) {
        const first = Math.min(parked.get(slot!) ?? Infinity, sequence as number);
        if (state === "parked") parked.set(slot!, first);
      }
      return rows.every(({ slot, sequence }) =>
        sequence as number >= (parked.get(slot!) ?? Infinity)
      );
    });
  }

  #orderPlaced(row: Row): void {
    this.#placed.set(row["orderId"] as string, row);
    this.outstanding += orderStage.consumers.length;
  }

  #effectApplied(row: Row): void {
    const id = row["messageId"] as string;
    const consumer = row["consumer"] as string;
    const sequence = row["sequence"] as number;
    const name = `${consumer}/${id}`;
    const count = (this.#effects.get(name) ?? 0) + 1;
    this.#effects.set(name, count);
    if (!this.#isCaused(consumer, id)) {
      this.#violated("no-ghost-message", "safety", `${id}: ${consumer} knows what never happened`);
      return;
    }
    if (count > 1) {
      this.#violated(
        "exactly-once-effect",
        "safety",
        `${id}: applied ${count} times by ${consumer}`,
      );
      return;
    }
    this.outstanding--;
    if (consumer === orderStage.producer) this.outstanding += resultStage.consumers.length;
    const slot = `${consumer}/${row["key"]}`;
    const last = this.#applied.get(slot) ?? 0;
    if (sequence < last) {
      this.#violated(
        "order-per-key",
        "safety",
        `${id}: number ${sequence} of ${slot} applied after number ${last}`,
      );
    } else this.#applied.set(slot, sequence);
    if (row["trace"] !== `t-o${id.slice(1)}`) {
      this.#violated("connected-trace", "safety", `${id}: its trace is ${row["trace"]}`);
    }
  }

  #isCaused(consumer: string, id: string): boolean {
    if (id.startsWith("o")) return this.#placed.has(id);
    return consumer === "confirmation" &&
      this.#effects.has(`${orderStage.producer}/o${id.slice(1)}`);
  }

  #judgeRetry({ after }: Change): void {
    if (after === undefined) return;
    const waitMs = after["nextAtMs"] as number - this.#world.nowMs();
    if (waitMs <= this.#options.retryMs) return;
    this.#violated(
      "progress",
      "liveness",
      `${after["messageId"]}: the next attempt is put off by ${(waitMs / 1_000).toFixed(1)} s`,
    );
  }

  #outboxChanged({ before, after }: Change): void {
    if (before === undefined || before["state"] === "sent") return;
    const id = before["messageId"] as string;
    if (after !== undefined && after["state"] !== "sent") return;
    if (this.#accepted.has(id)) return;
    this.#violated(
      "deleted-only-if-acknowledged",
      "safety",
      `${id}: ${
        after === undefined ? "removed from the outbox" : "marked as sent"
      }, never accepted`,
    );
  }

  #inboxChanged(store: SimulatedStore, { before, after }: Change): void {
    if (after?.["state"] === "parked") this.#parked++;
    if (before?.["state"] === "parked") this.#parked--;
    if (before === undefined) {
      this.#takenIn.add(after!["messageId"] as string);
      this.#judgeBound(store);
      return;
    }
    if (after !== undefined || !this.#options.deduplicates) return;
    const id = before["messageId"] as string;
    if (before["queue"] === "done") this.#judgeWindow(store, before);
    else if (before["queue"] === "open") {
      this.#violated("deleted-only-if-acknowledged", "safety", `${id}: removed, never handled`);
    }
  }

  /** A record was forgotten: then either a mark tells duplicates, or there must be none to come. */
  #judgeWindow(store: SimulatedStore, row: Row): void {
    const id = row["messageId"] as string;
    const slot = `${row["consumer"]}/${row["key"]}`;
    const mark = store.find("marks", 1).find((one) => one["slot"] === slot);
    if (mark !== undefined && mark["forgotten"] as number >= (row["sequence"] as number)) return;
    const stage = id.startsWith("o") ? orderStage : resultStage;
    const isToCome = this.#world.busHas(stage.topic, id) ||
      this.#openOutbox(stage).some((one) => one["messageId"] === id);
    if (!isToCome) return;
    this.#violated(
      "deduplication-window",
      "safety",
      `${id}: forgotten, and a copy is still to come`,
    );
  }

  #leaseChanged(store: SimulatedStore, { before, after }: Change): void {
    if (before === undefined || after === undefined) return;
    const isTaken = before["token"] !== after["token"];
    if (!isTaken || before["untilMs"] as number <= this.#world.nowMs()) return;
    this.#violated(
      "one-owner",
      "safety",
      `${store.name} ${before["name"]}: ${after["owner"]} while it was ${before["owner"]}'s`,
    );
  }

  /** Rows that nothing keeps from being handled, and that still lie there. */
  #judgeIdle(stage: Stage): void {
    const poisoned = this.#poisonedKeys(stage);
    const idle = this.#world.target(stage).find("inbox", "open").filter((row) =>
      row["state"] !== "parked" && !poisoned.has(row["key"]!)
    );
    const unsent = this.#openOutbox(stage);
    if (idle.length + unsent.length === 0) return;
    this.#violated(
      "boxes-bounded-and-drained",
      "liveness",
      `${
        idle.length + unsent.length
      } rows of the ${stage.topic} could go on, and stay in their boxes`,
    );
  }

  /** A box that knows duplicates holds each message once for each consumer. */
  #judgeBound(store: SimulatedStore): void {
    if (!this.#options.deduplicates) return;
    const stage = store === this.#world.target(orderStage) ? orderStage : resultStage;
    const rows = store.count("inbox", "open");
    const most = stage.consumers.length * this.#placed.size;
    if (rows <= most) return;
    this.#violated(
      "boxes-bounded-and-drained",
      "safety",
      `${rows} rows in the inbox of the ${stage.topic}, of ${this.#placed.size} orders`,
    );
  }

  #judgeBoxes(stage: Stage): void {
    const open = this.#openRows(stage);
    if (open === 0) return;
    this.#violated(
      "boxes-bounded-and-drained",
      "liveness",
      `${open} rows of the ${stage.topic} stay in their boxes`,
    );
  }

  #openRows(stage: Stage): number {
    const [source, target] = [this.#world.source(stage), this.#world.target(stage)];
    return target.count("inbox", "open") + target.count("inbox", "parked") +
      source.count("outbox", "shard-0") + source.count("outbox", "shard-1");
  }

  #openOutbox(stage: Stage): Row[] {
    const store = this.#world.source(stage);
    return ["shard-0", "shard-1"].flatMap((queue) => [...store.find("outbox", queue)]);
  }

  /** Effects that are to come. */
  missing(): Missing[] {
    const missing: Missing[] = [];
    for (const [id, row] of this.#placed) {
      const key = row["key"] as string;
      for (const consumer of orderStage.consumers) {
        if (this.#effects.has(`${consumer}/${id}`)) continue;
        missing.push({ stage: orderStage, consumer, id, key });
      }
      if (!this.#effects.has(`${orderStage.producer}/${id}`)) continue;
      const resultId = resultIdOf(id);
      for (const consumer of resultStage.consumers) {
        if (this.#effects.has(`${consumer}/${resultId}`)) continue;
        missing.push({ stage: resultStage, consumer, id: resultId, key });
      }
    }
    return missing;
  }

  /** Whether something still holds it that will move it on by itself. */
  #isCarried({ stage, consumer, id }: Missing): boolean {
    if (this.#world.busHas(stage.topic, id)) return true;
    const { target } = this.#world;
    const inbox = target.call(this.#world, stage).find("inbox", "open");
    if (inbox.some((row) => row["messageId"] === id && row["consumer"] === consumer)) return true;
    const nowMs = this.#world.nowMs();
    return this.#openOutbox(stage).some((row) =>
      row["messageId"] === id && row["nextAtMs"] as number > nowMs
    );
  }

  /** Keys that have a message which its handler fails at, up to that stage. */
  #poisonedKeys(stage: Stage): ReadonlySet<Value> {
    const { isPoison } = this.#world;
    const keys = new Set<Value>();
    for (const [id, row] of this.#placed) {
      const isHere = isPoison(id) || stage === resultStage && isPoison(resultIdOf(id));
      if (isHere) keys.add(row["key"]!);
    }
    return keys;
  }

  #whereIs({ stage, consumer, id }: Missing): string {
    const places: string[] = [];
    if (this.#openOutbox(stage).some((row) => row["messageId"] === id)) places.push("the outbox");
    if (this.#world.busHas(stage.topic, id)) places.push("the bus");
    const inbox = this.#world.target(stage).find("inbox", "open");
    const row = inbox.find((one) => one["messageId"] === id && one["consumer"] === consumer);
    if (row !== undefined) places.push(`the inbox (${row["state"]})`);
    const where = places.length === 0 ? "nowhere" : `in ${places.join(" and ")}`;
    return `${id} for ${consumer}: ${where}`;
  }

  #violated(invariant: InvariantName, kind: "safety" | "liveness", text: string): void {
    if (this.violations.some((one) => one.invariant === invariant)) return;
    const violation = { invariant, kind, atMs: this.#world.nowMs(), text };
    this.violations.push(violation);
    this.#world.onViolation(violation);
  }
}

/** An effect that has not come. */
export interface Missing {
  readonly stage: Stage;
  readonly consumer: string;
  readonly id: string;
  readonly key: string;
}
