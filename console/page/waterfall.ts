/**
 * A trace as a tree in time: what the waterfall draws. Takes whatever was received: spans without
 * their parents, several roots, circles.
 *
 * @module
 */
import {
  type JaegerKeyValue,
  type JaegerReference,
  type JaegerSpan,
  type JaegerTrace,
  spanWarnings,
} from "../page_api/jaeger_api.ts";
import type { LogRow } from "../page_api/logs_api.ts";
import { coarseProcesses } from "./clock_resolution.ts";

/** A span in the tree. Times are milliseconds from the beginning of the trace. */
export interface TreeSpan {
  readonly id: string;
  readonly parentId: string | undefined;
  /** The parent is named but was not received. */
  readonly parentMissing: boolean;
  readonly depth: number;
  readonly name: string;
  readonly service: string;
  /** `server`, `client`, `producer`, `consumer`; empty for an internal span. */
  readonly kind: string;
  readonly startMs: number;
  readonly durationMs: number;
  /** Its program's clock gave its start in whole milliseconds, though its duration is finer. */
  readonly coarse: boolean;
  /** Its sender has not said that it ended. */
  readonly unfinished: boolean;
  /** Time in which no child was at work. */
  readonly selfMs: number;
  /** Why it failed, in words; undefined when it did not. */
  readonly error: string | undefined;
  readonly children: readonly TreeSpan[];
  /** Spans below it, however deep. */
  readonly descendants: number;
  /** How many of them failed. */
  readonly failedBelow: number;
  readonly events: readonly SpanEvent[];
  readonly links: readonly JaegerReference[];
  readonly tags: readonly JaegerKeyValue[];
  readonly resource: readonly JaegerKeyValue[];
  readonly warnings: readonly string[];
  readonly source: JaegerSpan;
}

/** An event of a span. */
export interface SpanEvent {
  readonly atMs: number;
  readonly name: string;
  readonly fields: readonly JaegerKeyValue[];
}

/** A trace as a tree. */
export interface TraceTree {
  readonly traceId: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly roots: readonly TreeSpan[];
  readonly spans: ReadonlyMap<string, TreeSpan>;
  readonly services: readonly ServiceShare[];
  readonly errorCount: number;
  /** What is to be known of the trace as a whole, such as that it was cut. */
  readonly warnings: readonly string[];
}

/** How much of a trace one service made. */
export interface ServiceShare {
  readonly name: string;
  readonly spans: number;
  /** Sum of its spans' own time. */
  readonly selfMs: number;
}

/** Tags that are shown as what they mean and not once more among the attributes. */
const structural = new Set(["span.kind", "otel.status_code", "otel.status_description", "error"]);

/**
 * Makes the tree.
 *
 * @param coarse processes whose spans begin on whole milliseconds. @default those of the trace
 */
