/**
 * The mailbox that lives as long as the process.
 *
 * @module
 */
import {
  type KeptAnswer,
  type Mailbox,
  type MailboxBounds,
  mailboxBounds,
  type MailboxOptions,
  type MailboxSize,
} from "./mailbox.ts";

interface Entry extends KeptAnswer {
  client: string;
  keptAtMs: number;
  /** The entries put before and after it, of whatever client. */
  older: Entry | undefined;
  newer: Entry | undefined;
}

interface Box {
  /** In the order they were put; few, as a client's next ping takes them away. */
  entries: Entry[];
  /** The highest number put, by run: anything above it is not here. */
  highest: Map<string, number>;
}

/**
 * A mailbox in memory.
 *
 * Every ping puts and acknowledges: with all entries in one linked list it leaves nothing to the
 * collector but the entry itself.
 *
 * @example
 * ```ts
 * const mailbox = new MemoryMailbox({ maxAgeMs: 60_000 });
 * mailbox.put("alice-01", { run: "first-run", seq: 0, requestId: ping.id });
 * mailbox.waiting("alice-01"); // that answer
 * ```
 */
export class MemoryMailbox implements Mailbox {
  readonly #bounds: MailboxBounds;
  readonly #boxes = new Map<string, Box>();
  #oldest: Entry | undefined;
  #newest: Entry | undefined;
  #answers = 0;
  #bytes = 0;
  #dropped = 0;

  /** @throws {RangeError} a bound is out of range */
  constructor(options: MailboxOptions = {}) {
    this.#bounds = mailboxBounds(options);
  }

  get dropped(): number {
    return this.#dropped;
  }

  put(client: string, { run, seq, requestId }: KeptAnswer): void {
    const { maxAnswersPerClient, maxAnswers, maxBytes, world } = this.#bounds;
    let box = this.#boxes.get(client);
    if (!box) this.#boxes.set(client, box = { entries: [], highest: new Map() });
    if (hasEntry(box, run, seq)) {
      this.#remove(box, (entry) => entry.run === run && entry.seq === seq);
    }
    const entry: Entry = {
      ...{ run, seq, requestId, client, keptAtMs: world.nowMs() },
      ...{ older: undefined, newer: undefined },
    };
    box.entries.push(entry);
    this.#append(entry);
    if (seq > (box.highest.get(run) ?? -1)) box.highest.set(run, seq);
    if (box.highest.size > maxAnswersPerClient) forgetEmptyRuns(box);
    if (box.entries.length > maxAnswersPerClient) this.#drop(box.entries[0]!);
    while (this.#oldest && (this.#answers > maxAnswers || this.#bytes > maxBytes)) {
      this.#drop(this.#oldest);
    }
  }

  has(client: string, run: string, seq: number): boolean {
    return hasEntry(this.#boxes.get(client), run, seq);
  }

  waiting(client: string): KeptAnswer[] {
    const entries = this.#boxes.get(client)?.entries ?? [];
    return entries.map(({ run, seq, requestId }) => ({ run, seq, requestId }));
  }

  ackBelow(client: string, run: string, seq: number): void {
    const box = this.#boxes.get(client);
    if (box) this.#remove(box, (entry) => entry.run === run && entry.seq < seq);
  }

  ackOtherRuns(client: string, run: string): void {
    const box = this.#boxes.get(client);
    if (!box || (box.highest.size === 1 && box.highest.has(run))) return;
    this.#remove(box, (entry) => entry.run !== run);
    for (const other of box.highest.keys()) if (other !== run) box.highest.delete(other);
  }

  expire(): void {
    const latestMs = this.#bounds.world.nowMs() - this.#bounds.maxAgeMs;
    while (this.#oldest && this.#oldest.keptAtMs <= latestMs) this.#drop(this.#oldest);
    // A client that has nothing here is forgotten; it is made anew by its next answer.
    for (const [client, { entries }] of this.#boxes) {
      if (entries.length === 0) this.#boxes.delete(client);
    }
  }

  batch<Result>(work: () => Result): Result {
    return work();
  }

  size(): MailboxSize {
    const clients = this.#boxes.values().filter(({ entries }) => entries.length > 0);
    return { answers: this.#answers, bytes: this.#bytes, clients: clients.toArray().length };
  }

  close(): void {
    // Nothing is open.
  }

  #append(entry: Entry): void {
    entry.older = this.#newest;
    if (this.#newest) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
    this.#answers++;
    this.#bytes += entry.requestId.length;
  }

  #unlink(entry: Entry): void {
    if (entry.older) entry.older.newer = entry.newer;
    else this.#oldest = entry.newer;
    if (entry.newer) entry.newer.older = entry.older;
    else this.#newest = entry.older;
    // What the collector has moved aside must not hold on to its neighbours.
    entry.older = entry.newer = undefined;
    this.#answers--;
    this.#bytes -= entry.requestId.length;
  }

  /** Takes away the entries that are meant. */
  #remove({ entries }: Box, isMeant: (entry: Entry) => boolean): void {
    let kept = 0;
    for (const entry of entries) {
      if (isMeant(entry)) this.#unlink(entry);
      else entries[kept++] = entry;
    }
    entries.length = kept;
  }

  #drop(entry: Entry): void {
    this.#remove(this.#boxes.get(entry.client)!, (one) => one === entry);
    this.#dropped++;
  }
}

function hasEntry(box: Box | undefined, run: string, seq: number): boolean {
  return box !== undefined && seq <= (box.highest.get(run) ?? -1) &&
    box.entries.some((entry) => entry.run === run && entry.seq === seq);
}

function forgetEmptyRuns({ entries, highest }: Box): void {
  const runs = new Set(entries.map((entry) => entry.run));
  for (const run of highest.keys()) if (!runs.has(run)) highest.delete(run);
}
