/**
 * One trace followed: a scrubber under the stage, and its path in words, which is the stage's twin.
 *
 * @module
 */
import { ShortId } from "../../service/page/copy.tsx";
import { DetailPanel } from "../../service/page/detail_panel.tsx";
import { formatCount, formatCounted, formatDuration } from "../../service/page/format.ts";
import { Icon } from "../../service/page/icon.tsx";
import { useShortcuts } from "../../service/page/keys.ts";
import { traceLink } from "./store.ts";
import { slowness, stepWords } from "./trace_path.ts";
import {
  follow,
  followed,
  followNext,
  path,
  playheadMs,
  playing,
  seekStep,
  shownStep,
  togglePlay,
} from "./trace_store.ts";

/** A button or a link that has the focus has its own use for the space bar. */
function isPressable(): boolean {
  return document.activeElement?.matches("button, a, summary, [role=option]") ?? false;
}

/** The keys of a trace; for the page, as they choose one too. */
export function useTraceKeys(): void {
  const whileFollowed = (run: () => void) => () => path.peek() === undefined ? false : run();
  useShortcuts([
    { key: "[", label: "Trace before", run: () => followNext(-1) },
    { key: "]", label: "Next trace", run: () => followNext(1) },
    {
      key: "ArrowLeft",
      label: "Step back in the trace",
      run: whileFollowed(() => seekStep(shownStep.peek() - 1)),
    },
    {
      key: "ArrowRight",
      label: "Step on in the trace",
      run: whileFollowed(() => seekStep(shownStep.peek() + 1)),
    },
    {
      key: " ",
      label: "Play the trace",
      run: () => path.peek() === undefined || isPressable() ? false : togglePlay(),
    },
  ]);
}

/** The scrubber. */
export function TraceScrubber() {
  const { value } = path;
  if (value === undefined) return null;
  const { durationMs } = value;
  const slow = slowness(durationMs);
  const where = `${formatDuration(playheadMs.value)} of ${formatDuration(durationMs)}${
    slow === 1 ? "" : `, × 1/${formatCount(slow)}`
  }`;
  return (
    <div class="trace-scrubber" role="group" aria-label="Followed trace">
      <IconButton icon="left" label="Step back" onClick={() => seekStep(shownStep.peek() - 1)} />
      <IconButton
        icon={playing.value ? "pause" : "play"}
        label={playing.value ? "Stop" : "Play the trace"}
        onClick={togglePlay}
      />
      <IconButton icon="right" label="Step on" onClick={() => seekStep(shownStep.peek() + 1)} />
      <input
        type="range"
        min="0"
        max={String(durationMs)}
        step="any"
        value={String(playheadMs.value)}
        aria-label="Place in the trace"
        aria-valuetext={where}
        disabled={durationMs === 0}
        onInput={({ currentTarget }) => {
          playing.value = false;
          playheadMs.value = Number(currentTarget.value);
        }}
      />
      <span class="trace-where">{where}</span>
    </div>
  );
}

function IconButton({ icon, label, onClick }: {
  icon: "left" | "right" | "play" | "pause" | "up" | "down";
  label: string;
  onClick: () => void;
}) {
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

/** The path in words. */
export function TraceDetail() {
  const traceId = followed.value;
  if (traceId === undefined) return null;
  const { value } = path;
  const link = traceLink(traceId);
  return (
    <DetailPanel
      label="Trace"
      title={<h2>Followed trace</h2>}
      actions={
        <>
          <IconButton icon="up" label="Trace before ([)" onClick={() => followNext(-1)} />
          <IconButton icon="down" label="Next trace (])" onClick={() => followNext(1)} />
        </>
      }
      onClose={() => follow(undefined)}
    >
      <p class="trace-line">
        <ShortId id={traceId} what="the trace id" />
        {link && <a href={link}>Open in the console</a>}
      </p>
      {value === undefined
        ? <p class="quiet">Nothing has come of it since this page was opened.</p>
        : (
          <>
            <p class="quiet">
              {formatCounted(value.steps.length, "step")} by{" "}
              {formatCounted(value.names.size, "process", "processes")},{" "}
              {formatDuration(value.durationMs)}
            </p>
            <ol class="trace-steps">
              {value.steps.map((step, index) => (
                <li key={step.event.id} class={step.event.fault ? "recent-fault" : ""}>
                  <button
                    type="button"
                    class="event-button"
                    aria-current={index === shownStep.value ? "step" : undefined}
                    onClick={() =>
                      seekStep(index)}
                  >
                    <span class="clip">{stepWords(value, step)}</span>
                  </button>
                </li>
              ))}
            </ol>
          </>
        )}
    </DetailPanel>
  );
}
