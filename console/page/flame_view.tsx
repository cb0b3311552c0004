/**
 * The flame graph: where the time of a trace goes, or that of many traces of one operation. What it
 * draws stands below it as a table.
 *
 * @module
 */
import { useMemo, useRef } from "preact/hooks";
import {
  formatCount,
  formatCounted,
  formatDuration,
  formatPercent,
} from "../../service/page/format.ts";
import { serviceLook } from "../../service/page/service_look.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { apiPaths, tracePath } from "../page_api/api.ts";
import type { JaegerAnswer, JaegerTrace } from "../page_api/jaeger_api.ts";
import { type Frame, frameAt, framesOf, hottest, type PlacedFrame, placeFrames } from "./flame.ts";
import { traceTree, type TreeSpan } from "./waterfall.ts";

const rowHeight = 24;
const maxTableRows = 50;

/** See the module. */
export function FlameView() {
  const { params } = address.value;
  const traceId = params.get("trace");
  const service = params.get("service") ?? "";
  const operation = params.get("operation") ?? "";
  const query = new URLSearchParams({ service, operation, limit: "200" });
  const path = traceId ? tracePath(traceId) : `${apiPaths.traces}?${query}`;
  const { answer, error, reload } = useAnswer<JaegerAnswer<JaegerTrace>>(path);
  const found = useMemo(
    () => answer && flameOf(answer.data, traceId === null ? { service, operation } : undefined),
    [answer],
  );
  if (found === undefined) {
    return error === undefined
      ? <Loading what="the flame graph" rows={8} />
      : <Failure title="The flame graph cannot be shown" detail={error.message} onRetry={reload} />;
  }
  if (found.frames.length === 0) {
    return (
      <Empty title="No span of this operation is held">
        <a class="button" href={href("/")}>All traces</a>
      </Empty>
    );
  }
  return (
    <section class="flame-view" aria-labelledby="flame-title">
      <header class="trace-head">
        <h1 id="flame-title">
          <span class="quiet">Flame graph of</span>{" "}
          {traceId ? <a href={href(`/traces/${traceId}`)}>{found.frames[0]!.name}</a> : operation}
        </h1>
        <p class="quiet">
          {traceId === null &&
            `${formatCounted(found.traces, "trace")}, the newest that are held; `}
          {formatCounted(found.spans, "span")}. A bar is as wide as all spans of its name under the
          one above it took.
        </p>
        <button type="button" class="button" onClick={reload}>Read again</button>
      </header>
      <Flames frames={found.frames} />
      <Hottest frames={found.frames} />
    </section>
  );
}

function flameOf(
  traces: readonly JaegerTrace[],
  of: { service: string; operation: string } | undefined,
): { frames: readonly Frame[]; traces: number; spans: number } {
  const tops = traces.flatMap((trace) => {
    const { roots } = traceTree(trace);
    return of === undefined ? roots : topmost(roots, of);
  });
  const spans = tops.reduce((sum, { descendants }) => sum + descendants + 1, 0);
  return { frames: framesOf(tops), traces: traces.length, spans };
}

/** The spans of an operation that have none of it above them. */
function topmost(
  roots: readonly TreeSpan[],
  { service, operation }: { service: string; operation: string },
): TreeSpan[] {
  const found: TreeSpan[] = [];
  const stack = [...roots];
  for (let span = stack.pop(); span !== undefined; span = stack.pop()) {
    if (span.service === service && span.name === operation) found.push(span);
    else stack.push(...span.children);
  }
  return found;
}

function Flames({ frames }: { frames: readonly Frame[] }) {
  const box = useRef<HTMLDivElement>(null);
  const at = address.value.params.get("at") ?? "";
  const zoomed = at === "" ? undefined : frameAt(frames, at);
  const { placed, depth, hidden } = useMemo(
    () => placeFrames(zoomed === undefined ? frames : [zoomed]),
    [frames, zoomed],
  );
  const totalMs = (zoomed === undefined ? frames : [zoomed])
    .reduce((sum, one) => sum + one.totalMs, 0);

  function onKeyDown(event: KeyboardEvent) {
    const from = (document.activeElement as HTMLElement | null)?.dataset["path"];
    const target = from === undefined ? undefined : neighbour(placed, from, event.key);
    if (target === undefined) return;
    event.preventDefault();
    box.current!.querySelector<HTMLElement>(`[data-path="${target}"]`)?.focus();
  }

  return (
    <div class="flame-place">
      <div class="toolbar">
        {zoomed === undefined
          ? <span class="quiet">Choose a bar to see it alone. Arrows move between bars.</span>
          : (
            <button type="button" class="button" onClick={() => setParams({ at: undefined })}>
              Show all
            </button>
          )}
        {hidden > 0 && <span class="quiet">{formatCount(hidden)} too narrow to be drawn</span>}
      </div>
      <div
        ref={box}
        class="flames"
        role="group"
        aria-label="Frames, callers above"
        style={{ height: `${depth * rowHeight}px` }}
        onKeyDown={onKeyDown}
      >
        {placed.map((one, i) => (
          <FrameBar
            key={one.path}
            placed={one}
            share={one.frame.totalMs / totalMs}
            first={i === 0}
            zoomPath={zoomed === undefined
              ? one.path
              : one.path === "0"
              ? undefined
              : `${at}${one.path.slice(1)}`}
          />
        ))}
      </div>
    </div>
  );
}

