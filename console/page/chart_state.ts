/**
 * What the address says of a chart: its metrics, how their series are put together, and the time.
 *
 * @module
 */
import { apiPaths } from "../page_api/api.ts";
import { type Combine, combines, maxGroupKeys, type MetricRow } from "../page_api/metrics_api.ts";
import { type Figure, figuresFor, isHistogram } from "./metric_lines.ts";
import { chosenSpan } from "./time_span.tsx";

/** Metrics on one chart, at most. */
export const maxMetrics = 4;

/** What two metrics of one name are told apart by: seconds and milliseconds are not the same. */
export function metricKey({ name, unit, type }: Pick<MetricRow, "name" | "unit" | "type">): string {
  return `${type} ${unit} ${name}`;
}

/** How a metric stands in `with`: by its name, or by its key where another one has the same name. */
export function metricWord(metric: MetricRow, all: readonly MetricRow[]): string {
  const alone = all.every((one) => one === metric || one.name !== metric.name);
  return alone ? metric.name : metricKey(metric);
}

/** The metrics that are on the chart besides its first one. */
export function addedMetrics(
  params: URLSearchParams,
  first: MetricRow,
  all: readonly MetricRow[],
): MetricRow[] {
  const found = params.getAll("with").flatMap((word) =>
    all.find((one) => metricKey(one) === word || one.name === word) ?? []
  );
  return [...new Set(found)].filter((one) => metricKey(one) !== metricKey(first))
    .slice(0, maxMetrics - 1);
}

/** What series are grouped by: undefined if they are not, empty if all are one. */
export function groupedBy(params: URLSearchParams): readonly string[] | undefined {
  if (!params.has("by")) return undefined;
  return params.getAll("by").filter((key) => key !== "*").slice(0, maxGroupKeys);
}

/** As it stands in the address: an empty text would be no parameter. */
export function groupWords(by: readonly string[] | undefined): readonly string[] | undefined {
  return by?.length === 0 ? ["*"] : by;
}

/** How values are put together; undefined leaves it to the metric's kind. */
export function combinedBy(params: URLSearchParams): Combine | undefined {
  return combines.find((one) => one === params.get("combine"));
}

/** What of a metric is drawn: what was chosen, if it has that. */
export function figureOfMetric(
  params: URLSearchParams,
  metric: Pick<MetricRow, "type" | "monotonic">,
): Figure {
  const figures = figuresFor(metric);
  return figures.find((figure) => figure === params.get("figure")) ?? figures[0]!;
}

/** The API's path for a metric as the address has it; `by` where series must be put together. */
export function metricPath(
  metric: MetricRow,
  { params, lookback, by }: {
    params: URLSearchParams;
    lookback: string;
    by: readonly string[] | undefined;
  },
): string {
  const { name, unit, type } = metric;
  const query = new URLSearchParams({ name, unit, type, limit: "100" });
  const service = params.get("service");
  if (service) query.set("service", service);
  const span = chosenSpan(params);
  if (span === undefined) query.set("lookback", lookback);
  else {
    // A little more than is shown, so that lines reach the edges.
    const aroundMs = Math.max(15_000, (span[1] - span[0]) / 10);
    query.set("start", `${Math.max(1, Math.floor(span[0] - aroundMs))}000`);
    query.set("end", `${Math.ceil(span[1] + aroundMs)}000`);
  }
  if (type === "summary") return `${apiPaths.metrics}?${query}`;
  for (const key of by?.length === 0 ? [""] : by ?? []) query.append("by", key);
  const combine = combinedBy(params);
  if (by !== undefined && combine !== undefined && !isHistogram(metric)) {
    query.set("combine", combine);
  }
  return `${apiPaths.metrics}?${query}`;
}
