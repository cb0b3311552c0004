/**
 * A bus in virtual time: it has what it has accepted until each group has acknowledged it, gives it
 * out again when a lease runs out, and refuses when it is full.
 *
 * Where queues keep the order (`queue`), nothing of a key is given out while an earlier message of
 * it is with somebody else or waits to be given out again.
 *
 * @module
 */
import { type BusPort, type Delivery, LinkError, type Message } from "../topology/ports.ts";
import type { Ordering } from "../topology/settings.ts";
import { done, type Step, waitFor } from "../topology/step.ts";
import type { EventLoop, Process } from "./event_loop.ts";

/** What the bus notifies of. */
export interface BusListener {
  accepted(topic: string, message: Message, from: Process): void;
  delivered(topic: string, group: string, delivery: Delivery, to: Process): void;
  acknowledged(topic: string, group: string, message: Message, by: Process): void;
}

/** Options of {@linkcode SimulatedBus}. */
export interface SimulatedBusOptions {
  /** By topic. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  readonly ordering: Ordering;
  /** How long a receiver has for a message, in milliseconds. */
  readonly leaseMs: number;
  /** Messages that the slowest group may leave behind. */
  readonly capacity: number;
  /** How long {@linkcode BusPort.receive} waits for messages, in milliseconds. */
  readonly pollMs: number;
  /** Takes the sudden delay that a fault puts on the process' next publication or receipt; 0 is none. */
  readonly takeReorderMs: (process: Process) => number;
  readonly listener: BusListener;
}

/** A message that the bus holds for a group. */
export interface BusItem {
  readonly message: Message;
  /** How often it has been given out. */
  readonly attempt: number;
  /** `given`: it is with somebody; `delayed`: it is put off. */
  readonly state: "waiting" | "given" | "delayed";
  /** Until when it is with somebody, or put off. */
  readonly untilMs: number | undefined;
}

interface Item {
  readonly message: Message;
  /** 0 when nobody has it. */
  receipt: number;
  attempt: number;
  /** When it can be given out: after its delay, or after its lease. */
  freeAtUs: number;
}

interface Queue {
  readonly topic: string;
  readonly group: string;
  /**
   * Oldest first. No maps and sets: those that are filled and emptied all the time keep much from the collector, see
   * the transactions of a store.
   */
  readonly items: Item[];
  readonly waiting: (() => void)[];
  /** When somebody is woken for what is put off, or for a lease that may run out. */
  alarmUs: number;
}

/** Made once: an error's stack would cost more than the call. */
const full = new LinkError("full", "The topic is full");

/** The bus itself; processes use it through {@linkcode SimulatedBus.connect}. */
export class SimulatedBus {
  readonly #loop: EventLoop;
  readonly #options: SimulatedBusOptions;
  readonly #queues = new Map<string, Map<string, Queue>>();
  /** All of them. */
  readonly #all: readonly Queue[];
  #receipt = 0;

