import assert from "node:assert/strict";
import { deflateSync } from "node:zlib";
import { encode } from "fast-png";
import { decodeImage } from "./decode_image.ts";
import { checkImage, ImageError, readImageHeader } from "./image_header.ts";
import { asJpeg } from "./test_iris_captures.ts";

const encoder = new TextEncoder();

/** A chunk without a good check sum, which nobody asks for. */
function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  new DataView(bytes.buffer).setUint32(0, data.length);
  bytes.set(encoder.encode(type), 4);
  bytes.set(data, 8);
  return bytes;
}

function header(width: number, height: number, depth = 8, colourType = 0, interlace = 0) {
  const data = new Uint8Array(13);
  const view = new DataView(data.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  data.set([depth, colourType, 0, 0, interlace], 8);
  return chunk("IHDR", data);
}

function png(...chunks: Uint8Array[]): Uint8Array {
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const parts = [signature, ...chunks, chunk("IEND", new Uint8Array())];
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** Rows of samples, each with the filter byte 0 before it, packed. */
function rows(...lines: number[][]): Uint8Array {
  return deflateSync(Uint8Array.from(lines.flatMap((line) => [0, ...line])));
}

function refusal(image: Uint8Array): ImageError {
  try {
    decodeImage(image);
  } catch (error) {
    assert.ok(error instanceof ImageError, String(error));
    return error;
  }
  throw new Error("it was decoded");
}

Deno.test("decodeImage() reads a PNG of grey levels as it is", () => {
  const data = Uint8Array.from({ length: 12 }, (_, index) => index * 20);
  const image = encode({ width: 4, height: 3, data, depth: 8, channels: 1 });
  assert.deepEqual(decodeImage(image), { width: 4, height: 3, levels: data });
});

Deno.test("decodeImage() weighs colours and leaves alpha out", () => {
  const rgba = Uint8Array.of(255, 0, 0, 0, 0, 255, 0, 128, 0, 0, 255, 255, 255, 255, 255, 9);
  const image = encode({ width: 4, height: 1, data: rgba, depth: 8, channels: 4 });
  assert.deepEqual([...decodeImage(image).levels], [76, 150, 29, 255]);
});

Deno.test("decodeImage() reads 16 bits, less than 8 bits, a palette and interlaced rows", () => {
  const deep = encode({
    width: 2,
    height: 1,
    data: Uint16Array.of(0, 65_535),
    depth: 16,
    channels: 1,
  });
  assert.deepEqual([...decodeImage(deep).levels], [0, 255]);

  const bits = png(header(3, 2, 1), chunk("IDAT", rows([0b1010_0000], [0b0100_0000])));
  assert.deepEqual([...decodeImage(bits).levels], [255, 0, 255, 0, 255, 0]);

  const palette = png(
    header(2, 1, 8, 3),
    chunk("PLTE", Uint8Array.of(0, 0, 0, 255, 255, 255)),
    chunk("IDAT", rows([1, 0])),
  );
  assert.deepEqual([...decodeImage(palette).levels], [255, 0]);

  // Adam7 of 2 by 2: passes 1, 6 and 7.
  const interlaced = png(header(2, 2, 8, 0, 1), chunk("IDAT", rows([1], [2], [3, 4])));
  assert.deepEqual([...decodeImage(interlaced).levels], [1, 2, 3, 4]);
});

Deno.test("decodeImage() reads a JPEG nearly as it was", () => {
  const levels = Uint8Array.from({ length: 64 * 64 }, (_, index) => (index % 64) * 4);
  const decoded = decodeImage(asJpeg({ width: 64, height: 64, levels }, 90));
  assert.equal(decoded.width, 64);
  const worst = Math.max(...levels.map((level, index) => Math.abs(level - decoded.levels[index]!)));
  assert.ok(worst < 12, `${worst} levels off`);
});

Deno.test("decodeImage() refuses a 50,000-pixel-wide PNG before it allocates", () => {
  const wide = png(header(50_000, 50_000), chunk("IDAT", rows([0])));
  assert.equal(refusal(wide).kind, "size");
  assert.match(refusal(wide).message, /50000 × 50000 pixels; at most 4096 a side/);
  assert.throws(() => checkImage(wide), ImageError);
});

Deno.test("decodeImage() stops a PNG that inflates to more than its size asks for", () => {
  const bomb = png(header(4, 4), chunk("IDAT", deflateSync(new Uint8Array(64 * 2 ** 20))));
  assert.ok(bomb.length < 100_000, `${bomb.length} bytes`);
  const before = Deno.memoryUsage().external;
  assert.equal(refusal(bomb).kind, "broken");
  assert.match(refusal(bomb).message, /inflate to more than the 20 bytes/);
  assert.ok(Deno.memoryUsage().external - before < 16 * 2 ** 20, "it was not inflated");
});

Deno.test("decodeImage() does not inflate a colour profile, which a library would", () => {
  const profile = new Uint8Array([...encoder.encode("p"), 0, 0, ...deflateSync(new Uint8Array(9))]);
  const broken = profile.subarray(0, profile.length - 6);
  const image = png(header(1, 1), chunk("iCCP", broken), chunk("IDAT", rows([7])));
  assert.deepEqual([...decodeImage(image).levels], [7]);
});

Deno.test("decodeImage() says what is broken", () => {
  const short = png(header(4, 4), chunk("IDAT", rows([1, 2, 3, 4])));
  assert.match(refusal(short).message, /inflate to 5 bytes, its size asks for 20/);
  const good = encode({ width: 4, height: 4, data: new Uint8Array(16), depth: 8, channels: 1 });
  assert.match(refusal(good.subarray(0, 40)).message, /ends before its end/);
  assert.match(refusal(good.subarray(0, 20)).message, /does not begin with its header/);
  assert.match(refusal(png(header(0, 4))).message, /0 × 4 pixels/);
  assert.match(refusal(png(header(4, 4, 8, 5))).message, /colour type 5 of 8 bits/);
  assert.equal(refusal(png(header(4, 4, 4, 0, 1), chunk("IDAT", rows([1])))).kind, "format");
  const jpeg = asJpeg({ width: 16, height: 16, levels: new Uint8Array(256) }, 50);
  assert.equal(refusal(jpeg.subarray(0, 200)).kind, "broken");
  assert.equal(refusal(encoder.encode("no image")).kind, "format");
});

Deno.test("checkImage() says what bytes are, and their size", () => {
  const data = new Uint8Array(6);
  const image = encode({ width: 3, height: 2, data, depth: 8, channels: 1 });
  assert.deepEqual(checkImage(image), {
    bytes: image,
    mediaType: "image/png",
    width: 3,
    height: 2,
  });
  const jpeg = asJpeg({ width: 24, height: 8, levels: new Uint8Array(192) }, 50);
  assert.deepEqual(readImageHeader(jpeg), { format: "jpeg", width: 24, height: 8 });
  const other = Uint8Array.of(1, 2, 3);
  assert.equal(checkImage(other).mediaType, "application/octet-stream");
});
