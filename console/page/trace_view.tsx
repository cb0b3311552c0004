/**
 * One trace: its waterfall, the details of a chosen span, its logs in their places.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { withBase } from "../../service/page/base_path.ts";
import { CopyButton, ShortId } from "../../service/page/copy.tsx";
import {
  formatCounted,
  formatDuration,
  formatPercent,
  formatTime,
  formatTimeWithZone,
} from "../../service/page/format.ts";
import { getJson } from "../../service/page/get_json.ts";
import { Icon } from "../../service/page/icon.tsx";
import { useShortcuts } from "../../service/page/keys.ts";
import { serviceLook } from "../../service/page/service_look.ts";
import { ServiceMark } from "../../service/page/service_mark.tsx";
import { sharedData } from "../../service/page/shared_data.ts";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, go, href, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import {
  apiPaths,
  type JaegerAnswer,
  type JaegerTrace,
  type LogRow,
  type LogsAnswer,
  type SummariesAnswer,
  traceLogsPath,
  tracePath,
} from "../page_api/api.ts";
import { clockSkews, withoutSkew } from "./clock_skew.ts";
import { criticalPath, type Section } from "./critical_path.ts";
import { findSpans } from "./find_in_trace.ts";
import { LogDetail } from "./log_detail.tsx";
import { SpanDetail } from "./span_detail.tsx";
import { epoch, liveTrace, traceLogsVersion, traces } from "./store.ts";
import { TraceTools } from "./trace_tools.tsx";
import { paused, traceFilterNames, traceQuery } from "./views.ts";
import {
  rulerMarks,
  type TraceTree,
  traceTree,
  type TreeSpan,
  waterfallRows,
} from "./waterfall.ts";
import { LogLine, percent, Ruler, SpanLine } from "./waterfall_lines.tsx";

/** See the module. */
export function TraceView({ traceId }: { traceId: string }) {
  const trace = useAnswer<JaegerAnswer<JaegerTrace>>(tracePath(traceId));
  const logs = useAnswer<LogsAnswer>(traceLogsPath(traceId));
  const found = trace.answer?.data[0];
  const skews = useMemo(() => found && clockSkews(found), [found]);
  const adjusted = address.value.params.has("adjust");
  const tree = useMemo(
    () => found && traceTree(adjusted ? withoutSkew(found, skews!) : found),
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

/** What the view shows. */
interface WaterfallProps {
  tree: TraceTree;
  /** By how many microseconds spans' clocks are off. */
  skews: ReadonlyMap<string, number>;
  /** The trace's log records, newest first. */
  logs: readonly LogRow[];
  /** There are more than are shown. */
  moreLogs: boolean;
  /** Why the log records could not be read, in words. */
  logsFailed: string | undefined;
  /** The trace as JSON, to be copied. */
  json: () => string;
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

/** Whether log records stand among the spans, as the address says. */
function withLogs(): boolean {
  return address.value.params.get("logs") !== "0";
}

function TraceHead(
  { tree, logs, moreLogs, logsFailed, json, children }: WaterfallProps & {
    /** The tools, below all facts. */
    children: ComponentChildren;
  },
) {
  const root = tree.roots[0];
  return (
    <header class="trace-head">
      <div class="trace-crumbs">
        {!sharedData() && (
          <>
            <a href={href("/", filtersOf(address.value.params))}>Traces</a>
            <Neighbours traceId={tree.traceId} />
          </>
        )}
      </div>
      <h1 id="trace-title">
        {root && <ServiceMark name={root.service} />}
        <span class="quiet">{root?.service}</span>{" "}
        <span class="trace-title-name">{root?.name || "(no name)"}</span>
      </h1>
      <div class="trace-facts">
        <b>{formatDuration(tree.durationMs)}</b>
        <span>{formatCounted(tree.spans.size, "span")}</span>
        {tree.errorCount > 0 && (
          <span class="error-text">{formatCounted(tree.errorCount, "error")}</span>
        )}
        <time title={formatTimeWithZone(tree.startMs)}>{formatTime(tree.startMs)}</time>
        <ShortId id={tree.traceId} what="the trace id" />
        <span class="spacer" />
        <label class="check">
          <input
            type="checkbox"
            checked={withLogs()}
            onChange={(event) => setParams({ logs: event.currentTarget.checked ? undefined : "0" })}
          />
          {moreLogs && "newest "}
          {formatCounted(logs.length, "log record")}
        </label>
        {!sharedData() && <KeepLinks traceId={tree.traceId} />}
        <CopyButton label="JSON" what="the trace as JSON" text={json} />
      </div>
      {logsFailed !== undefined && (
        <p class="error-text" role="alert">Its logs cannot be shown: {logsFailed}</p>
      )}
      {tree.warnings.map((warning) => <p key={warning} class="error-text">{warning}</p>)}
      <Shares tree={tree} />
      {children}
    </header>
  );
}

/** Ways to keep the trace and to show it to others. */
function KeepLinks({ traceId }: { traceId: string }) {
  const id = encodeURIComponent(traceId);
  return (
    <>
      <CopyButton
        label="Link"
        what="the link"
        text={location.origin + href(`/traces/${traceId}`)}
      />
      <a
        class="button"
        href={withBase(apiPaths.tracePage.replace("{traceId}", id))}
        download={`trace-${traceId.slice(0, 8)}.html`}
        title="Download as one HTML file, which opens anywhere without a server"
      >
        HTML
      </a>
      <a
        class="button"
        href={withBase(`${apiPaths.export}?traceID=${id}`)}
        download={`${traceId}.otlp.json`}
        title="Download as OTLP JSON, which can be sent here again"
      >
        OTLP
      </a>
    </>
  );
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
        >
          {(row, tabIndex) =>
            row.kind === "log"
              ? (
                <LogLine
                  log={row.log}
                  chosen={row.log === chosenLog}
                  depth={row.depth}
                  atMs={row.atMs}
                  tree={tree}
                  tabIndex={tabIndex}
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
                  tabIndex={tabIndex}
                  onToggle={() => onToggle(row.span)}
                />
              )}
        </VirtualList>
      </div>
    </div>
  );
}

function filtersOf(params: URLSearchParams): URLSearchParams {
  const filters = new URLSearchParams();
  for (const name of [...traceFilterNames, "paused"]) {
    const value = params.get(name);
    if (value) filters.set(name, value);
  }
  return filters;
}

/** The traces before and after it in the list that it was opened from. */
function Neighbours({ traceId }: { traceId: string }) {
  const { params } = address.value;
  const [ids, setIds] = useState<readonly string[]>([]);
  useEffect(() => {
    const listed = traces.rows.peek().rows.map((row) => row.traceId);
    if (listed.includes(traceId)) {
      setIds(listed);
      return;
    }
    const query = traceQuery(params);
    query.set("limit", "1500");
    const gone = new AbortController();
    getJson<SummariesAnswer>(`${apiPaths.summaries}?${query}`, { signal: gone.signal })
      .then((answer) => setIds(answer.traces.map((one) => one.traceId)))
      // Without its neighbours a trace is whole all the same: the buttons stay off.
      .catch(() => setIds([]));
    return () => gone.abort();
  }, [traceId]);

  const at = ids.indexOf(traceId);
  const newer = at > 0 ? ids[at - 1] : undefined;
  const older = at >= 0 ? ids[at + 1] : undefined;
  const target = (id: string) => href(`/traces/${id}`, filtersOf(params));
  useShortcuts([
    {
      key: "[",
      label: "The newer trace",
      run: () => newer === undefined ? false : go(target(newer)),
    },
    {
      key: "]",
      label: "The older trace",
      run: () => older === undefined ? false : go(target(older)),
    },
  ]);
  return (
    <span class="neighbours">
      {newer === undefined
        ? (
          <span class="icon-button off" aria-hidden="true">
            <Icon name="left" />
          </span>
        )
        : (
          <a class="icon-button" href={target(newer)} title="Newer ([)" aria-label="Newer trace">
            <Icon name="left" />
          </a>
        )}
      {older === undefined
        ? (
          <span class="icon-button off" aria-hidden="true">
            <Icon name="right" />
          </span>
        )
        : (
          <a class="icon-button" href={target(older)} title="Older (])" aria-label="Older trace">
            <Icon name="right" />
          </a>
        )}
    </span>
  );
}

/** Which service's own time the trace is made of. */
function Shares({ tree }: { tree: TraceTree }) {
  const total = tree.services.reduce((sum, share) => sum + share.selfMs, 0);
  if (tree.services.length < 2 || total === 0) return null;
  return (
    <div class="shares">
      <div class="share-bar" aria-hidden="true">
        {tree.services.map((share) => (
          <span
            key={share.name}
            class={`bar-${serviceLook(share.name).color}`}
            style={{ flexGrow: share.selfMs / total }}
          />
        ))}
      </div>
      <ul aria-label="Own time by service">
        {tree.services.map((share) => (
          <li key={share.name} title={formatCounted(share.spans, "span")}>
            <ServiceMark name={share.name} />
            <span class="clip">{share.name}</span>
            <b>{formatDuration(share.selfMs)}</b>
            <span class="quiet">{formatPercent(share.selfMs / total)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
