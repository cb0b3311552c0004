/**
 * What every store behind {@linkcode Store} promises, simulated or real, as tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Row, type Store, StoreError, transact, type Transaction } from "../topology/ports.ts";
import type { Step } from "../topology/step.ts";

/** What the suite needs of the store under test. */
export interface StoreUnderTest {
  /** Connects a process of its own. */
  connect(): Store;
  /** Crashes the process of that connection. */
  crash(store: Store): void;
  /** Begins work in a process of its own; it may go on after the call. */
  begin(work: Step<unknown>): void;
  /** Goes on until nothing is left to do; throws what work has thrown. */
  settle(): void | Promise<void>;
  /** Lets go of everything. @default there is nothing to let go of */
  close?(): Promise<void>;
}

/** Options of {@linkcode storeSuite}. */
export interface StoreSuiteOptions {
  readonly name: string;
  /** Opens a store with the tables `jobs` (unique `name`, index `queue`) and nothing in it. */
  readonly open: () => StoreUnderTest | Promise<StoreUnderTest>;
  /** Transactions run beside each other. */
  readonly isConcurrent: boolean;
  /** Declares a test. @default Deno.test */
  readonly test?: (name: string, run: () => Promise<void>) => void;
}

/** Declares the tests of a store. */
export function storeSuite(options: StoreSuiteOptions): void {
  const { name, open, isConcurrent } = options;
  const declare = options.test ?? ((name, run) => Deno.test(name, run));
  const test = (what: string, body: (store: StoreUnderTest) => Promise<void>) =>
    declare(`${name}: ${what}`, async () => {
      const store = await open();
      try {
        await body(store);
      } finally {
        await store.close?.();
      }
    });
  transactionTests(test);
  selectTests(test);
  crashTests(test);
  contentionTests(test);
  if (isConcurrent) concurrentTests(test);
  else oneWriterTests(test);
}

type Test = (what: string, body: (store: StoreUnderTest) => Promise<void>) => void;

/** A row of the table `jobs`. */
function row(name: string, queue = "open"): Record<string, string> {
  return { name, queue };
}

/** Runs work to its end and gives its result. */
async function run<T>(store: StoreUnderTest, work: () => Step<T>): Promise<T> {
  const ends: ({ value: T } | { error: unknown })[] = [];
  store.begin((function* () {
    try {
      ends.push({ value: yield* work() });
    } catch (error) {
      ends.push({ error });
    }
  })());
  await store.settle();
  const [end] = ends;
  assert.ok(end !== undefined, "It never ends");
  if ("error" in end) throw end.error;
  return end.value;
}

/** What is committed, rolled back and unique. */
function transactionTests(test: Test): void {
  test("what is committed can be read, what is rolled back cannot", async (store) => {
    const connection = store.connect();
    await run(store, () => transact(connection, (tx) => tx.insert("jobs", row("kept"))));
    await run(store, function* () {
      const tx = yield* connection.begin();
      yield* tx.insert("jobs", row("dropped"));
      yield* tx.rollback();
    });
    const { rows } = await run(store, () => connection.read("jobs", { queue: "open" }));
    assert.deepEqual(rows.map((one) => one["name"]), ["kept"]);
  });

  test("a transaction reads what it has written, others do not", async (store) => {
    const [mine, others] = [store.connect(), store.connect()];
    await run(store, function* () {
      const tx = yield* mine.begin();
      const id = yield* tx.insert("jobs", row("new"));
      assert.equal((yield* tx.select("jobs", { queue: "open" })).length, 1);
      assert.equal((yield* others.read("jobs", { queue: "open" })).rows.length, 0);
      yield* tx.update("jobs", id, { queue: "done" });
      assert.equal((yield* tx.select("jobs", { queue: "open" })).length, 0);
      yield* tx.commit();
      assert.equal((yield* others.read("jobs", { queue: "done" })).rows.length, 1);
    });
  });

  test("a unique value is taken once, and free again after its row is gone", async (store) => {
    const connection = store.connect();
    const insert = () => transact(connection, (tx) => tx.insert("jobs", row("one")));
    const id = await run(store, insert);
    await assert.rejects(run(store, insert), { name: "StoreError", kind: "duplicate" });
    assert.equal(await run(store, () => transact(connection, (tx) => tx.delete("jobs", id))), true);
    await run(store, insert);
  });

  test("update and delete say whether there was a row", async (store) => {
    const connection = store.connect();
    await run(store, () =>
      transact(connection, function* (tx) {
        assert.equal(yield* tx.update("jobs", 77, { queue: "done" }), false);
        assert.equal(yield* tx.delete("jobs", 77), false);
      }));
  });
}

