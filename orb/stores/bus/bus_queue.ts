/**
 * A queue that is dealt by the bus (`service/bus/`: Kafka), over records in a database: where asking
 * the database again and again which signup is next becomes what it is busy with.
 *
 * The records stay where they are, with state, fence and decision: they are what is true. Over the bus
 * go ids of signups that wait, to one worker's server each; it claims those that it was offered by
 * their ids. An offer is a hint: one that comes twice finds nothing to claim, and one that is lost (a
 * bus that is away, a server that is killed, a lease that ends) costs time, as each server also looks
 * now and then for signups that wait for longer than they should.
 *
 * @module
 */
import { type Bus, type GroupReader, type ReceivedRecord } from "../../../service/bus/bus.ts";
import { limitedLog } from "../../../service/limited_log.ts";
import type { Log } from "../../../service/log.ts";
import { pause, reasonOf, untilAborted } from "../../../service/resilience.ts";
import type { TimerId, World } from "../../../service/world/world.ts";
import type { RecordBackend, SignupChange } from "../record_backend.ts";
import type { CommandName, RecordCommand, ReplyOf } from "../record_commands.ts";
import { Offers } from "./offers.ts";

/** Options of {@linkcode openBusQueue}. */
export interface BusQueueOptions {
  /** Where the records are. */
  backend: RecordBackend;
  /** What deals; it is closed with the queue. */
  bus: Bus;
  /** The topic of offers, which is there. */
  topic: string;
  /** True where signups are decided here: only then offers are taken. */
  takes: boolean;
  log: Log;
  world: World;
  /** How often the database is asked for what is overdue, in milliseconds. @default 1_000 */
  sweepIntervalMs?: number;
  /** What waits for longer is overdue, in milliseconds. @default 5_000 */
  overdueMs?: number;
  /** Offers that are held here at once: they are nobody else's. @default 64 */
  maxOffers?: number;
}

/** A retry that waits longer is found by the sweep alone, in milliseconds. */
const longestTimerMs = 60_000;
const maxTimers = 10_000;
/** How long a bus that is lost is left alone, in milliseconds: meanwhile sweeps deal. */
const reopenAfterMs = 10_000;

/**
 * Opens the queue.
 *
 * @example
 * ```ts
 * const queue = openBusQueue({ backend, bus, topic: "orb.v2.queue", takes: true, log, world });
 * await queue.apply([{ type: "submit", signup, maxQueued }]);
 * ```
 */
export function openBusQueue(options: BusQueueOptions): RecordBackend {
  return new BusQueue(options);
}

class BusQueue implements RecordBackend {
  readonly #options: Required<BusQueueOptions>;
  readonly #offers = new Offers();
  readonly #listeners: (() => void)[] = [];
  readonly #timers = new Set<TimerId>();
  readonly #warn: ReturnType<typeof limitedLog>;
  readonly #closing = new AbortController();
  readonly #reading: Promise<void>;
  #sweptMs = -Infinity;
  #closed: Promise<void> | undefined;

  constructor(options: BusQueueOptions) {
    this.#options = { sweepIntervalMs: 1_000, overdueMs: 5_000, maxOffers: 64, ...options };
    const { log, world, takes } = this.#options;
    this.#warn = limitedLog(log, { maxLinesPerSecond: 1, world });
    this.#reading = takes ? this.#keepReading() : Promise.resolve();
  }

  get system(): RecordBackend["system"] {
    return this.#options.backend.system;
  }

  get maxParallel(): number {
    return this.#options.backend.maxParallel;
  }

  async apply(commands: readonly RecordCommand[]): Promise<never> {
    const asked = commands.map((command) =>
      command.type === "claim" && command.ids === undefined ? this.#claimOf(command) : {
        command,
      }
    );
    const rest = asked.flatMap(({ command }) => command ?? []);
    const settle = (isDone: boolean) => {
      for (const { taken = [] } of asked) this.#offers.settle(taken, isDone);
    };
    try {
      const given = rest.length === 0 ? [] : await this.#options.backend.apply(rest);
      settle(true);
      const left = [...given] as ReplyOf<CommandName>[];
      const replies = asked.map(({ command }) => command === undefined ? [] : left.shift()!);
      commands.forEach((command, index) => this.#offerChanged(command, replies[index]!));
      return replies as never;
    } catch (error) {
      settle(false);
      throw error;
    }
  }

