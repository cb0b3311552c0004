/**
 * What is written to a segment's file and read from it, byte by byte; and what of the folder's files
 * is none of ours.
 *
 * @module
 */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { join } from "node:path";
import { testWith } from "../../../service/testing/permissions.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";
import { VirtualWorld } from "../../../service/world/virtual_world.ts";
import { realWorld } from "../../../service/world/world.ts";
import { appendSynced, cutOff } from "./append_segment.ts";
import { type BatchHead, encodeHead } from "./batch_format.ts";
import { ImageSegments, type ImageSegmentsOptions, segmentsFolder } from "./image_segments.ts";
import { readAt, readBatches, segmentNumbers, segmentPath } from "./read_segments.ts";

const mebibyte = 1024 ** 2;

function fileTest(name: string, run: (folder: string) => Promise<void>): void {
  testWith(["read", "write"], `segment files: ${name}`, () => withTempFolder(run));
}

async function emptyFile(folder: string): Promise<string> {
  const path = join(folder, "file");
  await Deno.writeFile(path, new Uint8Array());
  return path;
}

fileTest("parts of any size are there as they were, one behind the other", async (folder) => {
  const path = await emptyFile(folder);
  const sizes = [3, 65_536, 65_536, 65_536, 65_533, 1, 65_537, 7, 200_000, 5];
  const parts = sizes.map((size, number) => new Uint8Array(size).fill(number + 1));
  const end = await appendSynced(path, { offset: 10, reservedEnd: 0, parts });
  const whole = new Uint8Array(10 + sizes.reduce((sum, size) => sum + size, 0));
  let at = 10;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  assert.deepEqual(await Deno.readFile(path), whole);
  assert.equal(end, whole.length, "too large for zeros ahead");
});

fileTest(
  "a mebibyte of zeros is written ahead of what is small, where there are none",
  async (folder) => {
    const path = await emptyFile(folder);
    const append = (offset: number, reservedEnd: number, bytes: number) =>
      appendSynced(path, { offset, reservedEnd, parts: [new Uint8Array(bytes).fill(1)] });
    const size = async () => (await Deno.stat(path)).size;
    assert.equal(await append(0, 0, 100), 100 + mebibyte);
    assert.equal(await size(), 100 + mebibyte);
    // Within them, to their very end: nothing is written ahead.
    assert.equal(await append(100, 100 + mebibyte, mebibyte), 100 + mebibyte);
    assert.equal(await append(100, 100 + mebibyte, 50), 100 + mebibyte);
    assert.equal(await append(mebibyte, 100 + mebibyte, 100), 100 + mebibyte);
    assert.equal(await size(), 100 + mebibyte);
    assert.equal(
      await append(100 + mebibyte, 100 + mebibyte, 262_144),
      100 + 2 * mebibyte + 262_144,
    );
    const { length } = await Deno.readFile(path);
    assert.equal(await append(length, length, 262_145), length + 262_145);
    assert.equal(await size(), length + 262_145);
  },
);

fileTest(
  "what is half written is cut off; that it cannot be is not what is told",
  async (folder) => {
    const path = await emptyFile(folder);
    await Deno.writeFile(path, new Uint8Array(100));
    await cutOff(path, 40);
    assert.equal((await Deno.stat(path)).size, 40);
    await cutOff(join(folder, "none"), 40);
  },
);

fileTest("segments are what is called so, by their numbers", async (folder) => {
  for (
    const name of [
      ...["00000012.segment", "00000002.segment", "123456789.segment"],
      ...["x00000001.segment", "00000003.segment.bak", "4.segment", "notes"],
    ]
  ) await Deno.writeTextFile(join(folder, name), "");
  assert.deepEqual(await segmentNumbers(folder), [2, 12, 123_456_789]);
  assert.equal(segmentPath(folder, 7), join(folder, "00000007.segment"));
  assert.equal(segmentsFolder("/data"), join("/data", "segments"));
});

fileTest("a read gives what there is, and no more", async (folder) => {
  const path = join(folder, "file");
  await Deno.writeFile(path, Uint8Array.from({ length: 10 }, (_, at) => at));
  using file = await Deno.open(path);
  assert.deepEqual([...await readAt(file, 7, 10)], [7, 8, 9]);
  assert.deepEqual([...await readAt(file, 2, 3)], [2, 3, 4]);
  assert.deepEqual([...await readAt(file, 10, 3)], []);
});