/** Which rows a read gives. */
function selectTests(test: Test): void {
  test("with a limit it gives the oldest rows that fit, and no more", async (store) => {
    const connection = store.connect();
    const names = (rows: readonly Row[]) => rows.map((one) => one["name"]);
    const ids = await run(store, () =>
      transact(connection, function* (tx) {
        const ids: number[] = [];
        for (const name of ["a", "b", "c", "d"]) ids.push(yield* tx.insert("jobs", row(name)));
        yield* tx.insert("jobs", row("other", "done"));
        return ids;
      }));
    const read = (limit?: number) =>
      run(store, () => connection.read("jobs", { queue: "open" }, { limit }));
    assert.deepEqual(names((await read(2)).rows), ["a", "b"]);
    assert.deepEqual(names((await read(4)).rows), ["a", "b", "c", "d"]);
    assert.deepEqual(names((await read(5)).rows), ["a", "b", "c", "d"]);
    assert.deepEqual(names((await read()).rows), ["a", "b", "c", "d"]);
    await run(store, () =>
      transact(connection, function* (tx) {
        // What is its own counts as what is committed.
        yield* tx.update("jobs", ids[0]!, { queue: "done" });
        yield* tx.insert("jobs", row("e"));
        for (const lock of [undefined, "wait", "skip"] as const) {
          const found = yield* tx.select("jobs", { queue: "open" }, { limit: 3, lock });
          assert.deepEqual(names(found), ["b", "c", "d"], lock);
        }
        const last = yield* tx.select("jobs", { queue: "open" }, { limit: 9 });
        assert.deepEqual(names(last), ["b", "c", "d", "e"]);
        const one = yield* tx.select("jobs", { queue: "open", name: "d" }, { limit: 1 });
        assert.deepEqual(names(one), ["d"]);
      }));
  });

  test("of some ids it gives those that fit, the oldest first", async (store) => {
    const connection = store.connect();
    await run(store, () =>
      transact(connection, function* (tx) {
        const ids: number[] = [];
        for (const name of ["a", "b", "c"]) ids.push(yield* tx.insert("jobs", row(name)));
        const other = yield* tx.insert("jobs", row("other", "done"));
        const [a, b, c] = ids;
        for (const lock of [undefined, "wait", "skip"] as const) {
          const names = function* (ids: readonly number[], limit?: number) {
            const found = yield* tx.select("jobs", { queue: "open" }, { ids, limit, lock });
            return found.map((one) => one["name"]);
          };
          assert.deepEqual(yield* names([c!, a!, other, 4711]), ["a", "c"], lock);
          assert.deepEqual(yield* names([c!, b!, a!], 2), ["a", "b"], lock);
          assert.deepEqual(yield* names([]), [], lock);
        }
      }));
  });
}

/** What remains of a process that crashes. */
function crashTests(test: Test): void {
  test("what a process had not committed when it crashed is gone, with its locks", async (store) => {
    const [victim, other] = [store.connect(), store.connect()];
    const id = await run(store, () => transact(other, (tx) => tx.insert("jobs", row("old"))));
    await run(store, function* () {
      const tx = yield* victim.begin();
      yield* tx.insert("jobs", row("new"));
      yield* tx.update("jobs", id, { queue: "done" });
    });
    store.crash(victim);
    await run(store, () => transact(other, (tx) => tx.update("jobs", id, { queue: "kept" })));
    await run(store, () => transact(other, (tx) => tx.insert("jobs", row("new"))));
    const { rows } = await run(store, () => other.read("jobs", { queue: "kept" }));
    assert.equal(rows.length, 1);
  });
}

/** What several processes do at once. */
function contentionTests(test: Test): void {
  test("two that count on one row do not lose a count", async (store) => {
    const first = store.connect();
    const id = await run(
      store,
      () => transact(first, (tx) => tx.insert("jobs", { ...row("counter"), count: 0 })),
    );
    for (const connection of [first, store.connect()]) {
      store.begin(transact(connection, function* (tx) {
        const [one] = yield* tx.select("jobs", { queue: "open" }, { lock: "wait" });
        yield* tx.update("jobs", id, { count: one!["count"] as number + 1 });
      }));
    }
    await store.settle();
    const { rows } = await run(store, () => first.read("jobs", { queue: "open" }));
    assert.equal(rows[0]!["count"], 2);
  });

  test("of two that insert the same unique value, one is refused", async (store) => {
    const results: string[] = [];
    for (const connection of [store.connect(), store.connect()]) {
      store.begin((function* () {
        try {
          yield* transact(connection, (tx) => tx.insert("jobs", row("same")));
          results.push("inserted");
        } catch (error) {
          results.push((error as StoreError).kind);
        }
      })());
    }
    await store.settle();
    assert.deepEqual(results.sort(), ["duplicate", "inserted"]);
  });
}

