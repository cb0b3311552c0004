/**
 * Attributes as OTLP's JSON has them.
 *
 * @module
 */
import {
  Bytes,
  type StoredAttributes,
  type StoredValue,
  ValueMap,
  WholeDouble,
} from "../intake/values.ts";

/** Attributes as OTLP's JSON has them. */
export function keyValues(attributes: StoredAttributes) {
  const list: { key: string; value: unknown }[] = [];
  for (let i = 0; i < attributes.length; i += 2) {
    list.push({ key: attributes[i] as string, value: anyValue(attributes[i + 1]!) });
  }
  return list;
}

/** A value as OTLP's JSON has it. */
export function anyValue(value: StoredValue): unknown {
  if (value === null) return {};
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "bigint") return { intValue: String(value) };
  if (value instanceof WholeDouble) return { doubleValue: value.value };
  if (value instanceof Bytes) return { bytesValue: value.base64 };
  if (value instanceof ValueMap) return { kvlistValue: { values: keyValues(value.entries) } };
  if (typeof value === "number") {
    if (Number.isSafeInteger(value)) return { intValue: String(value) };
    // Protobuf's JSON has words for what JSON has no numbers for.
    return { doubleValue: Number.isFinite(value) ? value : String(value) };
  }
  return { arrayValue: { values: value.map(anyValue) } };
}
