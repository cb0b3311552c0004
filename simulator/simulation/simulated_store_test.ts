import { type Store, type StoreError, transact, type Transaction } from "../topology/ports.ts";
import assert from "node:assert/strict";
import { EventLoop, newProcess, type Process } from "./event_loop.ts";
import { SimulatedStore, type StoreProfile } from "./simulated_store.ts";
import { storeSuite, type StoreUnderTest } from "./store_suite.ts";

const schema = { jobs: { unique: [["name"]], index: "queue" } };

function open(profile: StoreProfile): StoreUnderTest {
  const loop = new EventLoop();
  const store = new SimulatedStore(loop, { name: "store", profile, schema });
  const processes = new Map<Store, Process>();
  return {
    connect() {
      const process = newProcess(`process-${processes.size}`);
      const connection = store.connect(process);
      processes.set(connection, process);
      return connection;
    },
    crash: (connection) => void store.abandon(processes.get(connection)!),
    begin: (work) => loop.spawn(newProcess("test"), work),
    settle: () => loop.runUntil(loop.nowMs + 60_000),
  };
}

for (const profile of ["one-writer", "mvcc"] as const) {
  storeSuite({ name: profile, open: () => open(profile), isConcurrent: profile === "mvcc" });
}

for (const doom of ["before-commit", "after-commit"] as const) {
  Deno.test(`a process that is to crash ${doom} does, and the commit is as it should be`, () => {
    const loop = new EventLoop();
    const process = newProcess("victim");
    const crashed: Process[] = [];
    const store: SimulatedStore = new SimulatedStore(loop, {
      name: "store",
      profile: "mvcc",
      schema,
      crash: (victim) => {
        crashed.push(victim);
        victim.isLive = false;
        store.abandon(victim);
      },
    });
    let isPast = false;
    loop.spawn(
      process,
      (function* () {
        const tx: Transaction = yield* store.connect(process).begin();
        yield* tx.insert("jobs", { name: "a", queue: "open" });
        process.doom = doom;
        yield* tx.commit();
        isPast = true;
      })(),
    );
    loop.runUntil(1_000);
    assert.deepEqual(crashed, [process]);
    assert.equal(isPast, false);
    assert.equal(store.all("jobs").length, doom === "before-commit" ? 0 : 1);
  });
}

for (const profile of ["one-writer", "mvcc"] as const) {
  for (const isCommitted of [false, true]) {
    Deno.test(`${profile}: a store that crashes tells nobody whether a commit was done (${isCommitted})`, () => {
      const loop = new EventLoop();
      const store = new SimulatedStore(loop, {
        name: "store",
        profile,
        schema,
        commitMs: () => 10,
      });
      const results: string[] = [];
      const work = (name: string, delayMs: number) =>
        (function* () {
          yield* loop.sleep(delayMs);
          try {
            yield* transact(store.connect(newProcess(name)), function* (tx) {
              yield* tx.insert("jobs", { name, queue: "open" });
            });
            results.push(`${name} done`);
          } catch (error) {
            results.push(`${name} ${(error as StoreError).kind}`);
          }
        })();
      // One commits when it crashes, one comes while it is down, one afterwards.
      for (const [name, delayMs] of [["a", 0], ["b", 50], ["c", 200]] as const) {
        loop.spawn(newProcess(name), work(name, delayMs));
      }
      loop.after(5, () => store.crash(100, () => isCommitted));
      loop.runUntil(1_000);
      assert.deepEqual(results, ["a unavailable", "b unavailable", "c done"]);
      assert.deepEqual(
        store.all("jobs").map(({ name }) => name),
        isCommitted ? ["a", "c"] : ["c"],
      );
    });
  }
}

Deno.test("a store that is full can be read and emptied, and takes nothing in", () => {
  const loop = new EventLoop();
  const store = new SimulatedStore(loop, { name: "store", profile: "mvcc", schema });
  const connection = store.connect(newProcess("test"));
  const kinds: string[] = [];
  const insert = (name: string) =>
    transact(connection, function* (tx) {
      yield* tx.insert("jobs", { name, queue: "open" });
    });
  loop.spawn(
    newProcess("test"),
    (function* () {
      yield* insert("a");
      store.fill(100);
      try {
        yield* insert("b");
      } catch (error) {
        kinds.push((error as StoreError).kind);
      }
      const { rows: [row] } = yield* connection.read("jobs", { queue: "open" });
      yield* transact(connection, (tx) => tx.delete("jobs", row!.id));
      yield* loop.sleep(100);
      yield* insert("c");
    })(),
  );
  loop.runUntil(1_000);
  assert.deepEqual(kinds, ["unavailable"]);
  assert.deepEqual(store.all("jobs").map(({ name }) => name), ["c"]);
});

Deno.test("mvcc: who waits for a row gets it in the order of arrival, and is woken once", () => {
  const loop = new EventLoop();
  let waits = 0;
  const store = new SimulatedStore(loop, {
    ...{ name: "store", profile: "mvcc", schema },
    onContention: () => void waits++,
  });
  store.load("jobs", { queue: "open", name: "a", by: 0 });
  const order: number[] = [];
  for (let index = 0; index < 10; index++) {
    const process = newProcess(`p-${index}`);
    loop.spawn(
      process,
      transact(store.connect(process), function* (tx) {
        const [row] = yield* tx.select("jobs", { queue: "open" }, { lock: "wait" });
        order.push(index);
        yield* tx.update("jobs", row!.id, { by: row!["by"] as number + 1 });
      }),
    );
  }
  loop.runUntil(1_000);
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(store.all("jobs")[0]!["by"], 10);
  assert.equal(waits, 9);
});