  constructor(loop: EventLoop, options: SimulatedBusOptions) {
    this.#loop = loop;
    this.#options = options;
    for (const [topic, groups] of Object.entries(options.groups)) {
      this.#queues.set(
        topic,
        new Map(groups.map((group) => [group, newQueue(topic, group)])),
      );
    }
    this.#all = [...this.#queues.values()].flatMap((queues) => [...queues.values()]);
  }

  /** The bus as a process sees it. */
  connect(process: Process): BusPort {
    return {
      publish: (topic, message) => this.#publish(process, topic, message),
      receive: (topic, group, limit) => this.#receive(process, topic, group, limit),
      acknowledge: (delivery) => this.#acknowledge(process, delivery),
      release: (delivery, delayMs) => this.#release(delivery, delayMs),
    };
  }

  /** Whether every group has acknowledged everything. */
  isEmpty(): boolean {
    for (const { items } of this.#all) if (items.length > 0) return false;
    return true;
  }

  /** Messages of a topic that some group has not acknowledged, each copy by itself. */
  remaining(topic: string): readonly Message[] {
    return [...this.#queues.get(topic)!.values()]
      .flatMap(({ items }) => items.map(({ message }) => message));
  }

  /** What a topic holds, oldest first; for a picture of the run. */
  contents(topic: string): readonly BusItem[] {
    const { nowUs } = this.#loop;
    return [...this.#queues.get(topic)!.values()].flatMap(({ items }) =>
      items.map(({ message, attempt, receipt, freeAtUs }) => ({
        message,
        attempt,
        state: freeAtUs <= nowUs
          ? "waiting" as const
          : receipt === 0
          ? "delayed" as const
          : "given",
        untilMs: freeAtUs <= nowUs ? undefined : freeAtUs / 1_000,
      } as const))
    );
  }

  /** Whether there is a copy of that message which can still be given out. */
  has(topic: string, messageId: string): boolean {
    for (const { items } of this.#queues.get(topic)!.values()) {
      for (const { message } of items) if (message.id === messageId) return true;
    }
    return false;
  }

  /** It takes no time: that is the link's. */
  #publish(process: Process, topic: string, message: Message): Step<void> {
    const queues = this.#queues.get(topic)!;
    for (const { items } of queues.values()) {
      if (items.length >= this.#options.capacity) throw full;
    }
    const lateMs = this.#options.takeReorderMs(process);
    const freeAtUs = this.#loop.nowUs + Math.round(lateMs * 1_000);
    for (const queue of queues.values()) {
      queue.items.push({ message, receipt: 0, attempt: 0, freeAtUs });
      if (lateMs === 0) wakeOne(queue);
      else this.#alarm(queue, freeAtUs);
    }
    this.#options.listener.accepted(topic, message, process);
    return done(undefined);
  }

  *#receive(
    process: Process,
    topic: string,
    group: string,
    limit: number,
  ): Step<readonly Delivery[]> {
    const queue = this.#queues.get(topic)!.get(group)!;
    const isBackwards = this.#options.takeReorderMs(process) > 0;
    let batch = this.#take(queue, limit);
    if (batch.length === 0) {
      yield* this.#arrival(process, queue);
      batch = this.#take(queue, limit);
    }
    if (isBackwards) batch.reverse();
    for (const delivery of batch) {
      this.#options.listener.delivered(topic, group, delivery, process);
    }
    return batch;
  }

  /** Waits for something that can be given out. */
  #arrival(process: Process, queue: Queue): Step<void> {
    return waitFor<void>((resume) => {
      const wake = () => {
        const place = queue.waiting.indexOf(wake);
        if (place < 0) return;
        queue.waiting.splice(place, 1);
        this.#loop.callOff(timer);
        this.#loop.after(0, resume as () => void, process);
      };
      queue.waiting.push(wake);
      const timer = this.#loop.after(this.#options.pollMs, wake);
    });
  }

  /** Wakes somebody at that time, if there is something to be given out then. */
  #alarm(queue: Queue, atUs: number): void {
    if (queue.alarmUs <= atUs) return;
    queue.alarmUs = atUs;
    this.#loop.after((atUs - this.#loop.nowUs) / 1_000, () => {
      if (queue.alarmUs !== atUs) return;
      queue.alarmUs = Infinity;
      let nextUs = Infinity;
      for (const { freeAtUs } of queue.items) nextUs = Math.min(nextUs, freeAtUs);
      if (nextUs <= this.#loop.nowUs) {
        wakeOne(queue);
        nextUs = this.#loop.nowUs + Math.round(this.#options.leaseMs * 1_000);
      }
      if (nextUs < Infinity) this.#alarm(queue, nextUs);
    });
  }

  #take(queue: Queue, limit: number): Delivery[] {
    const { nowUs } = this.#loop;
    const blocked = this.#options.ordering === "queue" ? new Set<string>() : undefined;
    const batch: Delivery[] = [];
    for (const item of queue.items) {
      if (batch.length >= limit) break;
      const { message } = item;
      if (blocked?.has(message.key)) continue;
      if (item.freeAtUs > nowUs) {
        blocked?.add(message.key);
        continue;
      }
      item.receipt = ++this.#receipt;
      item.attempt++;
      item.freeAtUs = nowUs + Math.round(this.#options.leaseMs * 1_000);
      batch.push({ message, receipt: item.receipt, attempt: item.attempt });
    }
    if (batch.length > 0) {
      this.#alarm(queue, nowUs + Math.round(this.#options.leaseMs * 1_000));
      // Others may have what this one has left.
      if (batch.length === limit) wakeOne(queue);
    }
    return batch;
  }

  #acknowledge(process: Process, { receipt }: Delivery): Step<void> {
    const given = this.#given(receipt);
    // An old receipt: its lease has run out, and somebody else has the message.
    if (given === undefined) return done(undefined);
    const { queue, item } = given;
    const { topic, group, items } = queue;
    items.splice(items.indexOf(item), 1);
    // What follows of its key was held up by it.
    if (this.#options.ordering === "queue" && items.length > 0) wakeOne(queue);
    this.#options.listener.acknowledged(topic, group, item.message, process);
    return done(undefined);
  }

  /** It needs no answer. */
  #release({ receipt }: Delivery, delayMs: number): Step<void> {
    const given = this.#given(receipt);
    if (given === undefined) return done(undefined);
    given.item.receipt = 0;
    given.item.freeAtUs = this.#loop.nowUs + Math.round(delayMs * 1_000);
    this.#alarm(given.queue, given.item.freeAtUs);
    return done(undefined);
  }

  /** What is with somebody under that receipt: most often one of the oldest. */
  #given(receipt: number): { queue: Queue; item: Item } | undefined {
    for (const queue of this.#all) {
      for (const item of queue.items) if (item.receipt === receipt) return { queue, item };
    }
    return undefined;
  }
}

function newQueue(topic: string, group: string): Queue {
  return { topic, group, items: [], waiting: [], alarmUs: Infinity };
}

function wakeOne(queue: Queue): void {
  queue.waiting[0]?.();
}
