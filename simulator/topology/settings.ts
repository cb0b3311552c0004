/**
 * What the parts are set to, and the names of what they share.
 *
 * @module
 */
import type { ColumnType, FaultPoint, Row, Schema, Surroundings } from "./ports.ts";
import { LinkError, type Message, StoreError } from "./ports.ts";
import type { Step } from "./step.ts";

/** How a backend gets its messages to the bus, and takes them from it. */
export type Pattern = "outbox" | "dual-write" | "fire-and-forget";

/** What the order of a key rests on: queues that keep it, or sequence numbers that are waited for. */
export type Ordering = "queue" | "sequence";

/** Settings that all parts share. */
export interface Settings {
  readonly pattern: Pattern;
  readonly ordering: Ordering;
  /** The number of the bug that is planted, see `plants.ts`; 0 is none. */
  readonly plant: number;
  /** How long an owner may be silent before another takes over, in milliseconds. */
  readonly leaseMs: number;
  /** The longest wait between two polls, in milliseconds. */
  readonly pollMs: number;
  /** The most messages that are handled together. */
  readonly batch: number;
  /** Wait after the first failure, in milliseconds; it doubles with each. */
  readonly backoffBaseMs: number;
  /** The longest wait after a failure, in milliseconds. */
  readonly backoffCapMs: number;
  /** Failures of the handler itself after which a message is parked. */
  readonly maxAttempts: number;
  /** How long a record of what was handled or sent is kept, in milliseconds. */
  readonly windowMs: number;
  /** Parts of an outbox that can have different owners. */
  readonly shards: number;
}

/** One direction of the topology: an outbox, a topic, an inbox. */
export interface Stage {
  readonly topic: "orders" | "results";
  readonly publishPoint: FaultPoint;
  readonly receivePoint: FaultPoint;
  readonly writePoint: FaultPoint;
  /** Where processing can fail; backend 1 has no such point. */
  readonly processPoint: FaultPoint | undefined;
  /** Who has an effect of each message. */
  readonly consumers: readonly string[];
  /** The consumer whose effect is followed by a message of the next stage. */
  readonly producer: string | undefined;
}

/** From backend 1 to backend 2. */
export const orderStage: Stage = {
  topic: "orders",
  publishPoint: 2,
  receivePoint: 3,
  writePoint: 4,
  processPoint: 5,
  consumers: ["billing", "stock"],
  producer: "billing",
};

/** From backend 2 back to backend 1. */
export const resultStage: Stage = {
  topic: "results",
  publishPoint: 6,
  receivePoint: 7,
  writePoint: 8,
  processPoint: undefined,
  consumers: ["confirmation"],
  producer: undefined,
};

/** The result of an order. */
export function resultOf(order: Message): Message {
  return { ...order, id: resultIdOf(order.id) };
}

/** The name of the result of the order of that name. */
export function resultIdOf(orderId: string): string {
  return `r${orderId.slice(1)}`;
}

/** The tables of a backend; plants and patterns without de-duplication lack a unique set. */
export function backendSchema({ pattern, plant }: Settings): Schema {
  const inboxKey = plant === 6 ? ["messageId"] : ["consumer", "messageId"];
  const deduplicates = pattern === "outbox" && plant !== 4;
  return {
    orders: { columns: columns.orders, unique: [["orderId"]], index: "orderId" },
    sequences: { columns: columns.sequences, unique: [["key"]], index: "key" },
    outbox: { columns: columns.outbox, unique: [["messageId"]], index: "queue" },
    leases: { columns: columns.leases, unique: [["name"]], index: "name" },
    heartbeats: { columns: columns.heartbeats, unique: [["name"]], index: "box" },
    inbox: { columns: columns.inbox, unique: deduplicates ? [inboxKey] : [], index: "queue" },
    marks: { columns: columns.marks, unique: [["slot"]], index: "box" },
    effects: { columns: columns.effects, index: "messageId" },
    seen: { columns: columns.seen, unique: [["messageId"]], index: "messageId" },
    dead: { columns: columns.dead, index: "box" },
  };
}

const message = { messageId: "text", key: "text", sequence: "number", trace: "text" } as const;
const claimed = { token: "number", attempts: "number", nextAtMs: "number" } as const;

