/**
 * Attributes as they gather on a span or log record, within the SDK's limits.
 *
 * @module
 */
import type { Attributes, AttributeValue } from "@opentelemetry/api";
import { cleanAttributes } from "@opentelemetry/core";

/** Limits of attributes (OpenTelemetry specification, "Attribute limits"). */
export interface AttributeLimits {
  /** Attributes; one more is dropped and counted. */
  attributeCountLimit: number;
  /** Characters of a text, bytes of bytes; what is longer is cut. */
  attributeValueLengthLimit: number;
}

/** See the module. */
export class AttributeBag {
  readonly values: Attributes = {};
  /** Attributes that did not get in. */
  dropped = 0;
  readonly #limits: AttributeLimits;
  #count = 0;

  constructor(limits: AttributeLimits) {
    this.#limits = limits;
  }

  /**
   * Adds an attribute, or puts a new value in place of the old one. Without a name, or with a value
   * that OpenTelemetry has no type for, it stays out and counts as dropped by `countIfInvalid`.
   */
  add(key: string, value: AttributeValue | null | undefined, countIfInvalid: 0 | 1): void {
    if (value === undefined) return;
    if (key === "") {
      this.dropped += countIfInvalid;
      return;
    }
    const isNew = !Object.hasOwn(this.values, key);
    if (isNew && this.#count >= this.#limits.attributeCountLimit) {
      this.dropped++;
      return;
    }
    const cleaned = this.#clean(value);
    if (cleaned === undefined) {
      this.dropped += countIfInvalid;
      return;
    }
    this.values[key] = cleaned;
    if (isNew) this.#count++;
  }

  /** Nearly all are text or numbers; the rest is left to the SDK, which copies it to its depth. */
  #clean(value: AttributeValue | null): AttributeValue | undefined {
    const { attributeValueLengthLimit } = this.#limits;
    switch (typeof value) {
      case "string":
        return value.length > attributeValueLengthLimit
          ? value.substring(0, attributeValueLengthLimit)
          : value;
      case "number":
      case "boolean":
        return value;
    }
    const limits = { attributeCountLimit: 1, attributeValueLengthLimit };
    return cleanAttributes({ value } as Attributes, limits).attributes?.["value"];
  }
}
