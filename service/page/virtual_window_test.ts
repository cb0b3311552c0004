import assert from "node:assert/strict";
import { scrollToRow, virtualWindow } from "./virtual_window.ts";

const view = { rowHeight: 40, viewHeight: 400, overscan: 2 };

Deno.test("virtualWindow() renders what is visible and the overscan", () => {
  assert.deepEqual(virtualWindow({ ...view, count: 10_000, scrollTop: 0 }), {
    start: 0,
    end: 12,
    offset: 0,
    height: 400_000,
  });
  assert.deepEqual(virtualWindow({ ...view, count: 10_000, scrollTop: 4_020 }), {
    start: 98,
    end: 113,
    offset: 3_920,
    height: 400_000,
  });
});

Deno.test("virtualWindow() renders a bounded number of rows at any scroll", () => {
  for (let scrollTop = -500; scrollTop < 450_000; scrollTop += 777) {
    const { start, end } = virtualWindow({ ...view, count: 10_000, scrollTop });
    assert.ok(
      start >= 0 && end <= 10_000 && end - start >= 12 && end - start <= 15,
      `${scrollTop}`,
    );
  }
});

Deno.test("virtualWindow() shows the end when the list has shrunk under the scroll", () => {
  const { start, end } = virtualWindow({ ...view, count: 20, scrollTop: 100_000 });
  assert.deepEqual([start, end], [8, 20]);
});

Deno.test("virtualWindow() of no rows is empty", () => {
  assert.deepEqual(virtualWindow({ ...view, count: 0, scrollTop: 0 }), {
    start: 0,
    end: 0,
    offset: 0,
    height: 0,
  });
});

Deno.test("scrollToRow() moves as little as is needed", () => {
  const at = (scrollTop: number) => ({ rowHeight: 40, viewHeight: 400, scrollTop });
  assert.equal(scrollToRow(3, at(0)), 0);
  assert.equal(scrollToRow(10, at(0)), 40);
  assert.equal(scrollToRow(3, at(400)), 120);
});
