/**
 * How a chart is made: how series are put together, what is drawn of them, which other metrics join.
 *
 * @module
 */
import { Choice } from "../../service/page/choice.tsx";
import { Icon } from "../../service/page/icon.tsx";
import { useRoving } from "../../service/page/roving.ts";
import { address, setParams } from "../../service/page/url_state.ts";
import { WithBreaks } from "../../service/page/with_breaks.tsx";
import {
  combines,
  type GroupKey,
  maxGroupKeys,
  type MetricDataAnswer,
  type MetricRow,
} from "../page_api/metrics_api.ts";
import {
  combinedBy,
  groupedBy,
  groupWords,
  maxMetrics,
  metricKey,
  metricWord,
} from "./chart_state.ts";
import { type Figure, figuresFor, isHistogram } from "./metric_lines.ts";

/** The words for figures. */
export const figureWords: Readonly<Record<Figure, string>> = {
  value: "total",
  rate: "rate",
  mean: "mean",
  p50: "p50",
  p95: "p95",
  p99: "p99",
};

/** The controls above the charts of a metric. */
export function MetricControls({ metric, added, all, answer, figure }: {
  metric: MetricRow;
  /** The other metrics on the chart. */
  added: readonly MetricRow[];
  all: readonly MetricRow[];
  answer: MetricDataAnswer | undefined;
  figure: Figure;
}) {
  const figures = figuresFor(metric);
  return (
    <div class="metric-controls">
      {metric.type !== "summary" && answer && (
        <GroupChoice answer={answer} mixed={added.length > 0} />
      )}
      {answer?.grouped && !isHistogram(metric) && <CombineChoice answer={answer} />}
      {figures.length > 1 && (
        <Choice
          label="Figure"
          words={figures}
          chosen={figure}
          text={(word) => figureWords[word]}
          onChoose={(word) => setParams({ figure: word === figures[0] ? undefined : word })}
        />
      )}
      <AddMetric metric={metric} added={added} all={all} />
    </div>
  );
}

/** By what series are put together; a second choice comes with the first. */
function GroupChoice({ answer, mixed }: { answer: MetricDataAnswer; mixed: boolean }) {
  const by = groupedBy(address.value.params);
  const choose = (keys: readonly string[] | undefined) =>
    setParams({
      by: groupWords(keys),
      series: undefined,
      ...(keys === undefined && { combine: undefined }),
    });
  const places = by === undefined || by.length === 0
    ? 1
    : Math.min(maxGroupKeys, by.length + 1, answer.keys.length);
  const alone = mixed ? "all together" : "each series alone";
  // Of several metrics it is the same whether they are together by choice or by themselves.
  const isAlone = by === undefined || mixed && by.length === 0;
  return (
    <>
      {Array.from({ length: places }, (_, place) => (
        <label class="field" key={place}>
          <span class="field-label">{place === 0 ? "Group by" : "and"}</span>
          <select
            value={place === 0 && isAlone ? " none" : by?.[place] ?? ""}
            onChange={(event) => {
              const key = event.currentTarget.value;
              if (key === " none") return choose(undefined);
              const others = (by ?? []).filter((_, i) => i !== place);
              choose(key === "" ? others.slice(0, place) : others.toSpliced(place, 0, key));
            }}
          >
            {place === 0 && <option value=" none">{alone}</option>}
            {!(place === 0 && mixed) && (
              <option value="">{place === 0 ? "all together" : "nothing else"}</option>
            )}
            {keysFor(answer.keys, by ?? [], place).map(({ key, values }) => (
              <option key={key} value={key}>{key} ({values})</option>
            ))}
          </select>
        </label>
      ))}
    </>
  );
}

/** Those that are not chosen elsewhere, and the chosen one also where it is not known any more. */
function keysFor(keys: readonly GroupKey[], by: readonly string[], place: number): GroupKey[] {
  const free = keys.filter(({ key }) => key === by[place] || !by.includes(key));
  const chosen = by[place];
  const known = chosen === undefined || free.some(({ key }) => key === chosen);
  return known ? free : [{ key: chosen, values: 0 }, ...free];
}

function CombineChoice({ answer }: { answer: MetricDataAnswer }) {
  const usual = answer.type === "gauge" ? "mean" : "sum";
  const now = combinedBy(address.value.params) ?? usual;
  return (
    <label class="field">
      <span class="field-label">each the</span>
      <select
        aria-label="How values are put together"
        value={now}
        onChange={({ currentTarget: { value } }) =>
          setParams({ combine: value === usual ? undefined : value })}
      >
        {combines.map((word) => <option key={word} value={word}>{word}</option>)}
      </select>
    </label>
  );
}

function AddMetric({ metric, added, all }: {
  metric: MetricRow;
  added: readonly MetricRow[];
  all: readonly MetricRow[];
}) {
  const roving = useRoving<HTMLSpanElement>();
  const on = new Set([metric, ...added].map(metricKey));
  const others = all.filter((one) => !on.has(metricKey(one)));
  const show = (metrics: readonly MetricRow[]) =>
    setParams({ with: metrics.map((one) => metricWord(one, all)), series: undefined });
  return (
    <>
      {added.length < maxMetrics - 1 && others.length > 0 && (
        <label class="field">
          <span class="field-label">Together with</span>
          <select
            aria-label="Add a metric to this chart"
            value=""
            onChange={(event) => {
              const one = all.find((other) => metricKey(other) === event.currentTarget.value);
              event.currentTarget.value = "";
              if (one) show([...added, one]);
            }}
          >
            <option value="">another metric…</option>
            {others.map((one) => (
              <option key={metricKey(one)} value={metricKey(one)}>
                {one.name}
                {one.unit !== "" && `, ${one.unit}`}
              </option>
            ))}
          </select>
        </label>
      )}
      {added.length > 0 && (
        <span class="added-metrics" {...roving}>
          {added.map((one) => (
            <button
              key={metricKey(one)}
              type="button"
              class="button"
              aria-label={`Take ${one.name} off this chart`}
              onClick={() => show(added.filter((other) => other !== one))}
            >
              <span>
                <WithBreaks name={one.name} />
              </span>
              <Icon name="close" />
            </button>
          ))}
        </span>
      )}
    </>
  );
}
