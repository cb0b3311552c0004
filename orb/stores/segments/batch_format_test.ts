import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import {
  type BatchHead,
  decodeHead,
  encodeHead,
  entryBytes,
  headBytes,
  headLength,
  imageBytesOf,
  maxEntries,
} from "./batch_format.ts";

const sha256 = "ab".repeat(32);
const head: BatchHead = {
  ...{ kind: "images", putMs: 1_795_000_000_000.5 },
  entries: [{ sha256, bytes: 7 }, { sha256: "00".repeat(32), bytes: 4_294_967_295 }],
};

/** A head of which something is changed, with a sum that is right all the same. */
function changed(change: (view: DataView) => void): Uint8Array {
  const bytes = encodeHead(head);
  const view = new DataView(bytes.buffer);
  change(view);
  view.setUint32(12, 0, true);
  view.setUint32(12, crc32(bytes), true);
  return bytes;
}

Deno.test("a batch's head is read as it was written, wherever it stands and whatever follows", () => {
  for (const kind of ["images", "removed"] as const) {
    const bytes = encodeHead({ ...head, kind });
    assert.equal(bytes.length, headBytes + 2 * entryBytes);
    assert.equal(headLength(bytes), bytes.length);
    assert.deepEqual(decodeHead(bytes), { ...head, kind });
    const within = new Uint8Array(200);
    within.set(bytes, 9);
    assert.deepEqual(decodeHead(within.subarray(9)), { ...head, kind });
  }
  const single = { ...head, entries: head.entries.slice(0, 1) };
  assert.deepEqual(decodeHead(encodeHead(single)), single);
  assert.equal(imageBytesOf(head), 4_294_967_302);
  assert.equal(imageBytesOf({ ...head, kind: "removed" }), 0);
});

Deno.test("a batch's head is these bytes, whatever machine writes them", () => {
  const bytes = encodeHead({ kind: "removed", putMs: 1, entries: [{ sha256, bytes: 258 }] });
  assert.equal(
    bytes.toHex(),
    [
      "4f494231",
      "02000000",
      "01000000",
      bytes.subarray(12, 16).toHex(),
      "000000000000f03f",
      "0000000000000000",
      sha256,
      "0201000000000000",
    ].join(""),
  );
  assert.equal(new DataView(encodeHead(head).buffer).getFloat64(24, true), 4_294_967_302);
});

Deno.test("what is no head, is cut short or was touched is none", () => {
  const bytes = encodeHead(head);
  assert.equal(headLength(bytes.subarray(0, headBytes - 1)), undefined);
  assert.equal(headLength(bytes.subarray(0, headBytes)), bytes.length);
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(decodeHead(bytes.subarray(0, length)), undefined, `${length} bytes`);
  }
  for (let at = 0; at < bytes.length; at++) {
    assert.equal(decodeHead(bytes.with(at, bytes[at]! ^ 1)), undefined, `byte ${at}`);
  }
  for (const kind of [0, 3]) {
    assert.equal(decodeHead(changed((view) => view.setUint32(4, kind, true))), undefined);
  }
  assert.equal(headLength(changed((view) => view.setUint32(0, 7, true))), undefined);
  assert.equal(headLength(changed((view) => view.setUint32(8, 0, true))), undefined);
  assert.equal(headLength(changed((view) => view.setUint32(8, maxEntries + 1, true))), undefined);
  assert.equal(
    headLength(changed((view) => view.setUint32(8, maxEntries, true))),
    headBytes + maxEntries * entryBytes,
  );
});
