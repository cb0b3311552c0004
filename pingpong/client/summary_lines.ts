/**
 * The end of a run, in lines.
 *
 * @module
 */
import type { PingStatistics, PingSummary } from "./statistics.ts";

const ms = (value: number) => value.toFixed(3);

/** Options of {@linkcode summaryLines}. */
export interface SummaryLinesOptions {
  /** Rows of the histogram, at least 1. @default 8 */
  rows?: number;
  /** How wide a line may be, in characters, at least 60. @default 80 */
  columns?: number;
  /** Draws with ASCII only, for a terminal that has no more. @default false */
  plain?: boolean;
  /** Draws a histogram; `"if-many"`, when there are 20 measured pings or more. @default "if-many" */
  histogram?: boolean | "if-many";
}

/** Fewer say more as a list. */
const manyPings = 20;

/**
 * The end of a run as ping has it, and a histogram of the round-trip times.
 *
 * @example
 * ```ts
 * for (const line of summaryLines("bidi", statistics, elapsedMs)) console.log(line);
 * ```
 */
export function summaryLines(
  title: string,
  statistics: PingStatistics,
  elapsedMs: number,
  options: SummaryLinesOptions = {},
): string[] {
  const { rows = 8, columns = 80, plain = false, histogram: wanted = "if-many" } = options;
  const summary = statistics.summary();
  const { rttMs } = summary;
  const lines = [
    `--- ${title} ping statistics ---`,
    `${summary.sent} sent, ${summary.received} received, ${summary.lost} lost (${
      (summary.lossRatio * 100).toFixed(1)
    }%), ${summary.duplicated} duplicated, ${summary.reordered} reordered, ${summary.late} late, ${summary.recovered} recovered, ${
      outagesOf(summary)
    }time ${Math.round(elapsedMs)} ms`,
  ];
  if (!rttMs) return lines;
  lines.push(
    `rtt min/avg/max/mdev = ${ms(rttMs.min)}/${ms(rttMs.avg)}/${ms(rttMs.max)}/${
      ms(rttMs.mdev)
    } ms`,
    `rtt p50/p90/p99 = ${ms(rttMs.p50)}/${ms(rttMs.p90)}/${ms(rttMs.p99)} ms, jitter ${
      ms(rttMs.jitter)
    } ms`,
  );
  const { histogram } = statistics;
  if (wanted === false || (wanted === "if-many" && histogram.count < manyPings)) return lines;
  return [...lines, ...histogramLines(histogram.rows(rows), columns, plain)];
}

function outagesOf({ outages, outageMs }: PingSummary): string {
  if (outages === 0) return "";
  return `${outages} ${outages === 1 ? "outage" : "outages"} of ${Math.round(outageMs)} ms, `;
}

/** What a line has beside its bar. */
const labelWidth = 42;

function histogramLines(
  histogram: readonly { fromMs: number; toMs: number; count: number }[],
  columns: number,
  plain: boolean,
): string[] {
  const [dash, block] = plain ? ["-", "#"] : ["–", "█"];
  const barWidth = Math.max(10, Math.min(40, columns - labelWidth));
  const lines: string[] = [];
  const most = Math.max(...histogram.map(({ count }) => count));
  for (const { fromMs, toMs, count } of histogram) {
    // A row that has any has a bar: one ping among a million is what matters.
    const bar = block.repeat(count === 0 ? 0 : Math.max(1, Math.round(count / most * barWidth)));
    lines.push(
      `  ${ms(fromMs).padStart(10)} ${dash} ${ms(toMs).padStart(10)} ms ${
        String(count).padStart(9)
      } ${bar}`
        .trimEnd(),
    );
  }
  return lines;
}
