import assert from "node:assert/strict";
import type { BusPort, Delivery, Message } from "../topology/ports.ts";
import type { Ordering } from "../topology/settings.ts";
import type { Step } from "../topology/step.ts";
import { EventLoop, newProcess } from "./event_loop.ts";
import { SimulatedBus } from "./simulated_bus.ts";

const message = (id: string, key = "k"): Message => ({ id, key, sequence: 1, trace: `t-${id}` });

/** Runs work over a bus with a lease of 100 ms and room for three messages. */
function withBus(
  work: (bus: BusPort, loop: EventLoop) => Step<void>,
  { ordering = "sequence" as Ordering, groups = ["g"], reorderMs = 0 } = {},
): void {
  const loop = new EventLoop();
  let lateMs = reorderMs;
  const bus = new SimulatedBus(loop, {
    groups: { topic: groups },
    ordering,
    leaseMs: 100,
    capacity: 3,
    pollMs: 50,
    takeReorderMs: () => [lateMs, lateMs = 0][0]!,
    listener: { accepted() {}, delivered() {}, acknowledged() {} },
  });
  const process = newProcess("test");
  let isDone = false;
  loop.spawn(process, work(bus.connect(process), loop), undefined, () => isDone = true);
  loop.runUntil(10_000);
  assert.ok(isDone, "It never ends");
}

const ids = (batch: readonly Delivery[]) => batch.map(({ message }) => message.id);

Deno.test("each group gets a message until it acknowledges it", () => {
  withBus(function* (bus) {
    yield* bus.publish("topic", message("a"));
    for (const group of ["g", "h"]) {
      const batch = yield* bus.receive("topic", group, 10);
      assert.deepEqual(ids(batch), ["a"]);
      yield* bus.acknowledge(batch[0]!);
      assert.deepEqual(yield* bus.receive("topic", group, 10), []);
    }
  }, { groups: ["g", "h"] });
});

Deno.test("a message comes again when its lease runs out, and the old receipt is void", () => {
  withBus(function* (bus, loop) {
    yield* bus.publish("topic", message("a"));
    const [first] = yield* bus.receive("topic", "g", 1);
    assert.deepEqual(yield* bus.receive("topic", "g", 1), []);
    yield* loop.sleep(100);
    const [second] = yield* bus.receive("topic", "g", 1);
    assert.equal(second!.attempt, 2);
    yield* bus.acknowledge(first!);
    yield* loop.sleep(100);
    assert.equal((yield* bus.receive("topic", "g", 1)).length, 1);
  });
});

Deno.test("what is given back comes again after its delay", () => {
  withBus(function* (bus, loop) {
    yield* bus.publish("topic", message("a"));
    const [delivery] = yield* bus.receive("topic", "g", 1);
    yield* bus.release(delivery!, 500);
    yield* loop.sleep(400);
    assert.deepEqual(yield* bus.receive("topic", "g", 1), []);
    yield* loop.sleep(100);
    assert.equal((yield* bus.receive("topic", "g", 1)).length, 1);
  });
});

Deno.test("queues that keep the order hold a key back while an earlier message of it is out", () => {
  withBus(function* (bus) {
    for (const one of [message("a1", "a"), message("a2", "a"), message("b1", "b")]) {
      yield* bus.publish("topic", one);
    }
    const [first] = yield* bus.receive("topic", "g", 1);
    assert.deepEqual(ids(yield* bus.receive("topic", "g", 10)), ["b1"]);
    yield* bus.acknowledge(first!);
    assert.deepEqual(ids(yield* bus.receive("topic", "g", 10)), ["a2"]);
  }, { ordering: "queue" });
});

Deno.test("a fault of order puts a message behind the next", () => {
  withBus(function* (bus, loop) {
    yield* bus.publish("topic", message("late"));
    yield* bus.publish("topic", message("next"));
    assert.deepEqual(ids(yield* bus.receive("topic", "g", 10)), ["next"]);
    yield* loop.sleep(20);
    assert.deepEqual(ids(yield* bus.receive("topic", "g", 10)), ["late"]);
  }, { reorderMs: 20 });
});

Deno.test("a full bus refuses", () => {
  withBus(function* (bus) {
    for (const id of ["a", "b", "c"]) yield* bus.publish("topic", message(id));
    let kind = "";
    try {
      yield* bus.publish("topic", message("d"));
    } catch (error) {
      kind = (error as { kind: string }).kind;
    }
    assert.equal(kind, "full");
  });
});
