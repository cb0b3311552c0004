/**
 * The space-time diagram: a lane for each part, time to the right, lines for messages. The table of
 * events is its twin in words.
 *
 * @module
 */
import { signal } from "@preact/signals";
import { setParams } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { keyColor, keyOf, type Keys, keysOf } from "./message_key.ts";
import { isPlaying } from "./play.ts";
import { type Dot, type LaneName, laneNames, laneOf, spaceTime } from "./space_time_model.ts";
import { current, entryPlace, message, part, seekEntry } from "./store.ts";
import { entryWords, isTrouble, messageWords, partTitle } from "./words.ts";

const hidden = signal<ReadonlySet<LaneName>>(new Set());
const isPastOnly = signal(false);
const isKeyOnly = signal(false);

const laneHeight = 24;

/** See the module. */
export function SpaceTimeView() {
  const isNarrow = useMediaQuery("(max-width: 720px)");
  const run = current.value;
  if (run === undefined) return null;
  const { info } = run;
  const entry = info.entries[entryPlace.value];
  const about = message.value ??
    (entry !== undefined && /^[or]\d+$/.test(entry.subject) ? entry.subject : undefined);
  const keys = keysOf(info.options);
  const key = isKeyOnly.value && about !== undefined ? keyOf(about, keys) : undefined;
  const columns = isNarrow ? 14 : 36;
  const { dots, lines } = spaceTime(
    info,
    entryPlace.value,
    { hidden: hidden.value, key, isPastOnly: isPastOnly.value },
    columns,
  );
  const lanes = laneNames.filter((lane) => !hidden.value.has(lane));
  const width = isNarrow ? 320 : 860;
  const height = lanes.length * laneHeight;
  const x = ({ column }: Dot) => (column + 0.5) * width / columns;
  const y = ({ lane }: Dot) => (lanes.indexOf(lane) + 0.5) * laneHeight;
  return (
    <section class="space-time" aria-label="Space-time diagram">
      <div class="space-time-bar">
        <h2>Space and time</h2>
        <label class="check">
          <input
            type="checkbox"
            checked={isKeyOnly.value}
            onChange={() => isKeyOnly.value = !isKeyOnly.peek()}
          />
          Only the key of {about === undefined ? "the message" : messageWords(about)}
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
      <div class="space-time-body">
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
        <svg
          class="space-time-drawing"
          viewBox={`0 0 ${width} ${height}`}
          preserveAspectRatio="none"
          style={{ height: `${height}px` }}
          aria-hidden="true"
        >
          {lanes.map((lane, index) => (
            <line
              key={lane}
              class={part.value !== undefined && laneOf(part.value) === lane
                ? "lane-line lane-selected"
                : "lane-line"}
              x1="0"
              x2={width}
              y1={(index + 0.5) * laneHeight}
              y2={(index + 0.5) * laneHeight}
            />
          ))}
          {lines.map(({ from, to }) => (
            <line
              key={`${from.place} ${to.place}`}
              class={`cause-line key-${
                keyColor(to.entry.subject || from.entry.subject || "o0", keys)
              }`}
              x1={x(from)}
              y1={y(from)}
              x2={x(to)}
              y2={y(to)}
            />
          ))}
          {dots.map((dot) => (
            <DotMark
              key={dot.place}
              dot={dot}
              x={x(dot)}
              y={y(dot)}
              keys={keys}
              reach={width / columns / 2}
            />
          ))}
        </svg>
      </div>
    </section>
  );
}

function DotMark(
  { dot, x, y, keys, reach }: { dot: Dot; x: number; y: number; keys: Keys; reach: number },
) {
  const { entry, place } = dot;
  const isHere = place === entryPlace.value;
  const isBad = isTrouble(entry) || entry.kind === "VIOLATION";
  const isMessage = /^[or]\d+$/.test(entry.subject);
  return (
    <g
      class={place > entryPlace.value ? "st-dot st-future" : "st-dot"}
      onClick={() => {
        isPlaying.value = false;
        seekEntry(place);
        if (isMessage && message.peek() !== undefined) setParams({ message: entry.subject });
      }}
    >
      <title>{entryWords(entry)}</title>
      <rect class="st-hit" x={x - reach} y={y - 12} width={2 * reach} height="24" />
      {isHere && <rect class="st-here" x={x - 9} y={y - 9} width="18" height="18" rx="4" />}
      {isBad
        ? <path class="st-bad" d={`M${x - 5},${y - 5}l10,10m0,-10l-10,10`} />
        : isMessage
        ? <circle class={`service-${keyColor(entry.subject, keys)}`} cx={x} cy={y} r="5" />
        : <circle class="st-plain" cx={x} cy={y} r="3" />}
    </g>
  );
}
