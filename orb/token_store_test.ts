import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../service/testing/permissions.ts";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { VirtualWorld } from "../service/world/virtual_world.ts";
import { StoreError } from "./store_error.ts";
import { openTokenStore, type TokenStore } from "./token_store.ts";
import type { TokenCommand, TokenReply, TokenWorker } from "./token_worker.ts";

function digest(byte: number): string {
  return new Uint8Array(32).fill(byte).toHex();
}

function storeTest(
  name: string,
  limits: { maxQueued?: number; maxBatch?: number },
  run: (store: TokenStore, folder: string) => Promise<void>,
): void {
  testWith(["read", "write"], name, async () => {
    const folder = await Deno.makeTempDir();
    const { tracer, meter } = testContext().telemetry;
    const store = await openTokenStore({
      path: join(folder, "tokens.sqlite"),
      tracer,
      meter,
      onState: () => {},
      ...limits,
    });
    try {
      await run(store, folder);
    } finally {
      await store.close();
      await Deno.remove(folder, { recursive: true });
    }
  });
}

storeTest("add() tells one of many at the same time that it is new", {}, async (store) => {
  const results = await Promise.all(
    Array.from({ length: 60 }, (_, index) => store.add(digest(index % 3))),
  );
  assert.equal(results.filter((result) => result === "new").length, 3);
  assert.equal(results.filter((result) => result === "duplicate").length, 57);
  assert.equal(store.count, 3);
});

storeTest(
  "add() refuses when too many wait, and takes again afterwards",
  { maxQueued: 4, maxBatch: 2 },
  async (store) => {
    const settled = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) => store.add(digest(index))),
    );
    const refused = settled.filter((one) => one.status === "rejected");
    assert.equal(refused.length, 6);
    assert.ok(
      refused.every((one) => one.reason instanceof StoreError && one.reason.kind === "busy"),
    );
    assert.equal(store.count, 4);
    assert.equal(await store.add(digest(9)), "new");
  },
);

storeTest("reset() takes its turn among signups", {}, async (store) => {
  await store.add(digest(1));
  const reset = store.reset();
  const after = reset.then(() => store.add(digest(1)));
  await reset;
  assert.equal(await after, "new");
  assert.equal(await store.add(digest(1)), "duplicate");
});

storeTest("close() waits for what is queued", {}, async (store, folder) => {
  const adding = Array.from({ length: 20 }, (_, index) => store.add(digest(index)));
  const { tracer, meter } = testContext().telemetry;
  await store.close();
  assert.deepEqual(new Set(await Promise.all(adding)), new Set(["new"]));
  await assert.rejects(store.add(digest(99)), { name: "StoreError", kind: "closing" });
  const again = await openTokenStore({
    path: join(folder, "tokens.sqlite"),
    tracer,
    meter,
    onState: () => {},
  });
  assert.equal(again.count, 20);
  await again.close();
});

testWith(["read", "write"], "openTokenStore() says why it cannot open the file", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "tokens.sqlite");
  await Deno.mkdir(path);
  const { tracer, meter } = testContext().telemetry;
  await assert.rejects(
    openTokenStore({ path, tracer, meter, onState: () => {} }),
    (error) =>
      error instanceof StoreError && error.kind === "disk" &&
      /unable to open/.test(error.message),
  );
  await Deno.remove(folder, { recursive: true });
});

/** A worker whose answers the test decides; `undefined` is its death. */
function fakeWorker(answer: (command: TokenCommand) => TokenReply | undefined): TokenWorker {
  return {
    ask(command) {
      const reply = answer(command);
      return reply ? Promise.resolve(reply) : Promise.reject(new Error("it died"));
    },
    end: () => {},
  };
}

Deno.test("a worker that dies leaves nobody waiting and acknowledges nothing", async () => {
  const { tracer, meter } = testContext().telemetry;
  const store = await openTokenStore({
    path: "unused",
    tracer,
    meter,
    onState: () => {},
    maxBatch: 2,
    startWorker: () =>
      fakeWorker(({ type }) => type === "open" ? { count: 0, results: [] } : undefined),
  });
  const adding = [1, 2, 3].map((byte) => store.add(digest(byte)));
  // It waits behind the transaction that finds the worker dead.
  const resetting = assert.rejects(store.reset(), { name: "StoreError", kind: "worker" });
  assert.deepEqual(await Promise.all(adding), ["failed", "failed", "failed"]);
  await resetting;
  await assert.rejects(store.died, /it died/);
  assert.equal(await store.add(digest(4)), "failed");
  await assert.rejects(store.reset(), { name: "StoreError", kind: "worker" });
  await store.close();
});

Deno.test("a disk that fails is notified once, probed, and notified once when it is mended", async () => {
  const { tracer, meter } = testContext().telemetry;
  const world = new VirtualWorld();
  const states: string[] = [];
  let isFull = true;
  let probes = 0;
  const store = await openTokenStore({
    path: "unused",
    tracer,
    meter,
    world,
    onState: (state) => states.push(state === "ok" ? "ok" : state.message),
    startWorker: () =>
      fakeWorker(({ type }) => {
        if (type === "probe" && ++probes === 3) isFull = false;
        const error = { message: "disk full", code: 13 };
        const refuses = isFull && (type === "insert" || type === "probe");
        return {
          count: 0,
          results: type === "insert" ? [isFull ? "failed" : "new"] : [],
          ...(refuses && { error }),
        };
      }),
  });
  assert.equal(await store.add(digest(1)), "failed");
  assert.equal(await store.add(digest(2)), "failed");
  for (let second = 1; second <= 3; second++) {
    assert.equal(probes, second - 1);
    await world.advance(1_000);
    // What the probe asks lies behind an event of the real loop.
    await eventually("a probe", () => probes === second || undefined);
  }
  await eventually("the end of the failure", () => states.length === 2 || undefined);
  assert.equal(await store.add(digest(1)), "new");
  assert.deepEqual(states, ["disk full", "ok"]);
  await world.advance(60_000);
  assert.equal(probes, 3);
  assert.equal(world.pendingTimers, 0);
  await store.close();
});

Deno.test("a store that is closed probes no more", async () => {
  const { tracer, meter } = testContext().telemetry;
  const world = new VirtualWorld();
  const error = { message: "disk full", code: 13 };
  const store = await openTokenStore({
    path: "unused",
    tracer,
    meter,
    world,
    onState: () => {},
    startWorker: () =>
      fakeWorker(({ type }) =>
        type === "insert" ? { count: 0, results: ["failed"], error } : { count: 0, results: [] }
      ),
  });
  assert.equal(await store.add(digest(1)), "failed");
  assert.equal(world.pendingTimers, 1);
  await store.close();
  assert.equal(world.pendingTimers, 0);
});

Deno.test("openTokenStore() refuses options that are out of range", async () => {
  const { tracer, meter } = testContext().telemetry;
  const open = (limits: object) =>
    openTokenStore({ path: "unused", tracer, meter, onState: () => {}, ...limits });
  await assert.rejects(open({ maxQueued: 0 }), {
    name: "RangeError",
    message:
      "Cannot open a token store as 'maxQueued' must be a positive integer: current value is 0",
  });
  await assert.rejects(open({ maxBatch: 1_025 }), /of at most 1024: current value is 1025/);
});
