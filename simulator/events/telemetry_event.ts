/**
 * One event of the contract's wire, a JSON object a line:
 * `{"traceId", "name", "event", "timeUnixNano", "attributes": [{"key", "value": {…}}]}`.
 *
 * The server passes a line on as it came, digit for digit: it is read to know whose it is and
 * whether it is one, and never written anew.
 *
 * @module
 */

/** What the server knows of an event; the line itself goes with it. */
export interface TelemetryEvent {
  /** The trace it belongs to. */
  readonly traceId: string;
  /** The program that sent it, such as `Simple::Telemetry::Client`. */
  readonly name: string;
  /** What happened: `processStarted`, `processingPerformed`, `processStopped`, or any other word. */
  readonly event: string;
  /** The process, where the event says so. */
  readonly pid: number | undefined;
}

/** Why a line is no event. */
export type RefusalKind =
  | "not-json"
  | "not-utf-8"
  | "wrong-shape"
  | "too-long";

/** All of {@linkcode RefusalKind}, with the reason in words. */
export const refusalReasons: Readonly<Record<RefusalKind, string>> = {
  "not-json": "the line is not JSON",
  "not-utf-8": "the line is not UTF-8",
  "wrong-shape":
    "the line is no object with traceId, name and event, each a text of 1 to 1000 characters",
  "too-long": "the line is longer than the limit",
};

/** The longest name, trace id or kind of event. */
const maxWordLength = 1_000;

/** Reads a line; a string says why it is none. */
export function readTelemetryEvent(line: string): TelemetryEvent | RefusalKind {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return "not-json";
  }
  if (typeof value !== "object" || value === null) return "wrong-shape";
  const { traceId, name, event, attributes } = value as Record<string, unknown>;
  if (!isWord(traceId) || !isWord(name) || !isWord(event)) return "wrong-shape";
  return { traceId, name, event, pid: pidOf(attributes) };
}

function isWord(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= maxWordLength;
}

/** The attribute `pid`, as the contract's `{"type": "integer", "value": n}` or as OTLP's `intValue`. */
function pidOf(attributes: unknown): number | undefined {
  if (!Array.isArray(attributes)) return undefined;
  for (const attribute of attributes) {
    if (attribute?.key !== "pid") continue;
    const pid = Number(attribute.value?.value ?? attribute.value?.intValue);
    return Number.isSafeInteger(pid) ? pid : undefined;
  }
  return undefined;
}
