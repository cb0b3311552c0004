/**
 * A lambda takes messages from the bus and writes them into an inbox, one row for each consumer. It
 * acknowledges what is written, or was before. What it fails at again and again it writes as parked: there
 * it holds up its key, and nothing else, until an operator redrives it.
 *
 * @module
 */
import {
  type Delivery,
  type Message,
  StoreError,
  type Surroundings,
  transact,
  type Transaction,
} from "./ports.ts";
import { HandlerError, type LambdaWork } from "./processor.ts";
import {
  attempt,
  backoffMs,
  failureOf,
  rowOf,
  type Settings,
  slotOf,
  type Stage,
} from "./settings.ts";
import { inLanes, type Step } from "./step.ts";

/**
 * Works for as long as its process lives.
 *
 * @param work what it does with a message before it writes it; by default nothing
 */
export function* lambda(
  part: Surroundings,
  settings: Settings,
  stage: Stage,
  work?: LambdaWork,
): Step<never> {
  for (let failures = 0;;) {
    const got = yield* attempt(part, () =>
      part.link.call(
        stage.receivePoint,
        stage.topic,
        () => part.bus.receive(stage.topic, "backend", settings.batch),
      ));
    if (got === undefined) {
      // A loop that does not pause never ends in virtual time, whatever is planted.
      yield* part.clock.sleep(Math.max(5, backoffMs(part, settings, ++failures)));
      continue;
    }
    failures = 0;
    yield* inLanes(
      got.value,
      ({ message }) => message.key,
      (deliveries) => takeInKey(part, settings, stage, deliveries, work),
    );
  }
}

/** Takes messages of one key in: what follows one that fails waits for it. */
function* takeInKey(
  part: Surroundings,
  settings: Settings,
  stage: Stage,
  deliveries: readonly Delivery[],
  work: LambdaWork | undefined,
): Step<void> {
  let hasFailed = false;
  for (const delivery of deliveries) {
    if (hasFailed && settings.plant !== 13) yield* giveBack(part, settings, delivery);
    else if (!(yield* takeIn(part, settings, stage, delivery, work))) hasFailed = true;
  }
}

/** Gives whether the message is in the inbox. */
function* takeIn(
  part: Surroundings,
  settings: Settings,
  stage: Stage,
  delivery: Delivery,
  work: LambdaWork | undefined,
): Step<boolean> {
  const { message, attempt } = delivery;
  if (settings.plant === 9) yield* acknowledge(part, stage, delivery);
  try {
    const isHandled = work === undefined || (yield* isHandledBy(work, part, message.id));
    if (!isHandled && attempt < settings.maxAttempts) {
      yield* giveBack(part, settings, delivery);
      return false;
    }
    if (!isHandled) part.note("parked", message.id, stage.topic);
    const state = isHandled ? "pending" : "parked";
    yield* part.link.call(
      stage.writePoint,
      message.id,
      () => writeInbox(part, settings, stage, message, state),
      message.trace,
    );
  } catch (error) {
    part.note("not-taken-in", message.id, failureOf(error));
    if (settings.plant === 10) yield* acknowledge(part, stage, delivery);
    else yield* giveBack(part, settings, delivery);
    return false;
  }
  if (settings.plant !== 9) yield* acknowledge(part, stage, delivery);
  return true;
}

/** Whether the message is none that the lambda fails at. */
function* isHandledBy(work: LambdaWork, part: Surroundings, id: string): Step<boolean> {
  try {
    yield* work(part, id);
    return true;
  } catch (error) {
    if (!(error instanceof HandlerError)) throw error;
    part.note("lambda-failed", id);
    return false;
  }
}

/** If it fails, the lease runs out and the message comes again. */
function* acknowledge(part: Surroundings, stage: Stage, delivery: Delivery): Step<void> {
  yield* attempt(part, () =>
    part.link.call(
      stage.receivePoint,
      delivery.message.id,
      () => part.bus.acknowledge(delivery),
      delivery.message.trace,
    ));
}

function* giveBack(part: Surroundings, settings: Settings, delivery: Delivery): Step<void> {
  yield* part.bus.release(delivery, backoffMs(part, settings, delivery.attempt));
}

/** Writes a message into an inbox, once. */
export function* writeInbox(
  part: Surroundings,
  settings: Settings,
  stage: Stage,
  message: Message,
  state: "pending" | "parked" = "pending",
): Step<void> {
  try {
    if (settings.plant === 5) yield* recordFirst(part, message);
    yield* transact(
      part.store,
      (tx) => insertForEach(tx, part, settings, stage, message, state),
    );
    part.wake("inbox", message.id);
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== "duplicate") throw error;
    part.note("duplicate", message.id);
  }
}

function* insertForEach(
  tx: Transaction,
  part: Surroundings,
  settings: Settings,
  stage: Stage,
  message: Message,
  state: "pending" | "parked",
): Step<void> {
  if (settings.plant === 4 && (yield* isKnown(tx, message))) return;
  for (const consumer of stage.consumers) {
    yield* insertFor(part, settings, message, consumer, state, tx);
  }
}

/** Planted bug 4: no unique set stands behind this question. */
function* isKnown(tx: Transaction, message: Message): Step<boolean> {
  const { id } = message;
  const open = yield* tx.select("inbox", { queue: "open", messageId: id });
  const done = yield* tx.select("inbox", { queue: "done", messageId: id });
  return open.length + done.length > 0;
}

/** Planted bug 5: what fails after it counts as a duplicate when it comes again. */
function* recordFirst(part: Surroundings, message: Message): Step<void> {
  yield* transact(part.store, function* (tx) {
    yield* tx.insert("seen", { messageId: message.id });
  });
}

function* insertFor(
  part: Surroundings,
  settings: Settings,
  message: Message,
  consumer: string,
  state: "pending" | "parked",
  tx: Transaction,
): Step<void> {
  const row = {
    ...rowOf(message),
    queue: "open",
    consumer,
    slot: slotOf(consumer, message.key),
    state,
    token: 0,
    untilMs: 0,
    attempts: 0,
    nextAtMs: 0,
    storedAtMs: tx.nowMs(),
    doneAtMs: 0,
  };
  try {
    const id = yield* tx.insert("inbox", row);
    if (settings.pattern !== "outbox") return;
    // After the insert: what was purged before it has left its mark before it.
    const [mark] = yield* tx.select("marks", { box: 1, slot: row.slot });
    if (message.sequence > (mark!["forgotten"] as number)) return;
    part.note("forgotten-dup", message.id, consumer);
    yield* tx.delete("inbox", id);
  } catch (error) {
    const isOthers = settings.plant === 6 && error instanceof StoreError &&
      error.kind === "duplicate";
    if (!isOthers) throw error;
  }
}
