/**
 * One trace: its waterfall, the details of a chosen span, its logs in their places.
 *
 * @module
 */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useShortcuts } from "../../service/page/keys.ts";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import { traceLogsPath, tracePath } from "../page_api/api.ts";
import type { JaegerAnswer, JaegerTrace } from "../page_api/jaeger_api.ts";
import type { LogRow, LogsAnswer } from "../page_api/logs_api.ts";
import { coarseProcesses } from "./clock_resolution.ts";
import { clockSkews, withoutSkew } from "./clock_skew.ts";
import { criticalPath, type Section } from "./critical_path.ts";
import { findSpans } from "./find_in_trace.ts";
import { LogDetail } from "./log_detail.tsx";
import { SpanDetail } from "./span_detail.tsx";
import { epoch, liveTrace, traceLogsVersion } from "./store.ts";
import { TraceTools } from "./trace_tools.tsx";
import { paused } from "./views.ts";
import {
  rulerMarks,
  type TraceTree,
  traceTree,
  type TreeSpan,
  type WaterfallRow,
  waterfallRows,
} from "./waterfall.ts";
import { LogLine, percent, Ruler, SpanLine } from "./waterfall_lines.tsx";
import { TraceHead, type WaterfallProps, withLogs } from "./trace_head.tsx";

/** See the module. */
export function TraceView({ traceId }: { traceId: string }) {
  const trace = useAnswer<JaegerAnswer<JaegerTrace>>(tracePath(traceId));
  const logs = useAnswer<LogsAnswer>(traceLogsPath(traceId));
  const found = trace.answer?.data[0];
  const skews = useMemo(() => found && clockSkews(found), [found]);
  const adjusted = address.value.params.has("adjust");
  const tree = useMemo(
    () => found && traceTree(adjusted ? withoutSkew(found, skews!) : found, coarseProcesses(found)),
    [found, adjusted],
  );

  useReloadWhenGrown(traceId, found?.spans.length, trace.reload);
  useReloadOnLogs(logs.reload);

  if (tree === undefined) {
    if (trace.error === undefined) return <Loading what="the trace" rows={12} />;
    if (trace.error.status === 404) return <TraceGone traceId={traceId} onRetry={trace.reload} />;
    return (
      <Failure
        title="The trace cannot be shown"
        detail={trace.error.message}
        onRetry={trace.reload}
      />
    );
  }
  return (
    <Waterfall
      key={traceId}
      tree={tree}
      skews={skews!}
      logs={logs.answer?.logs ?? []}
      moreLogs={logs.answer?.more ?? false}
      logsFailed={logs.error?.message}
      json={() => JSON.stringify(found, null, 2)}
    />
  );
}

/** A trace that still grows is asked for again, at most twice a second; so is one that was forgotten. */
function useReloadWhenGrown(traceId: string, spanCount: number | undefined, reload: () => void) {
  const summary = liveTrace.value;
  const grown = summary?.traceId === traceId && summary.spanCount !== spanCount && !paused.value;
  useEffect(() => {
    if (!grown) return;
    const timer = setTimeout(reload, 500);
    return () => clearTimeout(timer);
  }, [grown, summary]);
  useAfterFirst(epoch.value, reload);
}

/** Log records of the trace may come long after its spans. */
function useReloadOnLogs(reload: () => void) {
  useAfterFirst(traceLogsVersion.value, () => !paused.peek() && reload());
  useAfterFirst(epoch.value, reload);
}

/** Runs when a value changes, not at its first one. */
function useAfterFirst(value: number, run: () => void) {
  const before = useRef(value);
  useEffect(() => {
    if (before.current !== value) run();
    before.current = value;
  }, [value]);
}

function TraceGone({ traceId, onRetry }: { traceId: string; onRetry: () => void }) {
  return (
    <Empty title="This trace is not here">
      <p>
        The console holds the newest traces in memory. <code class="whole-id">{traceId}</code>{" "}
        has made room for newer ones, was cleared, or has not arrived.
      </p>
      <div class="button-row">
        <button type="button" class="button" onClick={onRetry}>Try again</button>
        <a class="button" href={href("/")}>All traces</a>
      </div>
    </Empty>
  );
}

