/**
 * All that is known of a span.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { CopyButton, ShortId } from "../../service/page/copy.tsx";
import { DetailPanel, Facts } from "../../service/page/detail_panel.tsx";
import { formatDuration, formatPercent, formatTime } from "../../service/page/format.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import type { JaegerKeyValue } from "../page_api/jaeger_api.ts";
import type { LogRow } from "../page_api/logs_api.ts";
import { Level } from "./level.tsx";
import { SpanMore } from "./span_extra.tsx";
import type { TraceTree, TreeSpan } from "./waterfall.ts";

/** See the module. */
export function SpanDetail(
  { span, tree, logs, onClose }: {
    span: TreeSpan;
    tree: TraceTree;
    logs: readonly LogRow[];
    onClose: () => void;
  },
) {
  return (
    <DetailPanel
      label="Span"
      title={<h2>{span.name || "(no name)"}</h2>}
      actions={
        <CopyButton
          what="the span as JSON"
          text={() => JSON.stringify(span.source, null, 2)}
        />
      }
      onClose={onClose}
    >
      <SpanFacts span={span} tree={tree} />
      <TagSection title="Attributes" tags={span.tags} />
      {span.events.length > 0 && <SpanEvents span={span} />}
      {logs.length > 0 && <SpanLogs span={span} tree={tree} logs={logs} />}
      <SpanMore traceId={tree.traceId} spanId={span.id} />
      <TagSection title="Resource" tags={span.resource} />
    </DetailPanel>
  );
}

function SpanFacts({ span, tree }: { span: TreeSpan; tree: TraceTree }) {
  return (
    <>
      {span.error !== undefined && (
        <p class="error-note">
          <b>Error</b> {span.error}
        </p>
      )}
      {span.warnings.map((warning) => <p key={warning} class="quiet">{warning}</p>)}
      <dl class="facts">
        <Fact name="service">
          <ServiceName name={span.service} />
        </Fact>
        {span.kind !== "" && <Fact name="kind">{span.kind}</Fact>}
        <Fact name="duration">
          {formatDuration(span.durationMs)}{" "}
          <span class="quiet">({formatPercent(shareOf(span.durationMs, tree))} of the trace)</span>
        </Fact>
        <Fact name="own time">{formatDuration(span.selfMs)}</Fact>
        <Fact name="begins">
          {formatDuration(span.startMs)} into the trace
          {span.coarse && (
            <span class="quiet">
              {" "}
              (to the millisecond: its program's clock gives no more)
            </span>
          )}
        </Fact>
        <Fact name="span id">
          <ShortId id={span.id} what="the span id" />
        </Fact>
        {span.parentId !== undefined && (
          <Fact name="parent">
            <ShortId id={span.parentId} what="the parent's id" />
            {span.parentMissing && <span class="quiet">not received</span>}
          </Fact>
        )}
      </dl>
    </>
  );
}

function SpanEvents({ span }: { span: TreeSpan }) {
  return (
    <section>
      <h3>Events</h3>
      <ol class="happenings">
        {span.events.map((event, i) => (
          <li key={i}>
            <span class="quiet">+{formatDuration(event.atMs - span.startMs)}</span>{" "}
            <b>{event.name}</b>
            {event.fields.length > 0 && <Facts facts={event.fields.map(factOf)} />}
          </li>
        ))}
      </ol>
    </section>
  );
}

function SpanLogs({ span, tree, logs }: {
  span: TreeSpan;
  tree: TraceTree;
  logs: readonly LogRow[];
}) {
  return (
    <section>
      <h3>Logs</h3>
      <ol class="happenings">
        {logs.toSorted((a, b) => a.timeMs - b.timeMs || a.seq - b.seq).map((log) => (
          <li key={log.seq}>
            <span class="quiet" title={formatTime(log.timeMs)}>
              +{formatDuration(log.timeMs - tree.startMs - span.startMs)}
            </span>{" "}
            <Level row={log} /> {log.body}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function TagSection({ title, tags }: { title: string; tags: readonly JaegerKeyValue[] }) {
  if (tags.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <Facts facts={tags.toSorted((a, b) => a.key < b.key ? -1 : 1).map(factOf)} />
    </section>
  );
}

function factOf(tag: JaegerKeyValue): [string, string] {
  return [tag.key, String(tag.value)];
}

function shareOf(ms: number, tree: TraceTree): number {
  return tree.durationMs > 0 ? ms / tree.durationMs : 1;
}
