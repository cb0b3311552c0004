/**
 * Several metrics in one picture: by one axis where they have one unit, by two where they have two,
 * and where there are more each as a share of its own highest value.
 *
 * @module
 */
import type { ChartLine } from "../../service/page/chart.tsx";
import { formatPercent, formatUnit } from "../../service/page/format.ts";
import type { MetricDataAnswer } from "../page_api/metrics_api.ts";
import {
  align,
  type Figure,
  figureUnit,
  type MetricLine,
  type MetricLines,
  seriesLabels,
  type WantedLine,
} from "./metric_lines.ts";

/** A metric, and what of it is drawn. */
export interface CombinedPart {
  readonly metric: MetricDataAnswer;
  readonly figure: Figure;
}

/** What is drawn. */
export interface CombinedLines {
  readonly timesMs: number[];
  readonly lines: ChartLine[];
  /** By what the values are drawn. */
  readonly axes: "one" | "two" | "shares";
  /** Units of the axes, the left one first; none for shares. */
  readonly units: readonly string[];
  /** Text of a value at each axis. */
  readonly format: (value: number) => string;
  readonly rightFormat: (value: number) => string;
  /** The lines of the first metric with their own values, for their peak: units differ. */
  readonly first: MetricLines;
}

/** Lines in one picture: more cannot be distinguished. */
export const maxLines = 7;

/**
 * See the module. Each metric has as many lines as there is room for, those of its largest groups.
 *
 * @param shares draws shares of the highest value, whatever the units
 */
export function combinedLines(parts: readonly CombinedPart[], shares: boolean): CombinedLines {
  const names = shortNames(parts.map(({ metric }) => metric.name));
  const each = Math.max(1, Math.floor(maxLines / Math.max(1, parts.length)));
  const wanted = parts.flatMap(({ metric, figure }, i) => {
    const series = metric.data.slice(0, each);
    const labels = seriesLabels(series);
    return series.map((one, n) => ({
      label: [`${names[i]} ${figureWord(figure)}`.trim(), labels[n] === "all" ? [] : labels[n]!]
        .flat().join(" · "),
      series: one,
      figure,
      unit: figureUnit(metric, figure),
      part: i,
    }));
  });
  const plain = align(wanted as readonly WantedLine[]);
  const units = [...new Set(wanted.map(({ unit }) => unit))];
  const axes = shares || units.length > 2 ? "shares" : units.length === 2 ? "two" : "one";
  const texts = units.map((unit) => (value: number) => formatUnit(value, unit));
  const lines = plain.lines.map((line, i): ChartLine => {
    const unit = units.indexOf(wanted[i]!.unit);
    const color = `--chart-${i % maxLines}`;
    if (axes === "shares") return { ...ofHighest(line, texts[unit]!), color };
    return unit === 1
      ? { ...line, color, axis: "right", dash: [6, 3] }
      : { ...line, color, axis: "left" };
  });
  return {
    timesMs: plain.timesMs,
    lines,
    axes,
    units: axes === "shares" ? [] : units,
    format: axes === "shares" ? formatPercent : texts[0] ?? String,
    rightFormat: texts[1] ?? String,
    first: { timesMs: plain.timesMs, lines: plain.lines.filter((_, i) => wanted[i]!.part === 0) },
  };
}

/** A line as shares of its highest value, which its legend tells as values all the same. */
function ofHighest(line: MetricLine, format: (value: number) => string) {
  const highest = line.values.reduce<number>(
    (most, value) => Math.max(most, Math.abs(value ?? 0)),
    0,
  );
  return {
    label: line.label,
    values: line.values.map((value) =>
      typeof value === "number" && highest > 0 ? value / highest : value
    ),
    format: (share: number) => format(highest > 0 ? share * highest : share),
  };
}

/** What of a figure's name a line's needs: a value is what is expected. */
function figureWord(figure: Figure): string {
  return figure === "value" ? "" : figure;
}

/** Names without the words at their beginning that all of them have: `http.server.` */
export function shortNames(names: readonly string[]): string[] {
  if (new Set(names).size < 2) return [...names];
  const words = names.map((name) => name.split("."));
  let common = 0;
  while (
    words.every((parts) => parts.length > common + 1 && parts[common] === words[0]![common])
  ) common++;
  return words.map((parts) => parts.slice(common).join("."));
}
