/**
 * The live log, newest first.
 *
 * @module
 */
import { useEffect, useState } from "preact/hooks";
import { CommandLine } from "../../service/page/copy.tsx";
import { DetailPanel } from "../../service/page/detail_panel.tsx";
import { formatCount, formatCounted } from "../../service/page/format.ts";
import { getJson, RequestError } from "../../service/page/get_json.ts";
import { SearchField } from "../../service/page/search_field.tsx";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { NewPill } from "../../service/page/shell.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams, wordParam } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import { apiPaths } from "../page_api/api.ts";
import type { LogRow, LogsAnswer } from "../page_api/logs_api.ts";
import { completeSearch, searchProblem } from "./complete_search.ts";
import { SampleNotice, ServiceFilter } from "./filter_bar.tsx";
import { Level } from "./level.tsx";
import { LogDetail } from "./log_detail.tsx";
import { Moment } from "./moment.tsx";
import { PointHere } from "./point_here.tsx";
import { loadList, logs, stats, stream } from "./store.ts";
import { logLevels, logQuery, paused } from "./views.ts";

const complete = completeSearch("logs");

/** See the module. */
export function LogsView() {
  const { params } = address.value;
  return (
    <section class="list-view" aria-labelledby="logs-title">
      <h1 id="logs-title" class="hidden-text">Logs</h1>
      <div class="toolbar">
        <SearchField
          label="Search logs"
          hint="level>=warn k8s.pod.name=cart-7, or words"
          value={params.get("q") ?? ""}
          complete={complete}
          problem={searchProblem("logs", params.get("q") ?? "")}
          onChange={(q) => setParams({ q }, { replace: true })}
        />
        <ServiceFilter />
        <LevelFilter />
        <LogFigures />
      </div>
      <LogList />
    </section>
  );
}

function LevelFilter() {
  const level = wordParam(address.value.params, "level", logLevels);
  const words = {
    all: "All levels",
    debug: "debug and up",
    info: "info and up",
    warn: "warn and up",
    error: "error and up",
  } as const;
  return (
    <label class="field">
      <span class="hidden-text">Level</span>
      <select
        value={level}
        onChange={(event) => {
          const { value } = event.currentTarget;
          setParams({ level: value === "all" ? undefined : value });
        }}
      >
        {logLevels.map((one) => <option key={one} value={one}>{words[one]}</option>)}
      </select>
    </label>
  );
}

function LogFigures() {
  const now = stats.value;
  return (
    <p class="figures">
      <SampleNotice sampled={logs.sampled.value} noun="records" />
      {now && (
        <>
          <span>{formatCounted(now.logs.held, "record")} held</span>
          <span>{formatCount(now.logs.perSecond)}/s</span>
        </>
      )}
    </p>
  );
}

function LogList() {
  // A person who comes back finds the list as it was left.
  const [held, setHeld] = useState(logs.held && !paused.peek());
  const [topRequest, setTopRequest] = useState(0);
  const narrow = useMediaQuery("(max-width: 720px)");
  const { params } = address.value;
  const chosenSeq = Number(params.get("log") ?? NaN);
  // A record that is read in its panel holds the list as well.
  const hold = held || paused.value || Number.isFinite(chosenSeq);
  useEffect(() => logs.hold(hold), [hold]);

  const phase = logs.phase.value;
  const { rows, waitingCount } = logs.rows.value;
  if (typeof phase === "object") {
    return (
      <Failure
        title="The logs cannot be shown"
        detail={`${phase.message} The page tries again as soon as it is connected.`}
        onRetry={loadList}
      />
    );
  }
  if (phase === "loading") return <Loading what="logs" rows={12} />;
  if (rows.length === 0 && waitingCount === 0) return <NoLogs />;
  const chosen = rows.find((row) => row.seq === chosenSeq);
  return (
    <div class={chosen ? "split split-open" : "split"}>
      <div class="list-place">
        <NewPill
          count={waitingCount}
          onShow={() => {
            logs.release();
            setTopRequest((before) => before + 1);
          }}
        />
        <VirtualList
          label="Log records, newest first"
          rows={rows}
          rowKey={(row) => row.seq}
          rowHeight={narrow ? 64 : 32}
          onHold={setHeld}
          onEnd={readOn}
          topRequest={topRequest}
          scrollName={`logs ${logQuery(params)}`}
        >
          {(row, tabIndex) => <LogLine row={row} tabIndex={tabIndex} chosen={row === chosen} />}
        </VirtualList>
      </div>
      {chosen
        ? <LogDetail row={chosen} withTrace onClose={() => setParams({ log: undefined })} />
        : Number.isFinite(chosenSeq) && (
          <DetailPanel
            label="Log record"
            title={<h2>This record is not in the list</h2>}
            onClose={() => setParams({ log: undefined })}
          >
            <p class="quiet">
              It does not fit the filters, has made room for newer ones, or lies further back.
            </p>
          </DetailPanel>
        )}
    </div>
  );
}

let readingOn = false;

/** Adds older records below, once the end of the list is in sight. */
async function readOn(): Promise<void> {
  const { rows } = logs.rows.peek();
  if (readingOn || rows.length === 0) return;
  readingOn = true;
  try {
    const query = logQuery(address.peek().params);
    const oldest = rows.reduce((least, row) => Math.min(least, row.seq), Infinity);
    query.set("before", String(oldest));
    query.set("limit", "500");
    const answer = await getJson<LogsAnswer>(`${apiPaths.logs}?${query}`);
    if (logs.rows.peek().rows === rows) logs.append(answer.logs);
  } catch (error) {
    // The connection's state says it; the next scroll to the end tries again.
    if (!(error instanceof RequestError)) throw error;
  } finally {
    readingOn = false;
  }
}

function LogLine({ row, tabIndex, chosen }: { row: LogRow; tabIndex: 0 | -1; chosen: boolean }) {
  return (
    <a
      class={chosen ? "log-row chosen" : "log-row"}
      href={href("/logs", address.value.params, { log: chosen ? undefined : row.seq })}
      aria-current={chosen ? "true" : undefined}
      tabIndex={tabIndex}
    >
      <Moment atMs={row.timeMs} />
      <Level row={row} />
      <ServiceName name={row.service} />
      <span class="log-body clip" title={row.body}>
        {row.eventName !== undefined && <b class="event-name">{row.eventName}</b>}{" "}
        {row.body || (row.eventName === undefined && <span class="quiet">(empty)</span>)}
      </span>
    </a>
  );
}

function NoLogs() {
  const { params } = address.value;
  if (["service", "q", "level"].some((name) => params.has(name))) {
    return (
      <Empty title="No log record fits these filters">
        <p>New ones that fit appear here by themselves.</p>
        <a class="button" href={href("/logs")}>Show all records</a>
      </Empty>
    );
  }
  if (stream.state.value.kind === "reconnecting") return <Loading what="logs" rows={12} />;
  return (
    <Empty title="Waiting for the first log record">
      <p>Start the whole model, with real traffic:</p>
      <CommandLine text="deno task demo" />
      <p>Or point a program of your own here:</p>
      <PointHere />
    </Empty>
  );
}
