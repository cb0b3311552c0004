import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../service/test_permissions.ts";
import { testContext } from "./test_context.ts";
import { openTokenStore, StoreBusyError, StoreError, type TokenStore } from "./token_store.ts";

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
    assert.ok(refused.every((one) => one.reason instanceof StoreBusyError));
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
  await assert.rejects(store.add(digest(99)), StoreBusyError);
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
    (error) => error instanceof StoreError && /unable to open/.test(error.message),
  );
  await Deno.remove(folder, { recursive: true });
});
