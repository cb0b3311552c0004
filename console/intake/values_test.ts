import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AnyValueSchema, KeyValueSchema } from "../../service/otlp/proto/gen/common_pb.ts";
import {
  attribute,
  AttributeReader,
  plainAttributes,
  plainValue,
  valueText,
  WholeDouble,
} from "./values.ts";

const limits = { maxValueLength: 10, maxAttributes: 4 };

function any(value: MessageInitShape<typeof AnyValueSchema>["value"]) {
  return create(AnyValueSchema, { value: value! });
}

function pair(key: string, value: MessageInitShape<typeof AnyValueSchema>["value"]) {
  return create(KeyValueSchema, { key, value: { value: value! } });
}

Deno.test("AttributeReader keeps every kind of value as JSON can show it", () => {
  const reader = new AttributeReader({ maxValueLength: 100, maxAttributes: 20 });
  const list = { values: [{ value: { case: "boolValue" as const, value: true } }, {}] };
  const attributes = reader.attributes([
    pair("text", { case: "stringValue", value: "a" }),
    pair("int", { case: "intValue", value: -3n }),
    pair("large", { case: "intValue", value: 9_223_372_036_854_775_807n }),
    pair("double", { case: "doubleValue", value: 3 }),
    pair("infinite", { case: "doubleValue", value: Infinity }),
    pair("bytes", { case: "bytesValue", value: new Uint8Array([1, 2, 3]) }),
    pair("list", { case: "arrayValue", value: list }),
    pair("map", { case: "kvlistValue", value: { values: [{ key: "k" }] } }),
    pair("__proto__", { case: "stringValue", value: "harmless" }),
    create(KeyValueSchema, { key: "empty" }),
  ]);
  assert.deepEqual(
    JSON.parse(
      JSON.stringify(plainAttributes(attributes)),
      (key, value) => key === "__proto__" ? undefined : value,
    ),
    {
      text: "a",
      int: -3,
      large: "9223372036854775807",
      double: 3,
      infinite: "Infinity",
      bytes: "AQID",
      list: [true, null],
      map: { k: null },
      empty: null,
    },
  );
  assert.equal(
    Object.getOwnPropertyDescriptor(plainAttributes(attributes), "__proto__")?.value,
    "harmless",
  );
  assert.equal(reader.truncated, 0);
});

Deno.test("AttributeReader cuts text at its limit, but never through a character", () => {
  const reader = new AttributeReader(limits);
  assert.equal(reader.text("0123456789"), "0123456789");
  assert.equal(reader.truncated, 0);
  assert.equal(reader.text("0123456789a"), "0123456789");
  assert.equal(reader.text("012345678\u{1f600}"), "012345678");
  assert.equal(reader.truncated, 2);
});

Deno.test("AttributeReader leaves out what is beyond its number, at any depth", () => {
  const reader = new AttributeReader(limits);
  const six = Array.from(
    { length: 6 },
    (_, i) => pair(`k${i}`, { case: "boolValue", value: true }),
  );
  assert.deepEqual(Object.keys(plainAttributes(reader.attributes(six))), ["k0", "k1", "k2", "k3"]);
  assert.equal(reader.truncated, 2);
  const wide = any({
    case: "arrayValue",
    value: { values: Array.from({ length: 9 }, () => ({})) },
  });
  assert.deepEqual(plainValue(reader.value(wide)), [null, null, null, null]);
  let deep = any({ case: "stringValue", value: "bottom" });
  for (let i = 0; i < 30; i++) deep = any({ case: "arrayValue", value: { values: [deep] } });
  assert.equal(
    valueText(new AttributeReader({ ...limits, maxAttributes: 99 }).value(deep)),
    "[[[[[[[[[]]]]]]]]]",
  );
});

Deno.test("AttributeReader keeps keys once, and counts what it keeps", () => {
  const reader = new AttributeReader({ maxValueLength: 100, maxAttributes: 20 });
  reader.attributes([pair("a-key-of-some-length", { case: "boolValue", value: true })]);
  const first = reader.bytes;
  reader.bytes = 0;
  reader.attributes([pair("a-key-of-some-length", { case: "boolValue", value: true })]);
  assert.ok(reader.bytes < first, "the key is counted the first time only");
});

Deno.test("AttributeReader tells whole doubles from integers, and keeps integers that a number cannot", () => {
  const reader = new AttributeReader({ maxValueLength: 8, maxAttributes: 20 });
  const largest = BigInt(Number.MAX_SAFE_INTEGER);
  assert.ok(reader.value(any({ case: "doubleValue", value: 3 })) instanceof WholeDouble);
  assert.equal(reader.value(any({ case: "doubleValue", value: 3.5 })), 3.5);
  assert.equal(reader.value(any({ case: "intValue", value: largest })), Number(largest));
  assert.equal(reader.value(any({ case: "intValue", value: largest + 1n })), largest + 1n);
  assert.equal(reader.value(undefined), null);
  assert.equal(reader.value(any({ case: undefined })), null);
});

