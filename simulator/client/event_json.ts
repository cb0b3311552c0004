/**
 * The one place where an event becomes JSON, as the contract's wire has it.
 *
 * @module
 */

/** A value of an attribute, as the contract writes it. */
export type AttributeValue =
  | { readonly stringValue: string }
  | { readonly type: "integer"; readonly value: number }
  | { readonly type: "number"; readonly unit?: string; readonly value: number | bigint };

/** What goes with an event; texts, numbers and truth values are written as the contract has them. */
export type EventAttributes = Readonly<Record<string, AttributeValue | string | number | boolean>>;

/** An event before it is JSON. */
export interface EventToSend {
  /** A UUID; a trace id of OpenTelemetry is one, too, without its dashes. */
  readonly traceId: string;
  /** The program. */
  readonly name: string;
  /** What happened. */
  readonly event: string;
  /** When, in nanoseconds since the epoch. */
  readonly timeUnixNano: bigint;
  readonly attributes: EventAttributes;
}

/** The event on one line, without its end. */
export function eventJson({ traceId, name, event, timeUnixNano, attributes }: EventToSend): string {
  const list = Object.entries(attributes)
    .map(([key, value]) => `{"key":${JSON.stringify(key)},"value":${valueJson(value)}}`);
  return `{"traceId":${JSON.stringify(traceId)},"name":${JSON.stringify(name)},` +
    `"event":${JSON.stringify(event)},"timeUnixNano":${timeUnixNano},"attributes":[${list}]}`;
}

/** Nanoseconds are beyond 2^53: as digits, which `JSON.stringify` cannot write. */
function valueJson(value: EventAttributes[string]): string {
  if (typeof value === "string") return JSON.stringify({ stringValue: value });
  if (typeof value === "boolean") return JSON.stringify({ boolValue: value });
  if (typeof value === "number") {
    return Number.isInteger(value)
      ? `{"type":"integer","value":${value}}`
      : JSON.stringify({ type: "number", value });
  }
  if ("value" in value && typeof value.value === "bigint") {
    const unit = "unit" in value ? `"unit":${JSON.stringify(value.unit)},` : "";
    return `{"type":"number",${unit}"value":${value.value}}`;
  }
  return JSON.stringify(value);
}

/** A trace id of OpenTelemetry, 32 hexadecimal digits, in the form of a UUID. */
export function traceIdAsUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
