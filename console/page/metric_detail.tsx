/**
 * One metric: its charts, its series.
 *
 * @module
 */
import { useEffect, useMemo } from "preact/hooks";
import { Chart, type ChartLine } from "../../service/page/chart.tsx";
import { formatCounted, formatUnit } from "../../service/page/format.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams, wordParam } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { WithBreaks } from "../../service/page/with_breaks.tsx";
import { apiPaths } from "../page_api/api.ts";
import type { MetricDataAnswer, MetricRow } from "../page_api/metrics_api.ts";
import { ExemplarList, exemplarMarks } from "./exemplars.tsx";
import { HeatMap } from "./heat_map.tsx";
import {
  type Figure,
  figuresOf,
  figureUnit,
  flatten,
  isHistogram,
  lastFigure,
  linesOf,
  mainFigure,
  type MetricLines,
  seriesLabels,
} from "./metric_lines.ts";
import { metricNames } from "./store.ts";
import { chooseSpan, chosenSpan, TimeLinks } from "./time_span.tsx";
import { chartRange, chartRangeMs, paused } from "./views.ts";

/** Lines in one picture: more cannot be distinguished. */
const maxLines = 7;

/** See the module. */
export function MetricDetail({ metric, service }: { metric: MetricRow; service: string }) {
  const range = chartRange.value;
  const { name, unit, type } = metric;
  const query = new URLSearchParams({ name, unit, type, lookback: range, limit: "100" });
  if (service !== "") query.set("service", service);
  const data = useAnswer<MetricDataAnswer>(`${apiPaths.metrics}?${query}`);
  useReloadOnNews(metric.name, data.reload);

  return (
    <>
      <header class="metric-head">
        <a class="only-narrow" href={href("/charts", address.value.params, { metric: undefined })}>
          All metrics
        </a>
        <h2>
          <WithBreaks name={metric.name} />
        </h2>
        {metric.description !== "" && <p>{metric.description}</p>}
        <p class="quiet">
          {kindOf(metric)}
          {metric.unit !== "" && `, unit ${metric.unit}`}
          {data.answer && `, ${formatCounted(data.answer.matched, "series", "series")}`}
        </p>
      </header>
      {data.answer === undefined
        ? data.error === undefined ? <Loading what="the chart" rows={4} /> : (
          <Failure
            title="The chart cannot be shown"
            detail={data.error.message}
            onRetry={data.reload}
          />
        )
        : <MetricCharts metric={data.answer} rangeMs={chartRangeMs[range]} />}
    </>
  );
}

/** Asks again when the stream says that the metric has new points, at most once a second; not while paused. */
function useReloadOnNews(name: string, reload: () => void) {
  const names = metricNames.value;
  useEffect(() => {
    if (!paused.peek() && names.includes(name)) reload();
  }, [names]);
}

function kindOf(metric: MetricRow): string {
  switch (metric.type) {
    case "sum":
      return metric.monotonic ? "Counter" : "Up-down counter";
    case "gauge":
      return "Gauge";
    case "histogram":
      return "Histogram";
    case "exponentialHistogram":
      return "Exponential histogram";
    case "summary":
      return "Summary";
  }
}

