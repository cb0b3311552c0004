/**
 * All that is known of a log record.
 *
 * @module
 */
import { CopyButton, ShortId } from "../../service/page/copy.tsx";
import { DetailPanel, Facts } from "../../service/page/detail_panel.tsx";
import { formatTimeWithZone } from "../../service/page/format.ts";
import { Icon } from "../../service/page/icon.tsx";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { href } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { apiPaths, type Attributes } from "../page_api/api.ts";
import type { LogDetail as Detail, LogRow } from "../page_api/logs_api.ts";
import { Level } from "./level.tsx";
import { flatten } from "./metric_lines.ts";

/** See the module. */
export function LogDetail(
  { row, withTrace = false, onClose }: {
    row: LogRow;
    /** Offers its trace, where that is not on show already. */
    withTrace?: boolean;
    onClose: () => void;
  },
) {
  const { answer: detail } = useAnswer<Detail>(apiPaths.log.replace("{seq}", String(row.seq)));
  return (
    <DetailPanel
      label="Log record"
      title={
        <h2 class="log-title">
          <Level row={row} /> <ServiceName name={row.service} />
        </h2>
      }
      actions={
        <CopyButton
          what="the record as JSON"
          text={() => JSON.stringify(detail ?? row, null, 2)}
        />
      }
      onClose={onClose}
    >
      <p class="log-text">{row.body}</p>
      {withTrace && row.traceId !== undefined && (
        <a
          class="button"
          href={href(`/traces/${row.traceId}`, new URLSearchParams(), { span: row.spanId })}
        >
          <Icon name="right" /> Open trace
        </a>
      )}
      <LogFacts row={row} detail={detail} />
      <AttributeSection title="Attributes" attributes={row.attributes} />
      {detail && (
        <>
          <AttributeSection title="Resource" attributes={detail.resource} />
          <AttributeSection title="Scope" attributes={detail.scopeAttributes} />
          {detail.schemaUrl !== undefined && <p class="quiet">Schema {detail.schemaUrl}</p>}
        </>
      )}
    </DetailPanel>
  );
}

function LogFacts({ row, detail }: { row: LogRow; detail: Detail | undefined }) {
  return (
    <dl class="facts">
      <div>
        <dt>time</dt>
        <dd>{formatTimeWithZone(row.timeMs)}</dd>
      </div>
      {row.traceId !== undefined && (
        <div>
          <dt>trace id</dt>
          <dd>
            <ShortId id={row.traceId} what="the trace id" />
          </dd>
        </div>
      )}
      {detail?.observedMs !== undefined && (
        <div>
          <dt>observed</dt>
          <dd>{formatTimeWithZone(detail.observedMs)}</dd>
        </div>
      )}
      {row.eventName !== undefined && (
        <div>
          <dt>event</dt>
          <dd>{row.eventName}</dd>
        </div>
      )}
      {row.scope !== "" && (
        <div>
          <dt>scope</dt>
          <dd>{row.scope} {detail?.scopeVersion}</dd>
        </div>
      )}
    </dl>
  );
}

function AttributeSection({ title, attributes }: { title: string; attributes: Attributes }) {
  const facts = Object.entries(flatten(attributes)).sort(([a], [b]) => a < b ? -1 : 1);
  if (facts.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <Facts facts={facts} />
    </section>
  );
}
