/**
 * What a world writes into the event log, and which paths it has come to.
 *
 * @module
 */
import type { EventLoop, Process } from "./event_loop.ts";
import type { Change } from "./simulated_table.ts";

/** As wide as the names of processes. */
const worldColumn = "world".padEnd(12);

/** The log of one run. */
export class RunLog {
  /** How often each event has been logged or, if it is rare, has happened. */
  readonly reached = new Map<string, number>();
  /** In which event each has happened for the first time; empty unless the world is observed. */
  readonly firstReached = new Map<string, number>();
  readonly #loop: EventLoop;
  readonly #isObserved: boolean;
  /** By store. */
  readonly #lastOutboxIds = new Map<string, number>();

  constructor(loop: EventLoop, isObserved: boolean) {
    this.#loop = loop;
    this.#isObserved = isObserved;
  }

  /** Writes what has become of a message. */
  write(event: string, process: Process, subject: string, detail: string): void {
    this.#loop.log(event, process.column, subject, detail);
  }

  /** Writes what a process has met, and counts it. */
  note(event: string, process: Process, subject: string, detail: string): void {
    this.#note(event, process.column, subject, detail);
  }

  /** Writes what has befallen the world, and counts it. */
  noteOfWorld(event: string, subject: string, detail: string): void {
    this.#note(event, worldColumn, subject, detail);
  }

  /** Counts what has happened. */
  reach(event: string): void {
    const times = this.reached.get(event) ?? 0;
    this.reached.set(event, times + 1);
    if (times === 0 && this.#isObserved) this.firstReached.set(event, this.#loop.count);
  }

  /** Writes a commit, and the effects that it makes known. */
  commit(store: string, changes: readonly Change[], process: Process): void {
    for (const { table, before, after, id } of changes) {
      if (table === "effects") {
        this.write("effect", process, after!["messageId"] as string, after!["consumer"] as string);
      }
      if (table === "outbox" && before === undefined) this.#seeLateId(store, id);
      if (table === "leases" && before?.["token"] !== after?.["token"]) this.reach("lease-taken");
    }
    if (!this.#loop.isLogged) return this.#loop.log("commit", "", "", "");
    const counts = new Map<string, number>();
    const messages = new Set<string>();
    for (const { table, before, after } of changes) {
      counts.set(table, (counts.get(table) ?? 0) + 1);
      const message = (after ?? before)![table === "orders" ? "orderId" : "messageId"];
      if (message !== undefined) messages.add(message as string);
    }
    let detail = "";
    for (const [table, count] of counts) detail += `${table}+${count} `;
    this.#loop.log("commit", process.column, store, detail.trimEnd(), [...messages], changes);
  }

  #seeLateId(store: string, id: number): void {
    if (id < (this.#lastOutboxIds.get(store) ?? 0)) this.reach("late-id");
    else this.#lastOutboxIds.set(store, id);
  }

  #note(event: string, column: string, subject: string, detail: string): void {
    this.reach(event);
    if (detail === "full") this.reach("full");
    this.#loop.log(event, column, subject, detail);
  }
}
