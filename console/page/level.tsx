/**
 * A log record's severity, as a word in its colour.
 *
 * @module
 */
import type { LogRow } from "../page_api/logs_api.ts";

/** The word, short enough for a column. */
export function Level({ row }: { row: LogRow }) {
  return <span class={`level level-${levelKind(row.severityNumber)}`}>{row.severity || "LOG"}
  </span>;
}

/** Severity numbers of OpenTelemetry's logs data model: four a level, 17 and up are errors. */
export function levelKind(severityNumber: number): "error" | "warn" | "info" | "debug" {
  if (severityNumber >= 17) return "error";
  if (severityNumber >= 13) return "warn";
  if (severityNumber >= 9 || severityNumber === 0) return "info";
  return "debug";
}
