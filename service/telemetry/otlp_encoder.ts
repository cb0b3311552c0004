/**
 * Spans and log records as OTLP's protobuf messages
 * (https://github.com/open-telemetry/opentelemetry-proto, v1), written as soon as they are there:
 * the same bytes as `@opentelemetry/otlp-transformer` writes for a whole batch, at a fraction of
 * its time (it reads every record twice and parses ids digit by digit).
 *
 * @module
 */
import type { Attributes, HrTime, Link, SpanContext } from "@opentelemetry/api";
import type { InstrumentationScope } from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import type { ReadableSpan, TimedEvent } from "@opentelemetry/sdk-trace";
import type { ProtobufWriter } from "./protobuf_writer.ts";

/** A scope as log records have it: the SDK's traces know no attributes of scopes. */
export type Scope = InstrumentationScope & {
  attributes?: Attributes;
  droppedAttributesCount?: number;
};

/** Wire types, added to a field's number times eight. */
const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;

const hasIsRemote = 0x100;
const isRemote = 0x200;

/** Writes the fields of `opentelemetry.proto.trace.v1.Span`. */
export function writeSpan(writer: ProtobufWriter, span: ReadableSpan): void {
  const spanContext = span.spanContext();
  writeContext(writer, spanContext);
  const parent = span.parentSpanContext;
  if (parent?.spanId) {
    writer.tag(4 << 3 | lengthDelimited);
    writer.hex(parent.spanId);
  }
  writer.tag(5 << 3 | lengthDelimited);
  writer.string(span.name);
  writer.tag(6 << 3 | varint);
  // The API counts kinds from 0, OTLP from 1.
  writer.varint(span.kind + 1);
  writer.tag(7 << 3 | fixed64);
  writeTime(writer, span.startTime);
  writer.tag(8 << 3 | fixed64);
  writeTime(writer, span.endTime);
  writeAttributes(writer, 9 << 3 | lengthDelimited, span.attributes);
  writer.tag(10 << 3 | varint);
  writer.varint(span.droppedAttributesCount);
  for (const event of span.events) writeEvent(writer, event);
  writer.tag(12 << 3 | varint);
  writer.varint(span.droppedEventsCount);
  for (const link of span.links) writeLink(writer, link);
  writer.tag(14 << 3 | varint);
  writer.varint(span.droppedLinksCount);
  writeStatus(writer, span.status);
  // Field 16 takes two bytes: the tag is a varint.
  writer.varint(16 << 3 | fixed32);
  writer.fixed32(spanFlags(spanContext.traceFlags, parent?.isRemote));
}

function writeContext(writer: ProtobufWriter, spanContext: SpanContext): void {
  writer.tag(1 << 3 | lengthDelimited);
  writer.hex(spanContext.traceId);
  writer.tag(2 << 3 | lengthDelimited);
  writer.hex(spanContext.spanId);
  const traceState = spanContext.traceState?.serialize();
  if (traceState) {
    writer.tag(3 << 3 | lengthDelimited);
    writer.string(traceState);
  }
}

function writeEvent(writer: ProtobufWriter, event: TimedEvent): void {
  writer.tag(11 << 3 | lengthDelimited);
  const start = writer.beginMessage();
  writer.tag(1 << 3 | fixed64);
  writeTime(writer, event.time);
  writer.tag(2 << 3 | lengthDelimited);
  writer.string(event.name);
  if (event.attributes) writeAttributes(writer, 3 << 3 | lengthDelimited, event.attributes);
  writer.tag(4 << 3 | varint);
  writer.varint(event.droppedAttributesCount ?? 0);
  writer.endMessage(start);
}

function writeLink(writer: ProtobufWriter, link: Link): void {
  writer.tag(13 << 3 | lengthDelimited);
  const start = writer.beginMessage();
  writeContext(writer, link.context);
  if (link.attributes) writeAttributes(writer, 4 << 3 | lengthDelimited, link.attributes);
  writer.tag(5 << 3 | varint);
  writer.varint(link.droppedAttributesCount ?? 0);
  writer.tag(6 << 3 | fixed32);
  writer.fixed32(spanFlags(link.context.traceFlags, link.context.isRemote));
  writer.endMessage(start);
}

function writeStatus(writer: ProtobufWriter, status: ReadableSpan["status"]): void {
  writer.tag(15 << 3 | lengthDelimited);
  const start = writer.beginMessage();
  if (status.message) {
    writer.tag(2 << 3 | lengthDelimited);
    writer.string(status.message);
  }
  writer.tag(3 << 3 | varint);
  writer.varint(status.code);
  writer.endMessage(start);
}

function spanFlags(traceFlags: number, remote: boolean | undefined): number {
  return traceFlags & 0xff | hasIsRemote | (remote ? isRemote : 0);
}