fileTest(
  "batches are read whole, however long their heads; what is cut is none",
  async (folder) => {
    const path = join(folder, "file");
    const entriesOf = (count: number) =>
      Array.from({ length: count }, (_, number) => {
        const bytes = Uint8Array.of(number & 0xff, number >> 8);
        return { bytes, sha256: hash("sha256", bytes, "hex") };
      });
    const written: Uint8Array[] = [];
    // 4,096 bytes are read at once: heads of less, of just so many, and of more.
    for (const count of [1, 101, 102, 1_024]) {
      const images = entriesOf(count);
      const head: BatchHead = {
        ...{ kind: "images", putMs: count },
        entries: images.map(({ bytes, sha256 }) => ({ sha256, bytes: bytes.length })),
      };
      written.push(encodeHead(head), ...images.map(({ bytes }) => bytes));
    }
    const removed: BatchHead = {
      ...{ kind: "removed", putMs: 5 },
      entries: [{ sha256: entriesOf(1)[0]!.sha256, bytes: 0 }],
    };
    written.push(encodeHead(removed));
    const whole = new Uint8Array(await new Blob(written as BlobPart[]).arrayBuffer());
    const read = async (length: number) => {
      await Deno.writeFile(path, whole.subarray(0, length));
      return await Array.fromAsync(readBatches(path, 0));
    };
    const batches = await read(whole.length);
    assert.deepEqual(batches.map(({ entries }) => entries.length), [1, 101, 102, 1_024, 1]);
    assert.equal(batches.at(-1)!.end, whole.length);
    assert.deepEqual(
      batches.slice(1).map(({ putMs, end }) => [putMs, end > 0]),
      [[101, true], [102, true], [1_024, true], [5, true]],
    );
    for (const [index, { end }] of batches.entries()) {
      const headEnd = index + 1 < batches.length ? batches[index + 1]!.offset : end;
      // Behind a batch, amid the next one's head, at its end, and amid its images.
      for (const length of [end, end + 20, end + 32, headEnd, headEnd + 1]) {
        if (length >= (batches[index + 1]?.end ?? 0)) continue;
        assert.equal((await read(length)).length, index + 1, `${length} bytes`);
      }
    }
  },
);

const imageOf = (number: number, length = 1_000): [string, Uint8Array] => {
  const bytes = new Uint8Array(length).fill(number);
  new DataView(bytes.buffer).setUint32(0, number);
  return [hash("sha256", bytes, "hex"), bytes];
};

async function open(
  path: string,
  options: Partial<ImageSegmentsOptions> = {},
): Promise<ImageSegments> {
  const segments = new ImageSegments({ path, world: realWorld, owns: true, ...options });
  await segments.open();
  return segments;
}

const unused = () => Promise.resolve(true);
const batchesOf = async (folder: string, number: number) =>
  (await Array.fromAsync(readBatches(segmentPath(folder, number), 0)))
    .map(({ kind, entries }) => [kind, entries.length]);

fileTest(
  "only who owns the segments deletes empty ones, at a start and at a removal",
  async (folder) => {
    await Deno.writeFile(segmentPath(folder, 5), new Uint8Array());
    const image = imageOf(1);
    await (await open(folder, { owns: false })).put(...image);
    assert.deepEqual(await segmentNumbers(folder), [5, 6]);
    const tool = await open(folder, { owns: false });
    assert.equal(await tool.remove(image[0], unused), true);
    assert.deepEqual(await segmentNumbers(folder), [5, 6, 7]);
    await open(folder);
    assert.deepEqual(
      await segmentNumbers(folder),
      [],
      "6 has none left, so 7 says nothing any more",
    );
  },
);

fileTest("more images than a batch may have are two, removals one of their own", async (folder) => {
  const segments = await open(folder);
  const many = Array.from({ length: 1_025 }, (_, number) => imageOf(number, 8));
  await Promise.all(many.map((image) => segments.put(...image)));
  assert.deepEqual(await batchesOf(folder, 1), [["images", 1_024], ["images", 1]]);
  await Promise.all([
    segments.put(...imageOf(2_000)),
    segments.remove(many[0]![0], unused),
    segments.put(...imageOf(2_001)),
  ]);
  const kinds = (await batchesOf(folder, 1)).slice(2);
  assert.equal(kinds.filter(([kind]) => kind === "removed").length, 1);
  for (const opened of [segments, await open(folder, { owns: false })]) {
    assert.equal(await opened.get(many[0]![0]), undefined);
    for (const image of [many[1]!, imageOf(2_000), imageOf(2_001)]) {
      assert.deepEqual(await opened.get(image[0]), image[1]);
    }
  }
});

