import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import { testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { StoreError } from "./store_error.ts";
import { createRecordStore, type RecordStore, type RecordStoreOptions } from "./record_store.ts";
import { openSqliteBackend } from "./sqlite/sqlite_backend.ts";
import type { RecordWorker, WorkerAnswer, WorkerQuestion } from "./sqlite/record_worker.ts";

function digest(byte: number): string {
  return new Uint8Array(32).fill(byte).toHex();
}

function add(store: RecordStore, sha256: string) {
  return store.run({ type: "addToken", sha256 });
}

async function count(store: RecordStore): Promise<number> {
  return (await store.run({ type: "statistics" })).tokens;
}

async function openStore(
  path: string,
  options: Partial<RecordStoreOptions> = {},
  startWorker?: () => RecordWorker,
): Promise<RecordStore> {
  const { tracer, meter } = testContext().telemetry;
  const backend = await openSqliteBackend({ path, ...(startWorker && { startWorker }) });
  return createRecordStore(backend, { tracer, meter, onState: () => {}, ...options });
}

function storeTest(
  name: string,
  limits: { maxQueued?: number; maxBatch?: number },
  run: (store: RecordStore, folder: string) => Promise<void>,
): void {
  testWith(["read", "write"], name, async () => {
    const folder = await Deno.makeTempDir();
    const store = await openStore(join(folder, "tokens.sqlite"), limits);
    try {
      await run(store, folder);
    } finally {
      await store.close();
      await Deno.remove(folder, { recursive: true });
    }
  });
}

storeTest("run() tells one of many at the same time that it is new", {}, async (store) => {
  const results = await Promise.all(
    Array.from({ length: 60 }, (_, index) => add(store, digest(index % 3))),
  );
  assert.equal(results.filter((result) => result === "new").length, 3);
  assert.equal(results.filter((result) => result === "duplicate").length, 57);
  assert.equal(await count(store), 3);
});

storeTest(
  "run() refuses when too many wait, and takes again afterwards",
  { maxQueued: 4, maxBatch: 2 },
  async (store) => {
    const settled = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) => add(store, digest(index))),
    );
    const refused = settled.filter((one) => one.status === "rejected");
    assert.equal(refused.length, 6);
    assert.ok(
      refused.every((one) => one.reason instanceof StoreError && one.reason.kind === "busy"),
    );
    assert.equal(await count(store), 4);
    assert.equal(await add(store, digest(9)), "new");
  },
);

storeTest("reset() takes its turn among signups", {}, async (store) => {
  await add(store, digest(1));
  const reset = store.run({ type: "reset" });
  const after = reset.then(() => add(store, digest(1)));
  await reset;
  assert.equal(await after, "new");
  assert.equal(await add(store, digest(1)), "duplicate");
});

storeTest("close() waits for what is queued", {}, async (store, folder) => {
  const adding = Array.from({ length: 20 }, (_, index) => add(store, digest(index)));
  await store.close();
  assert.deepEqual(new Set(await Promise.all(adding)), new Set(["new"]));
  await assert.rejects(add(store, digest(99)), { name: "StoreError", kind: "closing" });
  const again = await openStore(join(folder, "tokens.sqlite"));
  assert.equal(await count(again), 20);
  await again.close();
});

testWith(["read", "write"], "openSqliteBackend() says why it cannot open the file", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "tokens.sqlite");
  await Deno.mkdir(path);
  await assert.rejects(
    openStore(path),
    (error) =>
      error instanceof StoreError && error.kind === "disk" &&
      /unable to open/.test(error.message),
  );
  await Deno.remove(folder, { recursive: true });
});

/** A worker whose answers the test decides; `undefined` is its death. */
function fakeWorker(answer: (question: WorkerQuestion) => Partial<WorkerAnswer> | undefined) {
  return (): RecordWorker => ({
    ask(question) {
      const some = answer(question);
      return some
        ? Promise.resolve({ isNew: [], replies: "", ...some })
        : Promise.reject(new Error("it died"));
    },
    end: () => {},
  });
}

/** Tokens asked about, as those that cannot be stored are: none is known. */
function knowsNone({ commands }: { commands: string }): Partial<WorkerAnswer> {
  return { replies: JSON.stringify(JSON.parse(commands).map(() => false)) };
}

Deno.test("a worker that dies leaves nobody waiting and acknowledges nothing", async () => {
  const worker = fakeWorker(({ type }) => type === "open" ? {} : undefined);
  const store = await openStore("unused", { maxBatch: 2 }, worker);
  const adding = [1, 2, 3].map((byte) => add(store, digest(byte)));
  // It waits behind the transaction that finds the worker dead.
  const resetting = assert.rejects(store.run({ type: "reset" }), {
    name: "StoreError",
    kind: "worker",
  });
  assert.deepEqual(await Promise.all(adding), ["failed", "failed", "failed"]);
  await resetting;
  await assert.rejects(store.died, /it died/);
  assert.equal(await add(store, digest(4)), "failed");
  await assert.rejects(store.run({ type: "reset" }), { name: "StoreError", kind: "worker" });
  await store.close();
});

Deno.test("a disk that fails is notified once, probed, and notified once when it is mended", async () => {
  const world = new VirtualWorld();
  const states: string[] = [];
  let isFull = true;
  let probes = 0;
  const worker = fakeWorker((question) => {
    if (question.type === "probe" && ++probes === 3) isFull = false;
    if (question.type === "apply" && question.commands !== "") return knowsNone(question);
    const refuses = isFull && (question.type === "apply" || question.type === "probe");
    return refuses
      ? { error: { message: "disk full", code: 13 } }
      : { isNew: question.type === "apply" ? [true] : [] };
  });
  const store = await openStore("unused", {
    world,
    onState: (state) => states.push(state === "ok" ? "ok" : state.message),
  }, worker);
  assert.equal(await add(store, digest(1)), "failed");
  assert.equal(await add(store, digest(2)), "failed");
  for (let second = 1; second <= 3; second++) {
    assert.equal(probes, second - 1);
    await world.advance(1_000);
    // What the probe asks lies behind an event of the real loop.
    await eventually("a probe", () => probes === second || undefined);
  }
  await eventually("the end of the failure", () => states.length === 2 || undefined);
  assert.equal(await add(store, digest(1)), "new");
  assert.deepEqual(states, ["disk full", "ok"]);
  await world.advance(60_000);
  assert.equal(probes, 3);
  assert.equal(world.pendingTimers, 0);
  await store.close();
});

Deno.test("a store that is closed probes no more", async () => {
  const world = new VirtualWorld();
  const worker = fakeWorker((question) => {
    if (question.type !== "apply") return {};
    return question.commands === ""
      ? { error: { message: "disk full", code: 13 } }
      : knowsNone(question);
  });
  const store = await openStore("unused", { world }, worker);
  assert.equal(await add(store, digest(1)), "failed");
  assert.equal(world.pendingTimers, 1);
  await store.close();
  assert.equal(world.pendingTimers, 0);
});

Deno.test("createRecordStore() refuses options that are out of range", async () => {
  const open = (limits: object) => openStore("unused", limits, fakeWorker(() => ({})));
  await assert.rejects(open({ maxQueued: 0 }), {
    name: "RangeError",
    message:
      "Cannot open a record store as 'maxQueued' must be a positive integer: current value is 0",
  });
  await assert.rejects(open({ maxBatch: 1_025 }), /of at most 1024: current value is 1025/);
});
