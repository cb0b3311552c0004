import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeMessage, encodeMessage, type Message } from "./message.ts";
import { ProtocolError } from "./protocol_error.ts";
import { golden, hash, message } from "./test_messages.ts";

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
  for (const [kind, hex] of Object.entries(wrong)) {
    assert.throws(() => decodeMessage(Uint8Array.fromHex(hex)), { name: "ProtocolError", kind });
  }
  for (const length of ["ffffffffffffffff", "0000000000000080", "f000000000000000"]) {
    const hex = golden.ping.replace("2000000000000000", length);
    assert.throws(() => decodeMessage(Uint8Array.fromHex(hex)), { kind: "truncated" }, length);
  }
});