fileTest("a segment that is just full is followed by the next", async (folder) => {
  // A head of one entry has 72 bytes.
  const segments = await open(folder, { segmentBytes: 1_000, batchBytes: 2_000 });
  await segments.put(...imageOf(1, 928));
  await segments.put(...imageOf(2, 926));
  assert.deepEqual(await segmentNumbers(folder), [1, 2]);
  await segments.put(...imageOf(3, 4));
  assert.deepEqual(await segmentNumbers(folder), [1, 2], "two bytes are left in the second");
  await Promise.all([segments.put(...imageOf(4)), segments.put(...imageOf(5))]);
  assert.deepEqual(
    await batchesOf(folder, 3),
    [["images", 2]],
    "as many bytes as a batch may have",
  );
});

fileTest(
  "an image that ends with its file is there; a segment that is gone is no matter",
  async (folder) => {
    const segments = await open(folder, { segmentBytes: 400_000 });
    const [large, other] = [imageOf(1, 450_000), imageOf(2)];
    await segments.put(...large);
    await segments.put(...other);
    assert.equal(await segments.size(large[0]), 450_000);
    assert.equal(await segments.put(...large), "present");
    await Deno.remove(segmentPath(folder, 1));
    assert.equal(await segments.remove(large[0], unused), true);
    assert.deepEqual(await segmentNumbers(folder), [2]);
    assert.deepEqual(await segments.get(other[0]), other[1]);
  },
);

fileTest("the segment that is written to is tidied by nobody", async (folder) => {
  const segments = await open(folder);
  const images = Array.from({ length: 4 }, (_, number) => imageOf(number));
  for (const image of images) await segments.put(...image);
  for (const [sha256] of images.slice(1)) await segments.remove(sha256, unused);
  const before = await batchesOf(folder, 1);
  await segments.tidy();
  assert.deepEqual(await batchesOf(folder, 1), before);
  assert.deepEqual(await segmentNumbers(folder), [1]);
});

fileTest(
  "a segment that cannot be read is an error, not an image that is not there",
  async (folder) => {
    const segments = await open(folder);
    const image = imageOf(1);
    await segments.put(...image);
    await Deno.remove(segmentPath(folder, 1));
    await Deno.mkdir(segmentPath(folder, 1));
    await assert.rejects(segments.get(image[0]), /directory/i);
  },
);

fileTest(
  "what waits together is one batch only where it is of one kind and one time",
  async (folder) => {
    const world = new VirtualWorld();
    const segments = await open(folder, { world, segmentBytes: 1_500 });
    const [old, gone, removed] = [imageOf(1, 200), imageOf(2, 1_300), imageOf(3)];
    for (const image of [old, gone, removed]) await segments.put(...image);
    const putMs = world.nowMs();
    await segments.remove(gone[0], unused);
    await world.advance(5_000);
    // While this one is on its way to the disk, all others wait.
    const writing = segments.put(...imageOf(4, 4_000_000));
    await Promise.resolve().then(() => {}).then(() => {});
    await Promise.all([
      writing,
      segments.put(...imageOf(5)),
      segments.remove(removed[0], unused),
      segments.put(...imageOf(6)),
      segments.tidy(),
    ]);
    for (const opened of [segments, await open(folder, { world, owns: false })]) {
      const found = new Map(
        (await Array.fromAsync(opened.list())).map((one) => [one.sha256, one]),
      );
      assert.equal(found.get(old[0])!.putMs, putMs, "it was copied, not put");
      assert.equal(found.get(imageOf(5)[0])!.putMs, putMs + 5_000);
      assert.equal(await opened.get(removed[0]), undefined);
      for (const image of [old, imageOf(5), imageOf(6)]) {
        assert.deepEqual(await opened.get(image[0]), image[1]);
      }
    }
  },
);
