/**
 * What matters first: how often, how well and how fast each service works.
 *
 * @module
 */
import { Chart, type ChartLine } from "../../service/page/chart.tsx";
import { formatDuration, formatPercent } from "../../service/page/format.ts";
import { useRoving } from "../../service/page/roving.ts";
import { serviceLook } from "../../service/page/service_look.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { Empty } from "../../service/page/states.tsx";
import { address, href } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { apiPaths, type MapAnswer, type MapNode, type RatesAnswer } from "../page_api/api.ts";
import { rateText } from "./map_layout.ts";
import { epoch } from "./store.ts";
import { chooseSpan, chosenSpan, TimeLinks } from "./time_span.tsx";
import { chartRange, chartRangeMs, paused } from "./views.ts";

/** Services drawn: the busiest. */
const maxDrawn = 7;

/** See the module. The failing come first, then the busiest. */
export function Overview() {
  const lookback = chartRange.value;
  const { answer } = useAnswer<MapAnswer>(
    `${apiPaths.map}?lookback=${lookback}&epoch=${epoch.value}`,
    { refreshMs: paused.value ? undefined : 10_000 },
  );
  const rows = (answer?.nodes ?? []).filter(({ kind, calls }) => kind === "service" && calls > 0)
    .sort((a, b) => b.errors / b.calls - a.errors / a.calls || b.calls - a.calls);
  if (rows.length === 0) {
    return (
      <Empty title="Choose a metric">
        <p>Its charts appear here, and its address is a link to them.</p>
      </Empty>
    );
  }
  return (
    <section class="overview" aria-labelledby="overview-title">
      <header class="metric-head">
        <h2 id="overview-title">
          Services, over the last {formatDuration(answer!.seconds * 1e3)}
        </h2>
        <p class="quiet">From the spans held. Choose a metric for its charts.</p>
      </header>
      <ServiceTable rows={rows} />
      <ServiceCharts />
    </section>
  );
}

function ServiceTable({ rows }: { rows: readonly MapNode[] }) {
  const roving = useRoving<HTMLDivElement>();
  return (
    <div class="table-place" role="region" aria-label="Services" {...roving}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Service</th>
            <th scope="col" class="number">rate</th>
            <th scope="col" class="number">errors</th>
            <th scope="col" class="number">p95</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <td>
                <a href={href("/", undefined, { service: row.name })}>
                  <ServiceName name={row.name} />
                </a>
              </td>
              <td class="number">{rateText(row.rate)}</td>
              <td class={row.errors > 0 ? "number error-text" : "number"}>
                {formatPercent(row.errors / row.calls)}
              </td>
              <td class="number">{formatDuration(row.p95Ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The same over time, in three charts of one time. */
function ServiceCharts() {
  const { params } = address.value;
  const { answer } = useAnswer<RatesAnswer>(
    `${apiPaths.rates}?lookback=${chartRange.value}&epoch=${epoch.value}`,
    { refreshMs: paused.value ? undefined : 10_000 },
  );
  if (answer === undefined || answer.timesMs.length < 2) return null;
  const { timesMs } = answer;
  const services = answer.services.slice(0, maxDrawn);
  const toMs = timesMs.at(-1)!;
  const range = chosenSpan(params) ??
    [Math.max(toMs - chartRangeMs[chartRange.value], timesMs[0]!), toMs] as const;
  const lines = (values: (row: typeof services[number]) => (number | null)[]): ChartLine[] =>
    services.map((row, i) => {
      const { color } = serviceLook(row.name);
      const shared = services.slice(0, i).some(({ name }) => serviceLook(name).color === color);
      return {
        label: row.name,
        color: `--service-${color}`,
        values: values(row),
        ...(shared && { dash: [6, 3] }),
      };
    });
  const charts = [
    { title: "Rate", format: rateText, lines: lines(({ rates }) => rates) },
    { title: "Errors", format: formatPercent, lines: lines(({ errorShares }) => errorShares) },
    { title: "p95", format: formatDuration, lines: lines(({ p95sMs }) => p95sMs) },
  ];
  return (
    <>
      {charts.map((chart) => (
        <div key={chart.title}>
          <div class="chart-head">
            <h3>{chart.title}</h3>
          </div>
          <Chart
            label={`${chart.title}, by service`}
            timesMs={timesMs}
            lines={chart.lines}
            range={range}
            height={144}
            onSpan={chooseSpan}
            format={chart.format}
          />
        </div>
      ))}
      <TimeLinks
        lines={{ timesMs, lines: charts[2]!.lines }}
        range={range}
        service={(i) => services[i]!.name}
      />
    </>
  );
}
