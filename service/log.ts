/**
 * Logs, twice: on stdout for people (or as JSON for machines) and as OTLP log records. Every line
 * that is written inside a span carries that span's trace id.
 *
 * Text form: `YYYY-MM-DD HH:MM:SS,mmm LEVEL [program] message key=value trace_id=…`.
 *
 * @module
 */
import { type Attributes, context, logs, SeverityNumber, trace } from "@opentelemetry/api";

/** The levels, least important first. */
export const logLevels = ["debug", "info", "warn", "error"] as const;
/** One of {@linkcode logLevels}. */
export type LogLevel = typeof logLevels[number];
/** `text` for people, `json` for machines. */
export type LogFormat = "text" | "json";

/** Values that go with a message. Text from outside belongs here or in the message; both are escaped. */
export type LogFields = Record<string, string | number | boolean | undefined>;

/** What programs log with. */
export type Log = Record<LogLevel, (message: string, fields?: LogFields) => void>;

/** Options of {@linkcode createLog}. */
export interface LogOptions {
  /** Name in brackets and OTLP instrumentation scope: the program. */
  name: string;
  /** @default "text" */
  format?: LogFormat;
  /** The least important level that is written. @default "info" */
  level?: LogLevel;
  /** Where lines go. @default stdout, by {@linkcode stdoutLines} */
  write?: (line: string) => void;
  /** The clock, in milliseconds since the epoch. @default Date.now */
  now?: () => number;
}

const severities: Record<LogLevel, SeverityNumber> = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
};

/** Makes a {@linkcode Log}. OTLP records go to the global logger provider, if telemetry is on. */
export function createLog(options: LogOptions): Log {
  const { name, format = "text", level = "info", now = Date.now } = options;
  const write = options.write ?? stdoutLines.write;
  const least = logLevels.indexOf(level);

  function emit(level: LogLevel, message: string, fields: LogFields = {}): void {
    const timeMs = now();
    const active = context.active();
    const span = trace.getSpanContext(active);
    const line = { timeMs, level, name, message, fields, traceId: span?.traceId };
    write(format === "json" ? jsonLine({ ...line, spanId: span?.spanId }) : textLine(line));
    logs.getLogger(name).emit({
      timestamp: timeMs,
      severityNumber: severities[level],
      severityText: level.toUpperCase(),
      body: message,
      attributes: fields as Attributes,
      context: active,
    });
  }

  const silent = () => {};
  const at = (level: LogLevel) =>
    logLevels.indexOf(level) < least
      ? silent
      : (message: string, fields?: LogFields) => emit(level, message, fields);
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

interface Line {
  timeMs: number;
  level: LogLevel;
  name: string;
  message: string;
  fields: LogFields;
  traceId: string | undefined;
}

function textLine(line: Line): string {
  let text = `${localTime(line.timeMs)} ${line.level.toUpperCase()} [${line.name}] ${
    escapeControls(line.message)
  }`;
  for (const [key, value] of Object.entries(line.fields)) {
    if (value !== undefined) text += ` ${key}=${fieldText(value)}`;
  }
  return line.traceId ? `${text} trace_id=${line.traceId}` : text;
}

function jsonLine(line: Line & { spanId: string | undefined }): string {
  return JSON.stringify({
    time: new Date(line.timeMs).toISOString(),
    level: line.level,
    name: line.name,
    message: line.message,
    ...(line.traceId && { trace_id: line.traceId, span_id: line.spanId }),
    fields: Object.keys(line.fields).length > 0 ? line.fields : undefined,
  });
}

function fieldText(value: string | number | boolean): string {
  const text = escapeControls(String(value));
  return /[\s"=]/.test(text) || text === "" ? JSON.stringify(text) : text;
}

/** Keeps one record one line and a terminal unharmed, whatever text from outside holds. */
function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

// Formatting a date is the dearest part of a line, and thousands of lines share a second.
let cachedSecond = NaN;
let cachedText = "";

function localTime(timeMs: number): string {
  const second = Math.floor(timeMs / 1000);
  if (second !== cachedSecond) {
    const date = new Date(timeMs);
    const two = (part: number) => String(part).padStart(2, "0");
    cachedText = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${
      two(date.getHours())
    }:${two(date.getMinutes())}:${two(date.getSeconds())}`;
    cachedSecond = second;
  }
  return `${cachedText},${String(Math.floor(timeMs % 1000)).padStart(3, "0")}`;
}

/** Lines on their way to stdout. */
export interface LineWriter {
  /** Queues a line; beyond the limit it is dropped and counted. */
  write(line: string): void;
  /** Resolves when all that is queued has been written. */
  flush(): Promise<void>;
  /** Lines dropped because the reader of stdout is too slow. */
  readonly dropped: number;
}

/** Writes lines to stdout without ever waiting for it: the first at once, a flood in few writes. */
export const stdoutLines: LineWriter = createLineWriter(Deno.stdout, { maxQueuedLines: 10_000 });

/** Options of {@linkcode createLineWriter}. */
export interface LineWriterOptions {
  /** Lines that may wait; one more is dropped. */
  maxQueuedLines: number;
  /** How long lines gather after a write, as a write costs more than many lines. @default 5 */
  gatherMs?: number;
}

/** Makes a {@linkcode LineWriter} over any sink. */
export function createLineWriter(
  sink: { write(bytes: Uint8Array): Promise<number> },
  { maxQueuedLines, gatherMs = 5 }: LineWriterOptions,
): LineWriter {
  const encoder = new TextEncoder();
  let queue: string[] = [];
  let dropped = 0;
  let writing: Promise<void> | undefined;
  let flushing = false;
  let endPause = () => {};

  async function drain(): Promise<void> {
    // Wait for the end of this turn, so that a burst of lines becomes one write.
    await Promise.resolve();
    while (queue.length > 0) {
      let bytes = encoder.encode(queue.join("\n") + "\n");
      queue = [];
      try {
        while (bytes.length > 0) bytes = bytes.subarray(await sink.write(bytes));
      } catch {
        // The reader of stdout is gone; the program's work goes on, and OTLP still has the record.
        dropped++;
      }
      if (!flushing) await pause();
    }
    writing = undefined;
  }

  function pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, gatherMs);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    write(line) {
      if (queue.length >= maxQueuedLines) {
        dropped++;
        return;
      }
      queue.push(line);
      writing ??= drain();
    },
    async flush() {
      flushing = true;
      endPause();
      await writing;
      flushing = false;
    },
    get dropped() {
      return dropped;
    },
  };
}
