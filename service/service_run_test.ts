import assert from "node:assert/strict";
import type { Service, ServiceContext } from "./life_cycle.ts";
import { aborted } from "./resilience.ts";
import { ServiceRun, type ServiceRunOptions } from "./service_run.ts";
import { testContext } from "./testing/context.ts";
import { VirtualWorld } from "./world/virtual_world.ts";

/** A run in virtual time, and what happened to its service, each with its time. */
function testRun(
  service: Partial<Service> = {},
  options: Partial<ServiceRunOptions> = {},
) {
  const world = new VirtualWorld({ seed: 1 });
  const startMs = world.monotonicMs();
  const events: [string, number][] = [];
  const note = (event: string) => events.push([event, world.monotonicMs() - startMs]);
  const context = testContext({ world });
  const run = new ServiceRun({
    start: ({ health, stopping }: ServiceContext) => {
      health.set("all", "ok");
      stopping.addEventListener("abort", () => note("stopping"));
      return Promise.resolve({
        stop: () => {
          note("stop");
          return Promise.resolve();
        },
        ...service,
      });
    },
    context,
    onFailure: (error) => note(`failure: ${(error as Error).message}`),
    ...options,
  });
  return { world, events, note, context, run, ended: run.run() };
}

Deno.test("ServiceRun serves on, not ready, for the shutdown delay, and stops then", async () => {
  const { world, events, context, run, ended } = testRun({}, { shutdownDelayMs: 5_000 });
  await world.advance(1_000);
  assert.equal(context.health.ready, true);
  run.requestStop();
  await world.advance(4_999);
  assert.equal(context.health.ready, false);
  assert.equal(run.stopping, false);
  assert.equal(events.length, 0);
  await world.advance(1);
  assert.equal(run.stopping, true);
  assert.equal(await ended, 0);
  assert.deepEqual(events.map(([, ms]) => ms), [6_000, 6_000]);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("ServiceRun stops at once without a shutdown delay, and when it is asked a second time", async () => {
  const undelayed = testRun();
  await undelayed.world.advance(10);
  undelayed.run.requestStop();
  assert.equal(await undelayed.ended, 0);
  assert.equal(undelayed.events.length, 2);

  const { world, events, run, ended } = testRun({}, { shutdownDelayMs: 60_000 });
  await world.advance(10);
  run.requestStop();
  await world.advance(100);
  run.requestStop();
  assert.equal(await ended, 0);
  assert.ok(events.every(([, ms]) => ms === 110), JSON.stringify(events));
  assert.equal(world.pendingTimers, 0);
});

Deno.test("ServiceRun has no shutdown delay for a service that has ended by itself", async () => {
  const work = Promise.withResolvers<number>();
  const { world, run, ended } = testRun({ finished: work.promise }, { shutdownDelayMs: 60_000 });
  await world.advance(10);
  run.requestStop();
  await world.advance(100);
  work.resolve(4);
  assert.equal(await ended, 4);

  const failed = testRun(
    { finished: Promise.reject(new Error("the task died")) },
    { shutdownDelayMs: 60_000 },
  );
  assert.equal(await failed.ended, 1);
  assert.deepEqual(failed.events.map(([event]) => event), [
    "failure: the task died",
    "stopping",
    "stop",
  ]);
});

Deno.test("ServiceRun abandons a start that hangs, after its grace, with 0", async () => {
  let signal: AbortSignal | undefined;
  const { world, context, run, ended } = testRun({}, {
    start: ({ stopping }) => {
      signal = stopping;
      return new Promise(() => {});
    },
    shutdownDelayMs: 60_000,
    startGraceMs: 500,
  });
  await world.advance(10_000);
  assert.equal(signal?.aborted, false);
  run.requestStop();
  await world.advance(499);
  assert.equal(signal?.aborted, true);
  assert.equal(context.lines.length, 0);
  await world.advance(1);
  assert.equal(await ended, 0);
  assert.match(context.lines[0]!, /^WARN The start has not ended/);
});

Deno.test("ServiceRun drains a service that has started though it was asked to stop", async () => {
  const { world, events, note, run, ended } = testRun({}, {
    start: async ({ stopping }) => {
      await aborted(stopping);
      return {
        stop: () => {
          note("stop");
          return Promise.resolve();
        },
      };
    },
    shutdownDelayMs: 60_000,
  });
  await world.advance(10);
  run.requestStop();
  assert.equal(await ended, 0);
  assert.deepEqual(events, [["stop", 10]]);
});

Deno.test("ServiceRun rejects with what a start throws, also at once, and with 0 ends one that was asked to stop", async () => {
  const start = () => {
    throw new Error("no key");
  };
  await assert.rejects(testRun({}, { start }).ended, /no key/);
  const { context, world, run, ended } = testRun({}, {
    start: async ({ stopping }) => {
      await aborted(stopping);
      throw new Error("cut short");
    },
  });
  await world.advance(10);
  run.requestStop();
  assert.equal(await ended, 0);
  assert.deepEqual(context.lines, ['INFO Stopped before it had started reason="cut short"']);
});

Deno.test("ServiceRun ends with 1 when a stop fails, also one that throws at once", async () => {
  for (
    const stop of [
      () => Promise.reject(new Error("disk full")),
      () => {
        throw new Error("disk full");
      },
    ]
  ) {
    const { context, world, run, ended } = testRun({ stop });
    await world.advance(10);
    run.requestStop();
    assert.equal(await ended, 1);
    assert.deepEqual(context.lines, ['ERROR The service failed while stopping reason="disk full"']);
    assert.equal(world.pendingTimers, 0);
  }
});

Deno.test("ServiceRun cuts what drains too long, and leaves what ignores that", async () => {
  let deadlineMs = NaN;
  const { context, world, run, ended } = testRun({
    stop: (deadline) => {
      aborted(deadline).then(() => deadlineMs = world.monotonicMs());
      return new Promise(() => {});
    },
  }, { drainTimeoutMs: 3_000 });
  const startMs = world.monotonicMs();
  run.requestStop();
  await world.advance(4_999);
  assert.equal(deadlineMs - startMs, 3_000);
  assert.match(context.lines[0]!, /^WARN The drain deadline has passed/);
  await world.advance(1);
  assert.equal(await ended, 0);
});

Deno.test("ServiceRun leaves the last word to work that a stop cuts short", async () => {
  const work = Promise.withResolvers<number>();
  const { world, run, ended } = testRun({
    finished: work.promise,
    stop: async () => {
      work.resolve(7);
      await work.promise;
    },
  });
  await world.advance(10);
  run.requestStop();
  assert.equal(await ended, 7);
});
