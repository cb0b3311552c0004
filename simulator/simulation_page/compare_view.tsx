/**
 * Two runs side by side at the same instant: what is equal is grey, the first divergence is marked, and
 * what each has lost stands in a table.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { formatCount } from "../../service/page/format.ts";
import { Empty } from "../../service/page/states.tsx";
import type { LogEntry, RunOptions } from "../simulation/engine.ts";
import { divergenceMs, divergenceOf, isSame } from "./branching.ts";
import { Lanes } from "./lanes.tsx";
import { Figures } from "./panels.tsx";
import type { RunView } from "./protocol.ts";
import { CompareWith, verdictWords } from "./runs_bar.tsx";
import { atMs, type Branch, current, entryPlace, other, otherView, view } from "./page_state.ts";
import { eventAt, placeAt, seekTime } from "./position.ts";
import { show } from "./store.ts";
import { RunTopology } from "./run_topology.tsx";
import { entryWords, isQuiet, secondsWords, textWords } from "./words.ts";

const patterns = ["outbox", "dual-write", "fire-and-forget"] as const;

/** See the module. */
export function CompareView() {
  const run = current.value!;
  const second = other.value;
  return (
    <div class="compare">
      <div class="compare-bar">
        <CompareWith />
        {patterns.filter((one) => one !== run.info.options.pattern).map((pattern) => (
          <button
            key={pattern}
            type="button"
            class="button"
            onClick={() => void withPattern(run, pattern)}
          >
            The same decisions by {pattern}
          </button>
        ))}
      </div>
      {second === undefined
        ? (
          <Empty title="Nothing to compare with yet">
            <p>
              Choose a run that is kept, let another pattern meet the same decisions, or{" "}
              <b>branch</b> from an event.
            </p>
          </Empty>
        )
        : <Pair run={run} second={second} />}
    </div>
  );
}

/** The same run by another pattern, kept beside. */
async function withPattern(run: Branch, pattern: RunOptions["pattern"]): Promise<void> {
  const { input } = run.info;
  const whenMs = atMs.peek();
  const made = await show(
    { ...input, given: { ...input.given, pattern } },
    `the same decisions by ${pattern}`,
    { parent: run.letter, params: { b: run.code } },
  );
  if (made !== undefined) seekTime(Math.min(whenMs, made.info.endMs));
}

function Pair({ run, second }: { run: Branch; second: Branch }) {
  const apartMs = divergenceMs(run.info, second.info);
  const eventOfSecond = eventAt(second.info, atMs.value);
  return (
    <>
      <p class="compare-divergence" role="status">
        {apartMs === undefined ? `${run.letter} and ${second.letter} are the same run.` : (
          <>
            <b>
              {run.letter} ≠ {second.letter} from {secondsWords(apartMs)}
            </b>
            {atMs.value < apartMs ? " · equal up to here" : " · apart by now"}
            <button type="button" class="text-button" onClick={() => seekTime(apartMs)}>
              Go there
            </button>
          </>
        )}
      </p>
      <div class="compare-pair">
        <Half run={run} view={view.value} place={entryPlace.value} />
        <Half
          run={second}
          view={otherView.value}
          place={placeAt(second.info.entries, eventOfSecond)}
        />
      </div>
      <Losses runs={[run, second]} />
      <Lanes
        run={run}
        more={[
          ...lanesOf(second),
          ...(apartMs === undefined ? [] : [{
            name: "first divergence",
            isTrouble: false,
            marks: [{ atMs: apartMs, label: "here they part" }],
          }]),
        ]}
      />
      <EventPair run={run} second={second} />
    </>
  );
}

function lanesOf({ letter, info }: Branch) {
  return [{
    name: `invariants of ${letter}`,
    marks: info.violations.map(({ atMs, text }) => ({ atMs, label: textWords(text) })),
  }];
}

function Half(
  { run, view, place }: {
    run: Branch;
    view: RunView | undefined;
    place: number;
  },
) {
  return (
    <section class="compare-half" aria-label={`Run ${run.letter}`}>
      <h2>
        Run {run.letter} <span class="quiet">{run.info.options.pattern} · {run.origin}</span>
      </h2>
      <RunTopology run={run} view={view} place={place} hasControls={false} />
      <Figures counters={view?.snapshot.counters} />
    </section>
  );
}

/** What each has lost in the end, and by now. */
function Losses({ runs }: { runs: readonly [Branch, Branch] }) {
  const views = [view.value, otherView.value];
  const count = (index: number, state: string) =>
    views[index]?.orders.filter((order) => order.state === state).length ?? 0;
  const row = (label: string, cell: (run: Branch, index: number) => ComponentChildren) => (
    <tr>
      <th scope="row">{label}</th>
      {runs.map((run, index) => <td key={run.code}>{cell(run, index)}</td>)}
    </tr>
  );
  return (
    <table class="losses">
      <caption class="hidden-text">What each run loses</caption>
      <thead>
        <tr>
          <th scope="col">Now</th>
          {runs.map((run) => (
            <th key={run.code} scope="col">{run.letter}: {run.info.options.pattern}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {row("orders done", (_, index) => formatCount(count(index, "done")))}
        {row("orders lost", (_, index) => bad(count(index, "lost")))}
        {row("applied twice", (_, index) => bad(count(index, "twice")))}
        {row("in the end", (run) =>
          run.info.violations.length === 0 ? "holds" : (
            <span class="error-text">
              {verdictWords(run)}: {textWords(run.info.violations[0]!.text)}
            </span>
          ))}
      </tbody>
    </table>
  );
}

function bad(count: number) {
  return count === 0 ? "0" : <span class="error-text">{formatCount(count)}</span>;
}

/** The events of both around the instant, in two columns. */
function EventPair({ run, second }: { run: Branch; second: Branch }) {
  const apart = divergenceOf(run.info.entries, second.info.entries);
  return (
    <div class="compare-pair event-pair">
      {[[run, second], [second, run]].map(([one, against]) => (
        <EventColumn key={one!.code} run={one!} against={against!} apart={apart} />
      ))}
    </div>
  );
}

const shownAround = 9;

function EventColumn(
  { run, against, apart }: { run: Branch; against: Branch; apart: number | undefined },
) {
  const { entries } = run.info;
  const here = placeAt(entries, eventAt(run.info, atMs.value));
  const places = around(entries, here);
  return (
    <ol class="event-column" aria-label={`Events of run ${run.letter}`}>
      {places.map((place) => {
        const entry = entries[place]!;
        const isEqual = apart === undefined || place < apart ||
          against.info.entries.some((one) => isSame(one, entry));
        const classes = [
          isEqual ? "event-equal" : "event-differs",
          place === apart ? "event-apart" : "",
          place === here ? "event-here" : "",
        ];
        return (
          <li key={place} class={classes.join(" ")}>
            {place === apart && <b class="event-mark">first divergence</b>}
            <span class="event-at">{secondsWords(entry.atUs / 1_000)}</span> {entryWords(entry)}
            {!isEqual && <span class="hidden-text">(only in run {run.letter})</span>}
          </li>
        );
      })}
    </ol>
  );
}

function around(entries: readonly LogEntry[], here: number): number[] {
  const before: number[] = [];
  for (let place = here; place >= 0 && before.length < shownAround / 2; place--) {
    if (!isQuiet(entries[place]!)) before.unshift(place);
  }
  const after: number[] = [];
  for (let place = here + 1; place < entries.length && after.length < shownAround / 2; place++) {
    if (!isQuiet(entries[place]!)) after.push(place);
  }
  return [...before, ...after];
}
