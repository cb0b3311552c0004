/**
 * For tests: messages by chance, and the golden bytes of the contract.
 *
 * @module
 */
import fc from "fast-check";
import type { Message } from "./message.ts";

/** The SHA-256 of "Ping!". */
export const hash = "70786050c8c0afa2dbc7ec43e4a227500b555d57fa82c4e8bf64c3612fc95539";
/** The bytes that the contract gives. */
export const golden = {
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
/** Any message. */
export const message = fc.oneof(
  fc.record({ kind: fc.constant("ping" as const), id: bytes, data, extension }, {
    requiredKeys: ["kind", "id", "data"],
    noNullPrototype: true,
  }),
  fc.record(
    { kind: fc.constant("pong" as const), id: bytes, requestId: bytes, data, extension },
    { requiredKeys: ["kind", "id", "requestId", "data"], noNullPrototype: true },
  ),
) as fc.Arbitrary<Message>;
