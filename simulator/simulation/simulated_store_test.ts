import { type Store, type Transaction } from "../topology/ports.ts";
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
