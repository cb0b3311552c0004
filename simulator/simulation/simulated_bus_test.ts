import assert from "node:assert/strict";
import type { BusPort } from "../topology/ports.ts";
import type { Ordering } from "../topology/settings.ts";
import type { Step } from "../topology/step.ts";
import { busSuite, idsOf, message } from "./bus_suite.ts";
import { EventLoop, newProcess } from "./event_loop.ts";
import { SimulatedBus } from "./simulated_bus.ts";

/** A bus with a lease of 100 ms and room for eight messages. */
function newBus({ ordering = "sequence" as Ordering, groups = ["g", "h"], reorderMs = 0 } = {}) {
  const loop = new EventLoop();
  let lateMs = reorderMs;
  const bus = new SimulatedBus(loop, {
    groups: { topic: groups },
    ordering,
    leaseMs: 100,
    capacity: 8,
    pollMs: 50,
    takeReorderMs: () => [lateMs, lateMs = 0][0]!,
    listener: { accepted() {}, delivered() {}, acknowledged() {} },
  });
  const process = newProcess("test");
  return { loop, process, bus: bus.connect(process) };
}

/** Runs work over a bus. */
function withBus(
  work: (bus: BusPort, loop: EventLoop) => Step<void>,
  options: Parameters<typeof newBus>[0] = {},
): void {
  const { loop, process, bus } = newBus(options);
  let isDone = false;
  loop.spawn(process, work(bus, loop), undefined, () => isDone = true);
  loop.runUntil(10_000);
  assert.ok(isDone, "It never ends");
}

busSuite({
  name: "simulated bus",
  leaseMs: 100,
  open: () => {
    const { bus, loop, process } = newBus();
    return {
      bus,
      sleep: (delayMs) => loop.sleep(delayMs),
      run(work) {
        let isDone = false;
        loop.spawn(process, work, undefined, () => isDone = true);
        loop.runUntil(100_000);
        assert.ok(isDone, "It never ends");
      },
    };
  },
});

Deno.test("queues that keep the order hold a key back while an earlier message of it is out", () => {
  withBus(function* (bus) {
    for (const one of [message("a1", "a"), message("a2", "a"), message("b1", "b")]) {
      yield* bus.publish("topic", one);
    }
    const [first] = yield* bus.receive("topic", "g", 1);
    assert.deepEqual(idsOf(yield* bus.receive("topic", "g", 10)), ["b1"]);
    yield* bus.acknowledge(first!);
    assert.deepEqual(idsOf(yield* bus.receive("topic", "g", 10)), ["a2"]);
  }, { ordering: "queue" });
});

Deno.test("a fault of order puts a message behind the next", () => {
  withBus(function* (bus, loop) {
    yield* bus.publish("topic", message("late"));
    yield* bus.publish("topic", message("next"));
    assert.deepEqual(idsOf(yield* bus.receive("topic", "g", 10)), ["next"]);
    yield* loop.sleep(20);
    assert.deepEqual(idsOf(yield* bus.receive("topic", "g", 10)), ["late"]);
  }, { reorderMs: 20 });
});

Deno.test("a full bus refuses", () => {
  withBus(function* (bus) {
    for (const id of "abcdefgh") yield* bus.publish("topic", message(id));
    let kind = "";
    try {
      yield* bus.publish("topic", message("i"));
    } catch (error) {
      kind = (error as { kind: string }).kind;
    }
    assert.equal(kind, "full");
  });
});
