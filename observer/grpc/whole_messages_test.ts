import assert from "node:assert/strict";
import { wholeMessages } from "./whole_messages.ts";

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const messages = [[1, 2, 3], [], [4], Array(300).fill(9)].map((body) =>
  new Uint8Array([0, 0, 0, body.length >> 8, body.length & 255, ...body])
);
const bytes = new Uint8Array(messages.flatMap((message) => [...message]));

Deno.test("wholeMessages() gives each message in one piece, however the bytes are cut", async () => {
  for (let size = 1; size <= bytes.length; size++) {
    assert.deepEqual(await Array.fromAsync(wholeMessages(cut(bytes, size), 300)), messages);
  }
});

Deno.test("wholeMessages() gives an answer that is cut short as far as it goes", async () => {
  for (const length of [1, 4, 7, 11, 13, bytes.length - 1]) {
    const pieces = await Array.fromAsync(wholeMessages(cut(bytes.subarray(0, length), 3), 300));
    assert.deepEqual(pieces.flatMap((piece) => [...piece]), [...bytes.subarray(0, length)]);
  }
});

Deno.test("wholeMessages() holds nothing of a message beyond the limit", async () => {
  const pieces = await Array.fromAsync(wholeMessages(cut(bytes, 16), 299));
  assert.deepEqual(pieces.flatMap((piece) => [...piece]), [...bytes]);
  assert.ok(pieces.every(({ length }) => length <= 16));
});
