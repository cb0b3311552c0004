import assert from "node:assert/strict";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { RecordCommand } from "../stores/record_commands.ts";
import type { QueuedListener, RecordStore } from "../stores/record_store.ts";
import { SignupWorkers } from "./signup_workers.ts";
import { exactUniqueness } from "./uniqueness.ts";

Deno.test("workers ask at once for what is queued here, and a moment later, once, for what others queue", async () => {
  const world = new VirtualWorld();
  const context = testContext({ world });
  const claimedAtMs: number[] = [];
  let notify: QueuedListener = () => {};
  let listeners = 0;
  const startMs = world.monotonicMs();
  const workers = new SignupWorkers({
    store: {
      run: ((command: RecordCommand) => {
        assert.equal(command.type, "claim");
        claimedAtMs.push(world.monotonicMs() - startMs);
        return Promise.resolve([]);
      }) as RecordStore["run"],
      onQueued(listener) {
        notify = listener;
        listeners++;
        return () => listeners--;
      },
    },
    images: { get: () => Promise.reject(new Error("there is nothing to work on")) },
    uniqueness: exactUniqueness,
    ...{ log: context.log, world, name: "worker" },
    ...{ tracer: context.telemetry.tracer, meter: context.telemetry.meter },
    pollIntervalMs: 10_000,
  });
  workers.start();
  await world.advance(100);
  assert.deepEqual(claimedAtMs, [0]);
  for (let count = 0; count < 10; count++) notify("elsewhere");
  await world.advance(10);
  assert.deepEqual(claimedAtMs, [0]);
  notify("here");
  await world.advance(1);
  assert.deepEqual(claimedAtMs, [0, 110]);
  await world.advance(100);
  assert.deepEqual(claimedAtMs, [0, 110, 125]);
  notify("elsewhere");
  await world.runUntil(workers.stop(AbortSignal.abort()));
  assert.equal(listeners, 0);
  await world.advance(1_000);
  assert.equal(claimedAtMs.length, 3);
});
