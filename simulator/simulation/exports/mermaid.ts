/**
 * A run as the text of a Mermaid sequence diagram: an arrow where a message comes from one part to
 * another, a note for what a part does by itself.
 *
 * @module
 */
import { causesOf } from "../causality.ts";
import type { LogEntry } from "../event_loop.ts";

/** Writes the diagram. */
export function toMermaid(entries: readonly LogEntry[]): string {
  const causes = causesOf(entries);
  const parts = new Map<string, string>();
  const lines: string[] = [];
  const nameOf = (part: string) => {
    let name = parts.get(part);
    if (name === undefined) parts.set(part, name = `p${parts.size + 1}`);
    return name;
  };
  for (const [place, entry] of entries.entries()) {
    const words = safe([entry.kind, entry.subject, entry.detail].join(" ").trim());
    const to = nameOf(entry.part);
    const from = causes[place]!.map((cause) => entries[cause]!.part)
      .filter((part) => part !== entry.part);
    const seconds = (entry.atUs / 1_000_000).toFixed(3);
    if (from.length === 0) lines.push(`  Note over ${to}: ${seconds} s ${words}`);
    for (const part of new Set(from)) {
      lines.push(`  ${nameOf(part)}->>${to}: ${seconds} s ${words}`);
    }
  }
  const heads = [...parts].map(([part, name]) => `  participant ${name} as ${safe(part)}`);
  return ["sequenceDiagram", ...heads, ...lines].join("\n") + "\n";
}

/** These end a statement or begin an entity. */
function safe(text: string): string {
  return text.replaceAll(/[;#]/g, ",");
}
