/**
 * The suite that every image store must pass: what `image_store.ts` promises, tried out.
 *
 * @module
 */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import type { ImageStore } from "./image_store.ts";

/** What the suite needs to know of a store. */
export interface ImageStoreUnderTest {
  /** Begins each test's name: `folder`. */
  name: string;
  /** Opens an empty one. Uploads have a second. */
  open: (options: { uploadTimeoutMs: number }) => Promise<OpenedImageStore>;
  /** `Deno.test`, or one that ignores. */
  test: (name: string, run: () => Promise<void>) => void;
}

/** A store, and what only its test can do. */
export interface OpenedImageStore {
  images: ImageStore;
  /** Opens the same one anew. */
  again(): Promise<ImageStore>;
  /** Sends an upload as a device would, and gives the status. */
  send(url: string, headers: Readonly<Record<string, string>>, bytes: Uint8Array): Promise<number>;
  /** Changes the bytes that are kept, as a broken disk would. */
  corrupt(sha256: string, bytes: Uint8Array): Promise<void>;
}

function sha256(bytes: Uint8Array): string {
  return hash("sha256", bytes, "hex");
}

/** An image that no other number has. */
function imageOf(number: number, length = 1_000): Uint8Array {
  return new Uint8Array(length).fill(number);
}

/**
 * Declares the suite's tests.
 *
 * @example
 * ```ts
 * imageSuite({ name: "folder", open, test: Deno.test });
 * ```
 */
export function imageSuite({ name, open, test }: ImageStoreUnderTest): void {
  const check = (
    what: string,
    run: (opened: OpenedImageStore) => Promise<void>,
    uploadTimeoutMs = 60_000,
  ) => test(`${name} images ${what}`, async () => await run(await open({ uploadTimeoutMs })));

  check("are given as they were put, also after a restart", async ({ images, again }) => {
    const image = imageOf(1, 300_000);
    await images.put(sha256(image), image);
    assert.deepEqual(await images.get(sha256(image)), image);
    await images.put(sha256(image), image);
    const reopened = await again();
    assert.deepEqual(await reopened.get(sha256(image)), image);
    assert.equal(await reopened.has(sha256(image)), true);
    assert.equal(await reopened.has(sha256(imageOf(2))), false);
  });

  check("may be put many times at once", async ({ images }) => {
    const all = Array.from({ length: 30 }, (_, index) => imageOf(index % 3));
    await Promise.all(all.map((image) => images.put(sha256(image), image)));
    const listed = await Array.fromAsync(images.list());
    assert.equal(listed.length, 3);
    for (const image of all.slice(0, 3)) assert.deepEqual(await images.get(sha256(image)), image);
  });

  check("that are missing or have other bytes are said to be", async ({ images, corrupt }) => {
    const image = imageOf(1);
    await assert.rejects(images.get(sha256(image)), { name: "ImageStoreError", kind: "missing" });
    await images.put(sha256(image), image);
    await corrupt(sha256(image), imageOf(2));
    await assert.rejects(images.get(sha256(image)), { name: "ImageStoreError", kind: "corrupt" });
    for (const path of ["../../etc/passwd", "", "A".repeat(64)]) {
      await assert.rejects(images.get(path), { name: "ImageStoreError", kind: "missing" });
    }
  });

  check("are listed with size and time", async ({ images }) => {
    const before = Date.now();
    const [small, large] = [imageOf(1, 10), imageOf(2, 20)];
    for (const image of [small, large]) await images.put(sha256(image), image);
    const listed = new Map(
      (await Array.fromAsync(images.list())).map((one) => [one.sha256, one]),
    );
    assert.equal(listed.get(sha256(small))!.bytes, 10);
    assert.equal(listed.get(sha256(large))!.bytes, 20);
    assert.ok(Math.abs(listed.get(sha256(large))!.putMs - before) < 60_000);
  });

  check("are removed only if they are unused to the last", async ({ images }) => {
    const image = imageOf(1);
    await images.put(sha256(image), image);
    assert.equal(await images.remove(sha256(image), () => Promise.resolve(false)), false);
    assert.deepEqual(await images.get(sha256(image)), image);
    assert.equal(await images.remove(sha256(image), () => Promise.resolve(true)), true);
    assert.equal(await images.has(sha256(image)), false);
    assert.equal(await images.remove(sha256(image), () => Promise.resolve(true)), false);
  });

  check("come by uploads, up to a size", async ({ images, send }) => {
    const ticket = await images.openUpload({ maxBytes: 2_000, mediaType: "image/png" });
    await assert.rejects(images.readUpload(ticket.id, 2_000), { kind: "missing" });
    const image = imageOf(1);
    assert.equal(await send(ticket.url, ticket.headers, image), 200);
    assert.deepEqual(await images.readUpload(ticket.id, 2_000), image);
    await assert.rejects(images.readUpload(ticket.id, 999), { kind: "too-large" });
    await images.removeUpload(ticket.id);
    await assert.rejects(images.readUpload(ticket.id, 2_000), { kind: "missing" });
    await images.removeUpload(ticket.id);
    await assert.rejects(images.readUpload("0".repeat(32), 2_000), { kind: "missing" });
  });

  check("of uploads whose time is up are removed", async ({ images, send }) => {
    const ticket = await images.openUpload({ maxBytes: 2_000, mediaType: "image/png" });
    await send(ticket.url, ticket.headers, imageOf(1));
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    await assert.rejects(images.readUpload(ticket.id, 2_000), { kind: "missing" });
    assert.equal(await images.removeExpiredUploads(), 1);
    assert.equal(await images.removeExpiredUploads(), 0);
  }, 1_000);

  check("can be proved to be writable", async ({ images }) => {
    await images.probe();
    assert.deepEqual(await Array.fromAsync(images.list()), []);
  });
}
