/**
 * From OTLP's JSON to protobuf's (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"): ids
 * are hex there and base64 here. What cannot be text or an id does not end the request: half a
 * character becomes U+FFFD, an id that is no hex one of a wrong length, which intake refuses by name.
 *
 * @module
 */
import type { Signal } from "./otlp_message.ts";

/**
 * Reads OTLP's JSON as protobuf's.
 *
 * @throws {SyntaxError} the text is no JSON
 *
 * @example
 * ```ts
 * const request = fromJson(ExportTraceServiceRequestSchema, protobufJson("traces", body));
 * ```
 */
export function protobufJson(signal: Signal, body: Uint8Array): unknown {
  const text = new TextDecoder().decode(body);
  const json = JSON.parse(text);
  // Pairs are written so, too: this is about the few requests in which anything is to be looked at.
  if (/\\u[dD][89a-fA-F]/.test(text)) makeWellFormed(json);
  convertIds(json, idPaths[signal]);
  return json;
}

/** Where ids are: field by field down to the message that has them. `*` is any field. */
interface IdPath {
  readonly ids?: readonly string[];
  readonly within?: Readonly<Record<string, IdPath>>;
}

const spanIds = ["traceId", "trace_id", "spanId", "span_id"];
const points: IdPath = {
  within: both("dataPoints", { within: { exemplars: { ids: spanIds } } }),
};

const idPaths: Record<Signal, IdPath> = {
  traces: {
    within: both("resourceSpans", {
      within: both("scopeSpans", {
        within: {
          spans: {
            ids: [...spanIds, "parentSpanId", "parent_span_id"],
            within: { links: { ids: spanIds } },
          },
        },
      }),
    }),
  },
  logs: {
    within: both("resourceLogs", {
      within: both("scopeLogs", { within: both("logRecords", { ids: spanIds }) }),
    }),
  },
  metrics: {
    within: both("resourceMetrics", {
      within: both("scopeMetrics", {
        within: {
          metrics: {
            within: {
              gauge: points,
              sum: points,
              histogram: points,
              summary: points,
              ...both("exponentialHistogram", points),
            },
          },
        },
      }),
    }),
  },
};

/** A field by its JSON name and by its proto name, both of which protobuf's JSON takes. */
function both(name: string, path: IdPath): Record<string, IdPath> {
  return { [name]: path, [name.replace(/[A-Z]/g, (one) => `_${one.toLowerCase()}`)]: path };
}

function convertIds(node: unknown, path: IdPath): void {
  if (Array.isArray(node)) {
    for (const item of node) convertIds(item, path);
    return;
  }
  if (typeof node !== "object" || node === null) return;
  const fields = node as Record<string, unknown>;
  for (const key of path.ids ?? []) {
    if (fields[key] !== undefined) fields[key] = base64OfHex(fields[key]);
  }
  for (const key in path.within) {
    if (fields[key] !== undefined) convertIds(fields[key], path.within[key]!);
  }
}

/** One byte: the length of no id. */
const noId = "AA==";

function base64OfHex(value: unknown): unknown {
  if (value === null || value === "") return value;
  if (typeof value !== "string" || value.length > 64 || !/^(?:[0-9a-fA-F]{2})+$/.test(value)) {
    return noId;
  }
  return Uint8Array.fromHex(value).toBase64();
}

/** Half a surrogate pair is no character: U+FFFD stands for it, in values and in keys. */
function makeWellFormed(root: unknown): void {
  const open = [root];
  while (open.length > 0) {
    const node = open.pop() as Record<string, unknown> | null;
    if (typeof node !== "object" || node === null) continue;
    for (const key of Object.keys(node)) {
      const value = node[key];
      const whole = typeof value === "string" ? value.toWellFormed() : value;
      if (!key.isWellFormed()) {
        delete node[key];
        node[key.toWellFormed()] = whole;
      } else if (whole !== value) node[key] = whole;
      if (typeof value === "object") open.push(value);
    }
  }
}
