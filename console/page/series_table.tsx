/**
 * The series of a metric, or the groups they were put into, with their last figures.
 *
 * @module
 */
import { formatUnit } from "../../service/page/format.ts";
import { useRoving } from "../../service/page/roving.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { address, href } from "../../service/page/url_state.ts";
import type { MetricDataAnswer } from "../page_api/metrics_api.ts";
import {
  type Figure,
  figureUnit,
  flatten,
  isHistogram,
  lastFigure,
  mainFigure,
} from "./metric_lines.ts";
import { figureWords } from "./metric_controls.tsx";

/** See the module: a click shows one of them alone. */
export function SeriesTable(
  { metric, labels, chosen }: {
    metric: MetricDataAnswer;
    labels: string[];
    chosen: string | undefined;
  },
) {
  const columns: readonly Figure[] = isHistogram(metric)
    ? ["rate", "p50", "p95", "p99"]
    : [mainFigure(metric)];
  const names: Readonly<Record<Figure, string>> = { ...figureWords, value: "last value" };
  const { params } = address.value;
  const roving = useRoving<HTMLDivElement>();
  const what = metric.grouped ? "Groups" : "Series";
  return (
    <div class="table-place" role="region" aria-label={what} {...roving}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{metric.grouped ? "Group" : "Series"}</th>
            {metric.grouped && <th scope="col" class="number">series</th>}
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
              {metric.grouped && <td class="number">{series.members}</td>}
              <td>
                {series.service === ""
                  ? <span class="quiet">several</span>
                  : <ServiceName name={series.service} />}
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

/** What a metric of one series says of it. */
export function SeriesFacts({ metric }: { metric: MetricDataAnswer }) {
  const series = metric.data[0]!;
  return (
    <dl class="facts series-facts">
      {series.service !== "" && (
        <div>
          <dt>service</dt>
          <dd>
            <ServiceName name={series.service} />
          </dd>
        </div>
      )}
      {Object.entries(flatten(series.attributes)).map(([key, value]) => (
        <div key={key}>
          <dt>{key}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
