import assert from "node:assert/strict";
import { EventLoop, newProcess } from "../simulation/event_loop.ts";
import { drive, inLanes, type Step, together, toPromise, waitFor } from "./step.ts";

/** Runs work in virtual time, and gives what it has done with the times. */
function run(work: (loop: EventLoop, did: (what: string) => void) => Step<void>) {
  const loop = new EventLoop();
  const events: string[] = [];
  const did = (what: string) => void events.push(`${loop.nowMs} ${what}`);
  loop.spawn(newProcess("part"), work(loop, did), (error) => did(String(error)), () => did("done"));
  loop.runUntil(1_000);
  return events;
}

Deno.test("steps that are driven together wait beside each other, and end with the last", () => {
  const events = run((loop, did) =>
    together([30, 10, 20].map(function* (delayMs) {
      yield* loop.sleep(delayMs);
      did(`${delayMs}`);
      yield* loop.sleep(5);
      did(`${delayMs} again`);
    }))
  );
  assert.deepEqual(events, [
    ...["10 10", "15 10 again", "20 20", "25 20 again", "30 30", "35 30 again", "35 done"],
  ]);
});

Deno.test("of steps that are driven together one that fails ends all, unless it catches that", () => {
  const fails = () => waitFor<void>((_, fail) => queueMicrotask(() => fail(new Error("broken"))));
  const done: string[] = [];
  const caught = toPromise(together([
    (function* () {
      try {
        yield* fails();
      } catch (error) {
        done.push((error as Error).message);
      }
    })(),
  ]));
  const thrown = assert.rejects(toPromise(together([fails(), waitFor<void>(() => {})])), /broken/);
  return Promise.all([caught, thrown]).then(() => assert.deepEqual(done, ["broken"]));
});

Deno.test("of no steps nothing is waited for", () => {
  assert.deepEqual(run(() => together([])), ["0 done"]);
});

Deno.test("what is driven together is dropped together, as by kill -9", () => {
  const loop = new EventLoop();
  const process = newProcess("part");
  let steps = 0;
  const endless = function* (): Step<void> {
    for (;;) {
      yield* loop.sleep(10);
      steps++;
    }
  };
  drive(together([endless(), endless()]), {
    isLive: () => process.isLive,
    done: () => assert.fail(),
    failed: (error) => assert.fail(String(error)),
  });
  loop.runUntil(35);
  assert.equal(steps, 6);
  process.isLive = false;
  loop.runUntil(1_000);
  assert.equal(steps, 6);
});

Deno.test("items of a lane come one after the other, lanes beside each other", () => {
  const events = run((loop, did) =>
    inLanes(["a1", "b1", "a2", "b2", "c1"], (item) => item[0], function* (lane) {
      for (const item of lane) {
        yield* loop.sleep(item.startsWith("b") ? 3 : 10);
        did(item);
      }
    })
  );
  assert.deepEqual(events, ["3 b1", "6 b2", "10 a1", "10 c1", "20 a2", "20 done"]);
});
