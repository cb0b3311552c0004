/**
 * What matters first: how often, how well and how fast each service works.
 *
 * @module
 */
import { formatDuration, formatPercent } from "../../service/page/format.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { Empty } from "../../service/page/states.tsx";
import { href } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { apiPaths, type MapAnswer } from "../page_api/api.ts";
import { rateText } from "./map_layout.ts";
import { epoch } from "./store.ts";
import { paused } from "./views.ts";

/** See the module. The failing come first, then the busiest. */
export function Overview() {
  const { answer } = useAnswer<MapAnswer>(`${apiPaths.map}?lookback=15m&epoch=${epoch.value}`, {
    refreshMs: paused.value ? undefined : 10_000,
  });
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
    <section aria-labelledby="overview-title">
      <h2 id="overview-title">Services, over the last {formatDuration(answer!.seconds * 1e3)}</h2>
      <div class="table-place" tabIndex={0} role="region" aria-label="Services">
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
      <p class="quiet">Choose a metric for its charts; its address is a link to them.</p>
    </section>
  );
}
