/**
 * Metrics: the list of them, and the charts of the chosen one.
 *
 * @module
 */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Chart, type ChartLine, Sparkline } from "../../service/page/chart.tsx";
import { CommandLine } from "../../service/page/copy.tsx";
import { formatCounted, formatUnit } from "../../service/page/format.ts";
import { WithBreaks } from "../../service/page/with_breaks.tsx";
import { SearchField } from "../../service/page/search_field.tsx";
import { ServiceMarks, ServiceName } from "../../service/page/service_mark.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams, wordParam } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { apiPaths, type MetricDataAnswer, type MetricRow, type MetricsAnswer } from "../api.ts";
import { ServiceFilter } from "./filter_bar.tsx";
import {
  type Figure,
  figuresOf,
  figureUnit,
  flatten,
  headline,
  isHistogram,
  lastFigure,
  linesOf,
  mainFigure,
  type MetricLines,
  seriesLabels,
} from "./metric_lines.ts";
import { PointHere } from "./point_here.tsx";
import { epoch, metricNames } from "./store.ts";
import { chartRange, chartRangeMs, chartRanges, paused } from "./views.ts";

/** Metrics in the list at once. */
const maxListed = 300;

/** Lines in one picture: more cannot be told apart. */
const maxLines = 7;

/** See the module. */
export function ChartsView() {
  const { params } = address.value;
  const list = useAnswer<MetricsAnswer>(`${apiPaths.metrics}?epoch=${epoch.value}`, {
    refreshMs: paused.value ? undefined : 5_000,
  });
  if (list.answer === undefined) {
    return list.error === undefined ? <Loading what="metrics" /> : (
      <Failure
        title="The metrics cannot be shown"
        detail={list.error.message}
        onRetry={list.reload}
      />
    );
  }
  const all = list.answer.metrics;
  if (all.length === 0) {
    return (
      <Empty title="Waiting for the first metric">
        <p>Programs send their metrics every few seconds. Start the whole model:</p>
        <CommandLine text="deno task demo" />
        <p>Or point a program of your own here:</p>
        <PointHere />
      </Empty>
    );
  }
  const service = params.get("service") ?? "";
  const text = (params.get("q") ?? "").toLowerCase();
  const shown = all.filter((metric) =>
    (service === "" || metric.services.includes(service)) &&
    (metric.name.toLowerCase().includes(text) || metric.description.toLowerCase().includes(text))
  );
  const wanted = params.get("metric");
  const chosen = all.find((metric) => metric.name === wanted);
  return (
    <section class={chosen ? "charts-view chosen" : "charts-view"} aria-labelledby="charts-title">
      <h1 id="charts-title" class="hidden-text">Charts</h1>
      <div class="toolbar">
        <SearchField
          label="Metric"
          value={params.get("q") ?? ""}
          onChange={(q) =>
            setParams({ q }, { replace: true })}
        />
        <ServiceFilter />
        <RangeChoice />
        <p class="figures">
          <span>
            {shown.length === all.length
              ? formatCounted(all.length, "metric")
              : `${shown.length} of ${formatCounted(all.length, "metric")}`}
          </span>
        </p>
      </div>
      <div class="charts-split">
        <nav class="metric-list" aria-label="Metrics">
          {shown.length === 0 && <p class="quiet pad">No metric fits these filters.</p>}
          <ul>
            {shown.slice(0, maxListed).map((metric) => (
              <li key={metric.name}>
                <MetricLink metric={metric} current={metric === chosen} />
              </li>
            ))}
          </ul>
          {shown.length > maxListed && (
            <p class="quiet pad">
              {formatCounted(shown.length - maxListed, "more metric")}: search to find them.
            </p>
          )}
        </nav>
        <div class="metric-detail">
          {chosen
            ? <MetricDetail key={chosen.name} metric={chosen} service={service} />
            : wanted !== null
            ? (
              <Empty title="This metric is not here">
                <p>
                  <code>{wanted}</code>{" "}
                  has not been received since the console started or was cleared.
                </p>
              </Empty>
            )
            : (
              <Empty title="Choose a metric">
                <p>Its charts appear here, and its address is a link to them.</p>
              </Empty>
            )}
        </div>
      </div>
    </section>
  );
}

function RangeChoice() {
  const words = { "5m": "5 min", "15m": "15 min", "1h": "1 hour" } as const;
  return (
    <div class="choice" role="group" aria-label="Time range">
      {["5m", "15m", "1h"].map((range) => (
        <button
          key={range}
          type="button"
          aria-pressed={chartRange.value === range}
          onClick={() => setParams({ range: range === chartRanges[0] ? undefined : range })}
        >
          {words[range as keyof typeof words]}
        </button>
      ))}
    </div>
  );
}

function MetricLink({ metric, current }: { metric: MetricRow; current: boolean }) {
  const link = useRef<HTMLAnchorElement>(null);
  const seen = useInSight(link);
  const path = `${apiPaths.metrics}?name=${encodeURIComponent(metric.name)}&lookback=15m&limit=20`;
  const data = useAnswer<MetricDataAnswer>(seen ? path : undefined, {
    refreshMs: paused.value ? undefined : 10_000,
  });
  const figure = mainFigure(metric);
  const line = useMemo(() => data.answer && headline(data.answer), [data.answer]);
  return (
    <a
      ref={link}
      class="metric-link"
      aria-current={current ? "true" : undefined}
      href={href("/charts", address.value.params, {
        metric: metric.name,
        series: undefined,
        figure: undefined,
      })}
    >
      <span class="metric-name" title={metric.description || metric.name}>
        <WithBreaks name={metric.name} />
      </span>
      <span class="metric-note">
        <ServiceMarks names={metric.services} max={4} />
        {metric.series > 1 && (
          <span class="quiet">{formatCounted(metric.series, "series", "series")}</span>
        )}
      </span>
      <Sparkline values={line?.values ?? []} />
      <span class="metric-last">
        {isHistogram(metric) && <span class="quiet">p95</span>}{" "}
        {line?.last === undefined || line.last === null
          ? "–"
          : formatUnit(line.last, figureUnit(metric, figure))}
      </span>
    </a>
  );
}

/** True while the element is in sight: what nobody sees is not asked for. */
function useInSight(element: { current: Element | null }): boolean {
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => {
      setSeen(entries.at(-1)!.isIntersecting);
    });
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return seen;
}

function MetricDetail({ metric, service }: { metric: MetricRow; service: string }) {
  const range = chartRange.value;
  const query = new URLSearchParams({ name: metric.name, lookback: range, limit: "100" });
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

/** Asks anew when the stream says that the metric has new points, at most once a second; not while paused. */
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
  const range = useMemo(() => timeRange(metric, rangeMs), [metric, rangeMs]);

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
        format={(value) => formatUnit(value, unit)}
      />
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
