/**
 * What must hold, each a named check. They are judged at each event that can break them, from what
 * is committed in the stores and what the bus has, never from what parts say of themselves.
 *
 * @module
 */
import type { FaultPoint, Message, Row, Value } from "../topology/ports.ts";
import type { InvariantName } from "../topology/plants.ts";
import { orderStage, resultIdOf, resultStage, type Stage } from "../topology/settings.ts";
import { Amplification, type AmplificationOptions } from "./amplification.ts";
import type { Outage } from "./outages.ts";
import { Boxes, type Missing, type Places } from "./boxes.ts";
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
export interface Observed extends Places {
  /** Whether its handler fails at that message. */
  isPoison(messageId: string): boolean;
  onViolation(violation: Violation): void;
}

/** Options of {@linkcode Invariants}. */
export interface InvariantsOptions extends AmplificationOptions {
  /** Whether inboxes know duplicates: patterns without do not promise a window. */
  readonly deduplicates: boolean;
  /** The longest that a next attempt may be put off: what heals must be noticed by then. */
  readonly retryMs: number;
}

/** Judges one run. */
export class Invariants {
  readonly violations: Violation[] = [];
  /** Effects that are still to come. */
  outstanding = 0;
  readonly #world: Observed;
  readonly #options: InvariantsOptions;
  readonly #placed = new Map<string, Row>();
  /** By consumer, how often it has applied each message. */
  readonly #effects = new Map<string, Map<string, number>>();
  /** By consumer, the largest number that it has applied of each key. */
  readonly #applied = new Map<string, Map<Value, number>>();
  /** Results of orders that their producer has applied, with the order's trace. */
  readonly #caused = new Map<string, Value>();
  readonly #accepted = new Set<string>();
  readonly #takenIn = new Set<string>();
  readonly #amplification: Amplification;
  readonly #boxes: Boxes;
  readonly #owners = new Map<string, { owner: string; atMs: number }>();
  /** Rows of inboxes that are parked, and hold up what comes after them. */
  #parked = 0;

  constructor(world: Observed, options: InvariantsOptions) {
    this.#world = world;
    this.#options = options;
    this.#amplification = new Amplification(options);
    this.#boxes = new Boxes(world);
  }

  /** Orders that are stored. */
  get placed(): number {
    return this.#placed.size;
  }

  /** Effects that were had, each once. */
  get applied(): number {
    let count = 0;
    for (const effects of this.#effects.values()) count += effects.size;
    return count;
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
    const tooMuch = this.#amplification.called(point, subject, this.#world.nowMs());
    if (tooMuch !== undefined) this.#violated("amplification", "safety", tooMuch);
  }

  /** A part calls what is out. */
  metOutage(point: FaultPoint, outage: Outage): void {
    const tooMuch = this.#amplification.metOutage(point, outage, this.#world.nowMs());
    if (tooMuch !== undefined) this.#violated("amplification", "safety", tooMuch);
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
      `${effectsAre(late.length)} late, such as ${this.#boxes.whereIs(late[0]!)}`,
    );
  }

