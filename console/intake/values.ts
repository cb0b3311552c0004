/**
 * Attribute values as the stores keep them: small, cut at the limits, without losing what kind they
 * were (OTLP distinguishes `3` from `3.0`, and Jaeger's JSON does too).
 *
 * @module
 */
import type { Attributes, AttributeValue } from "../page_api/api.ts";
import type { AnyValue, KeyValue } from "../../service/otlp/proto/gen/common_pb.ts";

/** A double that a JavaScript number would show as an integer. */
export class WholeDouble {
  constructor(readonly value: number) {}
}

/** A map value: keys and values in turn. */
export class ValueMap {
  constructor(readonly entries: StoredAttributes) {}
}

/**
 * A stored value. A whole number is an int64, any other number a double; integers beyond 2^53
 * stay bigints; bytes are base64 in {@linkcode Bytes}.
 */
export type StoredValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | WholeDouble
  | Bytes
  | ValueMap
  | StoredValue[];

/** Bytes, as base64. */
export class Bytes {
  constructor(readonly base64: string) {}
}

/** Keys and values in turn: half the memory of an object a pair. */
export type StoredAttributes = StoredValue[];

/** The limits of {@linkcode AttributeReader}. */
export interface AttributeLimits {
  /** Characters of a value; of all strings of a nested value together. */
  maxValueLength: number;
  /** Attributes of one list; items and entries of one nested value. */
  maxAttributes: number;
}

const maxDepth = 8;
const maxInternedKeys = 10_000;

/** Turns decoded attributes into stored ones. */
export class AttributeReader {
  /** Attributes cut or left out so far. */
  truncated = 0;
  /** Estimated bytes of what was read since it was last set to 0. */
  bytes = 0;
  #keys = new Map<string, string>();
  #limits: AttributeLimits;

  constructor(limits: AttributeLimits) {
    this.#limits = limits;
  }

  /** A list of attributes, as sent: of a key given twice both are kept. */
  attributes(list: readonly KeyValue[]): StoredAttributes {
    const length = Math.min(list.length, this.#limits.maxAttributes);
    this.truncated += list.length - length;
    const stored: StoredAttributes = new Array(2 * length);
    for (let i = 0; i < length; i++) {
      const { key, value } = list[i]!;
      stored[2 * i] = this.name(key);
      stored[2 * i + 1] = this.value(value);
    }
    this.bytes += 24 + 16 * length;
    return stored;
  }

  /** A value. */
  value(value: AnyValue | undefined): StoredValue {
    return this.#value(value, { left: this.#limits.maxAttributes }, 0);
  }

  #value(any: AnyValue | undefined, items: { left: number }, depth: number): StoredValue {
    if (any === undefined) return null;
    const { value } = any;
    switch (value.case) {
      case "stringValue":
        return this.text(value.value);
      case "boolValue":
        return value.value;
      case "intValue": {
        const number = Number(value.value);
        this.bytes += 8;
        return Number.isSafeInteger(number) ? number : value.value;
      }
      case "doubleValue":
        this.bytes += 16;
        return Number.isSafeInteger(value.value) ? new WholeDouble(value.value) : value.value;
      case "bytesValue": {
        const longest = Math.floor(this.#limits.maxValueLength / 4) * 3;
        if (value.value.length > longest) this.truncated++;
        const base64 = value.value.subarray(0, longest).toBase64();
        this.bytes += 32 + base64.length;
        return new Bytes(base64);
      }
      case "arrayValue": {
        const list = this.#limited(value.value.values, items, depth);
        this.bytes += 24 + 8 * list.length;
        return list.map((item) => this.#value(item, items, depth + 1));
      }
      case "kvlistValue": {
        const list = this.#limited(value.value.values, items, depth);
        this.bytes += 40 + 16 * list.length;
        return new ValueMap(
          list.flatMap(({ key, value }) => [this.name(key), this.#value(value, items, depth + 1)]),
        );
      }
      default:
        return null;
    }
  }

  #limited<Item>(list: Item[], items: { left: number }, depth: number): Item[] {
    const length = depth >= maxDepth ? 0 : Math.min(list.length, items.left);
    items.left -= length;
    if (length < list.length) this.truncated++;
    return length < list.length ? list.slice(0, length) : list;
  }

  /** A string of any content, cut at the limit. */
  text(text: string): string {
    const { maxValueLength } = this.#limits;
    if (text.length > maxValueLength) {
      this.truncated++;
      text = cut(text, maxValueLength);
    }
    this.bytes += 24 + text.length;
    return text;
  }

  /** A string that comes again and again (a key, a span's name): kept once, cut at the limit. */
  name(text: string): string {
    const known = this.#keys.get(text);
    if (known !== undefined) return known;
    const name = this.text(text);
    if (name.length < 256 && this.#keys.size < maxInternedKeys) this.#keys.set(name, name);
    return name;
  }
}

/** The first `length` characters, without half of a pair at the end. Copied: a slice would keep the whole text alive. */
function cut(text: string, length: number): string {
  const last = text.charCodeAt(length - 1);
  const end = last >= 0xd800 && last < 0xdc00 ? length - 1 : length;
  return new TextDecoder().decode(new TextEncoder().encode(text.slice(0, end)));
}

/** The value of the first attribute with this key. */
export function attribute(attributes: StoredAttributes, key: string): StoredValue | undefined {
  for (let i = 0; i < attributes.length; i += 2) {
    if (attributes[i] === key) return attributes[i + 1];
  }
  return undefined;
}

/** As JSON shows it. */
export function plainValue(value: StoredValue): AttributeValue {
  if (value instanceof WholeDouble) return value.value;
  if (value instanceof Bytes) return value.base64;
  if (value instanceof ValueMap) return plainAttributes(value.entries);
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value === "bigint") return value.toString();
  // JSON has no word for them, and null would hide which one it was.
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value;
}

/** As JSON shows them; of a key given twice the last one. */
export function plainAttributes(attributes: StoredAttributes): Attributes {
  // No prototype: a sender's attribute may be called `__proto__`.
  const plain: Attributes = Object.create(null);
  for (let i = 0; i < attributes.length; i += 2) {
    plain[attributes[i] as string] = plainValue(attributes[i + 1]!);
  }
  return plain;
}

/** As text: a string as it is, anything else as JSON. */
export function valueText(value: StoredValue): string {
  if (typeof value === "string") return value;
  const plain = plainValue(value);
  return typeof plain === "string" ? plain : JSON.stringify(plain);
}
