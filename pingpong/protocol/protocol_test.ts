import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeMessage,
  encodeFrame,
  encodeMessage,
  FrameDecoder,
  type Message,
  PingIds,
  pongFramer,
  ProtocolError,
} from "./protocol.ts";

const hash = "70786050c8c0afa2dbc7ec43e4a227500b555d57fa82c4e8bf64c3612fc95539";
const golden = {
  ping: "00000000" + "2000000000000000" + hash + "00000000" + "0500000000000000" + "50696e6721",
  pong: "01000000" + "0200000000000000" + "abcd" + "0300000000000000" + "010203" + "01000000" +
    "0500000000000000" + "506f6e6721",
};

const bytes = fc.uint8Array({ maxLength: 80 });
const u53 = fc.maxSafeNat();
const hex = (digits: number) =>
  fc.uint8Array({ minLength: digits / 2, maxLength: digits / 2 }).map((id) => id.toHex());
const extension = fc.record({
  seq: u53,
  ackBelow: u53,
  fromMailbox: fc.constant(true),
  mailboxReceived: fc.constant(true),
  trace: fc.record({ traceId: hex(32), spanId: hex(16), traceFlags: fc.nat(255) }, {
    noNullPrototype: true,
  }),
}, { requiredKeys: ["seq", "ackBelow"], noNullPrototype: true });
const data = fc.string({ unit: "grapheme", maxLength: 200 });
const message = fc.oneof(
  fc.record({ kind: fc.constant("ping" as const), id: bytes, data, extension }, {
    requiredKeys: ["kind", "id", "data"],
    noNullPrototype: true,
  }),
  fc.record(
    { kind: fc.constant("pong" as const), id: bytes, requestId: bytes, data, extension },
    { requiredKeys: ["kind", "id", "requestId", "data"], noNullPrototype: true },
  ),
) as fc.Arbitrary<Message>;

Deno.test("encodeMessage() gives the golden bytes, and decodeMessage() takes them", () => {
  const ping: Message = { kind: "ping", id: Uint8Array.fromHex(hash), data: "Ping!" };
  assert.equal(encodeMessage(ping).toHex(), golden.ping);
  assert.equal(encodeMessage(ping).length, 61);
  assert.deepEqual(decodeMessage(Uint8Array.fromHex(golden.ping)), ping);
  const pong: Message = {
    kind: "pong",
    id: Uint8Array.of(0xab, 0xcd),
    requestId: Uint8Array.of(1, 2, 3),
    data: "Pong!",
  };
  assert.equal(encodeMessage(pong).toHex(), golden.pong);
  assert.deepEqual(decodeMessage(Uint8Array.fromHex(golden.pong)), pong);
});

Deno.test("the golden ping's id is the SHA-256 of its data", async () => {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("Ping!"));
  assert.equal(new Uint8Array(digest).toHex(), hash);
});

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

Deno.test("an extension's bytes are these", () => {
  const ping: Message = {
    kind: "ping",
    id: Uint8Array.of(),
    data: "",
    extension: {
      seq: 258,
      ackBelow: 2 ** 40,
      mailboxReceived: true,
      trace: {
        traceId: "0af7651916cd43dd8448eb211c80319c",
        spanId: "b7ad6b7169203331",
        traceFlags: 1,
      },
    },
  };
  assert.equal(
    encodeMessage(ping).subarray(24).toHex(),
    "50505831" + "05" + "0201000000000000" + "0000000000010000" +
      "0af7651916cd43dd8448eb211c80319c" + "b7ad6b7169203331" + "01",
  );
});

Deno.test("decodeMessage() gives back what encodeMessage() was given", () => {
  fc.assert(fc.property(message, (one) => {
    assert.deepEqual(decodeMessage(encodeMessage(one)), one);
  }));
});

Deno.test("decodeMessage() takes each text for itself, whatever came before it", () => {
  const texts = [
    "Ping!",
    "Ping!",
    "Pong!",
    "",
    "Pin",
    "Ping!!",
    "Grüße",
    "\u0000",
    "x".repeat(100),
  ];
  for (const data of [...texts, ...texts.toReversed()]) {
    const ping: Message = { kind: "ping", id: Uint8Array.of(1), data };
    assert.deepEqual(decodeMessage(encodeMessage(ping)), ping);
  }
});

Deno.test("decodeMessage() leaves bytes behind the message unread, as bincode does", () => {
  const whole = Uint8Array.fromHex(golden.ping + "50505831ff");
  assert.deepEqual(decodeMessage(whole), decodeMessage(Uint8Array.fromHex(golden.ping)));
});

Deno.test("decodeMessage() refuses any other bytes with ProtocolError only", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (junk) => {
    refusesOrTakes(() => decodeMessage(junk));
  }));
  // Bytes that are nearly right find more than bytes that are all wrong.
  fc.assert(fc.property(message, fc.nat(), fc.nat(255), (one, where, byte) => {
    const encoded = encodeMessage(one);
    encoded[where % encoded.length] = byte;
    refusesOrTakes(() => decodeMessage(encoded));
    refusesOrTakes(() => decodeMessage(encoded.subarray(0, where % encoded.length)));
  }));
});

function refusesOrTakes(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    assert.ok(error instanceof ProtocolError, String(error));
  }
}

Deno.test("decodeMessage() names what is wrong", () => {
  const wrong: Record<string, string> = {
    "unknown-tag": "02000000",
    "unknown-message-type": "00000000" + "0000000000000000" + "07000000",
    "bad-utf8": "00000000" + "0000000000000000" + "00000000" + "0100000000000000" + "ff",
    "truncated": golden.ping.slice(0, -2),
  };
  for (const [code, hex] of Object.entries(wrong)) {
    assert.throws(() => decodeMessage(Uint8Array.fromHex(hex)), { name: "ProtocolError", code });
  }
  for (const length of ["ffffffffffffffff", "0000000000000080", "f000000000000000"]) {
    const hex = golden.ping.replace("2000000000000000", length);
    assert.throws(() => decodeMessage(Uint8Array.fromHex(hex)), { code: "truncated" }, length);
  }
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
  for (const [hex, code] of Object.entries(wrong)) {
    const decoder = new FrameDecoder({ maxFrameBytes: 1024 });
    assert.throws(() => decoder.push(Uint8Array.fromHex(hex), () => assert.fail()), { code }, hex);
  }
});

Deno.test("FrameDecoder gives the messages before a bad one, and tells of a frame cut off", () => {
  const good = encodeFrame({ kind: "ping", id: Uint8Array.of(1), data: "a" });
  const decoder = new FrameDecoder();
  const kinds: string[] = [];
  const push = () =>
    decoder.push(Uint8Array.from([...good, ...new Uint8Array(8)]), ({ kind }) => kinds.push(kind));
  assert.throws(push, { code: "empty-frame" });
  assert.deepEqual(kinds, ["ping"]);
  const cut = new FrameDecoder();
  cut.push(good.subarray(0, 9), () => assert.fail());
  assert.throws(() => cut.end(), { code: "truncated" });
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

Deno.test("PingIds are unique, 32 bytes, and know their own", () => {
  const [ours, others] = [new PingIds(), new PingIds()];
  assert.equal(ours.id(2 ** 40 + 1).length, 32);
  assert.equal(ours.seq(ours.id(2 ** 40 + 1)), 2 ** 40 + 1);
  assert.equal(ours.seq(others.id(1)), undefined);
  assert.equal(ours.seq(Uint8Array.of(1)), undefined);
  assert.notDeepEqual(ours.id(1), ours.id(2));
});
