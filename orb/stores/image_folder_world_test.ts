/**
 * The folder of images with time in the test's hands, and what it says when the folder is not what it
 * should be.
 *
 * @module
 */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { type ImageFolderOptions, openImageFolder } from "./image_folder.ts";
import type { ImageStore } from "./image_store.ts";

interface Scene {
  folder: string;
  world: VirtualWorld;
  open(options?: Partial<ImageFolderOptions>): Promise<ImageStore>;
  /** Keeps an image as it was kept before there were segments. */
  putOld(bytes: Uint8Array, putMs?: number): Promise<{ sha256: string; path: string }>;
  /** Puts a file where a folder should be. */
  block(name: string): Promise<void>;
}

function folderTest(name: string, run: (scene: Scene) => Promise<void>): void {
  testWith(["read", "write"], `image folder: ${name}`, () =>
    withTempFolder(async (folder) => {
      const world = new VirtualWorld();
      await run({
        ...{ folder, world },
        open: (options) => openImageFolder({ path: folder, world, ...options }),
        async putOld(bytes, putMs = 1_000) {
          const sha256 = sha256Of(bytes);
          const path = join(folder, "images", sha256.slice(0, 2), sha256.slice(2));
          await Deno.mkdir(join(path, ".."), { recursive: true });
          await Deno.writeFile(path, bytes);
          await Deno.utime(path, new Date(putMs), new Date(putMs));
          return { sha256, path };
        },
        async block(name) {
          await Deno.remove(join(folder, name), { recursive: true });
          await Deno.writeTextFile(join(folder, name), "no folder");
        },
      });
      assert.equal(world.pendingTimers, 0);
    }));
}

const sha256Of = (bytes: Uint8Array) => hash("sha256", bytes, "hex");
const imageOf = (byte: number, length = 100) => new Uint8Array(length).fill(byte);
const names = (path: string) => Array.from(Deno.readDirSync(path), ({ name }) => name);
const upload = { maxBytes: 10, mediaType: "image/png" } as const;
const unused = () => Promise.resolve(true);
const missing = { name: "ImageStoreError", kind: "missing" };
const unavailable = (what: string) => ({
  ...{ name: "ImageStoreError", kind: "unavailable" },
  message: new RegExp(`^Images cannot be ${what}: .*(directory|exist)`, "i"),
});

folderTest(
  "its folders are their owner's alone, and are made where they are missing",
  async ({ folder, open }) => {
    const path = join(folder, "deep", "er");
    const images = await open({ path });
    assert.equal(images.system, "folder");
    for (const name of ["images", "uploads", "unfinished", "segments"]) {
      assert.equal(Deno.statSync(join(path, name)).mode! & 0o777, 0o700, name);
    }
    const { id } = await images.openUpload(upload);
    assert.equal(Deno.statSync(join(path, "uploads", `${id}.json`)).mode! & 0o777, 0o600);
  },
);

folderTest(
  "an upload ends when its time is up, to the millisecond, and its ticket says when",
  async (scene) => {
    const { open, world, folder } = scene;
    const images = await open();
    const ticket = await images.openUpload(upload);
    assert.equal(ticket.expiresMs, world.nowMs() + 900_000);
    assert.match(ticket.id, /^[0-9a-f]{32}$/);
    assert.deepEqual([ticket.url, ticket.headers], [`/v2/uploads/${ticket.id}`, {}]);
    await images.receiveUpload!(ticket.id, imageOf(1, 10));
    await world.advance(899_999);
    assert.deepEqual(await images.readUpload(ticket.id, 10), imageOf(1, 10));
    assert.equal(await images.removeExpiredUploads(), 0);
    await world.advance(1);
    await assert.rejects(images.readUpload(ticket.id, 10), {
      ...missing,
      message: "There is no such upload, or its time is up",
    });
    await assert.rejects(images.receiveUpload!(ticket.id, imageOf(1, 10)), missing);
    const later = await images.openUpload(upload);
    assert.equal(await images.removeExpiredUploads(), 1);
    assert.deepEqual(names(join(folder, "uploads")), [`${later.id}.json`]);
  },
);

folderTest(
  "an upload has as many bytes as it may, as its ticket says and as who reads it says",
  async ({ open }) => {
    const images = await open();
    const { id } = await images.openUpload(upload);
    await assert.rejects(images.readUpload(id, 10), {
      ...missing,
      message: `There is no upload ${id}`,
    });
    const tooLarge = { name: "ImageStoreError", kind: "too-large" };
    await assert.rejects(images.receiveUpload!(id, imageOf(1, 11)), {
      ...tooLarge,
      message: `Upload ${id} has more than 10 bytes`,
    });
    await images.receiveUpload!(id, imageOf(1, 10));
    assert.equal((await images.readUpload(id, 10)).length, 10);
    await assert.rejects(images.readUpload(id, 9), {
      ...tooLarge,
      message: `Upload ${id} has more than 9 bytes`,
    });
  },
);

folderTest("more uploads than may be open are refused by their number", async ({ open }) => {
  const images = await open({ maxUploads: 2 });
  for (let number = 0; number < 2; number++) await images.openUpload(upload);
  await assert.rejects(images.openUpload(upload), {
    ...{ name: "ImageStoreError", kind: "full", message: "2 uploads are open already" },
  });
});

