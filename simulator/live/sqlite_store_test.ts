import assert from "node:assert/strict";
import { join } from "node:path";
import { missingPermissions } from "../../service/testing/permissions.ts";
import { realWorld } from "../../service/world/world.ts";
import { storeSuite } from "../simulation/store_suite.ts";
import { type Store, transact } from "../topology/ports.ts";
import { toPromise } from "../topology/step.ts";
import { newLiveProcess } from "./live_process.ts";
import type { LiveStore } from "./live_store.ts";
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