/** What only stores with one writer can show. */
function oneWriterTests(test: Test): void {
  test("a second writer waits for the first", async (store) => {
    const [first, second] = [store.connect(), store.connect()];
    const events: string[] = [];
    store.begin(transact(first, function* (tx) {
      events.push("first begins");
      yield* tx.insert("jobs", row("a"));
      yield* tx.insert("jobs", row("b"));
      events.push("first ends");
    }));
    store.begin(transact(second, function* (tx) {
      events.push("second begins");
      yield* tx.insert("jobs", row("c"));
    }));
    await store.settle();
    assert.deepEqual(events, ["first begins", "first ends", "second begins"]);
  });
}

/** What only stores with concurrent transactions can show. */
function concurrentTests(test: Test): void {
  test("an id taken at the insert can turn up after a larger one", async (store) => {
    const [slow, fast] = [store.connect(), store.connect()];
    await run(store, function* () {
      const tx = yield* slow.begin();
      const small = yield* tx.insert("jobs", row("slow"));
      const large = yield* transact(fast, (other) => other.insert("jobs", row("fast")));
      assert.ok(small < large);
      const before = yield* fast.read("jobs", { queue: "open" });
      assert.deepEqual(before.rows.map(({ id }) => id), [large]);
      yield* tx.commit();
      const after = yield* fast.read("jobs", { queue: "open" });
      assert.deepEqual(after.rows.map(({ id }) => id), [small, large]);
    });
  });

  test("who locks rows leaves out those that somebody else holds", async (store) => {
    const [first, second] = [store.connect(), store.connect()];
    await run(store, () =>
      transact(first, function* (tx) {
        yield* tx.insert("jobs", row("a"));
        yield* tx.insert("jobs", row("b"));
      }));
    await run(store, function* () {
      const tx = yield* first.begin();
      const [a] = yield* tx.select("jobs", { queue: "open", name: "a" }, { lock: "wait" });
      assert.ok(a !== undefined);
      const free = yield* transact(
        second,
        (other) => other.select("jobs", { queue: "open" }, { lock: "skip" }),
      );
      assert.deepEqual(free.map((one) => one["name"]), ["b"]);
      const ids = [a.id, free[0]!.id];
      const named = yield* transact(
        second,
        (other) => other.select("jobs", { queue: "open" }, { lock: "skip", ids }),
      );
      assert.deepEqual(named, free);
      yield* tx.rollback();
    });
  });

  test("rows that somebody else holds do not count for a limit", async (store) => {
    const [first, second] = [store.connect(), store.connect()];
    await run(store, () =>
      transact(first, function* (tx) {
        for (const name of ["a", "b", "c", "d"]) yield* tx.insert("jobs", row(name));
      }));
    await run(store, function* () {
      const tx = yield* first.begin();
      const held = yield* tx.select("jobs", { queue: "open" }, { lock: "skip", limit: 2 });
      assert.deepEqual(held.map((one) => one["name"]), ["a", "b"]);
      const free = yield* transact(
        second,
        (other) => other.select("jobs", { queue: "open" }, { lock: "skip", limit: 1 }),
      );
      assert.deepEqual(free.map((one) => one["name"]), ["c"]);
      yield* tx.rollback();
    });
  });

  test("a circle of those who wait is broken", async (store) => {
    const connections = [store.connect(), store.connect()];
    await run(store, () =>
      transact(connections[0]!, function* (tx) {
        yield* tx.insert("jobs", row("a"));
        yield* tx.insert("jobs", row("b"));
      }));
    // Each holds its row before either wants the other's.
    const transactions: Transaction[] = [];
    await run(store, function* () {
      for (const [index, connection] of connections.entries()) {
        const tx = yield* connection.begin();
        yield* tx.update("jobs", index + 1, { by: index });
        transactions.push(tx);
      }
    });
    const results: string[] = [];
    for (const [index, tx] of transactions.entries()) {
      store.begin((function* () {
        try {
          yield* tx.update("jobs", 2 - index, { by: index });
          yield* tx.commit();
          results.push("done");
        } catch (error) {
          results.push((error as StoreError).kind);
        }
      })());
    }
    await store.settle();
    assert.deepEqual(results.sort(), ["deadlock", "done"]);
  });
}
