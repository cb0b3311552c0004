/**
 * The timeline of a run: when how much happened, and lanes of faults, of invariants that broke, of
 * rare paths that were reached. Shares its component with what is live.
 *
 * @module
 */
import { Timeline, type TimelineCurve, type TimelineLane } from "../page/timeline.tsx";
import type { LogEntry } from "../simulation/engine.ts";
import { isPlaying } from "./play.ts";
import type { RunInfo } from "./protocol.ts";
import { atMs, type Branch } from "./page_state.ts";
import { seekTime } from "./position.ts";
import { entryWords, isQuiet, isTrouble, secondsWords } from "./words.ts";

const bins = 160;

interface Prepared {
  readonly counts: { second: number; count: number }[];
  readonly binMs: number;
  readonly lanes: TimelineLane[];
}

const known = new WeakMap<RunInfo, Prepared>();

/** See the module. */
export function Lanes(
  { run, curve, more = [] }: {
    run: Branch;
    curve?: TimelineCurve | undefined;
    /** Lanes beside those that every run has. */
    more?: readonly TimelineLane[];
  },
) {
  const { counts, binMs, lanes } = prepared(run.info);
  return (
    <Timeline
      fromMs={0}
      toMs={run.info.endMs}
      counts={counts}
      binMs={binMs}
      lanes={[...lanes, ...more]}
      label={`run ${run.letter}`}
      formatAt={secondsWords}
      cursorMs={atMs.value}
      onSeek={(ms) => {
        isPlaying.value = false;
        seekTime(ms);
      }}
      curve={curve}
    />
  );
}

function prepared(info: RunInfo): Prepared {
  let made = known.get(info);
  if (made === undefined) known.set(info, made = prepare(info));
  return made;
}

function prepare({ entries, endMs, marks }: RunInfo): Prepared {
  const binMs = Math.max(1, endMs / bins);
  const counts = Array.from({ length: bins }, (_, second) => ({ second, count: 0 }));
  for (const entry of entries) {
    if (isQuiet(entry)) continue;
    counts[Math.min(bins - 1, Math.floor(entry.atUs / 1_000 / binMs))]!.count++;
  }
  const lane = (name: string, isIt: (entry: LogEntry) => boolean): TimelineLane => ({
    name,
    marks: entries.filter(isIt).map((entry) => ({
      atMs: entry.atUs / 1_000,
      label: entryWords(entry),
    })),
  });
  return {
    counts,
    binMs,
    lanes: [
      lane("faults", isTrouble),
      lane("invariants", ({ kind }) => kind === "VIOLATION"),
      {
        name: "sometimes",
        isTrouble: false,
        marks: marks.map(({ name, atMs }) => ({ atMs, label: name })),
      },
    ],
  };
}
