/**
 * The console about itself: what came, what was let go, what the limits are, how to send here.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { announce } from "../../service/page/announce.ts";
import { withBase } from "../../service/page/base_path.ts";
import {
  formatBytes,
  formatCount,
  formatCounted,
  formatDuration,
  formatMoment,
  formatTime,
  formatTimeWithZone,
} from "../../service/page/format.ts";
import { Icon } from "../../service/page/icon.tsx";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { href } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { apiPaths, type ServiceRow, type ServicesAnswer } from "../page_api/api.ts";
import type {
  ConsoleLimits,
  ForwardStats,
  StatsEvent,
  StoreStats,
} from "../page_api/stream_events.ts";
import { NoticesSection } from "./notices_section.tsx";
import { PointHere } from "./point_here.tsx";
import { epoch, hello, services, stats } from "./store.ts";
import { TakeAlong } from "./take_along.tsx";

/** See the module. */
export function StatusView() {
  // The stream brings both soon enough; these are shown until then.
  const first = useAnswer<StatsEvent>(stats.value ? undefined : apiPaths.stats);
  const listed = useAnswer<ServicesAnswer>(`${apiPaths.services}?epoch=${epoch.value}`);
  const now = stats.value ?? first.answer;
  if (now === undefined) {
    return first.error === undefined ? <Loading what="the console's state" /> : (
      <Failure
        title="The console's state cannot be shown"
        detail={first.error.message}
        onRetry={first.reload}
      />
    );
  }
  const known = services.value.length > 0 ? services.value : listed.answer?.services ?? [];
  return (
    <section class="status-view" aria-labelledby="status-title">
      <div class="status-head">
        <h1 id="status-title">Status</h1>
        <p class="quiet">
          {hello.value && `Console ${hello.value.version}, `}
          up {formatDuration(Math.floor(now.uptimeMs / 1e3) * 1e3)}
        </p>
        <span class="spacer" />
        <TakeAlong />
        <ClearButton />
      </div>
      <Received now={now} />
      <NoticesSection />
      <section aria-labelledby="point-title">
        <h2 id="point-title">Point your own program here</h2>
        <p>Any OpenTelemetry SDK reads these variables. Nothing else has to change.</p>
        <PointHere />
      </section>
      <ServiceTable rows={known} />
      <Machine now={now} />
      {now.store && <Store store={now.store} />}
      {now.forwards.map((one) => <Forward key={one.endpoint} forward={one} />)}
      {hello.value && <Limits limits={hello.value.limits} />}
    </section>
  );
}

/** What made room, in words. */
const evictionTexts = {
  "Spans": "Whole traces made room for newer ones, those that came first before all others",
  "Data points": "The older points of a series thin out, then the oldest go",
  "Log records": "The oldest records made room for newer ones",
} as const;

