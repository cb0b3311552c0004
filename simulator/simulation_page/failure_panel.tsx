/**
 * What can be asked of a failure: shrunk and original to switch between, since when it was bound to
 * come, the command that replays it.
 *
 * @module
 */
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { formatCounted, formatPercent } from "../../service/page/format.ts";
import { CommandLine } from "../../service/page/copy.tsx";
import { Timeline } from "../page/timeline.tsx";
import { decisionWords } from "./branching.ts";
import {
  cancel,
  explainRun,
  explanations,
  type Inquiry,
  inquiryTimeoutMs,
  originals,
  shrinkRun,
  shrinks,
} from "./investigation.ts";
import { isPlaying } from "./play.ts";
import { commandOf } from "./runs_bar.tsx";
import { atMs, type Branch, branches, current } from "./page_state.ts";
import { seekEntry, seekTime } from "./position.ts";
import { showBranch } from "./store.ts";
import {
  brokenTitle,
  type CheckName,
  entryWords,
  invariantTitles,
  isQuiet,
  secondsWords,
  textWords,
} from "./words.ts";

/** A failure: shrunk and original to switch between, why it came, the command. */
export function FailurePanel() {
  const run = current.value;
  if (run === undefined || run.info.violations.length === 0) return null;
  const [first] = run.info.violations;
  const shrunk = shrinks.value.get(run.code);
  const original = originals.value.get(run.code);
  return (
    <section class="failure" aria-label="The failure">
      <h2 class="error-text">{brokenTitle(first!.invariant)}</h2>
      <p>
        <button type="button" class="text-button" onClick={() => seekTime(first!.atMs)}>
          At {secondsWords(first!.atMs)}
        </button>: {textWords(first!.text)}
      </p>
      {original !== undefined || shrunk?.state === "done" ? <Sizes run={run} /> : (
        <InquiryButton
          label="Shrink"
          inquiry={shrunk}
          ask={() => void shrinkRun(run)}
          stop={() => cancel("shrink", run)}
        />
      )}
      <InquiryButton
        label="Why?"
        inquiry={explanations.value.get(run.code)}
        ask={() => void explainRun(run)}
        stop={() => cancel("explain", run)}
      />
      <Why run={run} />
      <CommandLine text={commandOf(run)} />
    </section>
  );
}

/** The switch between the run that was found and the small one. */
function Sizes({ run }: { run: Branch }) {
  const originalCode = originals.value.get(run.code) ?? run.code;
  const inquiry = shrinks.value.get(originalCode);
  if (inquiry?.state !== "done") return null;
  const { code: smallCode, executions, before, after } = inquiry.answer;
  const go = (code: string) => {
    const branch = branches.peek().find((one) => one.code === code);
    if (branch !== undefined) showBranch(branch);
  };
  return (
    <div class="sizes">
      <div class="segments" role="group" aria-label="Which run">
        {[["Original", originalCode], ["Shrunk", smallCode]].map(([label, code]) => (
          <button
            key={label}
            type="button"
            class="button"
            aria-pressed={run.code === code}
            onClick={() => go(code!)}
          >
            {label}
          </button>
        ))}
      </div>
      <p class="quiet">
        {formatCounted(before.decisions.length, "decision")} of{" "}
        {formatCounted(before.options.orders, "order")} →{" "}
        {formatCounted(after.decisions.length, "decision")} of{" "}
        {formatCounted(after.options.orders, "order")}, in {formatCounted(executions, "execution")}
      </p>
      {after.decisions.length > 0 && after.decisions.length <= 6 && (
        <ul class="quiet">
          {after.decisions.map(([name, value]) => (
            <li key={name}>
              {decisionWords(name, value)} <code>{name} = {value}</code>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function InquiryButton(
  { label, inquiry, ask, stop }: {
    label: string;
    inquiry: Inquiry<unknown> | undefined;
    ask: () => void;
    stop: () => void;
  },
) {
  if (inquiry?.state === "done") return null;
  if (inquiry?.state === "running") {
    return (
      <p class="inquiry" role="status">
        {label} <Elapsed sinceMs={inquiry.sinceMs} />
        <button type="button" class="button" onClick={stop}>Cancel</button>
      </p>
    );
  }
  return (
    <p class="inquiry">
      <button type="button" class="button" onClick={ask}>{label}</button>
      {inquiry?.state === "failed" && <span class="error-text">{inquiry.error}</span>}
    </p>
  );
}

function Elapsed({ sinceMs }: { sinceMs: number }) {
  const nowMs = useSignal(performance.now());
  useEffect(() => {
    const timer = setInterval(() => nowMs.value = performance.now(), 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.round((nowMs.value - sinceMs) / 1_000));
  return <span class="quiet">{seconds} of at most {inquiryTimeoutMs / 1_000} s</span>;
}

/** Between which instants a failure was decided. */
function Why({ run }: { run: Branch }) {
  const inquiry = explanations.value.get(run.code);
  if (inquiry?.state !== "done") return null;
  const { jump: [before, after] } = inquiry.answer;
  return (
    <div class="why">
      <p>
        It was decided between{" "}
        <button type="button" class="text-button" onClick={() => seekTime(before.atMs)}>
          {secondsWords(before.atMs)}
        </button>{" "}
        and{" "}
        <button type="button" class="text-button" onClick={() => seekTime(after.atMs)}>
          {secondsWords(after.atMs)}
        </button>: of 50 futures from there {formatPercent(before.probability)} fail before it,{" "}
        {formatPercent(after.probability)} after it.
      </p>
      <Meanwhile run={run} fromMs={before.atMs} toMs={after.atMs} />
    </div>
  );
}

/** What has happened between two instants. */
function Meanwhile({ run, fromMs, toMs }: { run: Branch; fromMs: number; toMs: number }) {
  const between = run.info.entries.map((entry, place) => ({ entry, place }))
    .filter(({ entry }) => {
      const ms = entry.atUs / 1_000;
      return ms >= fromMs && ms <= toMs && !isQuiet(entry);
    });
  if (between.length === 0) return null;
  return (
    <ol class="card-events why-events" aria-label="What happened between them">
      {between.slice(0, maxMeanwhile).map(({ entry, place }) => (
        <li key={place}>
          <button type="button" class="event-button" onClick={() => seekEntry(place)}>
            <span class="event-at">{secondsWords(entry.atUs / 1_000)}</span>
            <span>{entryWords(entry)}</span>
          </button>
        </li>
      ))}
      {between.length > maxMeanwhile && (
        <li class="quiet">and {formatCounted(between.length - maxMeanwhile, "more event")}</li>
      )}
    </ol>
  );
}

/** More events between two instants are counted only. */
const maxMeanwhile = 12;

/** The curve of `why`, under the timeline. */
export function WhyCurve({ run }: { run: Branch }) {
  const inquiry = explanations.value.get(run.code);
  if (inquiry?.state !== "done") return null;
  const { instants, invariant } = inquiry.answer;
  return (
    <Timeline
      fromMs={0}
      toMs={run.info.endMs}
      counts={[]}
      lanes={[]}
      label={`the futures of run ${run.letter} in which this breaks: ${
        invariantTitles[invariant as CheckName]
      }`}
      formatAt={secondsWords}
      cursorMs={atMs.value}
      onSeek={(ms) => {
        isPlaying.value = false;
        seekTime(ms);
      }}
      curve={{
        name: "futures that fail",
        points: instants.map(({ atMs, probability }) => ({ atMs, share: probability })),
      }}
    />
  );
}
