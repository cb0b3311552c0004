import assert from "node:assert/strict";
import type { StoreImage } from "./image_store.ts";
import { KnownImages } from "./known_images.ts";

function image(id: string): StoreImage {
  const unknown = { sizeBytes: undefined, importedAtMs: undefined, pinned: undefined };
  return { id, tags: [], digests: [], ...unknown };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

Deno.test("KnownImages decodes what is new and gives what is known, in any order", () => {
  const decoded: string[] = [];
  const known = new KnownImages((bytes) => {
    const text = new TextDecoder().decode(bytes);
    decoded.push(text);
    return { image: image(text), lost: [] };
  });
  const read = (...texts: string[]) => known.read(texts.map(bytesOf)).images.map(({ id }) => id);
  assert.deepEqual(read("a", "b", "c"), ["a", "b", "c"]);
  assert.deepEqual(read("c", "a", "d"), ["c", "a", "d"]);
  assert.deepEqual(decoded, ["a", "b", "c", "d"]);
  assert.deepEqual(read("b"), ["b"], "what went is not kept");
  assert.deepEqual(decoded, ["a", "b", "c", "d", "b"]);
});

Deno.test("KnownImages sees a change beyond the head of an image", () => {
  const known = new KnownImages((bytes) => ({
    image: image(new TextDecoder().decode(bytes)),
    lost: [],
  }));
  const head = "x".repeat(200);
  for (const text of [`${head}1`, `${head}2`, `${head}`]) {
    assert.deepEqual(known.read([bytesOf(text)]).images.map(({ id }) => id), [text]);
  }
  const both = [`${head}1`, `${head}2`];
  for (let look = 0; look < 2; look++) {
    assert.deepEqual(known.read(both.map(bytesOf)).images.map(({ id }) => id), both);
  }
});