function Received({ now }: { now: StatsEvent }) {
  const rows = [
    ["Spans", now.traces],
    ["Data points", now.metrics],
    ["Log records", now.logs],
  ] as const;
  return (
    <div class="table-place" tabIndex={0} role="region" aria-label="What was received">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Received</th>
            <th scope="col" class="number">a second</th>
            <th scope="col" class="number">in all</th>
            <th scope="col" class="number">held</th>
            <th scope="col">capacity</th>
            <th scope="col" class="number">reaches back to</th>
            <th scope="col" class="number">evicted</th>
            <th scope="col" class="number">refused</th>
            <th scope="col" class="number">truncated</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, signal]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{formatCount(signal.perSecond)}</td>
              <td class="number">{formatCount(signal.received)}</td>
              <td class="number">{formatCount(signal.held)}</td>
              <td>
                <Meter value={signal.held} max={signal.capacity} label={`${name} held`} />
                {formatCount(signal.capacity)}
              </td>
              <td class="number">
                {signal.oldestMs === null ? "–" : (
                  <time title={formatTimeWithZone(signal.oldestMs)}>
                    {formatMoment(signal.oldestMs, Date.now()).replace(/\.\d+$/, "")}
                  </time>
                )}
              </td>
              <td class="number" title={evictionTexts[name]}>
                {formatCount(signal.evicted)}
              </td>
              <td class="number">
                <Reasons counts={signal.refused} />
              </td>
              <td class="number" title="Attributes cut or left out at the limits">
                {formatCount(signal.truncated)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Meter({ value, max, label }: { value: number; max: number; label: string }) {
  const share = max > 0 ? Math.min(1, value / max) : 0;
  return (
    <span
      class="meter"
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={max}
      aria-valuenow={value}
      title={`${formatCount(value)} of ${formatCount(max)}`}
    >
      <span style={{ width: `${share * 100}%` }} />
    </span>
  );
}

/** Counts by reason: the sum, and the reasons in words where there are any. */
function Reasons({ counts }: { counts: Readonly<Record<string, number>> }) {
  const entries = Object.entries(counts).filter(([, count]) => count > 0);
  if (entries.length === 0) return <>0</>;
  return (
    <>
      {entries.map(([reason, count]) => (
        <div key={reason} class="error-text">
          {formatCount(count)} {reason.replaceAll("_", " ")}
        </div>
      ))}
    </>
  );
}

function ServiceTable({ rows }: { rows: readonly ServiceRow[] }) {
  if (rows.length === 0) {
    return (
      <Empty title="No service has sent anything yet">
        <p>Each one that does is listed here.</p>
      </Empty>
    );
  }
  return (
    <section aria-labelledby="services-title">
      <h2 id="services-title">Services</h2>
      <div class="table-place" tabIndex={0} role="region" aria-label="Services">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Service</th>
              <th scope="col" class="number">spans</th>
              <th scope="col" class="number">errors</th>
              <th scope="col" class="number">log records</th>
              <th scope="col" class="number">last seen</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.name}>
                <th scope="row">
                  <a
                    class="service-link"
                    href={href("/", new URLSearchParams(), { service: row.name })}
                  >
                    <ServiceName name={row.name} />
                  </a>
                </th>
                <td class="number">{formatCount(row.spans)}</td>
                <td class={row.errors > 0 ? "number error-text" : "number"}>
                  {formatCount(row.errors)}
                </td>
                <td class="number">{formatCount(row.logs)}</td>
                <td class="number">
                  <time title={formatTimeWithZone(row.lastSeenMs)}>
                    {formatTime(row.lastSeenMs).slice(0, 8)}
                  </time>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Machine({ now }: { now: StatsEvent }) {
  return (
    <section aria-labelledby="machine-title">
      <h2 id="machine-title">Requests and memory</h2>
      <dl class="facts wide">
        <Fact name="export requests">
          {formatCount(now.requests.accepted)} accepted, {formatBytes(now.requests.bytes)}
        </Fact>
        <Fact name="refused">
          <Statuses counts={now.requests.refused} />
        </Fact>
        <Fact name="memory of the process">{formatBytes(now.memory.rssBytes)}</Fact>
        <Fact name="of it, held telemetry">
          about {formatBytes(now.memory.heldBytes)} of at most {formatBytes(now.memory.limitBytes)}
        </Fact>
        <Fact name="pages watching">{formatCount(now.streams)}</Fact>
      </dl>
    </section>
  );
}

function Statuses({ counts }: { counts: Readonly<Record<string, number>> }) {
  const entries = Object.entries(counts);
  if (entries.length === 0) return <>none</>;
  return <>{entries.map(([status, count]) => `${formatCount(count)} with ${status}`).join(", ")}</>;
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Forward({ forward }: { forward: ForwardStats }) {
  const dropped = Object.values(forward.dropped).reduce((sum, count) => sum + count, 0);
  return (
    <section aria-label={`Forwarded to ${forward.endpoint}`}>
      <h2>Forwarded</h2>
      <dl class="facts wide">
        <Fact name="to">{forward.endpoint}</Fact>
        <Fact name="requests delivered">{formatCount(forward.delivered)}</Fact>
        <Fact name="given up">
          {dropped === 0 ? "none" : <Reasons counts={forward.dropped} />}
        </Fact>
        <Fact name="tried again">{formatCounted(forward.retries, "time")}</Fact>
        <Fact name="waiting">
          {formatCounted(forward.queuedRequests, "request")}, {formatBytes(forward.queuedBytes)}
        </Fact>
        {forward.lastError !== null && (
          <Fact name="last failure">
            <span class="error-text">{forward.lastError}</span>
          </Fact>
        )}
      </dl>
    </section>
  );
}

function Store({ store }: { store: StoreStats }) {
  return (
    <section aria-labelledby="store-title">
      <h2 id="store-title">Kept for the next start</h2>
      <dl class="facts wide">
        <Fact name="in the file">
          {formatBytes(store.bytes)} of at most {formatBytes(store.maxBytes)}
        </Fact>
        <Fact name="requests written">{formatCount(store.written)}</Fact>
        <Fact name="waiting for the disk">{formatCount(store.waiting)}</Fact>
        <Fact name="given up">{store.dropped === 0 ? "none" : formatCount(store.dropped)}</Fact>
        {store.lastError !== null && (
          <Fact name="the disk refuses">
            <span class="error-text">{store.lastError}</span>
          </Fact>
        )}
      </dl>
    </section>
  );
}

const limitNames: Readonly<Record<keyof ConsoleLimits, string>> = {
  maxSpans: "spans held",
  maxTraces: "traces held",
  maxSpansPerTrace: "spans of one trace",
  maxLogs: "log records held",
  maxSeries: "metric series held",
  maxPointsPerSeries: "points of one series",
  maxServices: "service names",
  maxValueLength: "characters of a value, name or body",
  maxAttributes: "attributes of one thing",
  maxEventsPerSpan: "events, and links, of one span",
  maxHeldBytes: "memory of all that is held",
  maxBodyBytes: "body of a request",
  maxDecompressedBytes: "the same, decompressed",
};

function Limits({ limits }: { limits: ConsoleLimits }) {
  return (
    <section aria-labelledby="limits-title">
      <h2 id="limits-title">Limits</h2>
      <dl class="facts wide">
        {Object.entries(limitNames).map(([key, name]) => {
          const value = limits[key as keyof ConsoleLimits];
          return (
            <Fact key={key} name={name}>
              {key.endsWith("Bytes") ? formatBytes(value) : formatCount(value)}
            </Fact>
          );
        })}
      </dl>
    </section>
  );
}

function ClearButton() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [failed, setFailed] = useState("");

  async function clear() {
    setFailed("");
    try {
      const response = await fetch(withBase(apiPaths.data), { method: "DELETE" });
      if (!response.ok) {
        setFailed(`The console refused (status ${response.status}).`);
        return;
      }
      dialog.current?.close();
    } catch {
      setFailed("The console does not answer.");
      announce("Nothing was cleared.");
    }
  }

  return (
    <>
      <button type="button" class="button" onClick={() => dialog.current?.showModal()}>
        <Icon name="trash" /> Clear
      </button>
      <dialog ref={dialog} class="dialog" aria-labelledby="clear-title">
        <h2 id="clear-title">Forget everything received so far?</h2>
        <p>Traces, metrics, logs and counters, for everybody who watches. It cannot be undone.</p>
        {failed !== "" && <p class="error-text" role="alert">{failed}</p>}
        <div class="button-row">
          <button type="button" class="button" onClick={() => dialog.current?.close()}>Keep</button>
          <button type="button" class="button button-danger" onClick={clear}>
            Forget everything
          </button>
        </div>
      </dialog>
    </>
  );
}
