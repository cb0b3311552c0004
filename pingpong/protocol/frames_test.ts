import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeFrame, FrameDecoder, pongFramer } from "./frames.ts";
import type { Message } from "./message.ts";
import { golden, hash, message } from "./test_messages.ts";

Deno.test("encodeFrame() puts the length before the message, big-endian", () => {
  const ping: Message = { kind: "ping", id: Uint8Array.fromHex(hash), data: "Ping!" };
  assert.equal(encodeFrame(ping).toHex(), "000000000000003d" + golden.ping);
});

Deno.test("pongFramer() gives the bytes of encodeFrame(), whatever the id", () => {
  const id = Uint8Array.fromHex(hash);
  const frame = pongFramer(id, "Pong!");
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (requestId) => {
    assert.deepEqual(
      frame(requestId),
      encodeFrame({ kind: "pong", id, requestId, data: "Pong!" }),
    );
  }));
});

Deno.test("FrameDecoder gives the same messages however the stream is cut", () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 });
  fc.assert(fc.property(fc.array(message, { maxLength: 12 }), cuts, (messages, sizes) => {
    const stream = new Uint8Array(messages.flatMap((one) => [...encodeFrame(one)]));
    const decoder = new FrameDecoder();
    const decoded: Message[] = [];
    for (let at = 0, turn = 0; at < stream.length; turn++) {
      const size = sizes[turn % sizes.length]!;
      decoder.push(stream.slice(at, at += size), (message) => decoded.push(message));
    }
    decoder.end();
    assert.deepEqual(decoded, messages);
  }));
});

Deno.test("FrameDecoder refuses lengths of 0, above the limit, 2^63 and 2^64-1", () => {
  const wrong: Record<string, string> = {
    "0000000000000000": "empty-frame",
    "0000000000000401": "frame-too-large",
    "8000000000000000": "frame-too-large",
    "ffffffffffffffff": "frame-too-large",
  };
  for (const [hex, kind] of Object.entries(wrong)) {
    const decoder = new FrameDecoder({ maxFrameBytes: 1024 });
    assert.throws(() => decoder.push(Uint8Array.fromHex(hex), () => assert.fail()), { kind }, hex);
  }
});

Deno.test("FrameDecoder gives the messages before a bad one, and tells of a frame cut off", () => {
  const good = encodeFrame({ kind: "ping", id: Uint8Array.of(1), data: "a" });
  const decoder = new FrameDecoder();
  const kinds: string[] = [];
  const push = () =>
    decoder.push(Uint8Array.from([...good, ...new Uint8Array(8)]), ({ kind }) => kinds.push(kind));
  assert.throws(push, { kind: "empty-frame" });
  assert.deepEqual(kinds, ["ping"]);
  const cut = new FrameDecoder();
  cut.push(good.subarray(0, 9), () => assert.fail());
  assert.throws(() => cut.end(), { kind: "truncated" });
});

Deno.test("FrameDecoder allocates for what has come, not for what a length promises", () => {
  const decoders = Array.from({ length: 2_000 }, () => new FrameDecoder());
  const before = Deno.memoryUsage();
  // 2,000 frames of a promised mebibyte each: 2 GiB if the promise were believed.
  for (const decoder of decoders) {
    decoder.push(Uint8Array.fromHex("0000000000100000aa"), () => assert.fail());
  }
  const after = Deno.memoryUsage();
  const grown = after.external + after.heapUsed - before.external - before.heapUsed;
  assert.ok(grown < 16_000_000, `${grown} bytes more`);
});

Deno.test("FrameDecoder takes a large frame in single bytes without copying it each time", () => {
  const large: Message = { kind: "ping", id: Uint8Array.of(), data: "x".repeat(300_000) };
  const decoder = new FrameDecoder();
  const decoded: Message[] = [];
  for (const byte of encodeFrame(large)) {
    decoder.push(Uint8Array.of(byte), (message) => decoded.push(message));
  }
  assert.deepEqual(decoded, [large]);
});
