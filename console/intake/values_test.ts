import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AnyValueSchema, KeyValueSchema } from "../../service/otlp/proto/gen/common_pb.ts";
import { AttributeReader, plainAttributes, plainValue, valueText } from "./values.ts";

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
