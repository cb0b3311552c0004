import assert from "node:assert/strict";
import { RecentImages } from "./recent_images.ts";

const image = (length: number) => new Uint8Array(length);

Deno.test("RecentImages gives each image once", () => {
  const recent = new RecentImages(100);
  const one = image(10);
  recent.keep("one", one);
  assert.equal(recent.take("one"), one);
  assert.equal(recent.take("one"), undefined);
});

Deno.test("RecentImages forgets the oldest for the newest, and keeps none that is too large", () => {
  const recent = new RecentImages(100);
  for (const name of ["a", "b", "a", "c"]) recent.keep(name, image(50));
  assert.deepEqual(["a", "b", "c"].map((name) => recent.take(name)?.length), [50, undefined, 50]);
  recent.keep("d", image(60));
  recent.keep("e", image(101));
  assert.deepEqual([recent.take("d")?.length, recent.take("e")], [60, undefined]);
  // All of it is free again.
  recent.keep("f", image(100));
  assert.equal(recent.take("f")?.length, 100);
});
