/**
 * Logs, twice: as lines for people (or as JSON for machines) and as OTLP log records. Every line
 * that is written inside a span carries that span's trace id.
 *
 * Text form: `YYYY-MM-DD HH:MM:SS,mmm LEVEL [program] message key=value trace_id=…`.
 *
 * @module
 */
import { type Attributes, context, logs, SeverityNumber, trace } from "@opentelemetry/api";
import { pause } from "./resilience.ts";
import { realWorld, type World } from "./world/world.ts";

/** The levels, least important first. */
export const logLevels = ["debug", "info", "warn", "error"] as const;
/** One of {@linkcode logLevels}. */
export type LogLevel = typeof logLevels[number];
/** `text` for people, `json` for machines. */
export type LogFormat = "text" | "json";

/** Values that go with a message; a field `event.name` makes it an event, as OpenTelemetry calls it. Text from outside belongs here or in the message; both are escaped. */
export type LogFields = Record<string, string | number | boolean | undefined>;

/** What programs log with. */
export type Log = Record<LogLevel, (message: string, fields?: LogFields) => void>;

/** Options of {@linkcode createLog}. */
export interface LogOptions {
  /** Name in brackets and OTLP instrumentation scope: the program. */
  name: string;
  /** How lines look. @default "text" */
  format?: LogFormat;
  /** The least important level that is written. @default "info" */
  level?: LogLevel;
  /** Where lines go. @default stdout, by {@linkcode stdoutLines} */
  write?: (line: string) => void;
  /** Whose clock the lines show. @default the real world */
  world?: Pick<World, "nowMs">;
}

const severities: Record<LogLevel, SeverityNumber> = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
};

/**
 * Makes a {@linkcode Log}. OTLP records go to the global logger provider, if telemetry is on.
 *
 * @example
 * ```ts
 * const log = createLog({ name: "orb-server" });
 * log.warn("The disk is nearly full", { freeBytes: 1_048_576 });
 * ```
 */
