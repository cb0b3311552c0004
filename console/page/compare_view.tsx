/**
 * Two traces side by side, their spans aligned by what they are: what is new, gone, slower, faster.
 *
 * @module
 */
import { useMemo } from "preact/hooks";
import { formatCounted, formatDuration, formatTime } from "../../service/page/format.ts";
import { ServiceMark } from "../../service/page/service_mark.tsx";
import { Failure, Loading } from "../../service/page/states.tsx";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import { tracePath } from "../page_api/api.ts";
import type { JaegerAnswer, JaegerTrace } from "../page_api/jaeger_api.ts";
import { type Change, type ComparedFrame, compareFrames, type Frame, framesOf } from "./flame.ts";
import { type TraceTree, traceTree } from "./waterfall.ts";

const words: Readonly<Record<Change, string>> = {
  same: "",
  new: "new",
  gone: "gone",
  slower: "slower",
  faster: "faster",
};

/** See the module. */
export function CompareView() {
  const { params } = address.value;
  const [a, b] = [useTree(params.get("a") ?? ""), useTree(params.get("b") ?? "")];
  const rows = useMemo(
    () => a.tree && b.tree && compareFrames(framesOf(a.tree.roots), framesOf(b.tree.roots)),
    [a.tree, b.tree],
  );
  const failed = [a, b].find((one) => one.error !== undefined);
  if (failed?.error !== undefined) {
    return (
      <Failure
        title="A trace cannot be shown"
        detail={failed.error.message}
        onRetry={failed.reload}
      />
    );
  }
  if (rows === undefined) return <Loading what="the traces" rows={12} />;
  const changed = rows.filter(({ change }) => change !== "same");
  const onlyChanges = params.has("changes");
  return (
    <section class="trace-view" aria-labelledby="compare-title">
      <header class="trace-head">
        <h1 id="compare-title">{rows[0]?.name}: two traces</h1>
        <div class="trace-facts">
          <Side label="A" tree={a.tree!} />
          <Side label="B" tree={b.tree!} />
          <a
            class="button"
            href={href("/compare", params, { a: params.get("b")!, b: params.get("a")! })}
          >
            Swap
          </a>
          <label class="check">
            <input
              type="checkbox"
              checked={onlyChanges}
              onChange={(event) => setParams({ changes: event.currentTarget.checked })}
            />
            Only what changed
          </label>
        </div>
        <p role="status">{summary(changed)}</p>
      </header>
      <Rows rows={onlyChanges ? changed : rows} longestMs={longestOf(rows)} />
    </section>
  );
}

function useTree(traceId: string) {
  const { answer, error, reload } = useAnswer<JaegerAnswer<JaegerTrace>>(tracePath(traceId));
  const trace = answer?.data[0];
  const tree = useMemo(() => trace && traceTree(trace), [trace]);
  return { tree, error: tree === undefined ? error : undefined, reload };
}

function Side({ label, tree }: { label: string; tree: TraceTree }) {
  return (
    <span>
      <b>{label}</b> <a href={href(`/traces/${tree.traceId}`)}>{tree.traceId.slice(0, 8)}</a>{" "}
      {formatTime(tree.startMs)}, {formatDuration(tree.durationMs)},{" "}
      {formatCounted(tree.spans.size, "span")}
    </span>
  );
}

function summary(changed: readonly ComparedFrame[]): string {
  if (changed.length === 0) return "Nothing changed by a fifth or more.";
  const parts = (["new", "gone", "slower", "faster"] as const).flatMap((change) => {
    const count = changed.filter((one) => one.change === change).length;
    return count === 0 ? [] : [`${count} ${words[change]}`];
  });
  return `From A to B: ${parts.join(", ")}.`;
}

function longestOf(rows: readonly ComparedFrame[]): number {
  return rows.reduce(
    (ms, { a, b }) => Math.max(ms, a?.totalMs ?? 0, b?.totalMs ?? 0),
    Number.MIN_VALUE,
  );
}

function Rows({ rows, longestMs }: { rows: readonly ComparedFrame[]; longestMs: number }) {
  const narrow = useMediaQuery("(max-width: 720px)");
  return (
    <div class="waterfall-rows compare-rows">
      <VirtualList
        label="Spans of both traces, callers first"
        rows={rows.map((row, i) => ({ row, i }))}
        rowKey={({ i }) => i}
        rowHeight={narrow ? 56 : 32}
      >
        {({ row }, tabIndex) => <Row row={row} longestMs={longestMs} tabIndex={tabIndex} />}
      </VirtualList>
    </div>
  );
}

function Row(
  { row, longestMs, tabIndex }: { row: ComparedFrame; longestMs: number; tabIndex: 0 | -1 },
) {
  const { service, name, depth, a, b, change } = row;
  return (
    <a
      class={`compare-row compare-${change}`}
      href={href("/flame", undefined, { service, operation: name })}
      tabIndex={tabIndex}
      title={`${service}: ${name}. Flame graph of all spans of this name`}
    >
      <span class="compare-name clip" style={{ paddingLeft: `${8 + Math.min(depth, 20) * 14}px` }}>
        <ServiceMark name={service} /> {name || "(no name)"}
      </span>
      <span class="compare-change">{words[change]}</span>
      <Time label="A" frame={a} longestMs={longestMs} />
      <Time label="B" frame={b} longestMs={longestMs} />
    </a>
  );
}

function Time(
  { label, frame, longestMs }: { label: string; frame: Frame | undefined; longestMs: number },
) {
  return (
    <span class="compare-time">
      <span class="hidden-text">{label}</span>
      <span class="compare-bar" aria-hidden="true">
        <span style={{ width: `${(frame?.totalMs ?? 0) / longestMs * 100}%` }} />
      </span>
      <b>{frame === undefined ? "–" : formatDuration(frame.totalMs)}</b>
      {frame !== undefined && frame.count > 1 && <span class="quiet">×{frame.count}</span>}
    </span>
  );
}
