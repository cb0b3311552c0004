import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { VirtualWorld } from "../../../service/world/virtual_world.ts";
import { realWorld } from "../../../service/world/world.ts";
import { testWith } from "../../../service/testing/permissions.ts";
import { ImageSegments, type ImageSegmentsOptions } from "./image_segments.ts";
import { readBatches, segmentNumbers, segmentPath } from "./read_segments.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";

let folder = "";

function segmentsTest(name: string, run: () => Promise<void>): void {
  testWith(["read", "write"], name, () =>
    withTempFolder((temporary) => {
      folder = temporary;
      return run();
    }));
}

async function open(options: Partial<ImageSegmentsOptions> = {}): Promise<ImageSegments> {
  const segments = new ImageSegments({ path: folder, world: realWorld, owns: true, ...options });
  await segments.open();
  return segments;
}

function imageOf(number: number, length = 1_000): [sha256: string, bytes: Uint8Array] {
  const bytes = new Uint8Array(length).fill(number);
  new DataView(bytes.buffer).setUint32(0, number);
  return [hash("sha256", bytes, "hex"), bytes];
}

const unused = () => Promise.resolve(true);

segmentsTest("images that come together are one batch, of any size", async () => {
  const segments = await open();
  const images = [10, 1_000, 70_000, 300, 200_000].map((length, index) => imageOf(index, length));
  // The first goes alone; what comes while it is written goes together.
  const first = segments.put(...imageOf(99));
  await Promise.resolve().then(() => {}).then(() => {});
  await Promise.all([first, ...images.map((image) => segments.put(...image))]);
  const batches = await Array.fromAsync(readBatches(segmentPath(folder, 1), 0));
  assert.deepEqual(batches.map(({ entries }) => entries.length), [1, 5]);
  for (const opened of [segments, await open()]) {
    for (const [sha256, bytes] of images) assert.deepEqual(await opened.get(sha256), bytes);
  }
});

segmentsTest(
  "small batches go where there is room already, large ones make the file longer",
  async () => {
    const segments = await open();
    const sizeAfter = async (image: [string, Uint8Array]) => {
      await segments.put(...image);
      return (await Deno.stat(segmentPath(folder, 1))).size;
    };
    const first = await sizeAfter(imageOf(1));
    assert.equal(await sizeAfter(imageOf(2)), first);
    const large = imageOf(3, first);
    const grown = await sizeAfter(large);
    assert.ok(grown > first);
    // Nothing is written ahead of what comes after a large one, until a small one is there.
    const [last] = (await Array.fromAsync(readBatches(segmentPath(folder, 1), 0))).slice(-1);
    assert.equal(grown, last!.end);
    assert.ok(await sizeAfter(imageOf(4)) > grown);
    for (const image of [imageOf(1), large, imageOf(4)]) {
      assert.deepEqual(await (await open()).get(image[0]), image[1]);
    }
  },
);

segmentsTest("the same image at once is written once", async () => {
  const segments = await open();
  const image = imageOf(1);
  const results = await Promise.all(Array.from({ length: 10 }, () => segments.put(...image)));
  assert.deepEqual(results.toSorted(), ["new", ...Array(9).fill("present")]);
  assert.equal((await Array.fromAsync(readBatches(segmentPath(folder, 1), 0))).length, 1);
});

segmentsTest(
  "what a crash left at the end of a segment is not there, what is before it is",
  async () => {
    const segments = await open();
    const [whole, half] = [imageOf(1), imageOf(2)];
    await segments.put(...whole);
    await segments.put(...half);
    const path = segmentPath(folder, 1);
    const bytes = await Deno.readFile(path);
    const [before, end] = (await Array.fromAsync(readBatches(path, 0))).map((batch) => batch.end);
    // Cut anywhere, or of the right length with other bytes, or with the zeros that were there before,
    // as a file system may leave it.
    const lengths = [before! + 1, before! + 40, before! + 100, end! - 1, end!];
    for (const length of [...lengths, ...lengths.map((one) => -one)]) {
      const left = length > 0
        ? bytes.slice(0, length)
        : bytes.map((byte, at) => at < -length ? byte : 0);
      if (Math.abs(length) === end) left[end - 1]! ^= 1;
      await Deno.writeFile(path, left);
      const opened = await open();
      assert.deepEqual(await opened.get(whole[0]), whole[1], `cut at ${length}`);
      assert.equal(await opened.get(half[0]), undefined, `cut at ${length}`);
      assert.equal(await opened.put(...half), "new");
      assert.deepEqual(await (await open()).get(half[0]), half[1]);
      for (const number of await segmentNumbers(folder)) {
        if (number > 1) await Deno.remove(segmentPath(folder, number));
      }
      await Deno.writeFile(path, bytes);
    }
  },
);

