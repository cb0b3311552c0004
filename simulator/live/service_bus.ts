/**
 * The bus of `service/bus/` (in this process, or Kafka) as parts know it: a receiver has a message
 * for the length of a lease, acknowledges it or gives it back.
 *
 * Of each group there is one member a program. It takes records in and keeps them until they are
 * acknowledged: only then the bus hears that they are done with, so what this program had when it was
 * killed is given to another member.
 *
 * @module
 */
import type { Log } from "../../service/log.ts";
import {
  type Bus,
  BusError,
  type GroupReader,
  headerNamed,
  type ReceivedRecord,
} from "../../service/bus/bus.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import { type BusPort, type Delivery, LinkError, type Message } from "../topology/ports.ts";
import { fromPromise, type Step } from "../topology/step.ts";
import { type LiveProcess, waitAs } from "./live_process.ts";

/** Options of {@linkcode ServiceBus}. */
export interface ServiceBusOptions {
  readonly bus: Bus;
  /** Before each topic's name, so that runs do not get each other's messages. */
  readonly topicPrefix: string;
  /** How long a receiver has for a message, in milliseconds. */
  readonly leaseMs: number;
  /** How long a receiver waits for messages, in milliseconds. */
  readonly pollMs: number;
  /** How long a message may take to the bus, in milliseconds. */
  readonly timeoutMs: number;
  readonly world: World;
  readonly log: Log;
  /** Takes the sudden delay that a fault puts on the process' next publication or receipt; 0 is none. @default there is none */
  readonly takeReorderMs?: (process: LiveProcess) => number;
  /** Messages of a topic beyond which it is full; asked before each publication. @default the bus' own limit only */
  readonly capacityOf?: (topic: string) => number | undefined;
  /** What lies in a topic, asked where it could be full. @default what this program's own readers know */
  readonly depthOf?: (topic: string) => number;
  /** Notified of what is given out. @default nobody is */
  readonly onDelivered?: (topic: string, delivery: Delivery, to: LiveProcess) => void;
}

/** What is still to be acknowledged of a topic. */
export interface TopicDepth {
  readonly topic: string;
  readonly depth: number;
}

/** The header that says from when on a message may be given out, in milliseconds since the epoch. */
const notBeforeHeader = "orrery-not-before";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The topics' partitions, where the bus has them: as many lambdas can share a topic. */
export const topicPartitions = 12;

interface Item {
  readonly message: Message;
  /** 0 when nobody has it. */
  receipt: number;
  attempt: number;
  /** When it can be given out: after its delay, or after its lease. */
  freeAtMs: number;
  /** The bus hears that it is done with, or that another member may have it. */
  readonly settle: (isDone: boolean) => void;
}

interface Queue {
  readonly topic: string;
  readonly items: Set<Item>;
  readonly waiting: Set<() => void>;
  reader: Promise<GroupReader> | undefined;
}

/** The bus itself; processes use it through {@linkcode ServiceBus.connect}. */
export class ServiceBus {
  readonly #options: ServiceBusOptions;
  readonly #queues = new Map<string, Queue>();
  /** What is with somebody, by receipt. */
  readonly #given = new Map<number, { queue: Queue; item: Item }>();
  #receipt = 0;
  #isClosed = false;

  constructor(options: ServiceBusOptions) {
    this.#options = options;
  }

  /** The bus as a process sees it. */
  connect(process: LiveProcess): BusPort {
    return {
      publish: (topic, message) => this.#publish(process, topic, message),
      receive: (topic, group, limit) => this.#receive(process, topic, group, limit),
      acknowledge: (delivery) => this.#acknowledge(delivery),
      release: (delivery, delayMs) => this.#release(delivery, delayMs),
    };
  }

  /** Joins a group now, instead of when something is received first. */
  async join(topic: string, group: string): Promise<void> {
    await this.#reader(this.#queue(topic, group), group);
  }

