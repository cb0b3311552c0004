import assert from "node:assert/strict";
import {
  aborted,
  backoffDelayMs,
  pause,
  reasonOf,
  settledWithin,
  timeoutSignal,
  untilAborted,
} from "./resilience.ts";
import { assertNothingAddsUp } from "./testing/rounds.ts";
import { drainMicrotasks, VirtualWorld } from "./world/virtual_world.ts";

/** A signal that counts its listeners, as a forgotten one is a leak. */
class CountedSignal extends EventTarget {
  listeners = 0;
  aborted = false;
  reason: unknown;
  override addEventListener(...args: Parameters<EventTarget["addEventListener"]>): void {
    if (args[0] === "abort") this.listeners++;
    super.addEventListener(...args);
  }
  override removeEventListener(...args: Parameters<EventTarget["removeEventListener"]>): void {
    if (args[0] === "abort") this.listeners--;
    super.removeEventListener(...args);
  }
  get signal(): AbortSignal {
    return this as unknown as AbortSignal;
  }
}

Deno.test("backoffDelayMs() doubles up to its cap, for any number of failures", () => {
  const options = { baseDelayMs: 100, maxDelayMs: 3_000, jitter: 0 };
  const delays = [1, 2, 3, 5, 6, 7, 100, 5_000].map((failures) =>
    backoffDelayMs(failures, options)
  );
  assert.deepEqual(delays, [100, 200, 400, 1_600, 3_000, 3_000, 3_000, 3_000]);
});

Deno.test("backoffDelayMs() leaves the whole wait to chance, or only a part of it", () => {
  const options = { baseDelayMs: 100, maxDelayMs: 400 };
  const most = { random: () => 0.999 };
  const least = { random: () => 0 };
  assert.equal(backoffDelayMs(3, options, least), 400);
  assert.ok(backoffDelayMs(3, options, most) < 1);
  assert.equal(backoffDelayMs(3, { ...options, jitter: 0.25 }, { random: () => 0.5 }), 350);
});

Deno.test("backoffDelayMs() refuses options that would make an endless loop", () => {
  assert.throws(
    () => backoffDelayMs(1, { baseDelayMs: 0, maxDelayMs: 1 }),
    /'baseDelayMs' must be above 0: current value is 0/,
  );
  assert.throws(
    () => backoffDelayMs(1, { baseDelayMs: 1, maxDelayMs: NaN }),
    /'maxDelayMs' must be above 0: current value is NaN/,
  );
  assert.throws(
    () => backoffDelayMs(1, { baseDelayMs: 1, maxDelayMs: 1, jitter: 1.1 }),
    /'jitter' must be from 0 to 1: current value is 1.1/,
  );
  assert.throws(
    () => backoffDelayMs(1, { baseDelayMs: 1, maxDelayMs: 1, jitter: -0.1 }),
    /'jitter' must be from 0 to 1: current value is -0.1/,
  );
});