export function traceTree(
  trace: JaegerTrace,
  coarse: ReadonlySet<string> = coarseProcesses(trace),
): TraceTree {
  const sources = new Map<string, JaegerSpan>();
  for (const span of trace.spans) if (!sources.has(span.spanID)) sources.set(span.spanID, span);
  const startUs = trace.spans.reduce((min, span) => Math.min(min, span.startTime), Infinity);
  const endUs = trace.spans.reduce((max, span) => Math.max(max, span.startTime + span.duration), 0);

  const childrenOf = new Map<string, JaegerSpan[]>();
  const rootSpans: JaegerSpan[] = [];
  for (const span of sources.values()) {
    const parent = parentOf(span);
    if (parent !== undefined && sources.has(parent)) {
      const siblings = childrenOf.get(parent);
      if (siblings) siblings.push(span);
      else childrenOf.set(parent, [span]);
    } else rootSpans.push(span);
  }

  const spans = new Map<string, TreeSpan>();
  const context = { sources, trace, traceStartUs: startUs, coarse };

  /** Depth first without recursion: a chain of ten thousand spans is a trace, too. */
  function build(root: JaegerSpan): TreeSpan {
    const order: { span: JaegerSpan; depth: number }[] = [];
    const stack = [{ span: root, depth: 0 }];
    const seen = new Set<string>();
    while (stack.length > 0) {
      const at = stack.pop()!;
      if (seen.has(at.span.spanID)) continue;
      seen.add(at.span.spanID);
      order.push(at);
      for (const child of childrenOf.get(at.span.spanID) ?? []) {
        stack.push({ span: child, depth: at.depth + 1 });
      }
    }
    for (const { span, depth } of order.reverse()) {
      const children = (childrenOf.get(span.spanID) ?? [])
        .map((child) => spans.get(child.spanID))
        .filter((child) => child !== undefined)
        .sort((a, b) => a.startMs - b.startMs || b.durationMs - a.durationMs);
      spans.set(span.spanID, treeSpan(span, depth, children, context));
    }
    return spans.get(root.spanID)!;
  }

  const roots = rootSpans.map(build);
  // What is left hangs in a circle: it is cut open at its earliest span.
  for (const span of [...sources.values()].sort((a, b) => a.startTime - b.startTime)) {
    if (!spans.has(span.spanID)) roots.push(build(span));
  }
  roots.sort((a, b) => a.startMs - b.startMs || b.durationMs - a.durationMs);

  return {
    traceId: trace.traceID,
    startMs: Number.isFinite(startUs) ? startUs / 1e3 : 0,
    durationMs: Number.isFinite(startUs) ? (endUs - startUs) / 1e3 : 0,
    roots,
    spans,
    services: sharesOf(roots),
    errorCount: [...spans.values()].filter((span) => span.error !== undefined).length,
    warnings: trace.warnings ?? [],
  };
}

function parentOf(span: JaegerSpan): string | undefined {
  const parent = span.references.find((one) =>
    one.refType === "CHILD_OF" && one.traceID === span.traceID
  );
  return parent?.spanID;
}

/** What a span's place depends on, besides itself. */
interface TreeContext {
  sources: ReadonlyMap<string, JaegerSpan>;
  trace: JaegerTrace;
  traceStartUs: number;
  coarse: ReadonlySet<string>;
}

function treeSpan(
  span: JaegerSpan,
  depth: number,
  children: readonly TreeSpan[],
  { sources, trace, traceStartUs, coarse }: TreeContext,
): TreeSpan {
  const process = trace.processes[span.processID];
  const parentId = parentOf(span);
  const startMs = (span.startTime - traceStartUs) / 1e3;
  const durationMs = span.duration / 1e3;
  const kind = textTag(span.tags, "span.kind") ?? "";
  return {
    id: span.spanID,
    parentId,
    parentMissing: parentId !== undefined && !sources.has(parentId),
    depth,
    name: span.operationName,
    service: process?.serviceName ?? "unknown",
    kind: kind === "internal" ? "" : kind,
    startMs,
    durationMs,
    coarse: coarse.has(span.processID),
    unfinished: span.warnings?.includes(spanWarnings.noEnd) ?? false,
    selfMs: selfTime(startMs, durationMs, children),
    error: errorOf(span),
    children,
    failedBelow: children.reduce(
      (sum, child) => sum + child.failedBelow + (child.error === undefined ? 0 : 1),
      0,
    ),
    descendants: children.reduce((sum, child) => sum + 1 + child.descendants, 0),
    events: span.logs.map((log) => eventOf(log, traceStartUs)),
    links: span.references.filter((one) => one.refType === "FOLLOWS_FROM"),
    tags: span.tags.filter((tag) => !structural.has(tag.key)),
    resource: process?.tags ?? [],
    warnings: span.warnings ?? [],
    source: span,
  };
}

function eventOf(log: JaegerSpan["logs"][number], traceStartUs: number): SpanEvent {
  const name = log.fields.find((field) => field.key === "event");
  return {
    atMs: (log.timestamp - traceStartUs) / 1e3,
    name: name === undefined ? "event" : String(name.value),
    fields: log.fields.filter((field) => field !== name),
  };
}

function errorOf(span: JaegerSpan): string | undefined {
  const failed = textTag(span.tags, "otel.status_code") === "ERROR" ||
    span.tags.some((tag) => tag.key === "error" && tag.value === true);
  if (!failed) return undefined;
  const description = textTag(span.tags, "otel.status_description");
  if (description) return description;
  for (const log of span.logs) {
    const message = textTag(log.fields, "exception.message");
    if (message) return message;
  }
  return textTag(span.tags, "error.type") ?? "failed";
}