/** What each table has beside its ids. */
const columns = {
  orders: { orderId: "text", key: "text", sequence: "number", trace: "text", state: "text" },
  sequences: { key: "text", next: "number" },
  outbox: {
    ...{ ...message, queue: "text", state: "text", ...claimed },
    ...{ claimedAtMs: "number", storedAtMs: "number", createdAtMs: "number", sentAtMs: "number" },
  },
  leases: {
    ...{ name: "text", owner: "text", session: "text" },
    ...{ token: "number", untilMs: "number", cursor: "number" },
  },
  heartbeats: { box: "number", name: "text", atMs: "number" },
  inbox: {
    ...{ ...message, consumer: "text", slot: "text", queue: "text", state: "text", ...claimed },
    ...{ untilMs: "number", storedAtMs: "number", doneAtMs: "number" },
  },
  marks: { box: "number", slot: "text", applied: "number", forgotten: "number" },
  effects: { ...message, consumer: "text" },
  seen: { messageId: "text" },
  dead: { box: "number", consumer: "text", ...message },
} as const satisfies Readonly<Record<string, Readonly<Record<string, ColumnType>>>>;

/** The rows that a backend begins with, so that no two processes race to make them. */
export function* initialRows(
  settings: Settings,
  keys: readonly string[],
  consumers: readonly string[],
): Generator<readonly [table: string, row: Record<string, string | number>]> {
  for (const key of keys) yield ["sequences", { key, next: 1 }];
  for (let shard = 0; shard < settings.shards; shard++) {
    const owner = { owner: "", session: "", token: 0, untilMs: 0, cursor: 0 };
    yield ["leases", { name: `shard-${shard}`, ...owner }];
  }
  for (const consumer of consumers) {
    for (const key of keys) {
      yield ["marks", { box: 1, slot: slotOf(consumer, key), applied: 0, forgotten: 0 }];
    }
  }
}

/** The row of an outbox for a message. */
export function outboxRow(
  part: Surroundings,
  settings: Settings,
  message: Message,
  storedAtMs: number,
): Record<string, string | number> {
  const shard = shardOf(message.key, settings.shards);
  return {
    ...rowOf(message),
    queue: `shard-${shard}`,
    state: "pending",
    token: 0,
    claimedAtMs: 0,
    attempts: 0,
    nextAtMs: 0,
    storedAtMs,
    // The author's clock: only a planted bug reads it.
    createdAtMs: part.clock.nowMs(),
    sentAtMs: 0,
  };
}

/** A message's columns. */
export function rowOf(message: Message): Record<string, string | number> {
  const { id, key, sequence, trace } = message;
  return { messageId: id, key, sequence, trace };
}

/** The message that a row holds. */
export function messageOf(row: Row): Message {
  return {
    id: row["messageId"] as string,
    key: row["key"] as string,
    sequence: row["sequence"] as number,
    trace: row["trace"] as string,
  };
}

/** What the order is kept of: the messages of a key, for each consumer by itself. */
export function slotOf(consumer: string, key: string): string {
  return `${consumer}/${key}`;
}

function shardOf(key: string, shards: number): number {
  let sum = 0;
  for (let i = 0; i < key.length; i++) sum += key.charCodeAt(i);
  return sum % shards;
}

/** How long to wait after so many failures, the first being 1. */
export function backoffMs(part: Surroundings, settings: Settings, failures: number): number {
  if (settings.plant === 20) return 0;
  const doubled = settings.backoffBaseMs * 2 ** Math.min(failures - 1, 40);
  const capped = settings.plant === 21 ? doubled : Math.min(settings.backoffCapMs, doubled);
  return capped * (0.5 + part.chance.random() / 2);
}

/** Does work that may fail as the world fails; gives nothing then. A defect is thrown on. */
export function* attempt<T>(
  part: Surroundings,
  work: () => Step<T>,
): Step<{ value: T } | undefined> {
  try {
    return { value: yield* work() };
  } catch (error) {
    part.note("failed", "", failureOf(error));
    return undefined;
  }
}

/** In a word, how the world has failed. @throws what is no failure of the world */
export function failureOf(error: unknown): string {
  if (error instanceof LinkError || error instanceof StoreError) return error.kind;
  throw error;
}
