import assert from "node:assert/strict";
import { randomSource } from "../iris_image.ts";
import {
  codeColumns,
  codeRows,
  type IrisCode,
  irisDistance,
  rowWords,
  shifted,
} from "./iris_code.ts";
import { IrisBeacons } from "./iris_beacons.ts";
import { IrisIndex, maxScanned } from "./iris_index.ts";

const threshold = .32;
const random = randomSource(5);

/** Bits by chance; some sectors are not to be trusted. */
function randomCode(): IrisCode {
  const plane = () =>
    Uint32Array.from({ length: codeRows * rowWords }, () => Math.floor(random() * 2 ** 32));
  const mask = new Uint32Array(codeRows * rowWords).fill(0xffffffff);
  const covered = Math.floor(random() * rowWords);
  for (let row = 0; row < codeRows; row++) mask[row * rowWords + covered] = 0;
  return { real: plane(), imaginary: plane(), mask };
}

/** The same eye once more: turned, and with so many of its bits flipped. */
function again(code: IrisCode, share: number, columns: number): IrisCode {
  const flipped = (plane: Uint32Array) =>
    plane.map((word) => {
      for (let bit = 0; bit < 32; bit++) if (random() < share) word ^= 1 << bit;
      return word;
    });
  const { real, imaginary, mask } = shifted(code, columns);
  return { real: flipped(real), imaginary: flipped(imaginary), mask };
}

Deno.test("IrisIndex finds among many what a comparison with each finds", () => {
  const index = new IrisIndex();
  const codes = Array.from({ length: maxScanned + 500 }, randomCode);
  codes.forEach((code, place) => assert.equal(index.add(code), place));
  for (let count = 0; count < 12; count++) {
    const place = Math.floor(random() * codes.length);
    const columns = Math.floor(random() * 31) - 15;
    const probe = again(codes[place]!, .02 * count, columns);
    const { distance } = irisDistance(codes[place]!, probe);
    assert.deepEqual(index.nearest(probe, threshold), { place, distance }, `${.02 * count}`);
    if (count % 6 === 0) assert.deepEqual(index.scan(probe, threshold), { place, distance });
  }
  assert.equal(index.nearest(randomCode(), threshold), undefined);
  assert.equal(index.nearest(again(codes[1]!, .05, codeColumns / 2), threshold), undefined);
  // Of two that are the same the first; one that is nearer comes before it.
  const twin = codes[7]!;
  index.add(twin);
  index.add(again(twin, .01, 0));
  assert.deepEqual(index.nearest(twin, threshold), { place: 7, distance: 0 });
  index.clear();
  assert.equal(index.nearest(twin, threshold), undefined);
});

Deno.test("blocks of beacons that are full, and merged, give the same candidates", () => {
  // Four of them are merged twice; two are full, and one is begun.
  const [small, large] = [new IrisBeacons(16), new IrisBeacons()];
  const codes = Array.from({ length: 16 * 10 + 5 }, randomCode);
  for (const code of codes) {
    small.add(code);
    large.add(code);
  }
  const sorted = (beacons: IrisBeacons, code: IrisCode) =>
    [...beacons.candidates(code)].map(({ place, shift }) => `${place} at ${shift}`).sort();
  for (const place of [0, 15, 16, 64, 100, 127, 128, 159, 160, 164]) {
    const probe = again(codes[place]!, .05, 3);
    const candidates = sorted(small, probe);
    assert.ok(candidates.includes(`${place} at -3`), candidates.join());
    assert.deepEqual(candidates, sorted(large, probe));
  }
  small.clear();
  assert.deepEqual([...small.candidates(codes[0]!)], []);
});
