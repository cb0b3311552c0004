import assert from "node:assert/strict";
import { ChunkReader, smallChunks } from "./chunk_reader.ts";

/** A byte stream that gives as much as is asked for, as QUIC's do. */
function counting(length: number): { stream: ReadableStream<Uint8Array>; asked: number[] } {
  const asked: number[] = [];
  let at = 0;
  const stream = new ReadableStream({
    type: "bytes",
    pull(controller) {
      const view = controller.byobRequest!.view as Uint8Array;
      asked.push(view.byteLength);
      const bytes = Math.min(view.byteLength, length - at);
      for (let index = 0; index < bytes; index++) view[index] = (at + index) & 0xff;
      at += bytes;
      if (bytes === 0) controller.close();
      controller.byobRequest!.respond(bytes);
    },
  }, { highWaterMark: 0 });
  return { stream, asked };
}

Deno.test("ChunkReader gives every byte in order, its buffer growing with the traffic", async () => {
  const { stream, asked } = counting(100_000);
  const reader = new ChunkReader(stream, { firstBytes: 1_024, maxBytes: 8_192 });
  let got = 0;
  for (let chunk = await reader.read(); chunk; chunk = await reader.read()) {
    for (const byte of chunk) assert.equal(byte, got++ & 0xff);
  }
  assert.equal(got, 100_000);
  assert.deepEqual(asked.slice(0, 5), [1_024, 2_048, 4_096, 8_192, 8_192]);
});

Deno.test("smallChunks() gives chunks that stay as they are", async () => {
  const chunks = await Array.fromAsync(smallChunks(counting(1_000).stream, 256));
  assert.deepEqual(chunks.map(({ length }) => length), [256, 256, 256, 232]);
  const whole = chunks.flatMap((chunk) => [...chunk]);
  assert.ok(whole.every((byte, at) => byte === (at & 0xff)));
});
