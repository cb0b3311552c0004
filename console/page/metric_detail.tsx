/**
 * One metric, or several on one chart: how its series are put together, its charts, its series.
 *
 * @module
 */
import { useEffect } from "preact/hooks";
import { formatCounted } from "../../service/page/format.ts";
import { Failure, Loading } from "../../service/page/states.tsx";
import { address, href } from "../../service/page/url_state.ts";
import { type AnswerState, useAnswer } from "../../service/page/use_answer.ts";
import { WithBreaks } from "../../service/page/with_breaks.tsx";
import type { MetricDataAnswer, MetricRow } from "../page_api/metrics_api.ts";
import { addedMetrics, figureOfMetric, groupedBy, metricPath } from "./chart_state.ts";
import { CombinedChart } from "./combined_chart.tsx";
import { MetricCharts, timeRange } from "./metric_charts.tsx";
import { MetricControls } from "./metric_controls.tsx";
import { metricNames } from "./store.ts";
import { chosenSpan } from "./time_span.tsx";
import { chartRange, chartRangeMs, paused } from "./views.ts";

/** See the module. */
export function MetricDetail({ metric, all }: {
  metric: MetricRow;
  /** What else can come onto the chart. */
  all: readonly MetricRow[];
}) {
  const { params } = address.value;
  const added = addedMetrics(params, metric, all);
  const answers = useMetrics([metric, ...added], params);
  const first = answers[0]!;
  const failed = answers.find(({ answer, error }) => answer === undefined && error !== undefined);
  const found = answers.flatMap(({ answer }) => answer ?? []);
  return (
    <>
      <MetricHead metric={metric} answer={first.answer} />
      <MetricControls
        metric={metric}
        added={added}
        all={all}
        answer={first.answer}
        figure={figureOfMetric(params, metric)}
      />
      {failed
        ? (
          <Failure
            title="The chart cannot be shown"
            detail={failed.error!.message}
            onRetry={failed.reload}
          />
        )
        : found.length < answers.length
        ? <Loading what="the chart" rows={4} />
        : added.length > 0
        ? (
          <CombinedChart
            metrics={found}
            range={chosenSpan(params) ?? timeRange(found, chartRangeMs[chartRange.value])}
          />
        )
        : <MetricCharts metric={found[0]!} rangeMs={chartRangeMs[chartRange.value]} />}
    </>
  );
}

/** The answers of a chart's metrics; several are put together as one line each, unless they are grouped. */
function useMetrics(
  metrics: readonly MetricRow[],
  params: URLSearchParams,
): AnswerState<MetricDataAnswer>[] {
  const by = groupedBy(params) ?? (metrics.length > 1 ? [] : undefined);
  const paths = metrics.map((one) => metricPath(one, { params, lookback: chartRange.value, by }));
  // As many as there can be: hooks are called in one order, however many there are.
  // A step of a group may be over without any news.
  const options = { refreshMs: by === undefined || paused.value ? undefined : 10_000 };
  const answers = [
    useAnswer<MetricDataAnswer>(paths[0], options),
    useAnswer<MetricDataAnswer>(paths[1], options),
    useAnswer<MetricDataAnswer>(paths[2], options),
    useAnswer<MetricDataAnswer>(paths[3], options),
  ].slice(0, metrics.length);
  useReloadOnNews(metrics, () => answers.forEach(({ reload }) => reload()));
  return answers;
}

/** Asks again when the stream says that a metric has new points, at most once a second; not while paused. */
function useReloadOnNews(metrics: readonly MetricRow[], reload: () => void) {
  const names = metricNames.value;
  useEffect(() => {
    if (!paused.peek() && metrics.some(({ name }) => names.includes(name))) reload();
  }, [names]);
}

function MetricHead({ metric, answer }: {
  metric: MetricRow;
  answer: MetricDataAnswer | undefined;
}) {
  const left = answer?.grouped?.leftOut ?? 0;
  return (
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
        {answer &&
          (answer.grouped
            ? `, ${formatCounted(answer.series, "series", "series")} in ${
              formatCounted(answer.matched, "group")
            }, a point each ${answer.grouped.stepMs / 1000} s`
            : `, ${formatCounted(answer.matched, "series", "series")}`)}
      </p>
      {left > 0 && (
        <p>
          {formatCounted(left, "series", "series")} {left === 1 ? "is" : "are"}{" "}
          left out: their histograms have other buckets.
        </p>
      )}
    </header>
  );
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
