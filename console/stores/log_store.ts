/**
 * The ring buffer of log records.
 *
 * @module
 */
import type { LogDetail, LogRow } from "../page_api/logs_api.ts";
import { Ring } from "./ring.ts";
import type { Scope, Source } from "../intake/source.ts";
import {
  plainAttributes,
  type StoredAttributes,
  type StoredValue,
  valueText,
} from "../intake/values.ts";

/** A log record as it is kept. */
export interface StoredLog {
  readonly seq: number;
  readonly timeMs: number;
  /** When an SDK or collector saw it, where it also says when it happened. @default not said */
  readonly observedMs?: number;
  /** OTLP's number; where the sender gives a word only, what that stands for. */
  readonly severityNumber: number;
  readonly severityText: string;
  readonly body: StoredValue;
  readonly attributes: StoredAttributes;
  readonly eventName: string;
  /** Empty outside of a trace. */
  readonly traceId: string;
  readonly spanId: string;
  readonly source: Source;
  readonly scope: Scope;
  /** Estimated bytes it holds. */
  readonly bytes: number;
}

/** Limits of {@linkcode LogStore}. */
export interface LogStoreOptions {
  /** Log records held, at least 1; one more pushes out the oldest. */
  maxLogs: number;
  /** Estimated bytes held. */
  maxBytes: number;
}

/**
 * The ring buffer of log records.
 *
 * @example
 * ```ts
 * const logs = new LogStore({ maxLogs: 20_000, maxBytes: 16 * 1024 ** 2 });
 * logs.add(log);
 * for (const { body } of logs.newestFirst()) console.log(body);
 * ```
 */
export class LogStore {
  readonly #options: LogStoreOptions;
  #logs = new Ring<StoredLog>();
  #bytes = 0;
  /** Records that had to make room. */
  evicted = 0;

  constructor(options: LogStoreOptions) {
    this.#options = options;
  }

  /** Records held. */
  get length(): number {
    return this.#logs.length;
  }

  /** The time of the record that came first of those held, milliseconds since the epoch. */
  get oldestMs(): number | undefined {
    return this.#logs.at(0)?.timeMs;
  }

  /** Estimated bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a record; the oldest ones make room for it. */
  add(log: StoredLog): void {
    this.#logs.push(log);
    this.#bytes += log.bytes;
    while (
      this.#logs.length > this.#options.maxLogs ||
      (this.#bytes > this.#options.maxBytes && this.#logs.length > 1)
    ) {
      this.#bytes -= this.#logs.shift()!.bytes;
      this.evicted++;
    }
  }

  /** All records, the one that came last first. */
  newestFirst(): Iterable<StoredLog> {
    return this.#logs.newestFirst();
  }

  /** A record that is held. */
  get(seq: number): StoredLog | undefined {
    // In order of arrival, hence of their numbers.
    let [low, high] = [0, this.#logs.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const log = this.#logs.at(middle)!;
      if (log.seq === seq) return log;
      if (log.seq < seq) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  /** Forgets all records. */
  clear(): void {
    this.#logs.clear();
    this.#bytes = 0;
    this.evicted = 0;
  }
}

const severityNames = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"] as const;

/** The short name of a severity number (1 to 24), such as `WARN` or `WARN2`; empty for others. */
export function severityName(number: number): string {
  const name = severityNames[Math.floor((number - 1) / 4)];
  if (name === undefined) return "";
  const step = (number - 1) % 4;
  return step === 0 ? name : `${name}${step + 1}`;
}

const severityWords: Readonly<Record<string, number>> = {
  trace: 1,
  verbose: 1,
  debug: 5,
  fine: 5,
  info: 9,
  information: 9,
  notice: 10,
  warn: 13,
  warning: 13,
  err: 17,
  error: 17,
  severe: 17,
  crit: 21,
  critical: 21,
  alert: 21,
  emerg: 21,
  emergency: 21,
  panic: 21,
  fatal: 21,
};

/**
 * The severity number that a sender's word stands for; 0 for a word that is none.
 *
 * @example
 * ```ts
 * severityNumberOf("Warning"); // 13
 * severityNumberOf("ERROR2"); // 18
 * ```
 */
export function severityNumberOf(text: string): number {
  const match = /^\s*([a-z]+)([2-4])?\s*$/i.exec(text);
  const floor = match === null ? undefined : severityWords[match[1]!.toLowerCase()];
  return floor === undefined ? 0 : floor + (match![2] === undefined ? 0 : Number(match![2]) - 1);
}

/** The record with where it comes from. */
export function logDetail(log: StoredLog): LogDetail {
  const { source, scope } = log;
  return {
    ...logRow(log),
    resource: plainAttributes(source.attributes),
    scopeAttributes: plainAttributes(scope.attributes ?? []),
    ...(scope.version !== "" && { scopeVersion: scope.version }),
    ...(scope.schemaUrl !== undefined && { schemaUrl: scope.schemaUrl }),
    ...(log.observedMs !== undefined && { observedMs: log.observedMs }),
  };
}

/** The record as the API shows it. */
export function logRow(log: StoredLog): LogRow {
  return {
    seq: log.seq,
    timeMs: log.timeMs,
    severityNumber: log.severityNumber,
    severity: log.severityText || severityName(log.severityNumber),
    service: log.source.service,
    scope: log.scope.name,
    body: log.body === null ? "" : valueText(log.body),
    attributes: plainAttributes(log.attributes),
    ...(log.eventName && { eventName: log.eventName }),
    ...(log.traceId && { traceId: log.traceId }),
    ...(log.spanId && { spanId: log.spanId }),
  };
}
