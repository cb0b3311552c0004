import assert from "node:assert/strict";
import { decode } from "fast-png";
import { irisImage } from "./iris_image.ts";

Deno.test("irisImage() makes a greyscale PNG of the size that the original sends", () => {
  const image = irisImage(1);
  assert.ok(image.length > 275_000 && image.length < 295_000, `${image.length} bytes`);
  const { width, height, channels, depth, data } = decode(image, { checkCrc: true });
  assert.deepEqual({ width, height, channels, depth }, {
    width: 628,
    height: 628,
    channels: 1,
    depth: 8,
  });
  const centre = data[314 * width + 314]!;
  const sclera = data[314 * width + 20]!;
  assert.ok(centre < 50, "the pupil is dark");
  assert.ok(sclera > 120, "the sclera is bright");
});

Deno.test("irisImage() gives the same bytes for the same seed and others for another", () => {
  assert.deepEqual(irisImage(7), irisImage(7));
  assert.notDeepEqual(irisImage(7), irisImage(8));
});
