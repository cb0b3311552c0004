/**
 * Steps, play, speed, and where in the run the page is: always in sight.
 *
 * @module
 */
import { formatCount, formatCounted } from "../../service/page/format.ts";
import { Icon } from "../../service/page/icon.tsx";
import { activeFaults } from "./fault_controls.tsx";
import { runTarget } from "./run_target.ts";
import { isPlaying, isStill, type Speed, speed, speeds, togglePlay } from "./play.ts";
import { atMs, current, event } from "./page_state.ts";
import { seek, seekTime, step } from "./position.ts";
import { secondsWords, speedWords } from "./words.ts";

/** See the module. */
export function Transport() {
  const run = current.value;
  if (run === undefined) return null;
  const { length, endMs } = run.info;
  const faults = activeFaults(runTarget);
  return (
    <div class="transport" role="group" aria-label="Where in the run">
      <Steps length={length} />
      {!isStill.value && <SpeedChoice />}
      <SeekSlider endMs={endMs} />
      <output class="transport-time">
        <b>{secondsWords(atMs.value)}</b> of {secondsWords(endMs)}
        <span class="quiet transport-event">
          event {formatCount(event.value)} of {formatCount(length)}
        </span>
      </output>
      <span class={faults > 0 ? "transport-faults fault-on" : "transport-faults"}>
        {runTarget.fixedBy !== undefined
          ? "replayed"
          : faults === 0
          ? "no faults"
          : `${formatCounted(faults, "fault")} on`}
      </span>
    </div>
  );
}

/** Forwards and back, by event and by message. */
function Steps({ length }: { length: number }) {
  return (
    <div class="transport-buttons">
      <StepButton label="To the beginning" keys="Home" icon="first" run={() => seek(0)} />
      <StepButton
        label="Message before"
        keys="["
        icon="message-back"
        run={() => step("message", -1)}
      />
      <StepButton label="Event before" keys="←" icon="left" run={() => step("event", -1)} />
      {!isStill.value && (
        <button
          type="button"
          class="button transport-play"
          aria-pressed={isPlaying.value}
          title={isPlaying.value ? "Pause (p)" : "Play (p)"}
          onClick={togglePlay}
        >
          <Icon name={isPlaying.value ? "pause" : "play"} />
          {isPlaying.value ? "Pause" : "Play"}
        </button>
      )}
      <button
        type="button"
        class="button transport-step"
        title="Next event (→)"
        onClick={() => step("event", 1)}
      >
        Step <Icon name="right" />
      </button>
      <StepButton label="Next message" keys="]" icon="message-on" run={() => step("message", 1)} />
      <StepButton label="To the end" keys="End" icon="last" run={() => seek(length)} />
    </div>
  );
}

function SpeedChoice() {
  return (
    <label class="transport-speed">
      <span class="hidden-text">Speed</span>
      <select
        value={String(speed.value)}
        onChange={({ currentTarget }) => speed.value = Number(currentTarget.value) as Speed}
      >
        {speeds.map((one) => (
          <option key={one} value={String(one)}>
            {one === 0 ? "event by event" : speedWords(one)}
          </option>
        ))}
      </select>
    </label>
  );
}

function SeekSlider({ endMs }: { endMs: number }) {
  return (
    <label class="transport-seek">
      <span class="hidden-text">Time in the run</span>
      <input
        type="range"
        min="0"
        max={endMs}
        step="any"
        value={atMs.value}
        aria-valuetext={`${secondsWords(atMs.value)} of ${secondsWords(endMs)}`}
        onInput={({ currentTarget }) => {
          isPlaying.value = false;
          seekTime(Number(currentTarget.value));
        }}
      />
    </label>
  );
}

const paths = {
  "first": "M4 3v10M13 3L6.500 8l6.500 5z",
  "last": "M12 3v10M3 3l6.500 5L3 13z",
  "left": "M10 3L5 8l5 5",
  "message-back": "M8 3L3 8l5 5M13 3L8 8l5 5",
  "message-on": "M8 3l5 5-5 5M3 3l5 5-5 5",
} as const;

function StepButton(
  { label, keys, icon, run }: {
    label: string;
    keys: string;
    icon: keyof typeof paths;
    run: () => void;
  },
) {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={`${label} (${keys})`}
      onClick={() => {
        isPlaying.value = false;
        run();
      }}
    >
      <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <path d={paths[icon]} />
      </svg>
    </button>
  );
}