/** Writes the fields of `opentelemetry.proto.logs.v1.LogRecord`. */
export function writeLogRecord(writer: ProtobufWriter, record: ReadableLogRecord): void {
  writer.tag(1 << 3 | fixed64);
  writeTime(writer, record.hrTime);
  if (record.severityNumber) {
    writer.tag(2 << 3 | varint);
    writer.varint(record.severityNumber);
  }
  if (record.severityText) {
    writer.tag(3 << 3 | lengthDelimited);
    writer.string(record.severityText);
  }
  if (record.body !== undefined) {
    writer.tag(5 << 3 | lengthDelimited);
    const start = writer.beginMessage();
    writeAnyValue(writer, record.body);
    writer.endMessage(start);
  }
  writeAttributes(writer, 6 << 3 | lengthDelimited, record.attributes);
  writer.tag(7 << 3 | varint);
  writer.varint(record.droppedAttributesCount);
  const { spanContext } = record;
  if (spanContext) {
    if (spanContext.traceFlags) {
      writer.tag(8 << 3 | fixed32);
      writer.fixed32(spanContext.traceFlags);
    }
    writer.tag(9 << 3 | lengthDelimited);
    writer.hex(spanContext.traceId);
    writer.tag(10 << 3 | lengthDelimited);
    writer.hex(spanContext.spanId);
  }
  writer.tag(11 << 3 | fixed64);
  writeTime(writer, record.hrTimeObserved);
  if (record.eventName) {
    writer.tag(12 << 3 | lengthDelimited);
    writer.string(record.eventName);
  }
}

/** Writes the fields of `opentelemetry.proto.resource.v1.Resource`. */
export function writeResource(writer: ProtobufWriter, resource: Resource): void {
  writeAttributes(writer, 1 << 3 | lengthDelimited, resource.attributes);
  writer.tag(2 << 3 | varint);
  writer.varint(0);
}

/** Writes the fields of `opentelemetry.proto.common.v1.InstrumentationScope`. */
export function writeScope(writer: ProtobufWriter, scope: Scope): void {
  writer.tag(1 << 3 | lengthDelimited);
  writer.string(scope.name);
  if (scope.version) {
    writer.tag(2 << 3 | lengthDelimited);
    writer.string(scope.version);
  }
  if (scope.attributes) writeAttributes(writer, 3 << 3 | lengthDelimited, scope.attributes);
  if (scope.droppedAttributesCount) {
    writer.tag(4 << 3 | varint);
    writer.varint(scope.droppedAttributesCount);
  }
}

/** Writes field 3 of a message that says which schema its attributes follow. */
export function writeSchemaUrl(writer: ProtobufWriter, url: string | undefined): void {
  if (!url) return;
  writer.tag(3 << 3 | lengthDelimited);
  writer.string(url);
}

function writeAttributes(writer: ProtobufWriter, tag: number, attributes: Attributes): void {
  for (const key in attributes) {
    if (Object.hasOwn(attributes, key)) writeKeyValue(writer, tag, key, attributes[key]);
  }
}

function writeKeyValue(writer: ProtobufWriter, tag: number, key: string, value: unknown): void {
  writer.tag(tag);
  const start = writer.beginMessage();
  writer.tag(1 << 3 | lengthDelimited);
  writer.string(key);
  writer.tag(2 << 3 | lengthDelimited);
  const valueStart = writer.beginMessage();
  writeAnyValue(writer, value);
  writer.endMessage(valueStart);
  writer.endMessage(start);
}

/** Writes the fields of `AnyValue`; what OTLP has no type for is the empty value. */
function writeAnyValue(writer: ProtobufWriter, value: unknown): void {
  switch (typeof value) {
    case "string":
      writer.tag(1 << 3 | lengthDelimited);
      writer.string(value);
      break;
    case "boolean":
      writer.tag(2 << 3 | varint);
      writer.varint(value ? 1 : 0);
      break;
    case "number":
      if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63) {
        writer.tag(3 << 3 | varint);
        writer.varint(value);
      } else {
        writer.tag(4 << 3 | fixed64);
        writer.double(value);
      }
      break;
    case "object":
      if (value !== null) writeObject(writer, value);
  }
}

function writeObject(writer: ProtobufWriter, value: object): void {
  if (value instanceof Uint8Array) {
    writer.tag(7 << 3 | lengthDelimited);
    writer.lengthAndBytes(value);
    return;
  }
  const isArray = Array.isArray(value);
  writer.tag((isArray ? 5 : 6) << 3 | lengthDelimited);
  const start = writer.beginMessage();
  if (isArray) {
    for (const item of value) {
      writer.tag(1 << 3 | lengthDelimited);
      const itemStart = writer.beginMessage();
      writeAnyValue(writer, item);
      writer.endMessage(itemStart);
    }
  } else {
    writeAttributes(writer, 1 << 3 | lengthDelimited, value as Attributes);
  }
  writer.endMessage(start);
}

/** Nanoseconds since the epoch, which are more than a number holds: in halves of 32 bits. */
function writeTime(writer: ProtobufWriter, [seconds, nanoseconds]: HrTime): void {
  const fromLow = (seconds & 0xffff) * 1e9;
  const fromHigh = (seconds / 0x1_0000 >>> 0) * 1e9;
  const low = (fromLow >>> 0) + ((fromHigh & 0xffff) * 0x1_0000 >>> 0) + nanoseconds;
  const high = Math.floor(fromLow / 0x1_0000_0000) + (fromHigh / 0x1_0000 >>> 0) +
    Math.floor(low / 0x1_0000_0000);
  writer.fixed64(low >>> 0, high >>> 0);
}
