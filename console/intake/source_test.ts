import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { InstrumentationScopeSchema } from "../../service/otlp/proto/gen/common_pb.ts";
import { ResourceSchema } from "../../service/otlp/proto/gen/resource_pb.ts";
import { addOperation, ServiceTable, SourceReader } from "./source.ts";
import { AttributeReader } from "./values.ts";

const text = (key: string, value: string) => ({
  key,
  value: { value: { case: "stringValue" as const, value } },
});
const resource = (...attributes: ReturnType<typeof text>[]) =>
  create(ResourceSchema, { attributes });
const open = () => new SourceReader(new AttributeReader({ maxValueLength: 100, maxAttributes: 9 }));

Deno.test("SourceReader says who a resource is, once however often it is sent", () => {
  const reader = open();
  const [name, host] = [text("service.name", "shop"), text("host", "h")];
  const instance = text("service.instance.id", "i-1");
  const source = reader.source(resource(host, name, instance));
  assert.equal(source.service, "shop");
  assert.equal(source.instance, "i-1");
  assert.deepEqual(source.attributes, ["host", "h", "service.instance.id", "i-1"]);
  assert.equal(reader.source(resource(host, name, instance)), source);
  assert.notEqual(reader.source(resource(name)), source);
  assert.notEqual(reader.source(resource(name)).key, source.key);
  assert.notEqual(reader.source(resource(text("host", "other"), name, instance)), source);
  const number = {
    key: "service.instance.id",
    value: { value: { case: "intValue" as const, value: 7n } },
  };
  assert.equal(reader.source(resource(name, number as never)).instance, undefined);
});

Deno.test("SourceReader calls a resource without a name what the specification calls it", () => {
  const reader = open();
  const number = {
    key: "service.name",
    value: { value: { case: "intValue" as const, value: 7n } },
  };
  for (const sent of [undefined, resource(), resource(text("service.name", ""))]) {
    assert.equal(reader.source(sent).service, "unknown_service");
  }
  assert.equal(reader.source(resource(number as never)).service, "unknown_service");
  assert.equal(reader.source(undefined).instance, undefined);
});

Deno.test("SourceReader keeps a scope once: by name, version, schema and attributes", () => {
  const reader = open();
  const scope = (name: string, version: string, ...attributes: ReturnType<typeof text>[]) =>
    create(InstrumentationScopeSchema, { name, version, attributes });
  const plain = reader.scope(scope("http", "1"));
  assert.deepEqual({ ...plain, key: "" }, { name: "http", version: "1", key: "" });
  assert.equal(reader.scope(scope("http", "1"), ""), plain);
  assert.deepEqual({ ...reader.scope(undefined), key: "" }, { name: "", version: "", key: "" });
  const others = [
    reader.scope(scope("http", "2")),
    reader.scope(scope("rpc", "1")),
    reader.scope(scope("http", "1"), "schema"),
    reader.scope(scope("http", "1", text("k", "v"))),
    reader.scope(scope("http", "1", text("k", "w"))),
    reader.scope(scope("http", "1", text("k", "v")), "schema"),
  ];
  assert.equal(new Set([plain, ...others]).size, 7);
  assert.equal(new Set([plain, ...others].map(({ key }) => key)).size, 7);
  assert.deepEqual(others.slice(2, 4).map(({ key: _, ...rest }) => rest), [
    { name: "http", version: "1", schemaUrl: "schema" },
    { name: "http", version: "1", attributes: ["k", "v"] },
  ]);
  assert.equal(reader.scope(scope("http", "1", text("k", "v"))), others[3]);
});

Deno.test("SourceReader forgets the oldest of more than it keeps", () => {
  const reader = open();
  const at = (number: number) => reader.source(resource(text("service.name", `s${number}`)));
  const [first, second] = [at(0), at(1)];
  for (let number = 2; number < 2_000; number++) at(number);
  assert.equal(at(0), first, "2,000 are kept");
  at(2_000);
  assert.equal(at(1), second);
  assert.notEqual(at(0), first);
});

Deno.test("ServiceTable has each service once, and gives up the one that is silent for longest", () => {
  const table = new ServiceTable(2);
  const first = table.seen("b", 1);
  table.seen("a", 2);
  assert.equal(table.seen("b", 3), first);
  assert.deepEqual([first.firstSeenMs, first.lastSeenMs], [1, 3]);
  first.spans++;
  addOperation(first, "GET", 2);
  const version = table.version;
  table.seen("c", 4);
  assert.ok(table.version > version);
  assert.equal(table.get("a"), undefined);
  assert.deepEqual(table.rows(), [
    { name: "b", spans: 1, errors: 0, logs: 0, firstSeenMs: 1, lastSeenMs: 3 },
    { name: "c", spans: 0, errors: 0, logs: 0, firstSeenMs: 4, lastSeenMs: 4 },
  ]);
  const unsorted = new ServiceTable(9);
  for (const name of ["c", "a", "b"]) unsorted.seen(name, 1);
  assert.deepEqual(unsorted.rows().map(({ name }) => name), ["a", "b", "c"]);
  const before = table.version;
  table.clear();
  assert.deepEqual(table.rows(), []);
  assert.ok(table.version > before);
});

Deno.test("addOperation() keeps the kind that was seen first, of 500 names", () => {
  const service = new ServiceTable(1).seen("shop", 1);
  addOperation(service, "GET", 2);
  addOperation(service, "GET", 3);
  for (let number = 1; number < 502; number++) addOperation(service, `op ${number}`, 1);
  assert.equal(service.operations.size, 500);
  assert.equal(service.operations.get("GET"), 2);
});
