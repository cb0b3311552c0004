/**
 * A metric in the list: its name, who sends it, how it goes.
 *
 * @module
 */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Sparkline } from "../../service/page/chart.tsx";
import { formatCounted, formatUnit } from "../../service/page/format.ts";
import { ServiceMarks } from "../../service/page/service_mark.tsx";
import { address, href } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { WithBreaks } from "../../service/page/with_breaks.tsx";
import { apiPaths } from "../page_api/api.ts";
import type { MetricDataAnswer, MetricRow } from "../page_api/metrics_api.ts";
import { figureUnit, headline, isHistogram, mainFigure } from "./metric_lines.ts";
import { paused } from "./views.ts";

/** What of an address is about one metric: another one begins without. */
const ofOneMetric = {
  series: undefined,
  figure: undefined,
  by: undefined,
  combine: undefined,
  with: undefined,
  shares: undefined,
};

/** See the module. */
export function MetricLink(
  { metric, shared, current }: {
    metric: MetricRow;
    /** Another metric has the same name: unit and type are said, and part of the address. */
    shared: boolean;
    current: boolean;
  },
) {
  const link = useRef<HTMLAnchorElement>(null);
  const seen = useInSight(link);
  const { name, unit, type } = metric;
  const query = new URLSearchParams({ name, unit, type, lookback: "15m", limit: "20" });
  const path = `${apiPaths.metrics}?${query}`;
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
        metric: name,
        unit: shared ? unit : undefined,
        type: shared ? type : undefined,
        ...ofOneMetric,
      })}
    >
      <span class="metric-name" title={metric.description || metric.name}>
        <WithBreaks name={metric.name} />
      </span>
      <span class="metric-note">
        {shared && <span class="quiet">{type}, {unit || "no unit"}</span>}
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

/** True while the element is in the viewport: what is not on the screen is not requested. */
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
