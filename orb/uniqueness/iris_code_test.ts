import assert from "node:assert/strict";
import { ImageError } from "./image_header.ts";
import {
  decodeIrisCode,
  encodeIrisCode,
  irisCodeBytes,
  irisCodeOf,
  irisDistance,
  shifted,
} from "./iris_code.ts";
import { IrisIndex } from "./iris_index.ts";
import { findEye } from "./iris_segmentation.ts";
import { asJpeg, photograph } from "./test_iris_captures.ts";
import { decodeImage } from "./decode_image.ts";

const threshold = .32;

Deno.test("findEye() finds pupil and iris, however large and bright the photograph is", () => {
  const { pupil, iris } = findEye(photograph(1));
  for (const [change, factor] of [[{ scale: .6 }, .6], [{ brightness: 20 }, 1]] as const) {
    const other = findEye(photograph(1, change));
    assert.ok(Math.abs(other.pupil.radius - pupil.radius * factor) < 4, JSON.stringify(change));
    assert.ok(Math.abs(other.iris.radius - iris.radius * factor) < 4, JSON.stringify(change));
  }
});

Deno.test("irisDistance() is small for photographs of one eye, and near a half for two eyes", () => {
  const eyes = [1, 2, 3].map((eye) => irisCodeOf(photograph(eye)));
  const changes = [
    { capture: 71 },
    { capture: 72, rotation: 8 },
    { capture: 73, rotation: -10, noise: 8 },
    { capture: 74, crop: .05, scale: .8 },
    { capture: 75, blur: 2 },
  ];
  changes.forEach((change, index) => {
    const eye = index % eyes.length;
    const code = irisCodeOf(photograph(eye + 1, change));
    const same = irisDistance(eyes[eye]!, code).distance;
    const other = irisDistance(eyes[(eye + 1) % 3]!, code).distance;
    assert.ok(same < .2, `${JSON.stringify(change)}: ${same}`);
    assert.ok(other > .36, `another eye: ${other}`);
  });
});

Deno.test("irisCodeOf() survives another encoding", () => {
  const image = photograph(4);
  const again = irisCodeOf(decodeImage(asJpeg(image, 40)));
  assert.ok(irisDistance(irisCodeOf(image), again).distance < .15);
});

Deno.test("irisDistance() undoes a shift; a code crosses its bytes whole", () => {
  const code = irisCodeOf(photograph(6));
  for (const columns of [-15, -1, 0, 7, 15]) {
    assert.deepEqual(irisDistance(code, shifted(code, columns)), {
      distance: 0,
      shift: 0 - columns,
    });
  }
  assert.ok(irisDistance(code, shifted(code, 40)).distance > .3, "no further than 15 columns");
  const bytes = encodeIrisCode(code);
  assert.equal(bytes.length, irisCodeBytes);
  assert.deepEqual(decodeIrisCode(bytes), code);
  assert.throws(() => decodeIrisCode(bytes.subarray(1)), RangeError);
});

Deno.test("irisCodeOf() refuses what shows no iris, with the reason", () => {
  const width = 128;
  const flat = new Uint8Array(width * width).fill(120);
  const noise = flat.map((_, at) => (at * 7_919) % 251);
  for (const levels of [flat, noise]) {
    assert.throws(
      () => irisCodeOf({ width, height: width, levels }),
      (error) => error instanceof ImageError && error.kind === "iris" && /iris/.test(error.message),
    );
  }
  const small = { width: 20, height: 20, levels: new Uint8Array(400) };
  assert.throws(() => irisCodeOf(small), /only 20 × 20 pixels/);
});

Deno.test("IrisIndex finds what a comparison with every code finds", () => {
  const index = new IrisIndex();
  const codes = [1, 2, 3, 4].map((eye) => irisCodeOf(photograph(eye, { scale: .4 })));
  codes.forEach((code, place) => assert.equal(index.add(code), place));
  // Turned codes fill it further; the nearest is the one that was turned least.
  for (let count = 0; count < 100; count++) index.add(shifted(codes[count % 4]!, 40 + count));
  const probe = irisCodeOf(photograph(3, { capture: 99, rotation: 5, scale: .4 }));
  const expected = irisDistance(codes[2]!, probe).distance;
  assert.deepEqual(index.nearest(probe, threshold), { place: 2, distance: expected });
  assert.equal(index.nearest(irisCodeOf(photograph(9, { scale: .4 })), threshold), undefined);
  assert.equal(index.size, 104);
  index.clear();
  assert.equal(index.nearest(probe, threshold), undefined);
});
