import assert from "node:assert/strict";
import {
  JsonLogsSerializer,
  JsonTraceSerializer,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
} from "@opentelemetry/otlp-transformer";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import fc from "fast-check";
import { JsonBatch, ProtobufBatch, type ScopedRecord } from "./batch.ts";
import { logBatch, spanBatch } from "./exporters.ts";
import { logRecord, span } from "./test_records.ts";

/** Checks that what a batch gives for records is what the SDK gives for them, to the byte. */
function isAsTheSdk<Item extends ScopedRecord>(
  record: fc.Arbitrary<Item>,
  newBatch: () => { add(record: Item): void; take(): { bytes: Uint8Array; count: number } },
  serialize: (records: Item[]) => Uint8Array | undefined,
  numRuns = 100,
): void {
  // One batch for all runs: it must be as good as new after each.
  const batch = newBatch();
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 12 }), (records) => {
      records.forEach((one) => batch.add(one));
      const { bytes, count } = batch.take();
      assert.equal(count, records.length);
      assert.equal(bytes.toHex(), serialize(records)!.toHex());
    }),
    { numRuns },
  );
}

Deno.test("spanBatch() in protobuf writes every span as the SDK does, to the byte", () => {
  isAsTheSdk(
    span,
    () => spanBatch("http/protobuf"),
    (spans) => ProtobufTraceSerializer.serializeRequest(spans),
  );
});

Deno.test("logBatch() in protobuf writes every record as the SDK does, to the byte", () => {
  isAsTheSdk(
    logRecord,
    () => logBatch("http/protobuf"),
    (records) => ProtobufLogsSerializer.serializeRequest(records),
  );
});

Deno.test("spanBatch() and logBatch() in JSON write what the SDK does", () => {
  isAsTheSdk(
    span,
    () => spanBatch("http/json"),
    (spans) => JsonTraceSerializer.serializeRequest(spans),
    10,
  );
  isAsTheSdk(
    logRecord,
    () => logBatch("http/json"),
    (records) => JsonLogsSerializer.serializeRequest(records),
    10,
  );
});

Deno.test("ProtobufBatch.add() takes back what an encoder wrote before it threw", () => {
  const [good] = fc.sample(span, { numRuns: 1, seed: 1 });
  const batch = spanBatch("http/protobuf");
  const expected = ProtobufTraceSerializer.serializeRequest([good!, good!])!.toHex();
  batch.add(good!);
  const bad = {
    ...good!,
    get links(): never {
      throw new Error("no links");
    },
  } as ReadableSpan;
  assert.throws(() => batch.add(bad), /no links/);
  batch.add(good!);
  assert.equal(batch.count, 2);
  assert.equal(batch.take().bytes.toHex(), expected);
});

Deno.test("ProtobufBatch.byteLength is the size of its records, and 0 after take()", () => {
  const [one] = fc.sample(span, { numRuns: 1, seed: 1 });
  const batch = new ProtobufBatch<ReadableSpan>((writer) => writer.raw(new Uint8Array(200)));
  batch.add(one!);
  // Tag, two bytes of length, the record.
  assert.equal(batch.byteLength, 203);
  batch.add(one!);
  assert.equal(batch.byteLength, 406);
  batch.take();
  assert.deepEqual([batch.byteLength, batch.count], [0, 0]);
});

Deno.test("JsonBatch.take() that fails leaves nothing behind", () => {
  const batch = new JsonBatch<number>((numbers) => {
    if (numbers.includes(13)) throw new RangeError("unlucky");
    return Uint8Array.from(numbers);
  });
  batch.add(13);
  assert.throws(() => batch.take(), /unlucky/);
  batch.add(7);
  assert.deepEqual([...batch.take().bytes], [7]);
});

Deno.test("what a batch has given stays as it is while the next is gathered", () => {
  const [one, other] = fc.sample(span, { numRuns: 2, seed: 1 });
  const batch = spanBatch("http/protobuf");
  batch.add(one!);
  const { bytes } = batch.take();
  const before = bytes.toHex();
  batch.add(other!);
  batch.take();
  assert.equal(bytes.toHex(), before);
});

Deno.test("a batch of nothing is a request of nothing", () => {
  // Field 1, of no bytes.
  assert.deepEqual([...spanBatch("http/protobuf").take().bytes], [0x0a, 0]);
  assert.deepEqual(new JsonBatch(() => undefined).take(), { bytes: new Uint8Array(), count: 0 });
  const batch = new JsonBatch<number>(() => undefined);
  batch.add(1);
  assert.equal(batch.byteLength, 0);
});