segmentsTest(
  "each start appends to a segment of its own, and what is removed stays so",
  async () => {
    const [one, two] = [imageOf(1), imageOf(2)];
    const first = await open();
    await first.put(...one);
    await first.put(...two);
    const second = await open();
    assert.equal(await second.put(...one), "present");
    assert.equal(await second.remove(one[0], unused), true);
    assert.equal(await second.remove(one[0], unused), undefined);
    assert.equal(await second.size(one[0]), undefined);
    const third = await open({ owns: false });
    assert.equal(await third.get(one[0]), undefined);
    assert.deepEqual(await third.get(two[0]), two[1]);
    // After it was removed it may come again, and that is the last word.
    assert.equal(await second.put(...one), "new");
    assert.deepEqual(await (await open({ owns: false })).get(one[0]), one[1]);
  },
);

segmentsTest(
  "segments with nothing in them are deleted, sparse ones copied, at no time without an image",
  async () => {
    const segments = await open({ segmentBytes: 10_000 });
    const images = Array.from({ length: 40 }, (_, number) => imageOf(number));
    for (const image of images) await segments.put(...image);
    assert.equal((await segmentNumbers(folder)).length, 4);
    const reader = await open({ owns: false });
    for (const [index, [sha256]] of images.entries()) {
      // All of the first segment, and most of the others.
      if (index < 10 || index % 5 !== 0) assert.equal(await segments.remove(sha256, unused), true);
    }
    assert.ok(!(await segmentNumbers(folder)).includes(1));
    const left = images.filter((_, index) => index >= 10 && index % 5 === 0);
    let isTidy = false;
    const tidying = segments.tidy().then(() => isTidy = true);
    while (!isTidy) {
      for (const [sha256, bytes] of left) assert.deepEqual(await segments.get(sha256), bytes);
    }
    await tidying;
    assert.ok((await segmentNumbers(folder)).length <= 2, "what is left fits into one");
    for (const opened of [segments, reader, await open()]) {
      for (const [sha256, bytes] of left) assert.deepEqual(await opened.get(sha256), bytes);
    }
  },
);

segmentsTest(
  "an image that is found to be needed at the last moment outlives its segment's tidying",
  async () => {
    const segments = await open({ segmentBytes: 2_000 });
    const [kept, other] = [imageOf(1), imageOf(2)];
    await segments.put(...kept);
    await segments.put(...other);
    await segments.put(...imageOf(3));
    await segments.remove(other[0], unused);
    assert.equal(
      await segments.remove(kept[0], async () => {
        await segments.tidy();
        return false;
      }),
      false,
    );
    assert.deepEqual(await segments.get(kept[0]), kept[1]);
    assert.deepEqual(await (await open()).get(kept[0]), kept[1]);
  },
);

segmentsTest(
  "an image that is put while its removal is asked about is there, also after a restart",
  async () => {
    const segments = await open();
    const image = imageOf(1);
    await segments.put(...image);
    const isRemoved = await segments.remove(image[0], async () => {
      assert.equal(await segments.put(...image), "new");
      return true;
    });
    assert.equal(isRemoved, true, "the one that was there before");
    assert.deepEqual(await segments.get(image[0]), image[1]);
    let arriving: Promise<unknown> | undefined;
    await segments.remove(image[0], () => {
      arriving = segments.put(...image);
      return Promise.resolve(true);
    });
    assert.equal(await arriving, "new");
    for (const opened of [segments, await open()]) {
      assert.deepEqual(await opened.get(image[0]), image[1]);
    }
  },
);

segmentsTest("images that another process puts are found", async () => {
  const [one, two] = [imageOf(1), imageOf(2)];
  const server = await open();
  await server.put(...one);
  const tool = await open({ owns: false });
  await server.put(...two);
  assert.deepEqual(await tool.get(two[0]), two[1]);
  assert.deepEqual((await Array.fromAsync(tool.list())).length, 2);
});

segmentsTest(
  "a segment that was deleted or cut is noticed, and nothing more is written to it",
  async () => {
    const segments = await open();
    const [one, two] = [imageOf(1), imageOf(2)];
    await segments.put(...one);
    await Deno.truncate(segmentPath(folder, 1), 500);
    assert.equal(await segments.size(one[0]), undefined);
    await Deno.remove(segmentPath(folder, 1));
    await assert.rejects(segments.put(...two), Deno.errors.NotFound);
    assert.equal(await segments.put(...two), "new");
    assert.equal(await segments.put(...one), "new");
    assert.deepEqual(await segments.get(one[0]), one[1]);
  },
);

