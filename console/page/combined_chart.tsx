/**
 * Several metrics on one chart.
 *
 * @module
 */
import { Chart } from "../../service/page/chart.tsx";
import { address, setParams } from "../../service/page/url_state.ts";
import type { MetricDataAnswer } from "../page_api/metrics_api.ts";
import { figureOfMetric } from "./chart_state.ts";
import { type CombinedLines, combinedLines } from "./combined_lines.ts";
import { chooseSpan, TimeLinks } from "./time_span.tsx";

/** See the module. */
export function CombinedChart({ metrics, range }: {
  metrics: readonly MetricDataAnswer[];
  range: readonly [number, number];
}) {
  const { params } = address.value;
  const parts = metrics.map((metric) => ({ metric, figure: figureOfMetric(params, metric) }));
  const drawn = combinedLines(parts, params.has("shares"));
  const hidden = metrics.reduce((sum, metric) => sum + metric.data.length, 0) - drawn.lines.length;
  return (
    <>
      <div class="chart-head">
        <h3>{metrics.length} metrics</h3>
        <label class="check">
          <input
            type="checkbox"
            checked={drawn.axes === "shares"}
            disabled={drawn.axes === "shares" && !params.has("shares")}
            onChange={(event) => setParams({ shares: event.currentTarget.checked })}
          />
          Each as a share of its highest value
        </label>
      </div>
      <p class="axes-note">
        {axesText(drawn)}
        {hidden > 0 && ` The largest groups of each are shown; ${hidden} more are not.`}
      </p>
      <Chart
        label={metrics.map(({ name }) => name).join(", ")}
        timesMs={drawn.timesMs}
        lines={drawn.lines}
        range={range}
        onSpan={chooseSpan}
        format={drawn.format}
        rightFormat={drawn.rightFormat}
      />
      <TimeLinks
        lines={drawn.first}
        of={metrics[0]!.name}
        range={range}
        service={() => params.get("service") ?? ""}
      />
    </>
  );
}

function axesText({ axes, units }: CombinedLines): string {
  const word = (unit: string | undefined) => unit === "" || unit === "1" ? "a number" : unit;
  switch (axes) {
    case "one":
      return `One axis, ${word(units[0])}.`;
    case "two":
      return `Two axes: left ${word(units[0])}, right (dashed lines) ${word(units[1])}.`;
    case "shares":
      return "Each line is drawn as a share of its own highest value in this time: heights cannot be compared. The values below are the real ones.";
  }
}
