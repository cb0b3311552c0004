/**
 * The forms that a run can be given to other tools in.
 *
 * @module
 */
import type { LogEntry } from "../event_loop.ts";
import { toMermaid } from "./mermaid.ts";
import { toShiviz } from "./space_time_log.ts";
import { toSvg } from "./svg.ts";

/** Names of the forms. */
export const exportForms = ["shiviz", "mermaid", "svg"] as const;

/** One of {@linkcode exportForms}. */
export type ExportForm = typeof exportForms[number];

const writers: Readonly<Record<ExportForm, (entries: readonly LogEntry[]) => string>> = {
  shiviz: toShiviz,
  mermaid: toMermaid,
  svg: toSvg,
};

/**
 * Writes a run's log in a form.
 *
 * @example
 * ```ts
 * const { entries } = createRun({ seed: 7, given: { orders: 3 } });
 * exportLog(entries, "mermaid");
 * ```
 */
export function exportLog(entries: readonly LogEntry[], form: ExportForm): string {
  return writers[form](entries);
}
