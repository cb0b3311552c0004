/**
 * Backend 1's side to its clients: what the resolver of `placeOrder` does.
 *
 * @module
 */
import {
  type Message,
  StoreError,
  type Surroundings,
  transact,
  type Transaction,
} from "./ports.ts";
import {
  attempt,
  failureOf,
  orderStage,
  outboxRow,
  resultIdOf,
  type Settings,
} from "./settings.ts";
import type { Step } from "./step.ts";

/** What a client asks for; its id makes asking again harmless. */
export interface Order {
  readonly id: string;
  readonly key: string;
  /** The trace that it belongs to. @default one that is named after the order */
  readonly trace?: string;
}

/** An order as backend 1 knows it. */
export interface PlacedOrder extends Required<Order> {
  /** Its place among the orders of its key. */
  readonly sequence: number;
  /** `confirmed`: backend 2 has answered. */
  readonly state: "placed" | "confirmed";
}

/**
 * Places an order: stores it, and whatever is needed for backend 2 to hear of it.
 *
 * @throws {LinkError} in the patterns without an outbox: it is stored, but may not have been sent
 * @throws {StoreError} it is not stored
 */
export function* placeOrder(part: Surroundings, settings: Settings, order: Order): Step<void> {
  // Without waiting for writers: whoever asks again after a timeout must not add to the queue that
  // has made it time out.
  const { rows: known } = yield* part.store.read("orders", { orderId: order.id });
  if (known.length > 0) return;
  let message: Message;
  try {
    message = yield* storeOrder(part, settings, order);
  } catch (error) {
    // The other of two requests for the same order was faster.
    if (error instanceof StoreError && error.kind === "duplicate") return;
    throw error;
  }
  if (settings.plant === 14) yield* publishDirectly(part, message);
  if (settings.pattern === "outbox") part.wake("outbox", message.id);
  else yield* publishAfterCommit(part, settings, message);
}

/** @throws {StoreError} `duplicate` if it is stored already */
function storeOrder(part: Surroundings, settings: Settings, order: Order): Step<Message> {
  return transact(part.store, (tx) => storeIn(tx, part, settings, order));
}

function* storeIn(
  tx: Transaction,
  part: Surroundings,
  settings: Settings,
  order: Order,
): Step<Message> {
  const [counter] = yield* tx.select("sequences", { key: order.key }, { lock: "wait" });
  const sequence = counter!["next"] as number;
  const trace = order.trace ?? `t-${order.id}`;
  const message = { id: order.id, key: order.key, sequence, trace };
  const state = "placed";
  yield* tx.insert("orders", { orderId: order.id, key: order.key, sequence, trace, state });
  if (settings.pattern === "outbox") {
    yield* tx.insert("outbox", outboxRow(part, settings, message, tx.nowMs()));
  }
  yield* tx.update("sequences", counter!.id, { next: sequence + 1 });
  if (settings.plant === 17) part.wake("outbox", message.id);
  if (settings.plant === 23) yield* publish(part, message);
  return message;
}

function publish(part: Surroundings, message: Message): Step<void> {
  return part.link.call(
    orderStage.publishPoint,
    message.id,
    () => part.bus.publish(orderStage.topic, message),
    message.trace,
  );
}

/** Finds an order: what the resolver of `order` does. */
export function* findOrder(
  part: Pick<Surroundings, "store">,
  id: string,
): Step<PlacedOrder | undefined> {
  const { rows: [row] } = yield* part.store.read("orders", { orderId: id });
  if (row === undefined) return undefined;
  const { rows: effects } = yield* part.store.read("effects", { messageId: resultIdOf(id) });
  return {
    id,
    key: row["key"] as string,
    sequence: row["sequence"] as number,
    trace: row["trace"] as string,
    state: effects.length > 0 ? "confirmed" : "placed",
  };
}

/** Dual write: what fails or crashes between the two writes is lost. */
function* publishAfterCommit(
  part: Surroundings,
  settings: Settings,
  message: Message,
): Step<void> {
  if (settings.pattern === "dual-write") return yield* publish(part, message);
  try {
    yield* publish(part, message);
  } catch (error) {
    // Fire and forget: that is the pattern.
    part.note("forgotten", message.id, failureOf(error));
  }
}

/** Planted bug 14: the new message overtakes what waits in the outbox. */
function* publishDirectly(part: Surroundings, message: Message): Step<void> {
  const sent = yield* attempt(part, () => publish(part, message));
  if (sent === undefined) return;
  yield* transact(part.store, function* (tx) {
    const open = ["shard-0", "shard-1", "shard-2", "shard-3"];
    for (const queue of open) {
      for (const row of yield* tx.select("outbox", { queue, messageId: message.id })) {
        yield* tx.update("outbox", row.id, {
          queue: "sent",
          state: "sent",
          sentAtMs: tx.nowMs(),
        });
      }
    }
  });
}

/** Asks for an order until it is placed: what a frontend does. */
export function* submitOrder(
  frontend: Surroundings,
  settings: Settings,
  order: Order,
  place: (order: Order) => Step<void>,
): Step<void> {
  for (let failures = 0;;) {
    try {
      yield* frontend.link.call(1, order.id, () => place(order), order.trace);
      return frontend.note("placed", order.id);
    } catch (error) {
      frontend.note("place-again", order.id, failureOf(error));
      failures++;
    }
    // The frontend is not what plants are in: it always backs off.
    const capped = Math.min(settings.backoffCapMs, settings.backoffBaseMs * 2 ** failures);
    yield* frontend.clock.sleep(capped * (0.5 + frontend.chance.random() / 2));
  }
}