function MetricCharts({ metric, rangeMs }: { metric: MetricDataAnswer; rangeMs: number }) {
  const { params } = address.value;
  const labels = seriesLabels(metric.data);
  const histogram = isHistogram(metric);
  const wanted = params.get("series");
  const index = metric.data.length === 1 ? 0 : labels.indexOf(wanted ?? "");
  const one = metric.data[index];
  const figure: Figure = histogram
    ? wordParam(params, "figure", ["p95", "p50", "p99", "mean"])
    : mainFigure(metric);
  const few = one ? [one] : metric.data.slice(0, maxLines);
  const span = chosenSpan(params);
  const range = useMemo(
    () => span ?? timeRange(metric, rangeMs),
    [metric, rangeMs, span?.[0], span?.[1]],
  );

  if (metric.data.every((series) => series.points.length === 0)) {
    return (
      <Empty title="No points in this time">
        <p>Choose a longer time range, or wait for the next points.</p>
      </Empty>
    );
  }
  const main = histogram && one ? figuresOf(one, ["p50", "p95", "p99"]) : linesOf(few, figure);
  const unit = figureUnit(metric, figure);
  return (
    <>
      <div class="chart-head">
        <h3>{histogram && one ? "p50, p95, p99" : titleOf(metric, figure)}</h3>
        {histogram && !one && <FigureChoice figure={figure} />}
        {!one && metric.data.length > maxLines && (
          <span class="quiet">
            {maxLines} of {formatCounted(metric.matched, "series", "series")}, the latest ones
          </span>
        )}
      </div>
      <Chart
        label={`${metric.name}, ${histogram && one ? "p50, p95, p99" : titleOf(metric, figure)}`}
        timesMs={main.timesMs}
        lines={colored(main, histogram && one !== undefined)}
        range={range}
        marks={figure === "rate" ? [] : exemplarMarks(few)}
        onSpan={chooseSpan}
        format={(value) => formatUnit(value, unit)}
      />
      <TimeLinks lines={main} service={params.get("service") ?? ""} />
      {histogram && (
        <HeatMap
          label={`${metric.name}, how many in each bucket`}
          series={one ? [one] : metric.data}
          range={range}
          format={(value) => formatUnit(value, metric.unit)}
        />
      )}
      <ExemplarList metric={metric} series={few} />
      {histogram && <RateChart metric={metric} lines={linesOf(few, "rate")} range={range} />}
      {metric.data.length > 1 && (
        <SeriesTable metric={metric} labels={labels} chosen={one && labels[index]} />
      )}
      {metric.data.length === 1 && <SeriesFacts metric={metric} />}
    </>
  );
}

/** Up to now, and no further back than there are points, but a minute at least. */
function timeRange(metric: MetricDataAnswer, rangeMs: number): readonly [number, number] {
  const toMs = Date.now();
  const firstMs = metric.data.reduce(
    (least, series) => Math.min(least, series.points[0]?.timeMs ?? Infinity),
    Infinity,
  );
  return [Math.min(Math.max(toMs - rangeMs, firstMs), toMs - 60_000), toMs];
}

function titleOf(metric: MetricRow, figure: Figure): string {
  if (figure === "rate") return "Growth a second";
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
        <h3>Counted a second</h3>
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

function FigureChoice({ figure }: { figure: Figure }) {
  return (
    <div class="choice" role="group" aria-label="Figure">
      {(["p50", "p95", "p99", "mean"] as const).map((one) => (
        <button
          key={one}
          type="button"
          aria-pressed={figure === one}
          onClick={() => setParams({ figure: one === "p95" ? undefined : one })}
        >
          {one}
        </button>
      ))}
    </div>
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

function SeriesTable(
  { metric, labels, chosen }: {
    metric: MetricDataAnswer;
    labels: string[];
    chosen: string | undefined;
  },
) {
  const columns: readonly Figure[] = isHistogram(metric)
    ? ["rate", "p50", "p95", "p99"]
    : [mainFigure(metric)];
  const names: Readonly<Record<Figure, string>> = {
    value: "last value",
    rate: "a second",
    mean: "mean",
    p50: "p50",
    p95: "p95",
    p99: "p99",
  };
  const { params } = address.value;
  return (
    <div class="table-place" tabIndex={0} role="region" aria-label="Series">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Series</th>
            <th scope="col">Service</th>
            {columns.map((column) => (
              <th key={column} scope="col" class="number">{names[column]}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {metric.data.map((series, i) => (
            <tr key={labels[i]} class={labels[i] === chosen ? "chosen" : ""}>
              <td>
                <a
                  href={href("/charts", params, {
                    series: labels[i] === chosen ? undefined : labels[i],
                  })}
                  aria-current={labels[i] === chosen ? "true" : undefined}
                  title={Object.entries(flatten(series.attributes)).map((pair) =>
                    pair.join(" = ")
                  )
                    .join("\n")}
                >
                  {labels[i]}
                </a>
              </td>
              <td>
                <ServiceName name={series.service} />
              </td>
              {columns.map((column) => {
                const value = lastFigure(series, column);
                return (
                  <td key={column} class="number">
                    {value === null ? "–" : formatUnit(value, figureUnit(metric, column))}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function SeriesFacts({ metric }: { metric: MetricDataAnswer }) {
  const series = metric.data[0]!;
  return (
    <dl class="facts series-facts">
      <div>
        <dt>service</dt>
        <dd>
          <ServiceName name={series.service} />
        </dd>
      </div>
      {Object.entries(flatten(series.attributes)).map(([key, value]) => (
        <div key={key}>
          <dt>{key}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
