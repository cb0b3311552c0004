/**
 * The live list of traces, newest first.
 *
 * @module
 */
import { useEffect, useState } from "preact/hooks";
import { CommandLine } from "../../service/page/copy.tsx";
import {
  formatCount,
  formatCounted,
  formatDuration,
  parseDuration,
} from "../../service/page/format.ts";
import { SearchField } from "../../service/page/search_field.tsx";
import { ServiceMarks, ServiceName } from "../../service/page/service_mark.tsx";
import { NewPill } from "../../service/page/shell.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import type { TraceSummary } from "../page_api/api.ts";
import { completeSearch, searchProblem } from "./complete_search.ts";
import { SampleNotice, ServiceFilter } from "./filter_bar.tsx";
import { Moment } from "./moment.tsx";
import { PointHere } from "./point_here.tsx";
import { loadList, stats, stream, traces } from "./store.ts";
import { SpanNotice } from "./time_span.tsx";
import { paused, traceFilterNames, traceQuery } from "./views.ts";

const complete = completeSearch("traces");

/** See the module. */
export function TracesView() {
  const { params } = address.value;
  return (
    <section class="list-view" aria-labelledby="traces-title">
      <h1 id="traces-title" class="hidden-text">Traces</h1>
      <div class="toolbar">
        <SearchField
          label="Search traces"
          hint="service=cart status=error duration>100ms, or words"
          value={params.get("q") ?? ""}
          complete={complete}
          problem={searchProblem("traces", params.get("q") ?? "")}
          onChange={(q) => setParams({ q }, { replace: true })}
        />
        <ServiceFilter />
        <MinimumFilter />
        <label class="check">
          <input
            type="checkbox"
            checked={params.has("errors")}
            onChange={(event) => setParams({ errors: event.currentTarget.checked })}
          />
          Errors only
        </label>
        <TraceFigures />
      </div>
      <CompareNotice />
      <SpanNotice />
      <TraceList />
    </section>
  );
}

/** The list is where the second of two traces is chosen. */
function CompareNotice() {
  const id = address.value.params.get("compare");
  if (id === null) return null;
  return (
    <p class="compare-notice" role="status">
      Choose the trace to compare with <code>{id.slice(0, 8)}</code>.{" "}
      <button type="button" class="button" onClick={() => setParams({ compare: undefined })}>
        Cancel
      </button>
    </p>
  );
}

function MinimumFilter() {
  const text = address.value.params.get("min") ?? "";
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  const wrong = typed.trim() !== "" && parseDuration(typed) === undefined;
  return (
    <label class="field">
      <span class="field-label">At least</span>
      <input
        type="text"
        placeholder="10 ms"
        value={typed}
        maxLength={16}
        aria-invalid={wrong}
        title={wrong ? "Give a duration such as 250us, 10ms or 1.5s" : "Minimum duration"}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onChange={(event) => setParams({ min: event.currentTarget.value.trim() })}
      />
    </label>
  );
}

function TraceFigures() {
  const now = stats.value;
  return (
    <p class="figures">
      <SampleNotice sampled={traces.sampled.value} noun="traces" />
      {now && (
        <>
          <span>{formatCounted(now.traces.tracesHeld, "trace")} held</span>
          <span>{formatCount(now.traces.perSecond)} spans/s</span>
        </>
      )}
    </p>
  );
}

function TraceList() {
  // A person who comes back finds the list as it was left.
  const [held, setHeld] = useState(traces.held && !paused.peek());
  const [topRequest, setTopRequest] = useState(0);
  const narrow = useMediaQuery("(max-width: 720px)");
  const hold = held || paused.value;
  useEffect(() => traces.hold(hold), [hold]);

  const phase = traces.phase.value;
  const { rows, waitingCount } = traces.rows.value;
  if (typeof phase === "object") {
    return (
      <Failure
        title="The traces cannot be shown"
        detail={`${phase.message} The page tries again as soon as it is connected.`}
        onRetry={loadList}
      />
    );
  }
  if (phase === "loading") return <Loading what="traces" rows={12} />;
  if (rows.length === 0 && waitingCount === 0) return <NoTraces />;

  const params = address.value.params;
  return (
    <div class="list-place">
      <NewPill
        count={waitingCount}
        onShow={() => {
          traces.release();
          setTopRequest((before) => before + 1);
        }}
      />
      <VirtualList
        label="Traces, newest first"
        rows={rows}
        rowKey={(row) => row.traceId}
        rowHeight={narrow ? 64 : 40}
        onHold={setHeld}
        topRequest={topRequest}
        scrollName={`traces ${traceQuery(params)}`}
      >
        {(row, tabIndex) => <TraceRow row={row} tabIndex={tabIndex} params={params} />}
      </VirtualList>
    </div>
  );
}

function TraceRow(
  { row, tabIndex, params }: { row: TraceSummary; tabIndex: 0 | -1; params: URLSearchParams },
) {
  return (
    <a
      class={row.complete ? "trace-row" : "trace-row incomplete"}
      href={rowHref(row.traceId, params)}
      tabIndex={tabIndex}
    >
      <Moment atMs={row.startMs} />
      <ServiceName name={row.rootService} />
      <span class="trace-title">
        <span class="trace-name clip" title={row.rootName}>{row.rootName || "(no name)"}</span>
        <span class="trace-note">
          {row.errorCount > 0 && (
            <span class="error-text">{formatCounted(row.errorCount, "error")}</span>
          )}
          {!row.complete && <span class="quiet" title="Spans are still missing">incomplete</span>}
        </span>
      </span>
      <span class="trace-size">
        <ServiceMarks names={row.services.map((service) => service.name)} max={4} />
        <span class="quiet">{formatCounted(row.spanCount, "span")}</span>
      </span>
      <span class="trace-duration">
        <DurationBar ms={row.durationMs} failed={row.errorCount > 0} />
        <b>{formatDuration(row.durationMs)}</b>
      </span>
    </a>
  );
}

function rowHref(traceId: string, params: URLSearchParams): string {
  const first = params.get("compare");
  return first === null
    ? href(`/traces/${traceId}`, params)
    : href("/compare", undefined, { a: first, b: traceId });
}

/** From 10 µs to 100 s, a seventh of the width for each power of ten: not redrawn when another trace comes. */
function DurationBar({ ms, failed }: { ms: number; failed: boolean }) {
  const share = (Math.log10(Math.max(ms, 0.01)) + 2) / 7;
  const width = Math.min(1, Math.max(0.02, share)) * 100;
  return (
    <span class="duration-bar" title="Logarithmic, from 10 µs to 100 s" aria-hidden="true">
      <span class={failed ? "failed" : ""} style={{ width: `${width}%` }} />
    </span>
  );
}

function NoTraces() {
  const { params } = address.value;
  const filtered = traceFilterNames.some((name) => params.has(name));
  if (filtered) {
    return (
      <Empty title="No trace fits these filters">
        <p>
          New ones that fit appear here by themselves. {stats.value &&
            `${formatCounted(stats.value.traces.tracesHeld, "trace")} are held in all.`}
        </p>
        <a class="button" href={href("/")}>Show all traces</a>
      </Empty>
    );
  }
  if (stream.state.value.kind === "reconnecting") return <Loading what="traces" rows={12} />;
  return (
    <Empty title="Waiting for the first trace">
      <p>Start the whole model, with real traffic:</p>
      <CommandLine text="deno task demo" />
      <p>Or point a program of your own here. Any OpenTelemetry SDK reads these variables:</p>
      <PointHere />
    </Empty>
  );
}