export function createLog(options: LogOptions): Log {
  const { name, format = "text", level = "info", world = realWorld } = options;
  const write = options.write ?? stdoutLines.write;
  const least = logLevels.indexOf(level);
  // Until telemetry is on it does nothing; then it finds the provider by itself.
  const logger = logs.getLogger(name);

  function emit(level: LogLevel, message: string, fields: LogFields = {}): void {
    const timeMs = world.nowMs();
    const active = context.active();
    const span = trace.getSpanContext(active);
    const line = { timeMs, level, name, message, fields, traceId: span?.traceId };
    write(format === "json" ? jsonLine({ ...line, spanId: span?.spanId }) : textLine(line));
    logger.emit({
      timestamp: timeMs,
      severityNumber: severities[level],
      severityText: level.toUpperCase(),
      body: message,
      attributes: fields as Attributes,
      context: active,
      ...(typeof fields["event.name"] === "string" && { eventName: fields["event.name"] }),
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

/** Lines on their way to a sink. */
export interface LineWriter {
  /** Queues a line; beyond the limit it is dropped and counted. */
  write(line: string): void;
  /** Resolves when all that is queued has been written. */
  flush(): Promise<void>;
  /** Lines dropped because the sink's reader is too slow, or gone. */
  readonly dropped: number;
}

/** Options of {@linkcode createLineWriter}. */
export interface LineWriterOptions {
  /** Lines that may wait; one more is dropped. @default 10_000 */
  maxQueuedLines?: number;
  /** Bytes that may wait; a line that goes beyond it is dropped. @default 8_388_608 */
  maxQueuedBytes?: number;
  /** How long lines gather after a write, in milliseconds, as a write costs more than many lines. @default 5 */
  gatherMs?: number;
  /** Whose timers are used. @default the real world */
  world?: Pick<World, "setTimeout" | "clearTimeout">;
}

/** Where lines go: stdout, stderr, a file. */
export interface LineSink {
  /** Writes some of the bytes, at least one, and says how many. */
  write(bytes: Uint8Array): Promise<number>;
}

/**
 * Makes a {@linkcode LineWriter} over any sink.
 *
 * @example
 * ```ts
 * const lines = createLineWriter(Deno.stderr);
 * lines.write("first");
 * await lines.flush();
 * ```
 */
export function createLineWriter(sink: LineSink, options: LineWriterOptions = {}): LineWriter {
  return new QueuedLineWriter(sink, options);
}

/** Holds what waits as bytes: as strings, a flood of lines would be moved among the old objects of the heap. */
class QueuedLineWriter implements LineWriter {
  readonly #sink: LineSink;
  readonly #maxQueuedLines: number;
  readonly #maxQueuedBytes: number;
  readonly #gatherMs: number;
  readonly #world: Pick<World, "setTimeout" | "clearTimeout">;
  #queue = new ByteQueue();
  /** Takes what comes while the other one is written. */
  #other = new ByteQueue();
  #dropped = 0;
  #writing: Promise<void> | undefined;
  /** Ends the gathering. */
  #flush = new AbortController();

  constructor(
    sink: LineSink,
    {
      maxQueuedLines = 10_000,
      maxQueuedBytes = 8_388_608,
      gatherMs = 5,
      world = realWorld,
    }: LineWriterOptions,
  ) {
    this.#sink = sink;
    this.#maxQueuedLines = maxQueuedLines;
    this.#maxQueuedBytes = maxQueuedBytes;
    this.#gatherMs = gatherMs;
    this.#world = world;
  }

  get dropped(): number {
    return this.#dropped;
  }

  // Both are handed on by themselves, as `write: stdoutLines.write`.
  readonly write = (line: string): void => {
    if (
      this.#queue.lines >= this.#maxQueuedLines ||
      !this.#queue.push(line, this.#maxQueuedBytes)
    ) {
      this.#dropped++;
      return;
    }
    this.#writing ??= this.#drain();
  };

  readonly flush = async (): Promise<void> => {
    this.#flush.abort();
    await this.#writing;
    this.#flush = new AbortController();
  };

  async #drain(): Promise<void> {
    // Wait for the end of this turn, so that a burst of lines becomes one write.
    await Promise.resolve();
    while (this.#queue.lines > 0) {
      const full = this.#queue;
      this.#queue = this.#other;
      this.#other = full;
      await this.#writeAll(full.bytes);
      full.clear();
      await pause(this.#gatherMs, { signal: this.#flush.signal, world: this.#world });
    }
    this.#writing = undefined;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.#sink.write(bytes));
    } catch {
      // The reader is gone; the program's work goes on, and OTLP still has the record.
      this.#dropped += bytes.reduce((lost, byte) => byte === newline ? lost + 1 : lost, 0);
    }
  }
}

const encoder = new TextEncoder();
const newline = 10;
/** As much is kept for the next lines; what a flood needed more is given back. */
const keptBytes = 262_144;

/** Lines as bytes, each with its end. */
class ByteQueue {
  #buffer = new Uint8Array(1_024);
  #used = 0;
  #lines = 0;

  /** Lines that wait. */
  get lines(): number {
    return this.#lines;
  }

  /** What waits; it is written over after {@linkcode clear}. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#used);
  }

  /** Adds a line; `false` if it goes beyond the limit. */
  push(line: string, maxBytes: number): boolean {
    // No character has more than three bytes a UTF-16 unit.
    const most = this.#used + line.length * 3 + 1;
    if (most > this.#buffer.length) {
      this.#grow(Math.min(Math.max(most, this.#buffer.length * 2), maxBytes));
    }
    const { read, written } = encoder.encodeInto(line, this.#buffer.subarray(this.#used, -1));
    if (read < line.length) return false;
    this.#used += written;
    this.#buffer[this.#used++] = newline;
    this.#lines++;
    return true;
  }

  clear(): void {
    this.#used = 0;
    this.#lines = 0;
    if (this.#buffer.length > keptBytes) this.#buffer = new Uint8Array(keptBytes);
  }

  #grow(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    const larger = new Uint8Array(bytes);
    larger.set(this.bytes);
    this.#buffer = larger;
  }
}

/** Lines to stdout, without ever waiting for it: the first at once, a flood in few writes. */
export const stdoutLines: LineWriter = createLineWriter(Deno.stdout);

/** Lines to stderr, likewise. */
export const stderrLines: LineWriter = createLineWriter(Deno.stderr);