  /** How much there is to do, of the topics that this program receives. */
  async depths(): Promise<TopicDepth[]> {
    return await Promise.all(
      [...this.#queues.values()].map(async ({ topic, items, reader }) => {
        const lag = await (await reader)?.lag() ?? 0;
        return { topic, depth: Math.max(lag, items.size) };
      }),
    );
  }

  async #depthOf(topic: string): Promise<number> {
    return (await this.depths()).find((one) => one.topic === topic)?.depth ?? 0;
  }

  /** Leaves the groups; what is not acknowledged is for the other members. */
  async close(deadline?: AbortSignal): Promise<void> {
    this.#isClosed = true;
    const queues = [...this.#queues.values()];
    for (const { items, waiting } of queues) {
      for (const wake of waiting) wake();
      for (const item of items) item.settle(false);
      items.clear();
    }
    await Promise.all(queues.map(async ({ reader }) => await (await reader)?.close(deadline)));
  }

  #topic(topic: string): string {
    return `${this.#options.topicPrefix}.${topic}`;
  }

  *#publish(process: LiveProcess, topic: string, message: Message): Step<void> {
    const { bus, timeoutMs, world, capacityOf, depthOf, takeReorderMs } = this.#options;
    const capacity = capacityOf?.(topic);
    if (capacity !== undefined) {
      const depth = depthOf?.(topic) ?? (yield* fromPromise(() => this.#depthOf(topic)));
      if (depth >= capacity) throw new LinkError("full", `${topic} is full: ${depth} messages`);
    }
    const lateMs = takeReorderMs?.(process) ?? 0;
    const headers: (readonly [string, Uint8Array])[] = [];
    if (isTraceparent(message.trace)) {
      headers.push(["traceparent", encoder.encode(message.trace)]);
    }
    if (lateMs > 0) {
      headers.push([notBeforeHeader, encoder.encode(String(world.nowMs() + lateMs))]);
    }
    const value = encoder.encode(JSON.stringify(message));
    const record = { key: message.key, headers, value };
    try {
      yield* fromPromise(() => bus.send(this.#topic(topic), record, timeoutMs));
    } catch (error) {
      throw linkError(error);
    }
  }

  *#receive(
    process: LiveProcess,
    topic: string,
    group: string,
    limit: number,
  ): Step<readonly Delivery[]> {
    const queue = this.#queue(topic, group);
    try {
      yield* fromPromise(() => this.#reader(queue, group));
    } catch (error) {
      throw linkError(error);
    }
    const isBackwards = (this.#options.takeReorderMs?.(process) ?? 0) > 0;
    let batch = this.#take(queue, limit);
    if (batch.length === 0 && !this.#isClosed) {
      yield* this.#arrival(process, queue);
      // Who was killed while it waited must not take what others could have.
      batch = this.#take(queue, limit);
    }
    if (isBackwards) batch.reverse();
    for (const delivery of batch) this.#options.onDelivered?.(topic, delivery, process);
    return batch;
  }

  #queue(topic: string, group: string): Queue {
    const name = `${topic} ${group}`;
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = { topic, items: new Set(), waiting: new Set(), reader: undefined };
      this.#queues.set(name, queue);
    }
    return queue;
  }

  #reader(queue: Queue, group: string): Promise<GroupReader> {
    if (queue.reader !== undefined) return queue.reader;
    const reader = this.#options.bus.consume({
      topic: this.#topic(queue.topic),
      // A group of its own for each topic: members of one that read different topics get none, or not theirs.
      group: `${this.#topic(queue.topic)}.${group}`,
      handle: (record) => this.#takeIn(queue, record),
    });
    queue.reader = reader;
    // Whoever receives next tries again.
    reader.then(
      ({ failed }) => void failed.catch(() => queue.reader = undefined),
      () => queue.reader = undefined,
    );
    return reader;
  }

  /** Settles when the message is done with. */
  #takeIn(queue: Queue, record: ReceivedRecord): Promise<void> {
    const { world, log } = this.#options;
    const message = messageOf(record);
    if (message === undefined) {
      // Given back it would come again for ever.
      log.warn("Dropped a record that is no message", {
        topic: record.topic,
        partition: record.partition,
        offset: String(record.offset),
      });
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const item: Item = {
        message,
        receipt: 0,
        attempt: 0,
        freeAtMs: Number(headerNamed(record.headers, notBeforeHeader) ?? 0),
        settle: (isDone) => isDone ? resolve() : reject(new Error("It is for another member")),
      };
      if (this.#isClosed) return item.settle(false);
      queue.items.add(item);
      const waitMs = item.freeAtMs - world.nowMs();
      if (waitMs > 0) world.setTimeout(() => wakeOne(queue), waitMs);
      else wakeOne(queue);
    });
  }

  /** Waits for something to come in, or for so long that a lease may have run out. */
  #arrival(process: LiveProcess, queue: Queue): Step<void> {
    const { world, pollMs } = this.#options;
    return waitAs<void>(process, (resume) => {
      let isOver = false;
      const wake = () => {
        if (isOver) return;
        isOver = true;
        queue.waiting.delete(wake);
        world.clearTimeout(timer);
        queueMicrotask(() => resume());
      };
      const timer = world.setTimeout(wake, pollMs);
      queue.waiting.add(wake);
      // Else a wake-up would be for who is dead, and who lives would wait on.
      return () => {
        isOver = true;
        queue.waiting.delete(wake);
        world.clearTimeout(timer);
      };
    });
  }

  #take(queue: Queue, limit: number): Delivery[] {
    const { world, leaseMs } = this.#options;
    const nowMs = world.nowMs();
    const batch: Delivery[] = [];
    for (const item of queue.items) {
      if (batch.length >= limit) break;
      if (item.freeAtMs > nowMs) continue;
      this.#given.delete(item.receipt);
      item.receipt = ++this.#receipt;
      this.#given.set(item.receipt, { queue, item });
      item.attempt++;
      item.freeAtMs = nowMs + leaseMs;
      batch.push({ message: item.message, receipt: item.receipt, attempt: item.attempt });
    }
    return batch;
  }

  // deno-lint-ignore require-yield -- the bus hears of it by and by
  *#acknowledge({ receipt }: Delivery): Step<void> {
    const given = this.#given.get(receipt);
    // An old receipt: its lease has run out, and somebody else has the message.
    if (given === undefined) return;
    this.#given.delete(receipt);
    given.queue.items.delete(given.item);
    given.item.settle(true);
  }

  // deno-lint-ignore require-yield -- it needs no answer
  *#release({ receipt }: Delivery, delayMs: number): Step<void> {
    const given = this.#given.get(receipt);
    if (given === undefined) return;
    const { queue, item } = given;
    const { world } = this.#options;
    this.#given.delete(receipt);
    item.receipt = 0;
    item.freeAtMs = world.nowMs() + delayMs;
    world.setTimeout(() => wakeOne(queue), delayMs + 1);
  }
}

function wakeOne(queue: Queue): void {
  for (const wake of queue.waiting) return wake();
}

/** As W3C Trace Context has it. */
export function isTraceparent(text: string): boolean {
  return /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(text);
}

function messageOf({ value }: ReceivedRecord): Message | undefined {
  if (value === null) return undefined;
  let message: Partial<Message> | null;
  try {
    message = JSON.parse(decoder.decode(value));
  } catch {
    return undefined;
  }
  const isWhole = typeof message?.id === "string" && typeof message.key === "string" &&
    typeof message.trace === "string" && Number.isSafeInteger(message.sequence);
  return isWhole ? message as Message : undefined;
}

function linkError(error: unknown): unknown {
  if (!(error instanceof BusError)) return error;
  if (error.kind === "overloaded") return new LinkError("full", reasonOf(error));
  // Whether it is there nobody knows: the answer may have been lost on the way.
  if (error.kind === "unavailable") return new LinkError("timeout", reasonOf(error));
  return new LinkError("refused", reasonOf(error));
}
