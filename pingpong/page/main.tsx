/**
 * The ping-pong page: pings in the browser's three modes, their times as they come, and how they
 * are spread.
 *
 * @module
 */
import { render } from "preact";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Chart, type ChartLine } from "../../service/page/chart.tsx";
import { Choice } from "../../service/page/choice.tsx";
import { CommandLine } from "../../service/page/copy.tsx";
import {
  formatCount,
  formatCounted,
  formatDuration,
  formatPercent,
} from "../../service/page/format.ts";
import { startShortcuts, useShortcuts } from "../../service/page/keys.ts";
import { ConnectionPill, PauseButton, Shell } from "../../service/page/shell.tsx";
import { Failure, Loading } from "../../service/page/states.tsx";
import { startTheme } from "../../service/page/theme.tsx";
import { address, setParams, startUrlState } from "../../service/page/url_state.ts";
import {
  connection,
  lookForOutage,
  missingModes,
  obstacle,
  outages,
  pace,
  type PageMode,
  pageModes,
  reset,
  retry,
  samples,
  startPinging,
  statistics,
} from "./page_session.ts";

const looks: Record<PageMode, { label: string; color: string; dash?: number[] }> = {
  bidi: { label: "two-way stream", color: "--chart-0" },
  uni: { label: "one-way streams", color: "--chart-1", dash: [6, 3] },
  datagram: { label: "datagrams", color: "--chart-2", dash: [2, 3] },
};
const intervals = [20, 100, 500, 1_000];
const refreshMs = 500;
const shownMs = 60_000;
const bars = 12;

function PingpongPage() {
  const { params } = address.value;
  const paused = params.get("paused") !== null;
  const intervalMs = intervals.find((ms) => String(ms) === params.get("interval")) ?? 100;
  pace.paused = paused;
  pace.intervalMs = intervalMs;
  const tick = useSignal(0);
  useEffect(() => {
    const timer = setInterval(() => {
      lookForOutage();
      tick.value++;
    }, refreshMs);
    return () => clearInterval(timer);
  }, []);
  const togglePause = () => setParams({ paused: !paused });
  useShortcuts([
    { key: "p", label: "Pause or go on", run: togglePause },
    { key: "r", label: "Reset all counts", run: reset },
  ]);
  const state = connection.value;
  return (
    <Shell
      program="Ping-pong"
      nav={[{ href: "/", label: "Round trips", current: true }]}
      notice={state.kind === "reconnecting" && state.attempt > 1 && (
        <>
          The server does not answer. The page tries again by itself. If it was stopped, start it:
          {" "}
          <code>deno task pingpong:server</code>. A server that asks for a token wants it in this
          page's address, as <code>?token=…</code>
        </>
      )}
      actions={
        <>
          <ConnectionPill state={state} paused={paused} onRetry={retry} />
          <PauseButton paused={paused} onToggle={togglePause} />
        </>
      }
    >
      {obstacle.value === undefined
        ? <RoundTrips intervalMs={intervalMs} tick={tick.value} />
        : <Failure title="This browser cannot ping" detail={obstacle.value} />}
    </Shell>
  );
}

function RoundTrips({ intervalMs, tick }: { intervalMs: number; tick: number }) {
  const any = pageModes.some((mode) => statistics[mode].summary().sent > 0);
  return (
    <div class="round-trips">
      <h1 class="hidden-text">Round trips</h1>
      <div class="toolbar">
        <Choice
          label="Time from one ping to the next"
          words={intervals.map(String)}
          chosen={String(intervalMs)}
          text={(ms) => formatDuration(Number(ms))}
          onChoose={(interval) => setParams({ interval })}
        />
        <button type="button" class="button" onClick={reset}>Reset</button>
        <span class="spacer" />
        <CommandLine text="deno task pingpong:client --mode all" />
      </div>
      {any
        ? (
          <>
            <TimesChart tick={tick} />
            <OutageFigures tick={tick} />
            <Figures missing={missingModes.value} />
            <Histograms />
          </>
        )
        : <Loading what="the first round trips" rows={4} />}
    </div>
  );
}

/** The median of each half second, by mode. */
function TimesChart({ tick: _ }: { tick: number }) {
  const nowMs = Math.ceil(Date.now() / refreshMs) * refreshMs;
  const points = shownMs / refreshMs;
  const fromMs = nowMs - shownMs;
  const timesMs = Array.from({ length: points }, (_, point) => fromMs + point * refreshMs);
  const buckets: Record<PageMode, number[][]> = { bidi: [], uni: [], datagram: [] };
  for (const { mode, atMs, rttMs } of samples) {
    const point = Math.floor((atMs - fromMs) / refreshMs);
    if (rttMs !== undefined && point >= 0 && point < points) {
      (buckets[mode][point] ??= []).push(rttMs);
    }
  }
  const lines = pageModes.map((mode): ChartLine => ({
    ...looks[mode],
    values: timesMs.map((_, point) => middle(buckets[mode][point])),
  }));
  return (
    <Chart
      label="Median round-trip time of each half second, by mode"
      timesMs={timesMs}
      lines={lines}
      range={[fromMs, nowMs]}
      shaded={outages.now.since(fromMs, nowMs).map(({ fromMs, toMs }) => [fromMs, toMs])}
      format={formatDuration}
      height={220}
    />
  );
}

