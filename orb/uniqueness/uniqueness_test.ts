import assert from "node:assert/strict";
import { ImageRefusedError } from "../signups/uniqueness.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { examinedSize, smallPng } from "../test_small_png.ts";
import { checkImage } from "./image_header.ts";
import { asJpeg, asPng, photograph } from "./test_iris_captures.ts";
import { openUniqueness, parseThreshold, type UniquenessMode } from "./uniqueness.ts";
import type { UniquenessThread } from "./uniqueness_worker.ts";

const { signal } = new AbortController();
const first = photograph(1, { scale: .4 });

for (const mode of ["perceptual", "iris"] as const) {
  testWith(["read"], `openUniqueness() recognises images by its threads: ${mode}`, async () => {
    const skipped: number[] = [];
    const uniqueness = openUniqueness({ mode, onSkipped: (count) => skipped.push(count) });
    try {
      const known = await uniqueness.fingerprint(checkImage(asPng(first)), signal);
      assert.equal(await uniqueness.nearest(known!), undefined, "nothing was accepted yet");
      uniqueness.add([
        { seq: 1, signupId: "first", bytes: known! },
        { seq: 2, signupId: "of another mode", bytes: Uint8Array.of(9, 9) },
      ]);

      const again = await uniqueness.fingerprint(checkImage(asJpeg(first, 60)), signal);
      const found = await uniqueness.nearest(again!);
      assert.equal(found?.signupId, "first");
      assert.ok(found.distance <= uniqueness.threshold!, `${found.distance}`);
      assert.equal(uniqueness.compare(known!, again!), found.distance);
      assert.deepEqual(skipped, [1]);

      uniqueness.clear();
      assert.equal(await uniqueness.nearest(again!), undefined);
    } finally {
      uniqueness.close();
    }
  });
}

testWith(
  ["read"],
  "openUniqueness() refuses what cannot be compared, with a reason for its sender",
  async () => {
    const uniqueness = openUniqueness({ mode: "iris" });
    try {
      const stripes = Uint8Array.from({ length: 128 * 128 }, (_, at) => at % 9 * 20);
      for (
        const [bytes, reason] of [
          [Uint8Array.of(1, 2, 3), /neither PNG nor JPEG/],
          [asPng({ width: 128, height: 128, levels: stripes }), /No iris is seen/],
          [asPng(first).subarray(0, 500), /ends before its end/],
        ] as const
      ) {
        await assert.rejects(
          uniqueness.fingerprint(checkImage(bytes), signal),
          (error) => error instanceof ImageRefusedError && reason.test(error.message),
        );
      }
    } finally {
      uniqueness.close();
    }
  },
);

/** A thread that never answers `describe`. */
function stuckThread(started: { count: number; ended: number }): UniquenessThread {
  started.count++;
  return {
    waiting: 0,
    ask: ({ type }) => type === "describe" ? new Promise(() => {}) : Promise.resolve({}),
    end: () => started.ended++,
  };
}

Deno.test("openUniqueness() gives an image that takes too long up, and its thread with it", async () => {
  const world = new VirtualWorld({ seed: 1 });
  const started = { count: 0, ended: 0 };
  const uniqueness = openUniqueness({
    mode: "perceptual",
    maxDecodeMs: 5_000,
    world,
    startThread: () => stuckThread(started),
  });
  const asked = uniqueness.fingerprint(checkImage(asPng(first)), signal);
  const outcome = assert.rejects(asked, /not decoded within 5000 ms/);
  await world.advance(5_000);
  await outcome;
  assert.deepEqual(started, { count: 3, ended: 1 });
  uniqueness.close();
});

testWith(["read"], "openUniqueness() stops waiting when its caller does", async () => {
  const uniqueness = openUniqueness({ mode: "perceptual" });
  const caller = new AbortController();
  const asked = uniqueness.fingerprint(checkImage(asPng(first)), caller.signal);
  caller.abort(new Error("the lease is over"));
  await assert.rejects(asked, /the lease is over/);
  uniqueness.close();
});

Deno.test("openUniqueness() says that its index is lost", async () => {
  const uniqueness = openUniqueness({
    mode: "perceptual",
    startThread: () => ({
      waiting: 0,
      ask: () => Promise.reject(new Error("out of memory")),
      end: () => {},
    }),
  });
  await assert.rejects(uniqueness.died, /index of the uniqueness check is lost: out of memory/);
  uniqueness.close();
});

Deno.test("openUniqueness() compares by bytes only unless it is asked to do more", async () => {
  const uniqueness = openUniqueness();
  assert.equal(uniqueness.mode, "exact");
  const image = checkImage(Uint8Array.of(1, 2, 3));
  assert.equal(await uniqueness.fingerprint(image, signal), undefined);
});

Deno.test("openUniqueness() looks into PNGs by a thread, which starts with the first, also where only bytes are compared", async () => {
  const asked: string[] = [];
  let started = 0;
  let ended = 0;
  const uniqueness = openUniqueness({
    startThread() {
      started++;
      return {
        waiting: 0,
        ask: ({ type }) => Promise.resolve((asked.push(type), {})),
        end: () => ended++,
      };
    },
  });
  const jpeg = { bytes: Uint8Array.of(1), mediaType: "image/jpeg", width: 1, height: 1 } as const;
  await uniqueness.fingerprint(jpeg, signal);
  assert.deepEqual([started, asked], [0, []]);
  const png = checkImage(smallPng(examinedSize));
  assert.equal(await uniqueness.fingerprint(png, signal), undefined);
  await uniqueness.fingerprint(png, signal);
  uniqueness.close();
  assert.deepEqual([started, ended, asked], [1, 1, ["examine", "examine"]]);
});

testWith(["read"], "openUniqueness() refuses a PNG that is none inside, in a thread", async () => {
  const uniqueness = openUniqueness();
  const whole = smallPng(examinedSize);
  const broken = whole.slice();
  broken.fill(7, broken.indexOf(0x78, 33), broken.length - 16);
  const short = whole.slice();
  new DataView(short.buffer).setUint32(20, examinedSize.height + 1);
  try {
    await uniqueness.fingerprint(checkImage(whole), signal);
    for (const [bytes, reason] of [[broken, /data is broken/], [short, /inflate to/]] as const) {
      await assert.rejects(
        uniqueness.fingerprint(checkImage(bytes), signal),
        (error) => error instanceof ImageRefusedError && reason.test(error.message),
      );
    }
  } finally {
    uniqueness.close();
  }
});

Deno.test("openUniqueness() refuses options out of range", () => {
  const open = (mode: UniquenessMode, options: object) => () =>
    openUniqueness({ mode, startThread: () => stuckThread({ count: 0, ended: 0 }), ...options });
  assert.throws(open("iris", { threshold: .5 }), /'iris' must be from 0 to 0.45: .* 0.5/);
  assert.throws(open("perceptual", { threshold: NaN }), RangeError);
  assert.throws(open("perceptual", { threads: 0 }), /'threads' must be an integer from 1 to 64/);
  assert.equal(parseThreshold("8"), 8);
  for (const text of ["", "-1", "x", "65"]) assert.throws(() => parseThreshold(text), text);
});