/** Down to the widest child, up to the caller, aside to the neighbours. */
function neighbour(placed: readonly PlacedFrame[], from: string, key: string): string | undefined {
  const parts = from.split(".");
  const last = Number(parts.at(-1));
  const above = parts.slice(0, -1);
  const wanted: Readonly<Record<string, string>> = {
    ArrowDown: `${from}.0`,
    ArrowUp: above.join("."),
    ArrowRight: [...above, last + 1].join("."),
    ArrowLeft: [...above, last - 1].join("."),
    Home: "0",
  };
  const target = wanted[key];
  return placed.some(({ path }) => path === target) ? target : undefined;
}

function FrameBar({ placed, share, first, zoomPath }: {
  placed: PlacedFrame;
  /** Of the time that is shown. */
  share: number;
  /** The one that Tab reaches. */
  first: boolean;
  /** Where it stands among all; undefined: it is what is shown. */
  zoomPath: string | undefined;
}) {
  const { frame, left, width, depth, path } = placed;
  const { service, name, count, totalMs, selfMs, errors } = frame;
  const text = `${service}: ${name}, ${formatDuration(totalMs)} in ${
    formatCounted(count, "span")
  }, own time ${formatDuration(selfMs)}, ${formatPercent(Math.min(1, share))}${
    errors > 0 ? `, ${formatCounted(errors, "error")}` : ""
  }`;
  return (
    <button
      type="button"
      class={`flame bar-${serviceLook(service).color}${errors > 0 ? " failed" : ""}`}
      data-path={path}
      tabIndex={first ? 0 : -1}
      title={text}
      aria-label={text}
      style={{
        left: `${left * 100}%`,
        width: `calc(${width * 100}% - 1px)`,
        top: `${depth * rowHeight}px`,
        height: `${rowHeight - 2}px`,
      }}
      onClick={() => setParams({ at: zoomPath })}
    >
      <span class="flame-text">{name || "(no name)"}</span>
    </button>
  );
}

function Hottest({ frames }: { frames: readonly Frame[] }) {
  const all = useMemo(() => hottest(frames), [frames]);
  const wholeMs = frames.reduce((sum, one) => sum + one.totalMs, 0);
  return (
    <div class="table-place" tabIndex={0} role="region" aria-label="Where the time goes">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Span</th>
            <th scope="col">Service</th>
            <th scope="col" class="number">own time</th>
            <th scope="col" class="number">share</th>
            <th scope="col" class="number">in all</th>
            <th scope="col" class="number">spans</th>
            <th scope="col" class="number">errors</th>
          </tr>
        </thead>
        <tbody>
          {all.slice(0, maxTableRows).map((one) => (
            <tr key={`${one.service} ${one.name}`}>
              <td>
                <a
                  href={href("/flame", undefined, { service: one.service, operation: one.name })}
                  title="Flame graph of all spans of this name"
                >
                  {one.name || "(no name)"}
                </a>
              </td>
              <td>
                <ServiceName name={one.service} />
              </td>
              <td class="number">{formatDuration(one.selfMs)}</td>
              <td class="number">{formatPercent(wholeMs === 0 ? 0 : one.selfMs / wholeMs)}</td>
              <td class="number">{formatDuration(one.totalMs)}</td>
              <td class="number">{formatCount(one.count)}</td>
              <td class="number">{formatCount(one.errors)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {all.length > maxTableRows && (
        <p class="quiet">{formatCounted(all.length - maxTableRows, "more name")}</p>
      )}
    </div>
  );
}