function textTag(tags: readonly JaegerKeyValue[], key: string): string | undefined {
  const value = tags.find((tag) => tag.key === key)?.value;
  return value === undefined ? undefined : String(value);
}

/** A span's time less the part that its children cover. Children come by start. */
function selfTime(startMs: number, durationMs: number, children: readonly TreeSpan[]): number {
  const endMs = startMs + durationMs;
  let covered = 0;
  let reachedMs = startMs;
  for (const child of children) {
    const fromMs = Math.max(reachedMs, child.startMs);
    const toMs = Math.min(endMs, child.startMs + child.durationMs);
    if (toMs <= fromMs) continue;
    covered += toMs - fromMs;
    reachedMs = toMs;
  }
  return Math.max(0, durationMs - covered);
}

function sharesOf(roots: readonly TreeSpan[]): ServiceShare[] {
  const shares = new Map<string, { name: string; spans: number; selfMs: number }>();
  const stack = [...roots].reverse();
  while (stack.length > 0) {
    const span = stack.pop()!;
    const share = shares.get(span.service) ?? { name: span.service, spans: 0, selfMs: 0 };
    share.spans++;
    share.selfMs += span.selfMs;
    shares.set(span.service, share);
    stack.push(...span.children.toReversed());
  }
  return [...shares.values()];
}

/** A line of the waterfall. */
export type WaterfallRow =
  | { readonly kind: "span"; readonly span: TreeSpan; readonly collapsed: boolean }
  | { readonly kind: "log"; readonly log: LogRow; readonly depth: number; readonly atMs: number };

/** Options of {@linkcode waterfallRows}. */
export interface WaterfallOptions {
  /** Spans whose descendants are hidden. */
  collapsed: ReadonlySet<string>;
  /** Logs to show below their spans; those of no received span come last. @default none */
  logs?: readonly LogRow[];
  /** Shows spans and logs of this service alone. @default all */
  only?: string | undefined;
}

/** The lines in order: each span, its logs by time, its children. */
export function waterfallRows(tree: TraceTree, options: WaterfallOptions): WaterfallRow[] {
  const logsOf = new Map<string, LogRow[]>();
  const loose: LogRow[] = [];
  const { only } = options;
  const shownLogs = (options.logs ?? []).filter(({ service }) => !only || service === only);
  for (const log of shownLogs.toSorted((a, b) => a.timeMs - b.timeMs || a.seq - b.seq)) {
    const isLoose = log.spanId === undefined || !tree.spans.has(log.spanId);
    const others = isLoose ? loose : logsOf.get(log.spanId!);
    if (others) others.push(log);
    else logsOf.set(log.spanId!, [log]);
  }
  const rows: WaterfallRow[] = [];
  const logRow = (log: LogRow, depth: number): WaterfallRow => ({
    kind: "log",
    log,
    depth,
    atMs: log.timeMs - tree.startMs,
  });
  const stack = tree.roots.toReversed();
  while (stack.length > 0) {
    const span = stack.pop()!;
    const collapsed = options.collapsed.has(span.id) && span.children.length > 0;
    if (!only || span.service === only) rows.push({ kind: "span", span, collapsed });
    for (const log of logsOf.get(span.id) ?? []) rows.push(logRow(log, span.depth + 1));
    if (!collapsed) stack.push(...span.children.toReversed());
  }
  for (const log of loose) rows.push(logRow(log, 0));
  return rows;
}

/** Marks of a ruler from 0 to `durationMs`: round steps, at most `max` of them. */
export function rulerMarks(durationMs: number, max = 6): number[] {
  if (!(durationMs > 0)) return [0];
  const least = durationMs / max;
  const decade = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((factor) => factor * decade).find((one) => one >= least)!;
  const marks: number[] = [];
  for (let i = 0; i * step <= durationMs * (1 + 1e-9); i++) {
    marks.push(Number((i * step).toPrecision(12)));
  }
  return marks;
}