  /** Judged when poison has been mended and redriven, and time given for the rest. */
  judgeEnd(): void {
    for (const stage of [orderStage, resultStage]) this.#judgeBoxes(stage);
    const missing = this.missing();
    const lost = missing.filter((one) => !this.#boxes.isCarried(one));
    if (lost.length > 0) {
      this.#violated(
        "no-lost-effect",
        "safety",
        `${effectsAre(lost.length)} lost, such as ${this.#boxes.whereIs(lost[0]!)}`,
      );
    } else if (missing.length > 0) {
      this.#violated(
        "progress",
        "liveness",
        `${missing.length} effects never came, such as ${this.#boxes.whereIs(missing[0]!)}`,
      );
    }
  }

  /** Whether all is done and all boxes are empty. */
  isAtRest(): boolean {
    if (this.outstanding > 0 || this.#placed.size < this.#options.orders) return false;
    return this.#boxes.openRows(orderStage) === 0 && this.#boxes.openRows(resultStage) === 0;
  }

  /**
   * Whether all orders are placed, all boxes but inboxes are empty, and what is in those is parked or
   * comes after what is.
   */
  isStuck(): boolean {
    if (this.#placed.size < this.#options.orders) return false;
    return this.#isStageStuck(orderStage) && this.#isStageStuck(resultStage);
  }

  #isStageStuck(stage: Stage): boolean {
    if (this.#boxes.unsent(stage) > 0) return false;
    if (this.#parked === 0) return this.#boxes.inbox(stage).length === 0;
    return this.#boxes.isHeldUp(stage);
  }

  #orderPlaced(row: Row): void {
    const id = row["orderId"] as string;
    this.#placed.set(id, row);
    this.#judgeTrace(id, row["trace"]!, `t-${id}`);
    this.outstanding += orderStage.consumers.length;
  }

  #effectApplied(row: Row): void {
    const id = row["messageId"] as string;
    const consumer = row["consumer"] as string;
    const sequence = row["sequence"] as number;
    const effects = ofConsumer(this.#effects, consumer);
    const count = (effects.get(id) ?? 0) + 1;
    effects.set(id, count);
    // An order that is not placed, or the result of one that its producer has not applied, has no cause.
    const trace = this.#placed.get(id)?.["trace"] ?? this.#caused.get(id);
    if (consumer === orderStage.producer && count === 1) {
      this.#caused.set(resultIdOf(id), trace ?? row["trace"]!);
    }
    if (trace === undefined) {
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
    const key = row["key"]!;
    const applied = ofConsumer(this.#applied, consumer);
    const last = applied.get(key) ?? 0;
    if (sequence < last) {
      this.#violated(
        "order-per-key",
        "safety",
        `${id}: number ${sequence} of ${consumer}/${key} applied after number ${last}`,
      );
    } else applied.set(key, sequence);
    this.#judgeTrace(id, row["trace"]!, trace);
  }

  #judgeTrace(id: string, trace: Value, expected: Value): void {
    if (trace === expected) return;
    this.#violated("connected-trace", "safety", `${id}: its trace is ${trace}`);
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
      this.#boxes.outbox(stage).some((one) => one["messageId"] === id);
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
    const idle = this.#boxes.inbox(stage).filter((row) =>
      row["state"] !== "parked" && !poisoned.has(row["key"]!)
    );
    const unsent = this.#boxes.outbox(stage);
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
    const open = this.#boxes.openRows(stage);
    if (open === 0) return;
    this.#violated(
      "boxes-bounded-and-drained",
      "liveness",
      `${open} rows of the ${stage.topic} stay in their boxes`,
    );
  }

  /** Effects that are to come. */
  missing(): Missing[] {
    const missing: Missing[] = [];
    for (const [id, row] of this.#placed) {
      const key = row["key"] as string;
      for (const consumer of orderStage.consumers) {
        if (this.#effects.get(consumer)?.has(id)) continue;
        missing.push({ stage: orderStage, consumer, id, key });
      }
      if (!this.#effects.get(orderStage.producer!)?.has(id)) continue;
      const resultId = resultIdOf(id);
      for (const consumer of resultStage.consumers) {
        if (this.#effects.get(consumer)?.has(resultId)) continue;
        missing.push({ stage: resultStage, consumer, id: resultId, key });
      }
    }
    return missing;
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

  #violated(invariant: InvariantName, kind: "safety" | "liveness", text: string): void {
    if (this.violations.some((one) => one.invariant === invariant)) return;
    const violation = { invariant, kind, atMs: this.#world.nowMs(), text };
    this.violations.push(violation);
    this.#world.onViolation(violation);
  }
}

function ofConsumer<K, V>(maps: Map<string, Map<K, V>>, consumer: string): Map<K, V> {
  let map = maps.get(consumer);
  if (map === undefined) maps.set(consumer, map = new Map());
  return map;
}

function effectsAre(count: number): string {
  return count === 1 ? "1 effect is" : `${count} effects are`;
}
