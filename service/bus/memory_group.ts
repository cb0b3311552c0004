/**
 * A consumer group of the memory bus: its members, and which of them gets which record.
 *
 * @module
 */
import { aborted } from "../resilience.ts";
import type { TimerId, World } from "../world/world.ts";
import type { ConsumeOptions, GroupReader, PartitionProgress, ReceivedRecord } from "./bus.ts";

const defaultMaxInFlight = 1_024;

/** What a group needs of its topic. */
export interface GroupSource {
  /** Offset of the oldest record that is kept. */
  readonly base: number;
  /** Offset of the next record. */
  readonly end: number;
  recordAt(offset: number): ReceivedRecord | undefined;
}

/** Members that share a topic. */
export class MemoryGroup {
  /** Offset of the next record that nobody in the group has been given. */
  #next: number;
  /** Given back by members, oldest first; these go before anything new. */
  readonly #again: ReceivedRecord[] = [];
  readonly #members = new Set<MemoryMember>();
  #dealing = false;

  constructor(private readonly topic: GroupSource, private readonly redelivery: Redelivery) {
    this.#next = topic.base;
  }

  get next(): number {
    return this.#next;
  }

  /** Records that wait for a member. */
  get lag(): number {
    return this.topic.end - Math.max(this.#next, this.topic.base) + this.#again.length;
  }

  join(options: ConsumeOptions): MemoryMember {
    const member = new MemoryMember(this, options, this.redelivery);
    this.#members.add(member);
    this.deal();
    return member;
  }

  leave(member: MemoryMember): void {
    this.#members.delete(member);
  }

  giveBack(records: Iterable<ReceivedRecord>): void {
    this.#again.push(...records);
    this.deal();
  }

  /** Deals out in the next microtask, so that no client's `send` runs another's `handle`. */
  deal(): void {
    if (this.#dealing || this.#members.size === 0) return;
    this.#dealing = true;
    queueMicrotask(() => {
      this.#dealing = false;
      this.#dealNow();
    });
  }

  #dealNow(): void {
    while (true) {
      const member = this.#leastBusy();
      const record = member && this.#takeNext();
      if (!record) return;
      if (this.#members.size > 1) this.#toTheEnd(member);
      member.work(record);
    }
  }

  #takeNext(): ReceivedRecord | undefined {
    const given = this.#again.shift();
    if (given) return given;
    // Trimmed away means lost to this group, as retention does it in a real broker.
    this.#next = Math.max(this.#next, this.topic.base);
    const record = this.topic.recordAt(this.#next);
    if (record) this.#next++;
    return record;
  }

  #toTheEnd(member: MemoryMember): void {
    this.#members.delete(member);
    this.#members.add(member);
  }

  /** The member with room that has the least to do; where several have, the one served longest ago. */
  #leastBusy(): MemoryMember | undefined {
    let best: MemoryMember | undefined;
    for (const member of this.#members) {
      if (member.hasRoom && (!best || member.inFlight < best.inFlight)) best = member;
    }
    return best;
  }
}

/** One member's reader. */
class MemoryMember implements GroupReader {
  readonly failed = new Promise<never>(() => {});
  readonly partitions = [0];
  readonly #inFlight = new Set<ReceivedRecord>();
  readonly #maxInFlight: number;
  #closing = false;
  #onIdle = () => {};

  constructor(
    private readonly group: MemoryGroup,
    private readonly options: ConsumeOptions,
    private readonly redelivery: Redelivery,
  ) {
    this.#maxInFlight = options.maxInFlight ?? defaultMaxInFlight;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get hasRoom(): boolean {
    return this.#inFlight.size < this.#maxInFlight;
  }

  lag(): Promise<number> {
    return Promise.resolve(this.group.lag);
  }

  /** There is one partition; what is under way is nearly done with. */
  progress(): Promise<ReadonlyMap<number, PartitionProgress>> {
    const { lag: waiting, next } = this.group;
    return Promise.resolve(new Map([[0, { waiting, done: BigInt(next) }]]));
  }

  async work(record: ReceivedRecord): Promise<void> {
    this.#inFlight.add(record);
    try {
      await this.options.handle(record);
      this.#settle(record);
    } catch {
      // `handle` says why in its own log; here it only means: again, and not at once.
      if (this.#closing) this.#settle(record, "give back");
      else this.redelivery.later(() => this.#settle(record, "give back"));
    }
  }

  async close(deadline?: AbortSignal): Promise<void> {
    this.#closing = true;
    this.group.leave(this);
    if (this.#inFlight.size > 0) {
      const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
      await Promise.race([idle, aborted(deadline)]);
    }
    // What is still under way is another member's now.
    const rest = [...this.#inFlight];
    this.#inFlight.clear();
    this.group.giveBack(rest);
  }

  #settle(record: ReceivedRecord, how: "done" | "give back" = "done"): void {
    // False where the member has left at its deadline: then it has been given back already.
    if (!this.#inFlight.delete(record)) return;
    if (how === "give back") this.group.giveBack([record]);
    else this.group.deal();
    if (this.#inFlight.size === 0) this.#onIdle();
  }
}

/** The timers of records that wait to be given out again. */
export class Redelivery {
  readonly #timers = new Set<TimerId>();

  constructor(private readonly delayMs: number, private readonly world: World) {}

  later(callback: () => void): void {
    const timer = this.world.setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, this.delayMs);
    this.#timers.add(timer);
  }

  close(): void {
    for (const timer of this.#timers) this.world.clearTimeout(timer);
    this.#timers.clear();
  }
}
