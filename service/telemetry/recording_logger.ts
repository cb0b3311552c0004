/**
 * The OpenTelemetry API's loggers: a log record is made once, cleaned, and handed on.
 *
 * @module
 */
import {
  context,
  isSpanContextValid,
  type Logger,
  type LoggerOptions,
  type LoggerProvider,
  type LogRecord,
  trace,
} from "@opentelemetry/api";
import { cleanSimpleAttributes, timeInputToHrTime } from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import type { World } from "../world/world.ts";
import { AttributeBag, type AttributeLimits } from "./attribute_bag.ts";
import type { Scope } from "./otlp_encoder.ts";
import { exceptionAttributes } from "./recorded_span.ts";

/** What all log records of a program share. */
export interface LogHome {
  readonly resource: Resource;
  readonly limits: AttributeLimits;
  readonly world: Pick<World, "nowMs">;
  /** Takes a record. */
  readonly onEmit: (record: ReadableLogRecord) => void;
}

/** Makes loggers, one a scope. */
export class RecordingLoggerProvider implements LoggerProvider {
  readonly #home: LogHome;
  readonly #loggers = new Map<string, Logger>();

  constructor(home: LogHome) {
    this.#home = home;
  }

  getLogger(name: string, version?: string, options?: LoggerOptions): Logger {
    const { schemaUrl, attributes } = options ?? {};
    const key = version || schemaUrl || attributes
      ? JSON.stringify([name, version, schemaUrl, attributes])
      : name;
    let logger = this.#loggers.get(key);
    if (logger === undefined) {
      logger = new RecordingLogger(this.#home, {
        name,
        ...(version && { version }),
        ...(schemaUrl && { schemaUrl }),
        ...cleanSimpleAttributes(attributes, this.#home.limits),
      });
      this.#loggers.set(key, logger);
    }
    return logger;
  }
}

class RecordingLogger implements Logger {
  readonly #home: LogHome;
  readonly #scope: Scope;

  constructor(home: LogHome, scope: Scope) {
    this.#home = home;
    this.#scope = scope;
  }

  enabled(): boolean {
    return true;
  }

  emit(record: LogRecord): void {
    const nowMs = this.#home.world.nowMs();
    const { resource, limits, onEmit } = this.#home;
    const attributes = new AttributeBag(limits);
    for (const key in record.attributes) attributes.add(key, record.attributes[key], 0);
    const exception = exceptionAttributes(record.exception);
    for (const key in exception) {
      if (!Object.hasOwn(attributes.values, key)) attributes.add(key, exception[key], 0);
    }
    const spanContext = trace.getSpanContext(record.context ?? context.active());
    onEmit({
      resource,
      instrumentationScope: this.#scope,
      hrTime: timeInputToHrTime(record.timestamp ?? nowMs),
      hrTimeObserved: timeInputToHrTime(record.observedTimestamp ?? nowMs),
      severityNumber: record.severityNumber,
      severityText: record.severityText,
      body: record.body,
      eventName: record.eventName,
      spanContext: spanContext && isSpanContextValid(spanContext) ? spanContext : undefined,
      attributes: attributes.values,
      droppedAttributesCount: attributes.dropped,
    } as ReadableLogRecord);
  }
}
