import assert from "node:assert/strict";
import { join } from "node:path";
import { StartError } from "../service/life_cycle.ts";
import { testWith } from "../service/testing/permissions.ts";
import { openImages } from "./orb_images.ts";

Deno.test("openImages() gives the same image for ever, or a fresh one each time", async () => {
  const same = await openImages({ from: "same" });
  assert.deepEqual(await same()(), await same()());
  const fresh = await openImages({ from: "fresh" });
  assert.notDeepEqual(await fresh()(), await fresh()());
});

Deno.test("a fleet that draws more than it can leaves the event loop its turns", async () => {
  const fresh = await openImages({ from: "fresh", seed: 1 });
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  await Promise.all(Array.from({ length: 8 }, () => fresh()()));
  clearInterval(timer);
  assert.ok(turns >= 6, `${turns} turns while 8 images were drawn`);
});

Deno.test("a stop ends the drawing: what waits for its turn is not drawn", async () => {
  const stop = new AbortController();
  const fresh = await openImages({ from: "fresh", seed: 1, signal: stop.signal });
  const images = Array.from({ length: 500 }, () => fresh()());
  const settled = Promise.allSettled(images);
  await images[0];
  stop.abort();
  const drawn = (await settled).filter(({ status }) => status === "fulfilled").length;
  assert.ok(drawn < 20, `${drawn} were drawn`);
});

Deno.test("openImages() repeats the given share", async () => {
  const all = await openImages({ from: "fresh", repeatRatio: 1, seed: 1 });
  const first = all();
  assert.equal(all(), first);
  assert.deepEqual(await first(), await first());
  const some = await openImages({ from: "fresh", repeatRatio: .5, seed: 1 });
  const seen = new Set<unknown>();
  for (let count = 0; count < 20; count++) seen.add(some());
  assert.ok(seen.size > 3 && seen.size < 17, `${seen.size} of 20 are different`);
});

testWith(["read", "write"], "openImages() goes round a folder's files by name", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(join(folder, "b.png"), "second");
  await Deno.writeTextFile(join(folder, "a.png"), "first");
  await Deno.mkdir(join(folder, "c"));
  const next = await openImages({ from: folder });
  const names = [];
  for (let count = 0; count < 3; count++) names.push(new TextDecoder().decode(await next()()));
  assert.deepEqual(names, ["first", "second", "first"]);
  await Deno.remove(folder, { recursive: true });
});

testWith(
  ["read", "write"],
  "openImages() refuses a folder without files or none at all",
  async () => {
    const folder = await Deno.makeTempDir();
    await assert.rejects(openImages({ from: folder }), StartError);
    await Deno.remove(folder);
    await assert.rejects(openImages({ from: folder }), /--images/);
  },
);

testWith(["read", "write"], "an image that is too large is an error that names it", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeFile(join(folder, "large.png"), new Uint8Array(8 * 1024 ** 2));
  const next = await openImages({ from: folder });
  await assert.rejects(next()(), /large\.png has 8388608 bytes/);
  await Deno.remove(folder, { recursive: true });
});
