/**
 * Which events a client of the stream wants.
 *
 * @module
 */
import type { Subscribe } from "../api.ts";
import type { LoggedEvent } from "../events/event_log.ts";

/** What a client asked for; a field that is missing asks for nothing. */
export type EventFilter = Pick<Subscribe, "trace" | "name" | "event">;

const fields = ["trace", "name", "event"] as const;
const maxFieldLength = 1_000;

/** Makes a test of it; `undefined` when every event fits, as then nothing need be tested. */
export function eventTest(filter: EventFilter): ((event: LoggedEvent) => boolean) | undefined {
  const { trace, name, event } = filter;
  if (trace === undefined && name === undefined && event === undefined) return undefined;
  return (logged) =>
    (trace === undefined || logged.event.traceId === trace) &&
    (name === undefined || logged.event.name.includes(name)) &&
    (event === undefined || logged.event.event === event);
}

/** Reads the filter from a URL's query; empty parameters ask for nothing. */
export function filterOf(parameters: URLSearchParams): EventFilter & { after?: string } {
  const filter: EventFilter & { after?: string } = {};
  for (const field of fields) {
    const value = parameters.get(field);
    if (value) filter[field] = value.slice(0, maxFieldLength);
  }
  const after = parameters.get("after");
  if (after !== null) filter.after = after;
  return filter;
}

/** Reads a message of a client; a text says what is wrong with it. */
export function readSubscribe(text: unknown): Subscribe | string {
  if (typeof text !== "string") return "messages are JSON texts, not binary";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "the message is not JSON";
  }
  if (typeof value !== "object" || value === null || !("type" in value)) {
    return 'the message has no "type"';
  }
  if (value.type !== "subscribe") return 'the only type of message is "subscribe"';
  for (const field of [...fields, "after"] as const) {
    const one = (value as Record<string, unknown>)[field];
    if (one === undefined) continue;
    if (typeof one !== "string" || one.length > maxFieldLength) {
      return `"${field}" is a text of at most ${maxFieldLength} characters`;
    }
  }
  return value as Subscribe;
}
