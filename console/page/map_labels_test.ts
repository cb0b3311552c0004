import assert from "node:assert/strict";
import { placeWords, type Word } from "./map_labels.ts";

function word(key: string, x: number, y: number, more: Partial<Word> = {}): Word {
  return {
    key,
    text: "a word",
    fontSize: 10,
    at: { x, y },
    distance: 10,
    optional: false,
    ...more,
  };
}

const half = { x: 200, y: 200 };

Deno.test("placeWords() puts a word below what it names, and elsewhere if there is a line", () => {
  const free = { half, nodes: [], linePoints: [] };
  const below = placeWords([word("a", 0, 0)], free).get("a")!;
  assert.ok(below.y > 10 && below.anchor === "middle");
  const crossed = { ...free, linePoints: [0, 5, 10].map((x) => ({ x, y: 16 })) };
  assert.ok(placeWords([word("a", 0, 0)], crossed).get("a")!.y < 0);
});

Deno.test("placeWords() puts no word upon another or outside, while there is room", () => {
  const nodes = [{ x: 0, y: 0, radius: 8 }, { x: 0, y: 30, radius: 8 }, {
    x: 195,
    y: 0,
    radius: 8,
  }];
  const words = nodes.map(({ x, y }, i) => word(`${i}`, x, y));
  const places = [...placeWords(words, { half, nodes, linePoints: [] }).values()];
  const boxes = places.map(({ x, y, anchor }) => {
    const width = 6 * 10 * 0.56;
    const x0 = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
    return { x0, x1: x0 + width, y0: y - 10, y1: y + 3 };
  });
  for (const [i, a] of boxes.entries()) {
    assert.ok(a.x0 >= -200 && a.x1 <= 200, `word ${i} is inside`);
    for (const b of boxes.slice(i + 1)) {
      assert.ok(a.x1 < b.x0 || b.x1 < a.x0 || a.y1 < b.y0 || b.y1 < a.y0, `word ${i}`);
    }
  }
});

Deno.test("placeWords() leaves an optional word out where there is no room, and never another", () => {
  const nodes = Array.from({ length: 81 }, (_, i) => ({
    x: (i % 9 - 4) * 15,
    y: (Math.floor(i / 9) - 4) * 15,
    radius: 7,
  }));
  const obstacles = { half, nodes, linePoints: [] };
  assert.equal(placeWords([word("a", 0, 0, { optional: true })], obstacles).size, 0);
  assert.equal(placeWords([word("a", 0, 0)], obstacles).size, 1);
});
