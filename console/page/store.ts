/**
 * What the page knows, kept up by one live stream: whichever view is shown decides what the
 * stream carries.
 *
 * @module
 */
import { computed, effect, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { formatCount } from "../../service/page/format.ts";
import { getJson, RequestError } from "../../service/page/get_json.ts";
import { LiveStream, type StreamMessage } from "../../service/page/live_stream.ts";
import { knowServices } from "../../service/page/service_look.ts";
import { address } from "../../service/page/url_state.ts";
import {
  apiPaths,
  type ServiceRow,
  type SummariesAnswer,
  type TraceSummary,
} from "../page_api/api.ts";
import type { LogRow, LogsAnswer } from "../page_api/logs_api.ts";
import {
  type HelloEvent,
  type StatsEvent,
  streamEventNames,
  type StreamEvents,
} from "../page_api/stream_events.ts";
import { LiveList } from "./live_list.ts";
import { logQuery, ofTrace, streamQuery, traceQuery, view } from "./views.ts";

/** The trace list. */
export const traces = new LiveList<TraceSummary, SummariesAnswer>({
  key: (row) => row.traceId,
  rowsOf: (answer) => answer.traces,
  orderOf: (row) => row.startMs,
});

/** The log list. */
export const logs = new LiveList<LogRow, LogsAnswer>({
  key: (row) => row.seq,
  // Senders deliver in batches: among what came together, time is the better order.
  rowsOf: (answer) => answer.logs.toSorted((a, b) => byTime(b, a)),
});

function byTime(a: LogRow, b: LogRow): number {
  return a.timeMs - b.timeMs || a.seq - b.seq;
}

/** The console's greeting: its limits, where senders send. */
export const hello = signal<HelloEvent | undefined>(undefined);

/** The console's counters, each second. */
export const stats = signal<StatsEvent | undefined>(undefined);

/** Services that have sent something. */
export const services = signal<readonly ServiceRow[]>([]);

/** The metrics that had new points when the stream last said so. */
export const metricNames = signal<readonly string[]>([]);

/** The newest summary of the trace on show, from the stream. */
export const liveTrace = signal<TraceSummary | undefined>(undefined);

/** Grows when log records of the trace on show arrive. */
export const traceLogsVersion = signal(0);

/** Grows when everything was cleared or the console is another one: views ask again. */
export const epoch = signal(0);

const query = computed(() => `${streamQuery(view.value, address.value.params)}`);

/** The stream. */
export const stream = new LiveStream({
  url: (lastEventId) => {
    const params = new URLSearchParams(query.peek());
    if (lastEventId !== undefined) params.set("lastEventId", lastEventId);
    return `${apiPaths.stream}?${params}`;
  },
  events: streamEventNames,
  onMessages: take,
});

/** Begins; a change of view or filter opens the stream again. */
export function startStore(): void {
  let first = true;
  effect(() => {
    query.value;
    if (first) stream.start();
    else stream.restart({ forget: true });
    first = false;
  });
}

/** Asks the list of the view again. */
export function loadList(): void {
  const params = address.peek().params;
  if (view.peek().kind === "traces") {
    traces.load(`${apiPaths.summaries}?${withLimit(traceQuery(params), 500)}`);
  }
  if (view.peek().kind === "logs") {
    logs.load(`${apiPaths.logs}?${withLimit(logQuery(params), 500)}`);
  }
}

/** What came of the trace on show after it was asked for and before the stream began, no event tells. */
async function loadLiveTrace(): Promise<void> {
  const now = view.peek();
  if (now.kind !== "trace") return;
  traceLogsVersion.value++;
  const params = withLimit(ofTrace(now.traceId), 1);
  try {
    const { traces } = await getJson<SummariesAnswer>(`${apiPaths.summaries}?${params}`);
    liveTrace.value = traces[0] ?? liveTrace.peek();
  } catch (error) {
    // The view itself says that the console does not answer.
    if (!(error instanceof RequestError)) throw error;
  }
}

function withLimit(params: URLSearchParams, limit: number): URLSearchParams {
  params.set("limit", String(limit));
  return params;
}

function take(messages: readonly StreamMessage[]): void {
  for (const { name, data } of messages) {
    const handle = handlers[name as keyof StreamEvents] as (event: unknown) => void;
    handle(data);
  }
}

/** A catch-up is said once, when it is over: its rows lie between the greeting's stats and the next. */
let caughtUp = 0;
let statsUntilCaughtUp = 0;

const handlers: { [Name in keyof StreamEvents]: (event: StreamEvents[Name]) => void } = {
  hello(event) {
    const before = hello.peek();
    hello.value = event;
    const another = before !== undefined && before.instance !== event.instance;
    if (another) {
      forget();
      announce("The console was started anew. This is what it has now.");
    }
    statsUntilCaughtUp = event.resume === "resumed" ? 2 : 0;
    caughtUp = 0;
    if (event.resume !== "resumed") {
      loadList();
      loadLiveTrace();
    }
  },
  traces(event) {
    sayCatchUp(event.catchUp, event.traces.length);
    const now = view.peek();
    if (now.kind === "trace") {
      liveTrace.value = event.traces.findLast((one) => one.traceId === now.traceId) ??
        liveTrace.peek();
    } else traces.push(event.traces.toSorted((a, b) => a.startMs - b.startMs), event.sampled);
  },
  logs(event) {
    sayCatchUp(event.catchUp, event.logs.length);
    if (view.peek().kind === "trace") traceLogsVersion.value++;
    else logs.push(event.logs.toSorted(byTime), event.sampled);
  },
  metrics(event) {
    metricNames.value = event.names;
  },
  services(event) {
    services.value = event.services.toSorted((a, b) => a.name < b.name ? -1 : 1);
    knowServices(
      event.services.toSorted((a, b) => a.firstSeenMs - b.firstSeenMs || (a.name < b.name ? -1 : 1))
        .map(({ name }) => name),
    );
  },
  stats(event) {
    stats.value = event;
    if (statsUntilCaughtUp > 0 && --statsUntilCaughtUp === 0) {
      announce(
        caughtUp === 0
          ? "Connected again. Nothing was missed."
          : `Connected again and caught up: ${formatCount(caughtUp)} missed`,
      );
    }
  },
  cleared() {
    forget();
    announce("The console was cleared.");
  },
};

function sayCatchUp(catchUp: true | undefined, count: number): void {
  if (catchUp) caughtUp += count;
}

function forget(): void {
  traces.clear();
  logs.clear();
  services.value = [];
  liveTrace.value = undefined;
  epoch.value++;
}
