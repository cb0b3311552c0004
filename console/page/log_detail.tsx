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
import type { LogRow } from "../page_api/api.ts";
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
  return (
    <DetailPanel
      label="Log record"
      title={
        <h2 class="log-title">
          <Level row={row} /> <ServiceName name={row.service} />
        </h2>
      }
      actions={<CopyButton what="the record as JSON" text={() => JSON.stringify(row, null, 2)} />}
      onClose={onClose}
    >
      <p class="log-text">{row.body}</p>
      {withTrace && row.traceId !== undefined && (
        <a
          class="button"
          href={href(`/traces/${row.traceId}`, new URLSearchParams(), { span: row.spanId })}
        >
          <Icon name="right" /> Its trace
        </a>
      )}
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
        {row.eventName !== undefined && (
          <div>
            <dt>event</dt>
            <dd>{row.eventName}</dd>
          </div>
        )}
        {row.scope !== "" && (
          <div>
            <dt>scope</dt>
            <dd>{row.scope}</dd>
          </div>
        )}
      </dl>
      {Object.keys(row.attributes).length > 0 && (
        <section>
          <h3>Attributes</h3>
          <Facts
            facts={Object.entries(flatten(row.attributes)).sort(([a], [b]) => a < b ? -1 : 1)}
          />
        </section>
      )}
    </DetailPanel>
  );
}