Deno.test("AttributeReader cuts bytes to whole groups of base64, and says so", () => {
  const reader = new AttributeReader({ maxValueLength: 8, maxAttributes: 20 });
  const bytes = (length: number) =>
    plainValue(reader.value(any({ case: "bytesValue", value: new Uint8Array(length) })));
  assert.deepEqual([bytes(6), reader.truncated], ["AAAAAAAA", 0]);
  assert.deepEqual([bytes(7), reader.truncated], ["AAAAAAAA", 1]);
});

Deno.test("AttributeReader counts the bytes of each kind", () => {
  const reader = new AttributeReader({ maxValueLength: 100, maxAttributes: 20 });
  const costs = (value: Parameters<typeof any>[0]) => {
    reader.bytes = 0;
    reader.value(any(value));
    return reader.bytes;
  };
  assert.equal(costs({ case: "stringValue", value: "abc" }), 27);
  assert.equal(costs({ case: "intValue", value: 1n }), 8);
  assert.equal(costs({ case: "doubleValue", value: 1.5 }), 16);
  assert.equal(costs({ case: "boolValue", value: true }), 0);
  assert.equal(costs({ case: "bytesValue", value: new Uint8Array(3) }), 36);
  assert.equal(costs({ case: "arrayValue", value: { values: [{}, {}] } }), 40);
  assert.equal(costs({ case: "kvlistValue", value: { values: [{ key: "k" }] } }), 56 + 25);
  reader.bytes = 0;
  reader.attributes(["k", "k"].map((key) => pair(key, { case: "boolValue", value: true })));
  assert.equal(reader.bytes, 24 + 2 * 16);
  const [first, second] = ["k", "k"].map((key) => ({ key }));
  assert.equal(costs({ case: "kvlistValue", value: { values: [first!, second!] } }), 40 + 2 * 16);
});

Deno.test("AttributeReader lets nested values share their limits, each list its own", () => {
  const reader = new AttributeReader(limits);
  const list = { values: Array.from({ length: 3 }, () => ({})) };
  const nested = any({
    case: "arrayValue",
    value: {
      values: [
        { value: { case: "arrayValue", value: list } },
        { value: { case: "kvlistValue", value: { values: [{ key: "a" }, { key: "b" }] } } },
      ],
    },
  });
  assert.equal(valueText(reader.value(nested)), "[[null,null],{}]");
  assert.equal(reader.truncated, 2);
  // The next value begins anew.
  assert.deepEqual(plainValue(reader.value(any({ case: "arrayValue", value: list }))), [
    ...[null, null, null],
  ]);
  assert.equal(reader.truncated, 2);
  let deep = any({ case: "boolValue", value: true });
  for (let i = 0; i < 8; i++) {
    deep = any({ case: "kvlistValue", value: { values: [{ key: "k", value: deep }] } });
  }
  const eight = new AttributeReader({ ...limits, maxAttributes: 99 });
  assert.equal(valueText(eight.value(deep)), `${'{"k":'.repeat(8)}true${"}".repeat(8)}`);
  assert.equal(eight.truncated, 0);
  eight.value(any({ case: "arrayValue", value: { values: [deep] } }));
  assert.equal(eight.truncated, 1);
});

Deno.test("AttributeReader cuts nothing that fits, and no longer name is kept twice", () => {
  const reader = new AttributeReader({ maxValueLength: 300, maxAttributes: 20 });
  for (const [length, isKept] of [[255, true], [256, false]] as const) {
    const name = "n".repeat(length);
    reader.name(name);
    reader.bytes = 0;
    assert.equal(reader.name(name), name);
    assert.equal(reader.bytes === 0, isKept, `${length}`);
  }
  // Half of a pair that was sent so stays what it is: nothing is cut there.
  const short = new AttributeReader({ maxValueLength: 3, maxAttributes: 20 });
  assert.equal(short.text("ab\u{1f600}"), "ab");
  assert.equal(short.text("a\u{1f600}b"), "a\u{1f600}");
  assert.equal(short.text("ab\ud800\udc00"), "ab", "the first of all pairs");
  assert.equal(short.text("ab\udc00c"), "ab\ufffd", "the second half alone is no half of the next");
});

Deno.test("attribute() gives the first of a key, plainAttributes() the last", () => {
  const stored = ["a", 1, "b", "a", "a", 3];
  assert.equal(attribute(stored, "a"), 1);
  assert.equal(attribute(stored, "b"), "a");
  assert.equal(attribute(stored, "none"), undefined);
  assert.deepEqual({ ...plainAttributes(stored) }, { a: 3, b: "a" });
});

Deno.test("plainValue() and valueText() show what JSON has no word for", () => {
  assert.deepEqual([NaN, -Infinity, 1.5, null, true].map(plainValue), [
    ...["NaN", "-Infinity", 1.5, null, true],
  ]);
  assert.equal(valueText("as it is"), "as it is");
  assert.equal(valueText(Infinity), "Infinity");
  assert.equal(valueText(7n), "7");
  assert.equal(valueText([1, "a"]), '[1,"a"]');
  assert.equal(valueText(null), "null");
});
