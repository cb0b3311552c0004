import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { missingPermissions } from "../../service/testing/permissions.ts";
import { realWorld } from "../../service/world/world.ts";
import { storeSuite } from "../simulation/store_suite.ts";
import { type Store, transact } from "../topology/ports.ts";
import { backendSchema } from "../topology/settings.ts";
import { toPromise } from "../topology/step.ts";
import { newLiveProcess } from "./live_process.ts";
import type { LiveStore } from "./live_store.ts";
import { usualSettings } from "./live_settings.ts";
import { countQuery } from "./row_counts.ts";
import { openSqliteStore } from "./sqlite_store.ts";
import { jobsSchema, liveStoreUnderTest } from "./test_live_store.ts";

const missing = missingPermissions([{ name: "read" }, { name: "write" }]);

async function withFile(work: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sqlite-store-" });
  try {
    await work(join(folder, "store.sqlite"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function open(path: string): LiveStore {
  return openSqliteStore({ path, schema: jobsSchema, busyMs: 1_000, world: realWorld });
}

if (missing.length === 0) {
  storeSuite({
    name: "sqlite",
    isConcurrent: false,
    open: async () => {
      const folder = await Deno.makeTempDir({ prefix: "sqlite-store-" });
      return liveStoreUnderTest(
        open(join(folder, "store.sqlite")),
        () => Deno.remove(folder, { recursive: true }),
      );
    },
  });
}

function test(name: string, run: () => Promise<void>): void {
  const ignore = missing.length > 0;
  Deno.test({
    name: ignore ? `${name} (ignored: needs --allow-${missing.join(" --allow-")})` : name,
    ignore,
    fn: run,
  });
}

const insert = (store: Store, name: string) =>
  toPromise(transact(store, (tx) => tx.insert("jobs", { name, queue: "open" })));

test("sqlite: what two programs write to one file is all there, one after the other", async () => {
  await withFile(async (path) => {
    const [one, other] = [open(path), open(path)];
    const stores = [one.connect(newLiveProcess("one")), other.connect(newLiveProcess("other"))];
    const names = Array.from({ length: 100 }, (_, index) => `job-${index}`);
    await Promise.all(names.map((name, index) => insert(stores[index % 2]!, name)));
    const { rows } = await toPromise(stores[0]!.read("jobs", { queue: "open" }));
    assert.deepEqual(rows.map((row) => row["name"]).sort(), names.sort());
    await Promise.all([one.close(), other.close()]);
  });
});

test("sqlite: one that is refused costs only itself of those that share a commit", async () => {
  await withFile(async (path) => {
    const store = open(path);
    const connection = store.connect(newLiveProcess("test"));
    const results = await Promise.allSettled(
      ["a", "b", "a", "c"].map((name) => insert(connection, name)),
    );
    assert.deepEqual(results.map(({ status }) => status), [
      ...["fulfilled", "fulfilled", "rejected", "fulfilled"],
    ]);
    await store.close();
    const again = open(path);
    const { rows } = await toPromise(
      again.connect(newLiveProcess("test")).read("jobs", { queue: "open" }),
    );
    assert.deepEqual(rows.map((row) => row["name"]), ["a", "b", "c"]);
    await again.close();
  });
});

test("sqlite: who waits for its turn for too long is told that others write", async () => {
  await withFile(async (path) => {
    const [one, other] = [open(path), open(path)];
    const holder = await toPromise(one.connect(newLiveProcess("holder")).begin());
    await assert.rejects(insert(other.connect(newLiveProcess("late")), "late"), {
      name: "StoreError",
      kind: "busy",
    });
    await toPromise(holder.rollback());
    await insert(other.connect(newLiveProcess("late")), "late");
    await Promise.all([one.close(), other.close()]);
  });
});

test("sqlite: orders and effects are counted, each row once, whoever has written it", async () => {
  await withFile(async (path) => {
    const schema = backendSchema({ ...usualSettings, pattern: "outbox" });
    const stores = [1, 2].map(() => openSqliteStore({ path, schema, world: realWorld }));
    const [one, other] = stores.map((store) => store.connect(newLiveProcess("test")));
    const add = (store: Store, messageId: string, consumer: string) =>
      toPromise(transact(store, function* (tx) {
        yield* tx.insert("effects", { messageId, key: "k1", sequence: 1, trace: "", consumer });
        if (consumer === "stock") yield* tx.insert("orders", { orderId: messageId });
      }));
    const counts = async () => {
      const [first, second] = await Promise.all(stores.map((store) => store.status()));
      const { orders, effects } = first!;
      assert.deepEqual(second!.orders, orders);
      assert.deepEqual({ ...second!.effects }, { ...effects });
      return { orders, ...effects };
    };
    assert.deepEqual(await counts(), { orders: 0 });
    await add(one!, "o1", "billing");
    await add(other!, "o1", "stock");
    assert.deepEqual(await counts(), { orders: 1, billing: 1, stock: 1 });
    const undone = await toPromise(one!.begin());
    await toPromise(undone.insert("orders", { orderId: "o2" }));
    assert.deepEqual(await counts(), { orders: 1, billing: 1, stock: 1 });
    await toPromise(undone.rollback());
    await add(one!, "o2", "stock");
    assert.deepEqual(await counts(), { orders: 2, billing: 1, stock: 2 });
    await Promise.all(stores.map((store) => store.close()));
    const database = new DatabaseSync(path);
    const query = countQuery({ table: "effects", by: "consumer" }, (index) => `?${index}`);
    const plan = database.prepare(`EXPLAIN QUERY PLAN ${query}`).all(1, 9)
      .map(({ detail }) => detail).join("; ");
    database.close();
    assert.match(plan, /^SEARCH effects USING INTEGER PRIMARY KEY \(rowid>\?/);
  });
});

for (const doom of ["before-commit", "after-commit"] as const) {
  test(`sqlite: a process that is to crash ${doom} does, and the commit is as it should be`, async () => {
    await withFile(async (path) => {
      const process = newLiveProcess("victim");
      const crashed = Promise.withResolvers<void>();
      const store: LiveStore = openSqliteStore({
        path,
        schema: jobsSchema,
        world: realWorld,
        crash: (victim) => {
          victim.isLive = false;
          store.abandon(victim);
          crashed.resolve();
        },
      });
      process.doom = doom;
      insert(store.connect(process), "a").then(() => assert.fail("It goes on"));
      await crashed.promise;
      const { rows } = await toPromise(
        store.connect(newLiveProcess("test")).read("jobs", { queue: "open" }),
      );
      assert.equal(rows.length, doom === "before-commit" ? 0 : 1);
      await store.close();
    });
  });
}