segmentsTest("what was removed stays so while what it was put in is there", async () => {
  const [removed, kept] = [imageOf(1), imageOf(2)];
  const first = await open();
  await first.put(...removed);
  await first.put(...kept);
  // Said in a segment that holds nothing else.
  await (await open()).remove(removed[0], unused);
  for (let start = 0; start < 3; start++) {
    const again = await open();
    assert.equal(await again.get(removed[0]), undefined, `start ${start}`);
    assert.deepEqual(await again.get(kept[0]), kept[1]);
  }
  // With what it was put in, what says so goes, too.
  const last = await open();
  await last.remove(kept[0], unused);
  await open();
  await open();
  assert.deepEqual(await segmentNumbers(folder), []);
});

const listed = async (segments: ImageSegments) =>
  new Map((await Array.fromAsync(segments.list())).map((one) => [one.sha256, one]));

segmentsTest("an image that is put again is put later, one that is copied is not", async () => {
  const world = new VirtualWorld();
  const segments = await open({ world, segmentBytes: 1_500 });
  const [again, old, gone] = [imageOf(1, 200), imageOf(2, 200), imageOf(3)];
  for (const image of [again, old, gone]) await segments.put(...image);
  const firstMs = world.nowMs();
  await world.advance(5_000);
  assert.equal(await segments.put(...again), "present");
  assert.equal((await listed(segments)).get(again[0])!.putMs, firstMs + 5_000);
  assert.equal((await listed(segments)).get(old[0])!.putMs, firstMs);
  // Now the segment holds two small ones of three, and another one has begun.
  await segments.put(...imageOf(4));
  await segments.remove(gone[0], unused);
  await segments.tidy();
  assert.deepEqual(await segmentNumbers(folder), [2]);
  for (const opened of [segments, await open({ world })]) {
    const found = await listed(opened);
    assert.deepEqual(found.get(old[0]), { sha256: old[0], bytes: 200, putMs: firstMs });
    assert.equal(found.get(again[0])!.putMs, firstMs + 5_000);
  }
});

segmentsTest(
  "tidying leaves alone what is full, what is not its own, and all once it is aborted",
  async () => {
    const images = Array.from({ length: 7 }, (_, number) => imageOf(number));
    // Each start makes a segment that is not full: seven of them are not too many.
    for (const image of images) await (await open()).put(...image);
    const numbers = await segmentNumbers(folder);
    assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7]);
    await (await open()).tidy();
    assert.deepEqual(await segmentNumbers(folder), numbers);
    await (await open()).put(...imageOf(7));
    await (await open({ owns: false })).tidy();
    const owner = await open();
    await owner.tidy(AbortSignal.abort());
    assert.equal((await segmentNumbers(folder)).length, 8);
    // Eight are; those that hold half of a full one's bytes are no such.
    await (await open({ segmentBytes: 2_000 })).tidy();
    assert.equal((await segmentNumbers(folder)).length, 8);
    await owner.tidy();
    assert.deepEqual(await segmentNumbers(folder), [9]);
    for (const [sha256, bytes] of images) assert.deepEqual(await owner.get(sha256), bytes);
  },
);

segmentsTest("a removal that cannot be asked about removes nothing", async () => {
  const segments = await open();
  const image = imageOf(1);
  await segments.put(...image);
  const isRemoved = await segments.remove(image[0], () => Promise.reject(new Error("away")));
  assert.equal(isRemoved, false);
  assert.deepEqual(await segments.get(image[0]), image[1]);
});

segmentsTest("a batch has no more bytes than it may, and one image at least", async () => {
  const segments = await open({ batchBytes: 2_500, segmentBytes: 8_000 });
  const sizes = [1_000, 1_000, 1_000, 3_000, 500];
  await Promise.all(sizes.map((size, number) => segments.put(...imageOf(number, size))));
  const found = [];
  for (const number of await segmentNumbers(folder)) {
    for await (const { entries } of readBatches(segmentPath(folder, number), 0)) {
      found.push([number, entries.map(({ bytes }) => bytes)]);
    }
  }
  assert.deepEqual(found, [[1, [1_000, 1_000]], [1, [1_000]], [1, [3_000]], [1, [500]]]);
});

segmentsTest("segments and their folder are their owner's alone", async () => {
  const path = `${folder}/deep/er`;
  const segments = await open({ path });
  await segments.put(...imageOf(1));
  const modeOf = async (path: string) => (await Deno.stat(path)).mode! & 0o777;
  assert.equal(await modeOf(path), 0o700);
  assert.equal(await modeOf(segmentPath(path, 1)), 0o600);
});
