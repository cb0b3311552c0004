import assert from "node:assert/strict";
import { type CountedRows, noId, RowCounts } from "./row_counts.ts";

/** A table in which rows are seen once their transaction has ended, and who counts it. */
class Table {
  readonly counts = new RowCounts();
  readonly #rows: { id: number; name: string; by: string; isSeen: boolean }[] = [];
  /** How many rows the last count has read. */
  read = 0;

  insert(by: string, name = "billing"): void {
    this.#rows.push({ id: this.#rows.length + 1, name, by, isSeen: false });
  }

  commit(by: string): void {
    for (const row of this.#rows) if (row.by === by) row.isSeen = true;
  }

  count(): Record<string, number> {
    this.read = 0;
    const writers = this.#rows.filter(({ isSeen }) => !isSeen).map(({ by }) => by);
    const until = this.counts.settledBy(writers);
    if (until !== undefined) {
      this.counts.settle(this.#between(this.counts.settledTo, until), until);
    }
    const rest = this.#between(this.counts.settledTo, noId);
    this.counts.seen(rest);
    return this.counts.totals(rest);
  }

  #between(after: number, until: number): CountedRows[] {
    const found = this.#rows.filter(({ id, isSeen }) => isSeen && id > after && id <= until);
    this.read += found.length;
    return [...Map.groupBy(found, ({ name }) => name)].map(([name, rows]) => ({
      ...{ name, count: rows.length, lastId: rows.at(-1)!.id },
    }));
  }
}

Deno.test("a row that is seen after one with a higher id is counted, however long it takes", () => {
  const table = new Table();
  table.insert("slow");
  table.insert("quick", "stock");
  table.commit("quick");
  for (let round = 0; round < 5; round++) assert.deepEqual(table.count(), { stock: 1 });
  assert.equal(table.counts.settledTo, 0);
  table.commit("slow");
  assert.deepEqual(table.count(), { stock: 1, billing: 1 });
});

Deno.test("what is settled is read no more, while others write all the time", () => {
  const table = new Table();
  for (let round = 1; round <= 50; round++) {
    // Who begins before a count ends after it.
    table.insert(`writer ${round}`);
    table.commit(`writer ${round - 1}`);
    assert.deepEqual(table.count(), round === 1 ? {} : { billing: round - 1 });
    assert.ok(table.read < 10, `${table.read} rows were read`);
  }
  table.commit("writer 50");
  for (let round = 0; round < 3; round++) assert.deepEqual(table.count(), { billing: 50 });
  assert.equal(table.read, 0);
});