/** An outage is no loss: what could not be sent is not lost. */
function OutageFigures({ tick: _ }: { tick: number }) {
  const { count, totalMs, current } = outages.now.figures(Date.now());
  if (count === 0) return <p class="quiet outages">No outage.</p>;
  const seconds = (ms: number) => formatDuration(Math.round(ms / 100) * 100);
  return (
    <p class="outages">
      <b>{formatCounted(count, "outage")}</b>, {seconds(totalMs)} without any answer{" "}
      <span class="quiet">
        (shaded in the chart; what was not sent then is not counted as lost)
      </span>
      {current && <span class="error-text">, now for {seconds(current.toMs - current.fromMs)}
      </span>}
    </p>
  );
}

function middle(values: number[] | undefined): number | null {
  if (values === undefined) return null;
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Reads no signal: one that does is drawn again for a signal only, and the figures are none. */
function Figures({ missing }: { missing: readonly PageMode[] }) {
  const columns = ["p50", "p90", "p99", "max", "jitter"] as const;
  return (
    <div class="table-place" tabIndex={0} role="region" aria-label="Figures by mode">
      <table class="figures-table">
        <thead>
          <tr>
            <th scope="col">Mode</th>
            <th scope="col">sent</th>
            <th scope="col">answered</th>
            <th scope="col">lost</th>
            {columns.map((name) => <th key={name} scope="col">{name}</th>)}
          </tr>
        </thead>
        <tbody>
          {pageModes.map((mode) => {
            const { sent, received, lost, lossRatio, rttMs } = statistics[mode].summary();
            return (
              <tr key={mode}>
                <th scope="row">
                  <span class="mode-mark" style={{ background: `var(${looks[mode].color})` }} />
                  {looks[mode].label}
                  {missing.includes(mode) && (
                    <span class="quiet">: this browser cannot send any</span>
                  )}
                </th>
                <td>{formatCount(sent)}</td>
                <td>{formatCount(received)}</td>
                <td class={lost > 0 ? "error-text" : ""}>
                  {formatCount(lost)} ({formatPercent(lossRatio)})
                </td>
                {columns.map((name) => (
                  <td key={name}>{rttMs ? formatDuration(rttMs[name]) : "–"}</td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** How the times are spread, by one scale: a picture, its figures in the table above. */
function Histograms() {
  const ranges = pageModes.flatMap((mode) => {
    const range = statistics[mode].histogram.range();
    return range === undefined ? [] : [range];
  });
  const within: [number, number] | undefined = ranges.length === 0 ? undefined : [
    Math.min(...ranges.map(([fromMs]) => fromMs)),
    Math.max(...ranges.map(([, toMs]) => toMs)),
  ];
  const spread = pageModes.map((mode) => ({
    mode,
    rows: statistics[mode].histogram.rows(bars, within),
  }));
  const most = Math.max(1, ...spread.flatMap(({ rows }) => rows.map(({ count }) => count)));
  return (
    <div class="histograms">
      {spread.map(({ mode, rows }) => {
        return (
          <figure key={mode} aria-label={`Spread of times over ${looks[mode].label}`}>
            <figcaption>{looks[mode].label}</figcaption>
            <svg viewBox={`0 0 ${bars * 10} 60`} preserveAspectRatio="none" aria-hidden="true">
              {rows.map(({ fromMs, count }, at) => {
                // A time that was seen once is what one looks for: it has a height.
                const height = count === 0 ? 0 : Math.max(1.5, count / most * 60);
                return (
                  <rect
                    key={fromMs}
                    x={at * 10 + 0.5}
                    y={60 - height}
                    width={9}
                    height={height}
                    style={{ fill: `var(${looks[mode].color})` }}
                  />
                );
              })}
            </svg>
            <p class="quiet histogram-axis">
              <span>{rows[0] ? formatDuration(rows[0].fromMs) : "–"}</span>
              <span>{rows.at(-1) ? formatDuration(rows.at(-1)!.toMs) : "–"}</span>
            </p>
          </figure>
        );
      })}
    </div>
  );
}

document.title = "Ping-pong · Orrery";
startUrlState(["/"]);
startTheme();
startShortcuts();
startPinging();
render(<PingpongPage />, document.getElementById("page")!);