function Waterfall(props: WaterfallProps) {
  const { tree, logs } = props;
  const { params } = address.value;
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(() =>
    belowDepth(tree, Number(params.get("depth")) || undefined)
  );
  const find = params.get("find") ?? "";
  const matches = useMemo(() => findSpans(tree, find), [tree, find]);
  const critical = params.has("critical");
  const path = useMemo(() => critical ? criticalPath(tree) : undefined, [tree, critical]);
  const chosen = tree.spans.get(params.get("span") ?? "");
  const chosenLog = logs.find((log) => log.seq === Number(params.get("log") ?? NaN));

  function toggle(span: TreeSpan) {
    const next = new Set(collapsed);
    if (!next.delete(span.id)) next.add(span.id);
    setCollapsed(next);
  }

  /** Opens what is folded above a span, and chooses it. */
  function show(span: TreeSpan) {
    const next = new Set(collapsed);
    const above = new Set<string>();
    let at = span.parentId;
    // A circle of parents has no top.
    while (at !== undefined && !above.has(at)) {
      above.add(at);
      next.delete(at);
      at = tree.spans.get(at)?.parentId;
    }
    if (next.size < collapsed.size) setCollapsed(next);
    setParams({ span: span.id, log: undefined }, { replace: true });
  }

  useShortcuts([
    {
      key: "x",
      label: "Collapse or expand the chosen span",
      run: () => chosen && chosen.children.length > 0 ? toggle(chosen) : false,
    },
  ]);

  return (
    <section class="trace-view" aria-labelledby="trace-title">
      <TraceHead {...props}>
        <TraceTools
          tree={tree}
          chosen={chosen}
          matches={matches}
          skewed={skewSummary(props.skews)}
          onShow={show}
          onDepth={(depth) => setCollapsed(belowDepth(tree, depth))}
        />
      </TraceHead>
      <div class={chosen || chosenLog ? "split split-open" : "split"}>
        <WaterfallRows
          tree={tree}
          logs={logs}
          collapsed={collapsed}
          chosen={chosen}
          chosenLog={chosenLog}
          skews={props.skews}
          matches={matches}
          path={path}
          onToggle={toggle}
        />
        {chosen && (
          <SpanDetail
            key={chosen.id}
            span={chosen}
            tree={tree}
            logs={logs.filter((log) => log.spanId === chosen.id)}
            onClose={() => setParams({ span: undefined })}
          />
        )}
        {!chosen && chosenLog && (
          <LogDetail
            row={chosenLog}
            onClose={() => setParams({ log: undefined })}
          />
        )}
      </div>
    </section>
  );
}

/** Spans with something below them that is deeper than wanted. */
function belowDepth(tree: TraceTree, depth: number | undefined): ReadonlySet<string> {
  if (depth === undefined) return new Set();
  return new Set(
    [...tree.spans.values()]
      .filter((span) => span.depth >= depth - 1 && span.children.length > 0)
      .map(({ id }) => id),
  );
}

function skewSummary(skews: ReadonlyMap<string, number>): { count: number; largestMs: number } {
  const largestUs = [...skews.values()].reduce((most, us) => Math.max(most, Math.abs(us)), 0);
  return { count: skews.size, largestMs: largestUs / 1e3 };
}

const nothingChosen = { span: undefined, log: undefined };

/** What the address says of a row that is chosen. */
function chosenBy(row: WaterfallRow) {
  return row.kind === "log"
    ? { log: row.log.seq, span: undefined }
    : { span: row.span.id, log: undefined };
}

function WaterfallRows(props: {
  tree: TraceTree;
  skews: ReadonlyMap<string, number>;
  /** Spans that fit what is looked for. */
  matches: readonly TreeSpan[];
  /** The critical path, if it is to be shown. */
  path: ReadonlyMap<string, readonly Section[]> | undefined;
  logs: readonly LogRow[];
  /** Spans below which nothing is shown. */
  collapsed: ReadonlySet<string>;
  chosen: TreeSpan | undefined;
  chosenLog: LogRow | undefined;
  onToggle: (span: TreeSpan) => void;
}) {
  const { tree, logs, collapsed, chosen, chosenLog, onToggle, skews, matches, path } = props;
  const narrow = useMediaQuery("(max-width: 720px)");
  const only = address.value.params.get("only") ?? undefined;
  const found = useMemo(() => new Set(matches.map(({ id }) => id)), [matches]);
  const logsShown = withLogs();
  const rows = useMemo(
    () => waterfallRows(tree, { collapsed, logs: logsShown ? logs : [], only }),
    [tree, collapsed, logs, logsShown, only],
  );
  const marks = rulerMarks(tree.durationMs, 5);
  const isChosen = (row: WaterfallRow) =>
    row.kind === "log" ? row.log === chosenLog : row.span === chosen;
  return (
    <div class="waterfall" style={{ "--mark-step": percent(marks[1] ?? 0, tree.durationMs) }}>
      <Ruler marks={marks} durationMs={tree.durationMs} />
      <div class="waterfall-rows">
        <VirtualList
          label="Spans of the trace, in order"
          rows={rows}
          rowKey={(row) => row.kind === "span" ? row.span.id : `log ${row.log.seq}`}
          rowHeight={narrow ? 48 : 32}
          revealKey={chosen?.id ?? (chosenLog && `log ${chosenLog.seq}`)}
          tree={{
            // Of one service alone nothing is below anything.
            level: (row) => only ? 1 : 1 + (row.kind === "log" ? row.depth : row.span.depth),
            expanded: (row) =>
              row.kind === "log" || row.span.children.length === 0 ? undefined : !row.collapsed,
            selected: isChosen,
            onFold: (row) => row.kind === "span" && onToggle(row.span),
            onChoose: (row) => setParams(isChosen(row) ? nothingChosen : chosenBy(row)),
          }}
          onMove={(row) => {
            if (chosen === undefined && chosenLog === undefined) return;
            setParams(chosenBy(row), { replace: true });
          }}
        >
          {(row) =>
            row.kind === "log"
              ? (
                <LogLine
                  log={row.log}
                  chosen={row.log === chosenLog}
                  depth={row.depth}
                  atMs={row.atMs}
                  tree={tree}
                />
              )
              : (
                <SpanLine
                  span={row.span}
                  collapsed={row.collapsed}
                  chosen={row.span === chosen}
                  found={found.has(row.span.id)}
                  skewMs={(skews.get(row.span.id) ?? 0) / 1e3}
                  path={path && (path.get(row.span.id) ?? [])}
                  tree={tree}
                  onToggle={() => onToggle(row.span)}
                />
              )}
        </VirtualList>
      </div>
    </div>
  );
}
