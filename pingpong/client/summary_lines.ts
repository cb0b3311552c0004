/**
 * The end of a run, in lines.
 *
 * @module
 */
import type { PingStatistics } from "./statistics.ts";

/** Options of {@linkcode summaryLines}. */
export interface SummaryLinesOptions {
  /** Rows of the histogram, at least 1. @default 8 */
  rows?: number;
  /** The longest bar, in characters, at least 1. @default 40 */
  barWidth?: number;
}

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
  const { rows = 8, barWidth = 40 } = options;
  const summary = statistics.summary();
  const { rttMs } = summary;
  const lines = [
    `--- ${title} ping statistics ---`,
    `${summary.sent} sent, ${summary.received} received, ${summary.lost} lost (${
      (summary.lossRatio * 100).toFixed(1)
    }%), ${summary.duplicated} duplicated, ${summary.reordered} reordered, ${summary.late} late, ${summary.recovered} recovered, time ${
      Math.round(elapsedMs)
    } ms`,
  ];
  if (!rttMs) return lines;
  const ms = (value: number) => value.toFixed(3);
  lines.push(
    `rtt min/avg/max/mdev = ${ms(rttMs.min)}/${ms(rttMs.avg)}/${ms(rttMs.max)}/${
      ms(rttMs.mdev)
    } ms`,
    `rtt p50/p90/p99 = ${ms(rttMs.p50)}/${ms(rttMs.p90)}/${ms(rttMs.p99)} ms, jitter ${
      ms(rttMs.jitter)
    } ms`,
  );
  const histogram = statistics.histogram.rows(rows);
  const most = Math.max(...histogram.map(({ count }) => count));
  for (const { fromMs, toMs, count } of histogram) {
    // A row that has any has a bar: one ping among a million is what matters.
    const bar = "█".repeat(count === 0 ? 0 : Math.max(1, Math.round(count / most * barWidth)));
    lines.push(
      `  ${ms(fromMs).padStart(10)} – ${ms(toMs).padStart(10)} ms ${
        String(count).padStart(9)
      } ${bar}`
        .trimEnd(),
    );
  }
  return lines;
}
