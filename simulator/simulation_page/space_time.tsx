/**
 * The space-time diagram: a lane for each part, time to the right, lines for messages. The table of
 * events is its twin in words.
 *
 * @module
 */
import { signal } from "@preact/signals";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { keyOf, keysOf } from "./message_key.ts";
import { SpaceTimeDrawing } from "./space_time_drawing.tsx";
import { type LaneName, laneNames, spaceTime } from "./space_time_model.ts";
import { current, entryPlace, message } from "./page_state.ts";
import { messageWords, partTitle } from "./words.ts";

const hidden = signal<ReadonlySet<LaneName>>(new Set());
const isPastOnly = signal(false);
const isKeyOnly = signal(false);

/** See the module. */
export function SpaceTimeView() {
  const isNarrow = useMediaQuery("(max-width: 720px)");
  const run = current.value;
  if (run === undefined) return null;
  const { info } = run;
  const about = messageLookedAt();
  const keys = keysOf(info.options);
  const key = isKeyOnly.value && about !== undefined ? keyOf(about, keys) : undefined;
  const columns = isNarrow ? 14 : 36;
  const lanes = laneNames.filter((lane) => !hidden.value.has(lane));
  const diagram = spaceTime(
    info,
    entryPlace.value,
    { hidden: hidden.value, key, isPastOnly: isPastOnly.value },
    columns,
  );
  return (
    <section class="space-time" aria-label="Space-time diagram">
      <Filters about={about} />
      <div class="space-time-body">
        <Lanes lanes={lanes} />
        <SpaceTimeDrawing diagram={diagram} lanes={lanes} columns={columns} keys={keys} />
      </div>
    </section>
  );
}

/** The message that is selected, or that the event at the position is about. */
function messageLookedAt(): string | undefined {
  const entry = current.value?.info.entries[entryPlace.value];
  return message.value ??
    (entry !== undefined && /^[or]\d+$/.test(entry.subject) ? entry.subject : undefined);
}

/** What is left out. */
function Filters({ about }: { about: string | undefined }) {
  return (
    <div class="space-time-bar">
      <h2>Space and time</h2>
      <label class="check">
        <input
          type="checkbox"
          checked={isKeyOnly.value}
          // Once it is on, it stays to be switched off.
          disabled={about === undefined && !isKeyOnly.value}
          onChange={() => isKeyOnly.value = !isKeyOnly.peek()}
        />
        {about === undefined
          ? "Only one key: choose a message"
          : <>Only the key of {messageWords(about)}</>}
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={isPastOnly.value}
          onChange={() => isPastOnly.value = !isPastOnly.peek()}
        />
        Only what led here
      </label>
      {hidden.value.size > 0 && (
        <button
          type="button"
          class="text-button"
          onClick={() => hidden.value = new Set()}
        >
          Show all parts
        </button>
      )}
    </div>
  );
}

/** The names of the lanes, each a button that hides it. */
function Lanes({ lanes }: { lanes: readonly LaneName[] }) {
  return (
    <ul class="space-time-lanes" aria-label="Parts shown">
      {lanes.map((lane) => (
        <li key={lane}>
          <button
            type="button"
            class="text-button"
            title={`Hide ${partTitle(lane)}`}
            onClick={() => hidden.value = new Set([...hidden.peek(), lane])}
          >
            <span class="hidden-text">Hide</span>
            {partTitle(lane)}
          </button>
        </li>
      ))}
    </ul>
  );
}