Deno.test("pause() lasts its time, or until its signal aborts, and leaves nothing behind", async () => {
  const world = new VirtualWorld();
  const counted = new CountedSignal();
  assert.equal(await world.runUntil(pause(50, { world, signal: counted.signal })), true);
  assert.equal(world.monotonicMs(), 50);
  assert.equal(counted.listeners, 0);

  const stop = new AbortController();
  const cut = pause(1_000, { world, signal: stop.signal });
  stop.abort();
  assert.equal(await cut, false);
  assert.equal(await world.runUntil(pause(50, { world })), true, "without a signal");
  assert.equal(await pause(1_000, { world, signal: stop.signal }), false);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("settledWithin() says whether a promise has settled, either way, in time", async () => {
  const world = new VirtualWorld();
  const late = new Promise<void>((resolve) => world.setTimeout(resolve, 200));
  assert.equal(await world.runUntil(settledWithin(late, 100, { world })), false);
  assert.equal(world.monotonicMs(), 100);
  assert.equal(await world.runUntil(settledWithin(late, 500, { world })), true);
  assert.equal(await settledWithin(Promise.reject(new Error("no")), 100, { world }), true);
  assert.equal(world.pendingTimers, 0);

  const counted = new CountedSignal();
  await world.runUntil(settledWithin(pause(10, { world }), 100, { world, signal: counted.signal }));
  assert.equal(counted.listeners, 0);
  const never = new Promise(() => {});
  assert.equal(await settledWithin(never, 100, { world, signal: AbortSignal.abort() }), false);
  const stop = new AbortController();
  const cut = settledWithin(never, 100, { world, signal: stop.signal });
  stop.abort();
  assert.equal(await cut, false);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("timeoutSignal() aborts when the time is up, with its reason", async () => {
  const world = new VirtualWorld();
  using timeout = timeoutSignal(30, { world });
  await world.advance(29);
  assert.equal(timeout.signal.aborted, false);
  await world.advance(1);
  assert.equal(timeout.signal.aborted, true);
  assert.equal(timeout.signal.reason.name, "TimeoutError");
  assert.equal(timeout.signal.reason.message, "Not done within 30 ms");

  using own = timeoutSignal(30, { world }, () => new Error("too slow"));
  await world.advance(30);
  assert.match(String(own.signal.reason), /too slow/);
});

Deno.test("timeoutSignal() aborts with its parent, and gives its timer and listener back", async () => {
  const world = new VirtualWorld();
  const parent = new AbortController();
  {
    using timeout = timeoutSignal(1_000, { world, signal: parent.signal });
    parent.abort(new Error("stop"));
    assert.match(String(timeout.signal.reason), /stop/);
    assert.equal(world.pendingTimers, 0);
    using begun = timeoutSignal(1_000, { world, signal: parent.signal });
    assert.equal(begun.signal.aborted, true);
  }
  const counted = new CountedSignal();
  {
    using _timeout = timeoutSignal(1_000, { world, signal: counted.signal });
    assert.equal(world.pendingTimers, 1);
  }
  assert.equal(world.pendingTimers, 0);
  assert.equal(counted.listeners, 0);
  using expired = timeoutSignal(10, { world, signal: counted.signal });
  await world.advance(10);
  assert.equal(expired.signal.aborted, true);
  assert.equal(counted.listeners, 0);
});

Deno.test("aborted() resolves with its signal, at once if it has aborted", async () => {
  const stop = new AbortController();
  let resolved = false;
  aborted(stop.signal).then(() => resolved = true);
  await drainMicrotasks();
  assert.equal(resolved, false);
  stop.abort();
  await drainMicrotasks();
  assert.equal(resolved, true);
  await aborted(stop.signal);
  let never = true;
  aborted(undefined).then(() => never = false);
  await drainMicrotasks();
  assert.ok(never);
});

Deno.test("untilAborted() settles like its promise or with its signal, and leaves no listener behind", async () => {
  const { signal } = new AbortController();
  await assertNothingAddsUp(async () => {
    assert.equal(await untilAborted(Promise.resolve(7), signal), 7);
    await assert.rejects(untilAborted(Promise.reject(new Error("no")), signal), /no/);
  });
  const stop = new AbortController();
  const waiting = untilAborted(new Promise(() => {}), stop.signal);
  stop.abort();
  assert.equal(await waiting, undefined);
  assert.equal(await untilAborted(new Promise(() => {}), stop.signal), undefined);
});

Deno.test("reasonOf() gives the innermost causes, once each, on one line", () => {
  assert.equal(reasonOf(new Error("outer", { cause: new Error("inner") })), "inner");
  assert.equal(
    reasonOf(new AggregateError([new Error("a"), new Error("b"), new Error("b")])),
    "b",
  );
  assert.equal(reasonOf(new AggregateError([new Error("a"), new Error("b")], "both")), "a; b");
  assert.equal(reasonOf(new Error("a text for a cause", { cause: "text" })), "a text for a cause");
  assert.equal(reasonOf("a string"), "a string");
  assert.equal(reasonOf(new TypeError("")), "TypeError");
  assert.equal(reasonOf(new Error("x".repeat(1_000))).length, 300);
  const loop = new Error("loop");
  loop.cause = loop;
  assert.equal(typeof reasonOf(loop), "string");
  assert.equal(reasonOf(new Error("first\n\n second")), "first second");
  let deep = new Error("deep");
  for (let depth = 0; depth < 6; depth++) deep = new Error("outer", { cause: deep });
  assert.equal(reasonOf(deep), "deep");
  assert.equal(reasonOf(new Error("outermost", { cause: deep })), "Error: outermost");
});
