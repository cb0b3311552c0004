/**
 * A run as a space-time log, in the form that ShiViz reads: each event with its host and its vector
 * clock. Its parser's expression is {@linkcode shivizExpression}.
 *
 * @module
 */
import { causesOf } from "../causality.ts";
import type { LogEntry } from "../event_loop.ts";

/** What ShiViz has to be told to read it. */
export const shivizExpression = "(?<host>\\S+) (?<clock>\\{.*\\})\\n(?<event>.*)";

/** Writes the log, two lines an event. */
export function toShiviz(entries: readonly LogEntry[]): string {
  const causes = causesOf(entries);
  const clocks: Readonly<Record<string, number>>[] = [];
  let text = "";
  for (const [place, entry] of entries.entries()) {
    const clock: Record<string, number> = {};
    for (const cause of causes[place]!) {
      for (const [part, count] of Object.entries(clocks[cause]!)) {
        clock[part] = Math.max(count, clock[part] ?? 0);
      }
    }
    clock[entry.part] = (clock[entry.part] ?? 0) + 1;
    clocks.push(clock);
    text += `${entry.part} ${JSON.stringify(clock)}\n${wordsOf(entry)}\n`;
  }
  return text;
}

/** What has happened, in a line. */
export function wordsOf({ atUs, kind, subject, detail }: LogEntry): string {
  const words = [kind, subject, detail].filter((word) => word !== "").join(" ");
  return `${(atUs / 1_000).toFixed(3)} ms ${words}`;
}
