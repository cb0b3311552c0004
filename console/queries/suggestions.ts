/**
 * How a search may go on: keys that are there, and the values of a key, counted over the newest
 * spans or records.
 *
 * @module
 */
import type { Suggestion } from "../page_api/api.ts";
import { type StoredAttributes, valueText } from "../intake/values.ts";
import { severityName } from "../stores/log_store.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import { spanKinds } from "./jaeger.ts";
import { logKeys, traceKeys } from "./search_language.ts";

/** Spans or records looked at. */
const maxExamined = 4_000;
const maxSuggestions = 200;
/** Longer values are no help to who types. */
const maxValueLength = 120;

/**
 * Keys, or with `key` its values, the most frequent first.
 *
 * @example
 * ```ts
 * suggestions(store, "traces", "http.route"); // [{ text: "/cart", count: 812 }, …]
 * ```
 */
export function suggestions(
  store: TelemetryStore,
  what: "traces" | "logs",
  key: string | undefined,
): Suggestion[] {
  const counts = new Map<string, number>();
  const add = (text: string) => {
    if (text !== "" && text.length <= maxValueLength) counts.set(text, (counts.get(text) ?? 0) + 1);
  };
  const read = (attributes: StoredAttributes) => {
    for (let i = 0; i < attributes.length; i += 2) {
      if (key === undefined) add(attributes[i] as string);
      else if (attributes[i] === key) add(valueText(attributes[i + 1]!));
    }
  };
  if (what === "traces") readSpans(store, key, add, read);
  else readLogs(store, key, add, read);
  const found = [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, maxSuggestions)
    .map(([text, count]) => ({ text, count }));
  if (key !== undefined) return found;
  const own = Object.entries(what === "traces" ? traceKeys : logKeys);
  return [...own.map(([text, detail]) => ({ text, detail })), ...found];
}

type Add = (text: string) => void;
type Read = (attributes: StoredAttributes) => void;

function readSpans(store: TelemetryStore, key: string | undefined, add: Add, read: Read): void {
  let examined = 0;
  for (const trace of store.traces.newestFirst()) {
    for (const span of trace.spans) {
      if (++examined > maxExamined) return;
      if (key === "service") add(span.source.service);
      else if (key === "name" || key === "operation") add(span.name);
      else if (key === "status") add(["unset", "ok", "error"][span.status] ?? "");
      else if (key === "kind") add(spanKinds[span.kind] ?? "");
      else if (key === "scope") add(span.scope.name);
      else if (key === "event") { for (const { name } of span.events) add(name); }
      else {
        read(span.attributes);
        read(span.source.attributes);
        for (const event of span.events) read(event.attributes);
      }
    }
  }
}

function readLogs(store: TelemetryStore, key: string | undefined, add: Add, read: Read): void {
  let examined = 0;
  for (const log of store.logs.newestFirst()) {
    if (++examined > maxExamined) return;
    if (key === "service") add(log.source.service);
    else if (key === "level" || key === "severity") {
      add(severityName(log.severityNumber).toLowerCase().replace(/\d$/, ""));
    } else if (key === "scope") add(log.scope.name);
    else if (key === "event") add(log.eventName);
    else {
      read(log.attributes);
      read(log.source.attributes);
    }
  }
}
