/**
 * For tests: arbitrary spans and log records, as the SDK hands them to an exporter.
 *
 * @module
 */
import {
  type Attributes,
  type AttributeValue,
  createTraceState,
  type HrTime,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
} from "@opentelemetry/api";
import type { InstrumentationScope } from "@opentelemetry/core";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import fc from "fast-check";

/** Text of all kinds: ASCII, more bytes a character, lone surrogates, and longer than any shortcut. */
export const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.array(fc.integer({ min: 0xd7ff, max: 0xe000 })).map((codes) => String.fromCharCode(...codes)),
  fc.tuple(
    fc.constantFrom("a", "é", "€", "😀", "\ud800"),
    fc.constantFrom(60, 127, 128, 192, 193, 6_000),
  )
    .map(([character, length]) => character.repeat(length)),
);

const number = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.constantFrom(
    0,
    -0,
    NaN,
    Infinity,
    -Infinity,
    2 ** 53,
    -(2 ** 53),
    2 ** 63,
    -(2 ** 63),
    2 ** 64,
  ),
  fc.constantFrom(-1, 127, 128, 2 ** 32 - 1, 2 ** 32, -(2 ** 32), 5e-324),
);

/** Anything that a program might hand in, allowed or not. */
export const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    text,
    number,
    fc.boolean(),
    fc.constantFrom(null, undefined, 12n, Symbol("none")),
    fc.uint8Array(),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.string(), tie("value"), { maxKeys: 5 }),
    fc.constantFrom(new Date(0), /x/, () => {}),
  ),
})).value as fc.Arbitrary<AttributeValue>;

/** Objects keep keys that look like numbers before all others; ours and the SDK's do so alike. */
export const attributes = fc.dictionary(
  fc.oneof(fc.string(), fc.constantFrom("http.request.method", "orb.token", "")),
  value,
  { maxKeys: 8 },
) as fc.Arbitrary<Attributes>;

const hex = (length: number) =>
  fc.array(fc.constantFrom(..."0123456789abcdef"), { minLength: length, maxLength: length })
    .map((digits) => digits.join(""));

/** A valid span context, remote or not. */
export const spanContext: fc.Arbitrary<SpanContext> = fc.record({
  traceId: hex(32).filter((id) => /[^0]/.test(id)),
  spanId: hex(16).filter((id) => /[^0]/.test(id)),
  traceFlags: fc.constantFrom(0, 1, 3),
  isRemote: fc.boolean(),
  traceState: fc.constantFrom(undefined, createTraceState("a=1,b=2"), createTraceState("")),
}, { requiredKeys: ["traceId", "spanId", "traceFlags"] }) as fc.Arbitrary<SpanContext>;

/** A time since the epoch. */
export const time: fc.Arbitrary<HrTime> = fc.tuple(
  fc.oneof(fc.integer({ min: 0, max: 4_000_000_000 }), fc.constantFrom(0, 65_535, 65_536)),
  fc.oneof(fc.integer({ min: 0, max: 999_999_999 }), fc.constantFrom(0, 999_999_999)),
);

const count = fc.constantFrom(0, 0, 1, 300);

const event = fc.record({
  name: text,
  time,
  attributes,
  droppedAttributesCount: count,
}, { requiredKeys: ["name", "time"] });

const link = fc.record({ context: spanContext, attributes, droppedAttributesCount: count }, {
  requiredKeys: ["context"],
});

const scopes: InstrumentationScope[] = [
  { name: "orb-server", version: "0.1.0" },
  { name: "", schemaUrl: "https://opentelemetry.io/schemas/1.44.0" },
  { name: "ünïcode" },
];

/** The program that all records are of. */
export const resource: Resource = resourceFromAttributes({
  "service.name": "orb-server",
  "process.pid": 4_242,
  "host.ip": ["127.0.0.1", "::1"],
}, { schemaUrl: "https://opentelemetry.io/schemas/1.44.0" });

/** Ended spans of a few scopes. */
export const span: fc.Arbitrary<ReadableSpan> = fc.record({
  name: text,
  kind: fc.constantFrom(
    SpanKind.INTERNAL,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
  ),
  context: spanContext,
  parentSpanContext: spanContext,
  startTime: time,
  endTime: time,
  status: fc.record({
    code: fc.constantFrom(SpanStatusCode.UNSET, SpanStatusCode.OK, SpanStatusCode.ERROR),
    message: text,
  }, { requiredKeys: ["code"] }),
  attributes,
  links: fc.array(link, { maxLength: 3 }),
  events: fc.array(event, { maxLength: 3 }),
  droppedAttributesCount: count,
  droppedEventsCount: count,
  droppedLinksCount: count,
  instrumentationScope: fc.constantFrom(...scopes),
}, {
  requiredKeys: [
    "name",
    "kind",
    "context",
    "startTime",
    "endTime",
    "status",
    "attributes",
    "links",
    "events",
    "droppedAttributesCount",
    "droppedEventsCount",
    "droppedLinksCount",
    "instrumentationScope",
  ],
}).map(({ context, ...rest }) => ({
  ...rest,
  resource,
  spanContext: () => context,
  duration: [0, 0],
  ended: true,
} as ReadableSpan));

/** Log records of a few scopes. */
export const logRecord: fc.Arbitrary<ReadableLogRecord> = fc.record({
  hrTime: time,
  hrTimeObserved: time,
  spanContext,
  severityNumber: fc.constantFrom(0, 1, 9, 24),
  severityText: text,
  body: value,
  eventName: text,
  attributes,
  droppedAttributesCount: count,
  instrumentationScope: fc.constantFrom(
    ...scopes.map((scope) => ({ ...scope, attributes: { a: 1 }, droppedAttributesCount: 1 })),
    ...scopes,
  ),
}, {
  requiredKeys: [
    "hrTime",
    "hrTimeObserved",
    "attributes",
    "droppedAttributesCount",
    "instrumentationScope",
  ],
}).map((record) => ({ ...record, resource }) as unknown as ReadableLogRecord);
