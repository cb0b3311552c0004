/**
 * The lines of a waterfall: its ruler, a span, a log record.
 *
 * @module
 */
import { formatCounted, formatDuration } from "../../service/page/format.ts";
import { Icon } from "../../service/page/icon.tsx";
import { serviceLook } from "../../service/page/service_look.ts";
import { ServiceMark } from "../../service/page/service_mark.tsx";
import type { LogRow } from "../page_api/logs_api.ts";
import { Level } from "./level.tsx";
import type { Section } from "./critical_path.ts";
import type { TraceTree, TreeSpan } from "./waterfall.ts";

/** Where in time the marks lie. */
export function Ruler({ marks, durationMs }: { marks: readonly number[]; durationMs: number }) {
  return (
    <div class="ruler" aria-hidden="true">
      <span class="ruler-name">Span</span>
      <span class="ruler-marks">
        {marks.map((mark) => (
          <span key={mark} style={{ left: percent(mark, durationMs) }}>{formatDuration(mark)}</span>
        ))}
      </span>
    </div>
  );
}

/** Options of {@linkcode SpanLine}. */
export interface SpanLineProps {
  span: TreeSpan;
  /** What is below it is hidden. */
  collapsed: boolean;
  /** Its details are shown. */
  chosen: boolean;
  /** It fits what is looked for. */
  found: boolean;
  /** By how much its clock does not fit its parent's, in milliseconds. */
  skewMs: number;
  /** Its parts on the critical path; undefined while that is not shown. */
  path: readonly Section[] | undefined;
  /** The trace that it belongs to. */
  tree: TraceTree;
  /** Hides or shows what is below it. */
  onToggle: () => void;
}

/** A span: its name in the tree, its bar in time. */
export function SpanLine(props: SpanLineProps) {
  return (
    <div class={`line${props.chosen ? " chosen" : ""}${props.found ? " found" : ""}`}>
      <SpanName {...props} />
      <SpanBar span={props.span} tree={props.tree} path={props.path} />
    </div>
  );
}

function SpanName({ span, collapsed, skewMs, onToggle }: SpanLineProps) {
  return (
    <div class="line-name" style={{ paddingLeft: `${indent(span.depth)}px` }}>
      <Fold span={span} collapsed={collapsed} onToggle={onToggle} />
      <ServiceMark name={span.service} />
      <span class="line-button" title={`${span.service}: ${span.name}`}>
        <span class="line-text clip">{span.name || "(no name)"}</span>
        <span class="hidden-text">
          , {span.service}, {formatDuration(span.durationMs)}
          {span.error !== undefined && `, error: ${span.error}`}
        </span>
      </span>
      {collapsed && <span class="line-kind">{formatCounted(span.descendants, "more", "more")}
      </span>}
      {span.error !== undefined && <span class="error-mark" title={span.error}>error</span>}
      {collapsed && span.failedBelow > 0 && (
        <span class="error-mark">{formatCounted(span.failedBelow, "error")} below</span>
      )}
      {span.unfinished && (
        <span class="line-kind" title="It is still running, or its program ended before it did">
          no end
        </span>
      )}
      {skewMs !== 0 && (
        <span
          class="line-kind"
          title={`It does not lie within its parent: their clocks differ by about ${
            formatDuration(Math.abs(skewMs))
          }`}
        >
          clock {skewMs > 0 ? "−" : "+"}
          {formatDuration(Math.abs(skewMs))}
        </span>
      )}
      {span.parentMissing && (
        <span class="line-kind" title="Its parent was not received">no parent</span>
      )}
      {span.kind !== "" && <span class="line-kind">{span.kind}</span>}
    </div>
  );
}

function Fold(
  { span, collapsed, onToggle }: Pick<SpanLineProps, "span" | "collapsed" | "onToggle">,
) {
  if (span.children.length === 0) return <span class="fold-none" />;
  return (
    <button
      type="button"
      class="fold"
      tabIndex={-1}
      // For the pointer: the row says whether it is folded, and the arrows fold it.
      aria-hidden="true"
      title={`${collapsed ? "Show" : "Hide"} ${formatCounted(span.descendants, "span")} below`}
      onClick={(event) => {
        event.stopPropagation();
        onToggle();
      }}
    >
      <Icon name={collapsed ? "right" : "down"} />
    </button>
  );
}

function SpanBar({ span, tree, path }: Pick<SpanLineProps, "span" | "tree" | "path">) {
  const endShare = (span.startMs + span.durationMs) / (tree.durationMs || 1);
  return (
    <div class="line-time" aria-hidden="true">
      <span
        class={`bar bar-${serviceLook(span.service).color}${
          span.error !== undefined ? " failed" : ""
        }${span.unfinished ? " unfinished" : ""}${span.coarse ? " coarse" : ""}${
          path?.length === 0 ? " off-path" : ""
        }`}
        style={{
          left: percent(span.startMs, tree.durationMs),
          width: percent(span.durationMs, tree.durationMs),
        }}
      />
      {path?.map(({ fromMs, toMs }) => (
        <span
          key={fromMs}
          class="on-path"
          style={{
            left: percent(fromMs, tree.durationMs),
            width: percent(toMs - fromMs, tree.durationMs),
          }}
        />
      ))}
      {span.events.map((event, i) => (
        <span
          key={i}
          class="tick"
          title={event.name}
          style={{ left: percent(event.atMs, tree.durationMs) }}
        />
      ))}
      <span
        class="bar-label"
        style={{ left: `calc(${endShare * 100}% + 8px)` }}
      >
        {formatDuration(span.durationMs)}
      </span>
    </div>
  );
}

/** A log record below its span. */
export function LogLine(
  { log, chosen, depth, atMs, tree }: {
    log: LogRow;
    chosen: boolean;
    depth: number;
    atMs: number;
    tree: TraceTree;
  },
) {
  return (
    <div class={chosen ? "line line-log chosen" : "line line-log"}>
      <div class="line-name" style={{ paddingLeft: `${indent(depth) + 20}px` }}>
        <Level row={log} />
        <span class="line-button" title={log.body}>
          <span class="line-text clip">{log.body || "(empty)"}</span>
        </span>
      </div>
      <div class="line-time" aria-hidden="true">
        {atMs >= 0 && atMs <= tree.durationMs && (
          <span class="log-dot" style={{ left: percent(atMs, tree.durationMs) }} />
        )}
      </div>
    </div>
  );
}

/** Deep trees keep a readable name: from twelve levels on, the steps stop. */
function indent(depth: number): number {
  return Math.min(depth, 12) * 16;
}

/** A place in time as a share of the whole, for a style. */
export function percent(ms: number, ofMs: number): string {
  const share = ofMs > 0 ? ms / ofMs : 0;
  return `${Math.min(100, Math.max(0, share * 100))}%`;
}
