import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeFields, encodeFields, QpackError } from "./qpack.ts";

Deno.test("decodeFields() reads the static table, RFC 9204 appendix B.1", () => {
  const section = Uint8Array.fromHex("0000510b2f696e6465782e68746d6c");
  assert.deepEqual(decodeFields(section), [[":path", "/index.html"]]);
});

Deno.test("decodeFields() finds a status in every form that peers send", () => {
  const forms = {
    "static entry": "0000d9",
    "name reference, plain value": "00005f0903323030",
    "name reference, Huffman value": "00005f09821001",
    "literal name": "000027003a73746174757303323030",
  };
  for (const [form, hex] of Object.entries(forms)) {
    const bytes = Uint8Array.fromHex(hex);
    assert.deepEqual(decodeFields(bytes), [[":status", "200"]], form);
  }
});

Deno.test("decodeFields() decodes the Huffman strings of RFC 7541, appendix C.4 and C.6", () => {
  const examples = {
    "www.example.com": "f1e3c2e5f23a6ba0ab90f4ff",
    "no-cache": "a8eb10649cbf",
    "custom-value": "25a849e95bb8e8b4bf",
    "Mon, 21 Oct 2013 20:13:21 GMT": "d07abe941054d444a8200595040b8166e082a62d1bff",
  };
  for (const [text, hex] of Object.entries(examples)) {
    const value = Uint8Array.fromHex(hex);
    const section = Uint8Array.of(0, 0, 0x50, 0x80 | value.length, ...value);
    assert.deepEqual(decodeFields(section), [[":authority", text]]);
  }
});

Deno.test("decodeFields() gives back what encodeFields() was given", () => {
  const text = fc.string({ unit: fc.constantFrom(..."abc-:/=?[]~ 0129"), maxLength: 300 });
  const field = fc.oneof(
    fc.tuple(text, text),
    fc.constantFrom([":method", "CONNECT"], [":status", "404"], ["origin", "null"]),
  ) as fc.Arbitrary<[string, string]>;
  fc.assert(fc.property(fc.array(field, { maxLength: 40 }), (fields) => {
    assert.deepEqual(decodeFields(encodeFields(fields)), fields);
  }));
});

Deno.test("decodeFields() refuses any bytes with QpackError only", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    try {
      decodeFields(bytes);
    } catch (error) {
      assert.ok(error instanceof QpackError, String(error));
    }
  }));
});

Deno.test("decodeFields() refuses the dynamic table, bad padding and too much", () => {
  const refused = {
    "needs a dynamic table": "020080",
    "dynamic indexed": "000080",
    "post-base": "000010",
    "static index 99": "0000ff24",
    "padding of zeros": "0000508110",
    "end symbol": "00005084ffffffff",
    "string longer than the section": "0000507f8001",
    "endless integer": "0000ffffffffffffff",
  };
  for (const [what, hex] of Object.entries(refused)) {
    assert.throws(() => decodeFields(Uint8Array.fromHex(hex)), QpackError, what);
  }
  const many = encodeFields(Array.from({ length: 200 }, () => [":status", "200"] as const));
  assert.throws(() => decodeFields(many), /more than 128 fields/);
  const large = encodeFields([["x", "y".repeat(20_000)]]);
  assert.throws(() => decodeFields(large), /16384 bytes/);
});
