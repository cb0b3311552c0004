import assert from "node:assert/strict";
import { LiveRows } from "./live_rows.ts";

interface Row {
  id: number;
  text: string;
}

function rows(...ids: number[]): Row[] {
  return ids.map((id) => ({ id, text: `row ${id}` }));
}

function ids(list: readonly Row[]): number[] {
  return list.map((row) => row.id);
}

function empty(maxRows = 5): LiveRows<Row> {
  return new LiveRows<Row>({ key: (row) => row.id, maxRows });
}

Deno.test("LiveRows shows the newest first and drops the oldest beyond its bound", () => {
  const list = empty().push(rows(1, 2, 3), false).push(rows(4, 5, 6), false);
  assert.deepEqual(ids(list.rows), [6, 5, 4, 3, 2]);
  assert.equal(list.waitingCount, 0);
});

Deno.test("LiveRows held moves nothing: what is new waits and is counted", () => {
  const before = empty().push(rows(1, 2, 3), false);
  const held = before.push(rows(4), true).push(rows(5, 6), true);
  assert.deepEqual(ids(held.rows), [3, 2, 1]);
  assert.equal(held.waitingCount, 3);
  assert.deepEqual(ids(held.release().rows), [6, 5, 4, 3, 2]);
  assert.equal(held.release().waitingCount, 0);
});

Deno.test("LiveRows changes a row in its place, shown or waiting, without counting it as new", () => {
  const list = empty().push(rows(1, 2), false).push(rows(3), true)
    .push([{ id: 1, text: "changed" }, { id: 3, text: "changed too" }], true);
  const texts = (list: readonly Row[]) => list.map((row) => row.text);
  assert.deepEqual(texts(list.rows), ["row 2", "row 1"], "held, what is read stays as it is");
  assert.deepEqual(texts(list.waiting), ["changed too"]);
  assert.equal(list.waitingCount, 1);
  assert.deepEqual(texts(list.release().rows), ["changed too", "row 2", "changed"]);
  assert.deepEqual(texts(list.push(rows(4), false).rows), [
    ...["row 4", "changed too", "row 2", "changed"],
  ]);
  const unheld = empty().push(rows(1, 2), false).push([{ id: 1, text: "changed" }], false);
  assert.deepEqual(texts(unheld.rows), ["row 2", "changed"]);
});

Deno.test("LiveRows puts new rows where they belong, and moves none that is shown", () => {
  const at = (id: number, atMs: number) => ({ id, atMs });
  let list = new LiveRows<{ id: number; atMs: number }>({
    key: (row) => row.id,
    orderOf: (row) => row.atMs,
    maxRows: 5,
  });
  const order = () => list.rows.map((row) => row.id);
  list = list.push([at(1, 10), at(2, 30)], false);
  list = list.push([at(3, 20)], false);
  assert.deepEqual(order(), [2, 3, 1], "it began before one that came before it");
  list = list.push([at(1, 40)], false);
  assert.deepEqual(order(), [2, 3, 1], "a row that changes stays");
  list = list.push([at(4, 25)], true).push([at(5, 50)], true).release();
  assert.deepEqual(order(), [5, 2, 4, 3, 1]);
  list = list.push([at(6, 60)], false);
  assert.deepEqual(order(), [6, 5, 2, 4, 3]);
});

Deno.test("LiveRows takes the last of several changes of a row in one batch", () => {
  const list = empty().push([{ id: 1, text: "a" }, { id: 1, text: "b" }], false);
  assert.deepEqual(list.rows, [{ id: 1, text: "b" }]);
});

Deno.test("LiveRows held keeps a bounded number waiting but counts them all", () => {
  let list = empty().push(rows(1), false);
  for (let id = 2; id <= 100; id++) list = list.push(rows(id), true);
  assert.equal(list.waitingCount, 99);
  assert.equal(list.waiting.length, 5);
  assert.deepEqual(ids(list.release().rows), [100, 99, 98, 97, 96]);
});

Deno.test("LiveRows releases what waits when rows come and it is held no more", () => {
  const list = empty().push(rows(1), false).push(rows(2), true).push(rows(3), false);
  assert.deepEqual(ids(list.rows), [3, 2, 1]);
  assert.equal(list.waitingCount, 0);
});

Deno.test("LiveRows appends older rows once", () => {
  const list = empty().push(rows(5, 6), false).append(rows(6, 5, 4, 3));
  assert.deepEqual(ids(list.rows), [6, 5, 4, 3]);
  assert.equal(list.append(rows(4)), list);
});
