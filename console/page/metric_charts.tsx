/**
 * The charts of one metric.
 *
 * @module
 */
import { useMemo } from "preact/hooks";
import { Chart, type ChartLine } from "../../service/page/chart.tsx";
import { formatCounted, formatUnit } from "../../service/page/format.ts";
import { Empty } from "../../service/page/states.tsx";
import { address } from "../../service/page/url_state.ts";
import type { MetricDataAnswer, MetricRow } from "../page_api/metrics_api.ts";
import { figureOfMetric } from "./chart_state.ts";
import { maxLines } from "./combined_lines.ts";
import { ExemplarList, exemplarMarks } from "./exemplars.tsx";
import { HeatMap } from "./heat_map.tsx";
import {
  type Figure,
  figuresOf,
  figureUnit,
  isHistogram,
  linesOf,
  type MetricLines,
  seriesLabels,
} from "./metric_lines.ts";
import { SeriesFacts, SeriesTable } from "./series_table.tsx";
import { chooseSpan, chosenSpan, ShowAllTime, TimeLinks } from "./time_span.tsx";

/** See the module. */
export function MetricCharts({ metric, rangeMs }: { metric: MetricDataAnswer; rangeMs: number }) {
  const { params } = address.value;
  const labels = seriesLabels(metric.data);
  const histogram = isHistogram(metric);
  const wanted = params.get("series");
  const index = metric.data.length === 1 ? 0 : labels.indexOf(wanted ?? "");
  const one = metric.data[index];
  const figure = figureOfMetric(params, metric);
  const few = one ? [one] : metric.data.slice(0, maxLines);
  const span = chosenSpan(params);
  const range = useMemo(
    () => span ?? timeRange([metric], rangeMs),
    [metric, rangeMs, span?.[0], span?.[1]],
  );

  if (metric.data.every((series) => series.points.length === 0)) {
    return (
      <Empty title="No points in this time">
        <p>Choose a longer time range, or wait for the next points.</p>
        {span && <ShowAllTime />}
      </Empty>
    );
  }
  const quantiles = histogram && one !== undefined && figure !== "rate" && figure !== "mean";
  const main = quantiles ? figuresOf(one!, ["p50", "p95", "p99"]) : linesOf(few, figure);
  const title = quantiles ? "p50, p95, p99" : titleOf(metric, figure);
  const unit = figureUnit(metric, figure);
  return (
    <>
      <div class="chart-head">
        <h3>{title}</h3>
        {!one && metric.data.length > maxLines && (
          <span class="quiet">
            {metric.grouped
              ? `the ${maxLines} largest of ${formatCounted(metric.matched, "group")}`
              : `${maxLines} of ${
                formatCounted(metric.matched, "series", "series")
              }, the latest ones; put them together by an attribute to see all`}
          </span>
        )}
      </div>
      <Chart
        label={`${metric.name}, ${title}`}
        timesMs={main.timesMs}
        lines={colored(main, quantiles)}
        range={range}
        marks={figure === "rate" ? [] : exemplarMarks(few)}
        onSpan={chooseSpan}
        format={(value) => formatUnit(value, unit)}
      />
      <TimeLinks
        lines={main}
        range={range}
        service={(i) => (quantiles ? one! : few[i]!).service || (params.get("service") ?? "")}
      />
      {histogram && (
        <HeatMap
          label={`${metric.name}, how many in each bucket`}
          series={one ? [one] : metric.data}
          range={range}
          onSpan={chooseSpan}
          format={(value) => formatUnit(value, metric.unit)}
        />
      )}
      <ExemplarList metric={metric} series={few} />
      {histogram && figure !== "rate" && (
        <RateChart metric={metric} lines={linesOf(few, "rate")} range={range} />
      )}
      {metric.data.length > 1 && (
        <SeriesTable metric={metric} labels={labels} chosen={one && labels[index]} />
      )}
      {metric.data.length === 1 && <SeriesFacts metric={metric} />}
    </>
  );
}

/** Up to now, and no further back than there are points, but a minute at least. */
export function timeRange(
  metrics: readonly MetricDataAnswer[],
  rangeMs: number,
): readonly [number, number] {
  const toMs = Date.now();
  const firstMs = metrics.flatMap(({ data }) => data).reduce(
    (least, series) => Math.min(least, series.points[0]?.timeMs ?? Infinity),
    Infinity,
  );
  return [Math.min(Math.max(toMs - rangeMs, firstMs), toMs - 60_000), toMs];
}

function titleOf(metric: MetricRow, figure: Figure): string {
  if (figure === "rate") {
    return isHistogram(metric) ? "Rate: counted a second" : "Rate: growth a second";
  }
  if (figure === "value") return metric.type === "summary" ? "Highest quantile" : "Value";
  return figure === "mean" ? "Mean" : figure;
}

function RateChart(
  { metric, lines, range }: {
    metric: MetricDataAnswer;
    lines: MetricLines;
    range: readonly [number, number];
  },
) {
  return (
    <>
      <div class="chart-head">
        <h3>Rate: counted a second</h3>
      </div>
      <Chart
        label={`${metric.name}, counted a second`}
        timesMs={lines.timesMs}
        lines={colored(lines, false)}
        range={range}
        onSpan={chooseSpan}
        height={160}
        format={(value) => formatUnit(value, "/s")}
      />
    </>
  );
}

/** Percentiles are one thing in three strengths: one colour, three kinds of line. */
function colored({ lines }: MetricLines, percentiles: boolean): ChartLine[] {
  const dashes = [[2, 3], [6, 3], []];
  return lines.map((line, i) =>
    percentiles
      ? {
        ...line,
        color: `--chart-${[0, 1, 3][i]}`,
        ...(dashes[i]!.length > 0 && { dash: dashes[i]! }),
      }
      : { ...line, color: `--chart-${i % maxLines}` }
  );
}