  probe(): Promise<void> {
    return this.#options.backend.probe();
  }

  onRemoteChange(listener: (change: SignupChange) => void): void {
    this.#options.backend.onRemoteChange(listener);
  }

  onOffered(listener: () => void): void {
    this.#listeners.push(listener);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    const { bus, backend, world } = this.#options;
    this.#closing.abort();
    for (const timer of this.#timers) world.clearTimeout(timer);
    await this.#reading;
    await bus.close();
    await backend.close();
  }

  /** What the database is asked instead: those that were offered, what is overdue, or nothing. */
  #claimOf(
    command: RecordCommand & { type: "claim" },
  ): { command?: RecordCommand; taken?: readonly string[] } {
    const { world, sweepIntervalMs, overdueMs } = this.#options;
    const taken = this.#offers.take(command.max);
    if (taken.length > 0) return { command: { ...command, ids: taken }, taken };
    const nowMs = world.monotonicMs();
    if (nowMs - this.#sweptMs < sweepIntervalMs) return {};
    this.#sweptMs = nowMs;
    return { command: { ...command, overdueMs } };
  }

  #offerChanged(command: RecordCommand, reply: ReplyOf<CommandName>): void {
    const { result, record } = reply as {
      result?: string;
      record?: { id: string; state: string };
    } ?? {};
    switch (command.type) {
      case "submit":
        if (result === "new" && record?.state === "queued") this.#offer(command.signup.id);
        return;
      case "retry":
        if (record?.state === "queued") this.#offerLater(command.id, command.delayMs);
        return;
      case "release":
      case "requeue":
        if (result === "changed") this.#offer(command.id);
        return;
      case "claim":
        // There may be more of them than one sweep brings.
        if ((reply as readonly unknown[]).length === command.max) this.#sweptMs = -Infinity;
    }
  }

  #offerLater(id: string, delayMs: number): void {
    const { world } = this.#options;
    if (delayMs === 0) return this.#offer(id);
    if (delayMs > longestTimerMs || this.#timers.size >= maxTimers) return;
    const timer = world.setTimeout(() => {
      this.#timers.delete(timer);
      this.#offer(id);
      // A little later than the database takes it for due.
    }, delayMs + 10);
    this.#timers.add(timer);
  }

  /** Nobody waits for it: what cannot be sent is found by a sweep. */
  #offer(id: string): void {
    const { bus, topic } = this.#options;
    bus.send(topic, { headers: [], value: new TextEncoder().encode(id) }).catch((error) => {
      if (this.#closing.signal.aborted) return;
      this.#warn("A signup could not be offered over the bus; it is decided some seconds later", {
        id,
        reason: reasonOf(error),
      });
    });
  }

  async #keepReading(): Promise<void> {
    const { world } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#read(signal);
      } catch (error) {
        this.#warn("The bus cannot be read; until it can, signups are decided some seconds later", {
          reason: reasonOf(error),
        });
        await pause(reopenAfterMs, { signal, world });
      }
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { bus, topic, maxOffers } = this.#options;
    const reader: GroupReader = await bus.consume({
      ...{ topic, group: `${topic}.workers`, maxInFlight: maxOffers },
      handle: (record) => this.#take(record),
    });
    try {
      await untilAborted(reader.failed, signal);
    } finally {
      // What is held is the group's again.
      await reader.close(AbortSignal.abort());
    }
  }

  /** Resolves once it was claimed, or there was nothing to claim. */
  #take({ value }: ReceivedRecord): Promise<void> {
    const id = new TextDecoder().decode(value ?? new Uint8Array());
    if (!/^[0-9A-Z]{26}$/.test(id)) {
      this.#warn("Something on the bus is no signup's id; it is left out", {});
      return Promise.resolve();
    }
    const claimed = this.#offers.add(id);
    for (const listener of this.#listeners) listener();
    return claimed;
  }
}
