import assert from "node:assert/strict";
import fc from "fast-check";
import { LineSplitter } from "./line_splitter.ts";

const encoder = new TextEncoder();

function split(chunks: readonly Uint8Array[], maxLineBytes = 64) {
  const found: string[] = [];
  const splitter = new LineSplitter({
    onLine: (line) => found.push(line),
    onRefused: (kind, beginning) => found.push(`! ${kind} ${beginning.slice(0, 8)}`),
  }, maxLineBytes);
  for (const chunk of chunks) splitter.push(chunk);
  splitter.end();
  return found;
}

/** The bytes cut at these places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [0, ...places.map((one) => one % (bytes.length + 1)).sort((a, b) => a - b)];
  return at.map((from, i) => bytes.slice(from, at[i + 1]));
}

Deno.test("LineSplitter finds the same lines however the bytes are cut", () => {
  const lines = fc.array(
    fc.string({ unit: "grapheme", maxLength: 12 }).map((s) => s.replaceAll(/[\r\n]/g, "")),
  );
  fc.assert(fc.property(lines, fc.array(fc.nat()), fc.boolean(), (lines, places, ended) => {
    const text = lines.join("\n") + (ended ? "\n" : "");
    const wanted = lines.filter((line) => line !== "");
    assert.deepEqual(split(cut(encoder.encode(text), places), 1_000), wanted);
  }));
});

Deno.test("LineSplitter takes CRLF, empty lines and a last line without its end", () => {
  assert.deepEqual(split([encoder.encode("a\r\n\n\r\nb\nc")]), ["a", "b", "c"]);
  assert.deepEqual(split([]), []);
});

Deno.test("LineSplitter passes over a line that is too long, however it comes, and reads the next", () => {
  const long = "x".repeat(200);
  const bytes = encoder.encode(`a\n${long}\nb\n`);
  const wanted = ["a", "! too-long xxxxxxxx", "b"];
  assert.deepEqual(split([bytes]), wanted);
  for (const size of [1, 7, 60, 100]) {
    const chunks = Array.from(
      { length: Math.ceil(bytes.length / size) },
      (_, i) => bytes.slice(i * size, (i + 1) * size),
    );
    assert.deepEqual(split(chunks), wanted, `in pieces of ${size}`);
  }
  assert.deepEqual(split([encoder.encode(long)]), ["! too-long xxxxxxxx"]);
});

Deno.test("LineSplitter holds no more than the limit of a line that never ends", () => {
  const splitter = new LineSplitter({ onLine() {}, onRefused() {} }, 1_000);
  for (let i = 0; i < 100; i++) {
    splitter.push(new Uint8Array(300).fill(0x61));
    assert.ok(splitter.heldBytes <= 1_000);
  }
  assert.equal(splitter.heldBytes, 0);
});

Deno.test("LineSplitter refuses the one line that is not UTF-8, not its neighbours", () => {
  const latin1 = new Uint8Array([0x63, 0x61, 0x66, 0xe9]);
  const bytes = new Uint8Array([
    ...encoder.encode("good\n"),
    ...latin1,
    ...encoder.encode("\nétoile\n"),
  ]);
  assert.deepEqual(split([bytes]), ["good", "! not-utf-8 caf�", "étoile"]);
  assert.deepEqual(split(cut(bytes, [3, 7, 9, 11])), ["good", "! not-utf-8 caf�", "étoile"]);
});
