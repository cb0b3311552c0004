/**
 * Measurements that came with their trace: marks on the chart, and the same as links beside it.
 *
 * @module
 */
import type { ChartMark } from "../../service/page/chart.tsx";
import { formatTime, formatTimeWithZone, formatUnit } from "../../service/page/format.ts";
import { go, href } from "../../service/page/url_state.ts";
import type { Exemplar, MetricDataAnswer, MetricSeries } from "../page_api/metrics_api.ts";

const maxListed = 12;

/** The exemplars of series as marks: a click opens the trace. */
export function exemplarMarks(series: readonly MetricSeries[]): ChartMark[] {
  return series.flatMap(({ exemplars = [] }) =>
    exemplars.map((one) => ({
      timeMs: one.timeMs,
      value: one.value,
      onClick: () => go(traceHref(one)),
    }))
  );
}

/** The largest of them as links. */
export function ExemplarList({ metric, series }: {
  metric: MetricDataAnswer;
  series: readonly MetricSeries[];
}) {
  const all = series.flatMap(({ exemplars = [] }) => exemplars);
  if (all.length === 0) return null;
  const shown = all.toSorted((a, b) => b.value - a.value).slice(0, maxListed);
  return (
    <section aria-labelledby="exemplars-title">
      <h3 id="exemplars-title">Exemplars, the largest first</h3>
      <ul class="exemplars">
        {shown.map((one) => (
          <li key={`${one.traceId} ${one.spanId} ${one.timeMs}`}>
            <a href={traceHref(one)} title={`Open trace ${one.traceId}`}>
              <b>{formatUnit(one.value, metric.unit)}</b>{" "}
              <time title={formatTimeWithZone(one.timeMs)}>{formatTime(one.timeMs)}</time>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function traceHref({ traceId, spanId }: Exemplar): string {
  return href(`/traces/${traceId}`, new URLSearchParams(), { span: spanId });
}
