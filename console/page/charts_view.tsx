/**
 * Metrics: the list of them, and the charts of the chosen one.
 *
 * @module
 */
import { CommandLine } from "../../service/page/copy.tsx";
import { formatCounted, formatDuration } from "../../service/page/format.ts";
import { Choice } from "../../service/page/choice.tsx";
import { useRoving } from "../../service/page/roving.ts";
import { SearchField } from "../../service/page/search_field.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { apiPaths } from "../page_api/api.ts";
import type { MetricRow, MetricsAnswer } from "../page_api/metrics_api.ts";
import { metricKey } from "./chart_state.ts";
import { ServiceFilter } from "./filter_bar.tsx";
import { MetricDetail } from "./metric_detail.tsx";
import { MetricLink } from "./metric_link.tsx";
import { Overview } from "./overview.tsx";
import { PointHere } from "./point_here.tsx";
import { epoch, stats } from "./store.ts";
import { chartRange, chartRangeMs, chartRanges, paused, rangesFor } from "./views.ts";

/** Metrics in the list at once. */
const maxListed = 300;

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
  if (all.length === 0) return <NoMetrics />;
  const service = params.get("service") ?? "";
  const text = (params.get("q") ?? "").toLowerCase();
  const shown = all.filter((metric) =>
    (service === "" || metric.services.includes(service)) &&
    (metric.name.toLowerCase().includes(text) || metric.description.toLowerCase().includes(text))
  );
  const wanted = params.get("metric");
  const chosen = all.find((metric) =>
    metric.name === wanted &&
    (!params.has("unit") || metric.unit === params.get("unit")) &&
    (!params.has("type") || metric.type === params.get("type"))
  );
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
          <HeldTime />
          <span>
            {shown.length === all.length
              ? formatCounted(all.length, "metric")
              : `${shown.length} of ${formatCounted(all.length, "metric")}`}
          </span>
        </p>
      </div>
      <div class="charts-split">
        <MetricList shown={shown} chosen={chosen} />
        <div class="metric-detail">
          {chosen
            ? <MetricDetail key={metricKey(chosen)} metric={chosen} all={all} />
            : <NoMetric wanted={wanted} />}
        </div>
      </div>
    </section>
  );
}

function NoMetrics() {
  return (
    <Empty title="Waiting for the first metric">
      <p>Programs send their metrics every few seconds. Start the whole model:</p>
      <CommandLine text="deno task demo" />
      <p>Or point a program of your own here:</p>
      <PointHere />
    </Empty>
  );
}

function MetricList(
  { shown, chosen }: { shown: readonly MetricRow[]; chosen: MetricRow | undefined },
) {
  const roving = useRoving<HTMLElement>();
  return (
    <nav class="metric-list" aria-label="Metrics" {...roving}>
      {shown.length === 0 && <p class="quiet pad">No metric fits these filters.</p>}
      <ul>
        {shown.slice(0, maxListed).map((metric) => (
          <li key={metricKey(metric)}>
            <MetricLink
              metric={metric}
              shared={shown.some((one) => one !== metric && one.name === metric.name)}
              current={metric === chosen}
            />
          </li>
        ))}
      </ul>
      {shown.length > maxListed && (
        <p class="quiet pad">
          {formatCounted(shown.length - maxListed, "more metric")}: search to find them.
        </p>
      )}
    </nav>
  );
}

function NoMetric({ wanted }: { wanted: string | null }) {
  return wanted === null ? <Overview /> : (
    <Empty title="This metric is not here">
      <p>
        <code>{wanted}</code> has not been received since the console started or was cleared.
      </p>
    </Empty>
  );
}

/** No range shows more than what is held. */
function HeldTime() {
  const oldestMs = stats.value?.metrics.oldestMs ?? null;
  if (oldestMs === null) return null;
  const heldMs = Math.max(0, Date.now() - oldestMs);
  return (
    <span title="Older points have made room, or were never received">
      {formatDuration(Math.ceil(heldMs / 1_000) * 1_000)} held
    </span>
  );
}

/** A longer range is offered once the next shorter one does not show all that is held. */
function offeredRanges(): readonly (keyof typeof chartRangeMs)[] {
  const oldestMs = stats.value?.metrics.oldestMs ?? null;
  if (oldestMs === null) return ["5m", "15m", "1h"];
  const heldMs = Date.now() - oldestMs;
  return rangesFor(heldMs, chartRange.value);
}

function RangeChoice() {
  const words = { "5m": "5 min", "15m": "15 min", "1h": "1 hour" } as const;
  return (
    <Choice
      label="Time range"
      words={offeredRanges()}
      chosen={chartRange.value}
      text={(range) => words[range]}
      onChoose={(range) =>
        setParams({
          range: range === chartRanges[0] ? undefined : range,
          from: undefined,
          to: undefined,
        })}
    />
  );
}
