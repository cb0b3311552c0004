import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { realWorld } from "../../service/world/world.ts";
import { startPostgresql } from "../../stack/postgresql.ts";
import { sharedComponent } from "../../stack/test_with_stack.ts";
import { storeSuite } from "../simulation/store_suite.ts";
import { transact } from "../topology/ports.ts";
import { backendSchema } from "../topology/settings.ts";
import { toPromise } from "../topology/step.ts";
import { newLiveProcess } from "./live_process.ts";
import { usualSettings } from "./live_settings.ts";
import type { LiveStore } from "./live_store.ts";
import { openPostgresStore } from "./postgres_store.ts";
import { jobsSchema, liveStoreUnderTest } from "./test_live_store.ts";

/** Each test has a schema of its own. */
const server = sharedComponent(startPostgresql);
let namespaces = 0;

async function open(url?: string): Promise<LiveStore> {
  return await openPostgresStore({
    url: url ?? (await server.get()).databaseUrl,
    namespace: `suite_${++namespaces}`,
    schema: jobsSchema,
    busyMs: 2_000,
    world: realWorld,
  });
}

storeSuite({
  name: "postgresql",
  isConcurrent: true,
  test: server.test,
  open: async () => liveStoreUnderTest(await open()),
});

/**
 * Kills the server with the processes of its sessions: these notice by themselves that it is gone, but not at once,
 * and until then they commit.
 */
async function killServer(pid: number): Promise<void> {
  // Deno lets only --allow-all read below /proc.
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/task/${pid}/children`] })
    .output();
  // None is no number: 0 would be the tests' own group.
  const children = new TextDecoder().decode(stdout).match(/\d+/g) ?? [];
  for (const one of [pid, ...children.map(Number)]) {
    try {
      Deno.kill(one, "SIGKILL");
    } catch (error) {
      // It has noticed.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

server.test(
  "postgresql: a server that is killed is unavailable, and what was committed is there again",
  async () => {
    const runFolder = await Deno.makeTempDir({ prefix: "postgresql-test-" });
    try {
      let own = await startPostgresql({ runFolder });
      const { port } = new URL(own.databaseUrl);
      const store = await open(own.databaseUrl);
      const connection = store.connect(newLiveProcess("test"));
      const insert = (name: string) =>
        toPromise(transact(connection, (tx) => tx.insert("jobs", { name, queue: "open" })));
      await insert("before");
      const tx = await toPromise(connection.begin());
      await toPromise(tx.insert("jobs", { name: "half", queue: "open" }));
      await killServer(own.pid);
      await own.exited;
      const unavailable = { name: "StoreError", kind: "unavailable" };
      await assert.rejects(toPromise(tx.commit()), unavailable);
      await assert.rejects(insert("meanwhile"), unavailable);
      await own.stop();
      own = await startPostgresql({ runFolder, port: Number(port) });
      await eventually("the store", async () => {
        try {
          return await insert("after");
        } catch (error) {
          if ((error as { kind?: string }).kind !== "unavailable") throw error;
          return undefined;
        }
      });
      const { rows } = await toPromise(connection.read("jobs", { queue: "open" }));
      assert.deepEqual(rows.map(({ name }) => name), ["before", "after"]);
      await store.close();
      await own.stop();
    } finally {
      await Deno.remove(runFolder, { recursive: true });
    }
  },
);

server.test(
  "postgresql: a row that is seen after one with a higher id is counted",
  async () => {
    const store = await openPostgresStore({
      ...{ url: (await server.get()).databaseUrl, namespace: `suite_${++namespaces}` },
      ...{ schema: backendSchema({ ...usualSettings, pattern: "outbox" }), world: realWorld },
    });
    const connection = store.connect(newLiveProcess("test"));
    const counts = async () => {
      const [first, second] = await Promise.all([store.status(), store.status()]);
      assert.deepEqual(first.effects, second.effects);
      return { orders: first.orders, ...first.effects };
    };
    const begin = async (messageId: string, consumer: string) => {
      const tx = await toPromise(connection.begin());
      const row = { messageId, key: "k1", sequence: 1, trace: "", consumer };
      await toPromise(tx.insert("orders", { orderId: messageId }));
      await toPromise(tx.insert("effects", row));
      return tx;
    };
    const slow = await begin("o1", "billing");
    const undone = await begin("o2", "billing");
    await toPromise((await begin("o3", "stock")).commit());
    for (let round = 0; round < 4; round++) {
      assert.deepEqual(await counts(), { orders: 1, stock: 1 });
    }
    await toPromise(undone.rollback());
    await toPromise(slow.commit());
    for (let round = 0; round < 4; round++) {
      assert.deepEqual(await counts(), { orders: 2, stock: 1, billing: 1 });
    }
    await toPromise((await begin("o4", "stock")).commit());
    assert.deepEqual(await counts(), { orders: 3, stock: 2, billing: 1 });
    await store.close();
  },
);

server.test(
  "postgresql: the store's clock is the server's, and answers where nothing is found",
  async () => {
    const store = await open();
    const connection = store.connect(newLiveProcess("test"));
    const { rows, nowMs } = await toPromise(connection.read("jobs", { queue: "none" }));
    assert.deepEqual(rows, []);
    assert.ok(Math.abs(nowMs - realWorld.nowMs()) < 60_000);
    await store.close();
  },
);
