import assert from "node:assert/strict";
import { pause } from "../../service/resilience.ts";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { RecordCommand } from "../stores/record_commands.ts";
import { SqliteRecords } from "../stores/sqlite/sqlite_records.ts";
import type { QueuedListener, RecordStore } from "../stores/record_store.ts";
import { openUniqueness } from "../uniqueness/uniqueness.ts";
import type { SignupRecord } from "./signup_record.ts";
import { SignupWorkers, type SignupWorkersOptions } from "./signup_workers.ts";

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
    uniqueness: openUniqueness(),
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

/** Records in memory, each of whose transactions takes a while, and workers that share them. */
function slowRecords(world: VirtualWorld, transactionMs: number) {
  const records = new SqliteRecords({ path: ":memory:", nowMs: () => world.nowMs() });
  const context = testContext({ world });
  const apply = (command: RecordCommand) => records.apply(new Uint8Array(), [command]).replies[0];
  return {
    submit(count: number): void {
      for (let index = 0; index < count; index++) {
        const id = `${index}`.padStart(26, "0");
        const sha256 = `${index}`.padStart(64, "0");
        const image = { sha256, imageBytes: 1, mediaType: "application/octet-stream" } as const;
        apply({ type: "submit", signup: { id, ...image, token: "1" }, maxQueued: count });
      }
    },
    byState: () => (apply({ type: "statistics" }) as { byState: Record<string, number> }).byState,
    list: () => apply({ type: "list", limit: 1_000 }) as SignupRecord[],
    work: (options: Pick<SignupWorkersOptions, "images" | "concurrency">) =>
      new SignupWorkers({
        store: {
          run: (async (command: RecordCommand) => {
            await pause(transactionMs, { world });
            return apply(command);
          }) as RecordStore["run"],
          onQueued: () => () => {},
        },
        uniqueness: openUniqueness(),
        ...{ log: context.log, world, name: "worker", ...options },
        ...{ tracer: context.telemetry.tracer, meter: context.telemetry.meter },
      }),
    [Symbol.dispose]: () => records.close(),
  };
}

Deno.test("workers claim ahead where transactions take longer than images", async () => {
  const world = new VirtualWorld();
  using records = slowRecords(world, 100);
  records.submit(400);
  const workers = records.work({
    images: { get: () => Promise.resolve(Uint8Array.of(1)) },
    concurrency: 4,
  });
  workers.start();
  // Four in every two transactions would be 40 by then.
  await world.advance(2_000);
  const { accepted = 0, duplicate = 0 } = records.byState();
  assert.ok(accepted + duplicate > 150, `${accepted + duplicate} are decided`);
  await world.runUntil(workers.stop(AbortSignal.abort()));
});

Deno.test("workers that stop give back what they have claimed and not begun, as if it never were", async () => {
  const world = new VirtualWorld();
  using records = slowRecords(world, 100);
  records.submit(200);
  const isHeld = Promise.withResolvers<void>();
  let images = 0;
  const workers = records.work({
    images: {
      async get() {
        if (++images > 30) await isHeld.promise;
        return Uint8Array.of(1);
      },
    },
    concurrency: 4,
  });
  workers.start();
  await world.advance(2_000);
  const before = records.byState();
  assert.ok(before.processing! > 4, `${before.processing} are claimed, of which four are begun`);
  const stopped = workers.stop(new AbortController().signal);
  await world.advance(1_000);
  assert.equal(records.byState().processing, 4);
  isHeld.resolve();
  await world.runUntil(stopped);
  const { processing, queued } = records.byState();
  assert.equal(processing, 0);
  assert.ok(queued! > 100);
  const left = records.list().filter(({ state }) => state === "queued");
  assert.ok(left.every(({ attempts }) => attempts === 0));
});
