import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import { openImageFolder, uploadPath } from "./image_folder.ts";
import { ImageStoreError } from "./image_store.ts";
import { imageSuite } from "./image_suite.ts";
import { damageImage } from "./test_image_damage.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";

let folder = "";

function folderTest(name: string, run: () => Promise<void>): void {
  testWith(["read", "write"], name, () =>
    withTempFolder((temporary) => {
      folder = temporary;
      return run();
    }));
}

/** Keeps an image as it was kept before there were segments. */
async function putOld(bytes: Uint8Array): Promise<{ sha256: string; path: string }> {
  const sha256 = hash("sha256", bytes, "hex");
  const path = join(folder, "images", sha256.slice(0, 2), sha256.slice(2));
  await Deno.mkdir(join(path, ".."), { recursive: true });
  await Deno.writeFile(path, bytes);
  return { sha256, path };
}

imageSuite({
  name: "folder",
  test: folderTest,
  async open({ uploadTimeoutMs }) {
    const again = () => openImageFolder({ path: folder, uploadTimeoutMs });
    const images = await again();
    return {
      images,
      again,
      async send(url, _headers, bytes) {
        try {
          await images.receiveUpload!(url.slice(uploadPath.length + 1), bytes);
          return 200;
        } catch (error) {
          assert.ok(error instanceof ImageStoreError);
          return 422;
        }
      },
      corrupt: (sha256, bytes) => damageImage(folder, sha256, bytes),
    };
  },
});

folderTest("a folder is emptied of what a crash left half written", async () => {
  const first = await openImageFolder({ path: folder });
  await Deno.writeFile(join(folder, "unfinished", "half"), new Uint8Array(10));
  const ticket = await first.openUpload({ maxBytes: 10, mediaType: "image/png" });
  const second = await openImageFolder({ path: folder });
  assert.deepEqual([...Deno.readDirSync(join(folder, "unfinished"))], []);
  await second.receiveUpload!(ticket.id, new Uint8Array([1]));
  assert.deepEqual(await second.readUpload(ticket.id, 10), new Uint8Array([1]));
});

folderTest("a folder takes only so many uploads at once", async () => {
  const images = await openImageFolder({ path: folder, maxUploads: 1 });
  const ticket = await images.openUpload({ maxBytes: 10, mediaType: "image/png" });
  await assert.rejects(images.openUpload({ maxBytes: 10, mediaType: "image/png" }), {
    kind: "full",
  });
  await images.removeUpload(ticket.id);
  await images.openUpload({ maxBytes: 10, mediaType: "image/png" });
});

folderTest("images from before there were segments are given, listed and removed", async () => {
  const image = new Uint8Array(100).fill(7);
  const { sha256, path } = await putOld(image);
  const images = await openImageFolder({ path: folder });
  assert.equal(await images.has(sha256), true);
  assert.deepEqual(await images.get(sha256), image);
  assert.equal(await images.put(sha256, image), "present");
  assert.deepEqual((await Array.fromAsync(images.list())).map((one) => one.sha256), [sha256]);
  assert.equal(await images.remove(sha256, () => Promise.resolve(false)), false);
  assert.equal(await images.remove(sha256, () => Promise.resolve(true)), true);
  await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
});

folderTest("an old image that was cut short under its name is written anew", async () => {
  const image = new Uint8Array(100).fill(7);
  const { sha256, path } = await putOld(image);
  const images = await openImageFolder({ path: folder });
  await Deno.truncate(path, 50);
  assert.equal(await images.put(sha256, image), "new");
  assert.deepEqual(await images.get(sha256), image);
});
