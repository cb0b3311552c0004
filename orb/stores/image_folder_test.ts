import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import { openImageFolder, uploadPath } from "./image_folder.ts";
import { ImageStoreError } from "./image_store.ts";
import { imageSuite } from "./image_suite.ts";

let folder = "";

function folderTest(name: string, run: () => Promise<void>): void {
  testWith(["read", "write"], name, async () => {
    folder = await Deno.makeTempDir();
    try {
      await run();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
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
      corrupt: (sha256, bytes) =>
        Deno.writeFile(join(folder, "images", sha256.slice(0, 2), sha256.slice(2)), bytes),
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

folderTest("an image that was cut short under its name is written anew", async () => {
  const images = await openImageFolder({ path: folder });
  const image = new Uint8Array(100).fill(7);
  const sha256 = hash("sha256", image, "hex");
  await images.put(sha256, image);
  await Deno.truncate(join(folder, "images", sha256.slice(0, 2), sha256.slice(2)), 50);
  assert.equal(await images.put(sha256, image), "new");
  assert.deepEqual(await images.get(sha256), image);
});
