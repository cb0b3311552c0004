/**
 * A run as a space-time diagram in SVG: a line for each part, time from top to bottom, a dot for each
 * event, a stroke where a message comes from one part to another.
 *
 * @module
 */
import { causesOf } from "../causality.ts";
import type { LogEntry } from "../event_loop.ts";
import { wordsOf } from "./space_time_log.ts";

const columnWidth = 120;
const rowHeight = 14;
const top = 40;

/** Kinds whose dots stand out. */
const colours: Readonly<Record<string, string>> = {
  VIOLATION: "#c62828",
  crash: "#c62828",
  effect: "#2e7d32",
};

/** Draws the diagram; events stand by their order, so that none hides another. */
export function toSvg(entries: readonly LogEntry[]): string {
  const causes = causesOf(entries);
  const parts = [...new Set(entries.map(({ part }) => part))];
  const columns = new Map(parts.map((part, index) => [part, (index + 0.5) * columnWidth]));
  const [width, height] = [parts.length * columnWidth, top + entries.length * rowHeight + 10];
  const yOf = (place: number) => top + (place + 0.5) * rowHeight;
  const lanes = parts.map((part) => {
    const x = columns.get(part)!;
    return `<text x="${x}" y="20" text-anchor="middle">${escaped(part)}</text>` +
      `<line x1="${x}" y1="${top}" x2="${x}" y2="${height}" stroke="#888" stroke-width="0.5"/>`;
  });
  const drawn = entries.map((entry, place) => {
    const [x, y] = [columns.get(entry.part)!, yOf(place)];
    const strokes = causes[place]!.filter((cause) => entries[cause]!.part !== entry.part)
      .map((cause) =>
        `<line x1="${columns.get(entries[cause]!.part)}" y1="${yOf(cause)}" x2="${x}" y2="${y}" ` +
        `stroke="#1565c0" stroke-width="0.7"/>`
      );
    const fill = colours[entry.kind] ?? (entry.kind.startsWith("fault-") ? "#ef6c00" : "#555");
    return `${strokes.join("")}<circle cx="${x}" cy="${y}" r="3" fill="${fill}">` +
      `<title>${escaped(`${entry.part}: ${wordsOf(entry)}`)}</title></circle>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
    `width="${width}" height="${height}" font-family="sans-serif" font-size="12">\n` +
    `<rect width="100%" height="100%" fill="#fff"/>\n` +
    [...lanes, ...drawn].join("\n") + "\n</svg>\n";
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
