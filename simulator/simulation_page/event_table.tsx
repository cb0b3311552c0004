/**
 * The run as a table of events: what the drawings say, in words.
 *
 * @module
 */
import { formatCounted } from "../../service/page/format.ts";
import { SearchField } from "../../service/page/search_field.tsx";
import { Empty } from "../../service/page/states.tsx";
import { address, setParams } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import type { LogEntry } from "../simulation/engine.ts";
import { divergenceOf } from "./branching.ts";
import { causeOf } from "./causes.ts";
import { type Branch, current, entryPlace, other } from "./page_state.ts";
import { seekEntry } from "./position.ts";
import { entryWords, isQuiet, isTrouble, partWords, secondsWords } from "./words.ts";

/** See the module. */
export function EventTable() {
  const isNarrow = useMediaQuery("(max-width: 720px)");
  const run = current.value!;
  const query = address.value.params.get("q") ?? "";
  const withQuiet = address.value.params.has("all");
  const rows = rowsOf(run, query, withQuiet);
  const apart = other.value === undefined
    ? undefined
    : divergenceOf(run.info.entries, other.value.info.entries);
  return (
    <div class="event-table">
      <div class="event-table-bar">
        <SearchField
          label="Part, message, word"
          value={query}
          onChange={(q) => setParams({ q }, { replace: true })}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={withQuiet}
            onChange={() => setParams({ all: !withQuiet }, { replace: true })}
          />
          Locks and leases, too
        </label>
        <span class="quiet">{formatCounted(rows.length, "event")}</span>
      </div>
      {rows.length === 0
        ? (
          <Empty title="No event fits">
            <p>Search for a part such as relay-1, a message such as o3, or a word.</p>
          </Empty>
        )
        : (
          <VirtualList
            label={`Events of run ${run.letter}: time, part, event, cause, run`}
            rows={rows}
            rowKey={({ place }) => place}
            rowHeight={isNarrow ? 64 : 36}
            revealKey={entryPlace.value}
            scrollName="events"
          >
            {(row, tabIndex) => <EventRow row={row} run={run} tabIndex={tabIndex} apart={apart} />}
          </VirtualList>
        )}
    </div>
  );
}

interface Row {
  readonly entry: LogEntry;
  readonly place: number;
}

function rowsOf(run: Branch, query: string, withQuiet: boolean): Row[] {
  const wanted = query.toLowerCase();
  return run.info.entries.map((entry, place) => ({ entry, place })).filter(({ entry }) =>
    (withQuiet || !isQuiet(entry)) &&
    (wanted === "" || entry.part.includes(wanted) || entry.subject === wanted ||
      entry.messages.includes(wanted) || entryWords(entry).toLowerCase().includes(wanted))
  );
}

function EventRow(
  { row: { entry, place }, run, tabIndex, apart }: {
    row: Row;
    run: Branch;
    tabIndex: 0 | -1;
    apart: number | undefined;
  },
) {
  const cause = causeOf(run.info, place);
  const from = cause === undefined ? undefined : run.info.entries[cause]!;
  const isBad = isTrouble(entry) || entry.kind === "VIOLATION";
  const whose = apart === undefined || place < apart
    ? `${run.letter}${other.value === undefined ? "" : ` and ${other.value.letter}`}`
    : place === apart
    ? `${run.letter} parts here`
    : run.letter;
  return (
    <button
      type="button"
      class={isBad ? "event-row error-text" : "event-row"}
      tabIndex={tabIndex}
      aria-current={place === entryPlace.value ? "true" : undefined}
      onClick={() => seekEntry(place)}
    >
      <span class="event-at">{secondsWords(entry.atUs / 1_000)}</span>
      <span class="event-part clip">{partWords(entry.part)}</span>
      <span class="event-what clip">{entryWords(entry)}</span>
      <span class="event-cause clip">
        {from !== undefined && `after: ${entryWords(from)}`}
      </span>
      <span class="event-run">{whose}</span>
    </button>
  );
}