folderTest("one stray file among tickets and images costs nobody else anything", async (scene) => {
  const { open, folder, putOld } = scene;
  const first = await open();
  const { id } = await first.openUpload(upload);
  const { sha256, path } = await putOld(imageOf(1));
  for (
    const stray of [
      `uploads/${"2".repeat(32)}.json.bak`,
      `uploads/x${"3".repeat(32)}.json`,
      "images/README",
      `images/${sha256.slice(0, 2)}/notes`,
      `images/${sha256.slice(0, 2)}/${path.slice(-62)}.bak`,
    ]
  ) await Deno.writeTextFile(join(folder, stray), "{");
  // Longer than a hash from the front, too.
  await Deno.mkdir(join(folder, "images", "xx"));
  await Deno.writeTextFile(join(folder, "images", "xx", sha256), "{");
  const [half, odd] = ["0".repeat(32), "1".repeat(32)];
  await Deno.writeTextFile(join(folder, "uploads", `${half}.json`), '{"maxBy');
  await Deno.writeTextFile(join(folder, "uploads", `${odd}.json`), '{"maxBytes":9}');
  const images = await open();
  assert.deepEqual(
    (await Array.fromAsync(images.list())).map((one) => one.sha256),
    [sha256],
  );
  await images.receiveUpload!(id, imageOf(1, 1));
  // A ticket that cannot be read is one whose time is up.
  await assert.rejects(images.receiveUpload!(half, imageOf(1, 1)), missing);
  assert.equal(await images.removeExpiredUploads(), 2);
  for (const gone of [half, odd]) {
    assert.equal(names(join(folder, "uploads")).includes(`${gone}.json`), false);
  }
});

folderTest(
  "an old image that is put again is put later, and one that is removed leaves nothing",
  async (scene) => {
    const { open, world, folder, putOld } = scene;
    await open();
    const image = imageOf(1);
    const { sha256 } = await putOld(image, 1_000);
    const images = await open();
    const [before] = await Array.fromAsync(images.list());
    assert.deepEqual(before, { sha256, bytes: 100, putMs: 1_000 });
    await world.advance(7_000);
    assert.equal(await images.put(sha256, image), "present");
    const [after] = await Array.fromAsync(images.list());
    assert.equal(after!.putMs, Math.floor(world.nowMs()));
    assert.equal(await images.has(sha256Of(imageOf(2))), false);
    const away = () => Promise.reject(new Error("the records are away"));
    assert.equal(await images.remove(sha256, away), false);
    assert.equal(await images.has(sha256), true);
    assert.equal(await images.remove(sha256, unused), true);
    assert.equal(await images.has(sha256), false);
    assert.deepEqual(names(join(folder, "unfinished")), []);
    assert.equal(await images.remove(sha256, unused), false);
  },
);

folderTest("what it keeps and what is none is said by its name", async (scene) => {
  const { open, putOld } = scene;
  await open();
  const { sha256, path } = await putOld(imageOf(1));
  const images = await open();
  await Deno.writeFile(path, imageOf(2));
  await assert.rejects(images.get(sha256), {
    ...{ name: "ImageStoreError", kind: "corrupt" },
    message: `Image ${sha256} on disk has other bytes than it should`,
  });
  const none = sha256Of(imageOf(3));
  await assert.rejects(images.get(none), { ...missing, message: `There is no image ${none}` });
  for (const bad of ["x" + none, none + "0", none.slice(1), ""]) {
    for (
      const ask of [
        () => images.get(bad),
        () => images.put(bad, imageOf(3)),
        () => images.has(bad),
        () => images.remove(bad, unused),
      ]
    ) {
      await assert.rejects(ask(), {
        ...missing,
        message: "What is asked for is no SHA-256 in hex",
      });
    }
  }
});

folderTest(
  "a probe leaves nothing, and says that nothing can be written",
  async ({ open, folder, block, putOld }) => {
    const images = await open();
    await images.probe();
    assert.deepEqual(names(join(folder, "unfinished")), []);
    await block("unfinished");
    await assert.rejects(images.probe(), unavailable("written"));
    await assert.rejects(images.openUpload(upload), unavailable("written"));
    const { sha256 } = await putOld(imageOf(1));
    await assert.rejects(images.remove(sha256, unused), unavailable("removed"));
  },
);

folderTest(
  "an upload that cannot be opened holds no place, one that cannot be written says so",
  async (scene) => {
    const { open, folder, block } = scene;
    const images = await open({ maxUploads: 1 });
    await block("uploads");
    for (let number = 0; number < 2; number++) {
      await assert.rejects(images.openUpload(upload), unavailable("written"));
    }
    await Deno.remove(join(folder, "uploads"));
    await Deno.mkdir(join(folder, "uploads"));
    const { id } = await images.openUpload(upload);
    await block("uploads");
    await assert.rejects(images.receiveUpload!(id, imageOf(1, 1)), unavailable("written"));
    assert.deepEqual(names(join(folder, "unfinished")), [], "what is half written takes no space");
    await assert.rejects(images.readUpload(id, 10), unavailable("read"));
    await assert.rejects(images.removeUpload(id), unavailable("removed"));
  },
);

folderTest("a folder that is none is said to be, whatever is asked", async ({ open, block }) => {
  const images = await open();
  const image = imageOf(1);
  await images.put(sha256Of(image), image);
  await block("segments");
  await assert.rejects(images.get(sha256Of(image)), unavailable("read"));
  await assert.rejects(images.put(sha256Of(imageOf(2)), imageOf(2)), unavailable("written"));
  await block("images");
  await assert.rejects(open(), unavailable("opened"));
});

folderTest(
  "an operator's tool leaves what is half written to the server",
  async ({ open, folder }) => {
    await open();
    await Deno.writeTextFile(join(folder, "unfinished", "half"), "written");
    await open({ cleans: false });
    assert.deepEqual(names(join(folder, "unfinished")), ["half"]);
    await open();
    assert.deepEqual(names(join(folder, "unfinished")), []);
  },
);
