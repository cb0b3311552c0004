/**
 * What was refused, cut or mended, by who sent it: the status page's answer to "why is my span not
 * here?".
 *
 * @module
 */
import { formatCount, formatTime, formatTimeWithZone } from "../../service/page/format.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { apiPaths, type NoticesAnswer } from "../page_api/api.ts";
import { epoch } from "./store.ts";
import { paused } from "./views.ts";

/** See the module; nothing is shown while there is nothing to say. */
export function NoticesSection() {
  const { answer } = useAnswer<NoticesAnswer>(`${apiPaths.notices}?epoch=${epoch.value}`, {
    refreshMs: paused.value ? undefined : 3_000,
  });
  if (answer === undefined || answer.notices.length === 0) return null;
  return (
    <section aria-labelledby="notices-title">
      <h2 id="notices-title">Refused, cut or mended</h2>
      <div class="table-place" tabIndex={0} role="region" aria-label="Refused, cut or mended">
        <table class="table notices">
          <thead>
            <tr>
              <th scope="col">Sender</th>
              <th scope="col">what happened</th>
              <th scope="col" class="number">items</th>
              <th scope="col">last one</th>
              <th scope="col" class="number">at</th>
            </tr>
          </thead>
          <tbody>
            {answer.notices.map((row) => (
              <tr key={`${row.signal} ${row.reason} ${row.sender}`}>
                <th scope="row">{row.sender}</th>
                <td class="notice-detail">
                  <span class="error-text">{row.signal}: {row.reason.replaceAll("_", " ")}</span>
                  <div class="quiet">{row.detail}</div>
                </td>
                <td class="number">{formatCount(row.count)}</td>
                <td class="notice-detail">{row.example || <span class="quiet">–</span>}</td>
                <td class="number">
                  <time title={formatTimeWithZone(row.lastMs)}>
                    {formatTime(row.lastMs).slice(0, 8)}
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
