import assert from "node:assert/strict";
import { EventLoop, newProcess } from "./event_loop.ts";

Deno.test("what is to happen at the same time happens in the order in which it was asked for", () => {
  const loop = new EventLoop();
  const order: string[] = [];
  const add = (name: string) => () => void order.push(name);
  loop.after(5, () => {
    order.push("first at 5");
    loop.after(0, add("at once"));
    loop.after(0, () => loop.after(0, add("after what was at once")));
    loop.after(1, add("at 6"));
  });
  loop.after(5, add("second at 5"));
  loop.runUntil(10);
  assert.deepEqual(order, [
    ...["first at 5", "second at 5", "at once", "after what was at once", "at 6"],
  ]);
  assert.equal(loop.nowMs, 10);
});

Deno.test("nothing happens that is called off, also of a process that was held meanwhile", () => {
  const loop = new EventLoop();
  const process = newProcess("part");
  const happened: string[] = [];
  const timer = loop.after(5, () => void happened.push("timer"), process);
  loop.after(3, () => void (process.pausedUntilUs = 20_000));
  loop.after(10, () => loop.callOff(timer));
  loop.after(6, () => void happened.push("late"), process);
  loop.runUntil(30);
  assert.deepEqual(happened, ["late"]);
});
