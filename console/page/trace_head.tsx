/**
 * The head of a trace: what it is, how it can be kept, which ones are beside it.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
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
import { address, go, href, setParams } from "../../service/page/url_state.ts";
import { apiPaths, type SummariesAnswer } from "../page_api/api.ts";
import type { LogRow } from "../page_api/logs_api.ts";
import { traces } from "./store.ts";
import { traceFilterNames, traceQuery } from "./views.ts";
import type { TraceTree } from "./waterfall.ts";

/** What the view shows. */
export interface WaterfallProps {
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

/** Whether log records stand among the spans, as the address says. */
export function withLogs(): boolean {
  return address.value.params.get("logs") !== "0";
}

/** Name, facts, ways to keep it, its neighbours. */
export function TraceHead(
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
  const target = (id: string | undefined) =>
    id === undefined ? undefined : href(`/traces/${id}`, filtersOf(params));
  const newer = target(at > 0 ? ids[at - 1] : undefined);
  const older = target(at >= 0 ? ids[at + 1] : undefined);
  useShortcuts([
    {
      key: "[",
      label: "The newer trace",
      run: () => newer === undefined ? false : go(newer),
    },
    {
      key: "]",
      label: "The older trace",
      run: () => older === undefined ? false : go(older),
    },
  ]);
  return (
    <span class="neighbours">
      <Neighbour to={newer} icon="left" title="Newer ([)" label="Newer trace" />
      <Neighbour to={older} icon="right" title="Older (])" label="Older trace" />
    </span>
  );
}

/** A link to a trace, or the place of one where there is none. */
function Neighbour(
  { to, icon, title, label }: {
    to: string | undefined;
    icon: "left" | "right";
    title: string;
    label: string;
  },
) {
  if (to === undefined) {
    return (
      <span class="icon-button off" aria-hidden="true">
        <Icon name={icon} />
      </span>
    );
  }
  return (
    <a class="icon-button" href={to} title={title} aria-label={label}>
      <Icon name={icon} />
    </a>
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
