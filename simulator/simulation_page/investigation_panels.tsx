/**
 * "Find me a failure", and what can be asked of a failure that was found.
 *
 * @module
 */
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { formatCount, formatCounted, formatNumber } from "../../service/page/format.ts";
import { CommandLine } from "../../service/page/copy.tsx";
import { plants, type RunOptions } from "../simulation/engine.ts";
import { Timeline } from "../page/timeline.tsx";
import {
  cancel,
  explainRun,
  explanations,
  type Inquiry,
  inquiryTimeoutMs,
  originals,
  shrinkRun,
  shrinks,
  startSweep,
  stopSweep,
  sweep,
  sweepLimits,
} from "./investigation.ts";
import { isPlaying } from "./play.ts";
import { commandOf } from "./runs_bar.tsx";
import { atMs, type Branch, branches, current, seekTime, show, showBranch } from "./store.ts";
import { secondsWords } from "./words.ts";

const patterns = ["outbox", "dual-write", "fire-and-forget"] as const;

/** Sweeps seeds in workers, and shows what it finds. */
export function FindFailure() {
  const run = current.value;
  const pattern = useSignal<RunOptions["pattern"]>("outbox");
  const plant = useSignal(14);
  const now = sweep.value;
  if (run === undefined) return null;
  const isRunning = now?.state === "running";
  return (
    <details class="menu">
      <summary class="button">
        Find a failure{isRunning && ` · ${formatNumber(now.seedsPerSecond)} seeds/s`}
      </summary>
      <div class="menu-body">
        <p class="quiet">
          Runs seed after seed of 20 orders, each with faults of its own, on every core of this
          machine.
        </p>
        <label class="menu-field">
          Pattern
          <select
            value={pattern.value}
            onChange={({ currentTarget }) =>
              pattern.value = currentTarget.value as RunOptions["pattern"]}
          >
            {patterns.map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
        <label class="menu-field">
          Planted bug
          <select
            value={String(plant.value)}
            onChange={({ currentTarget }) => plant.value = Number(currentTarget.value)}
          >
            <option value="0">none</option>
            {plants.map(({ number, mechanism }) => (
              <option key={number} value={String(number)}>{number}: {mechanism}</option>
            ))}
          </select>
        </label>
        <div class="menu-actions">
          {isRunning
            ? <button type="button" class="button" onClick={stopSweep}>Stop</button>
            : (
              <button
                type="button"
                class="button"
                onClick={() => startSweep(plant.peek(), { orders: 20, pattern: pattern.peek() })}
              >
                Find me a failure
              </button>
            )}
        </div>
        {now !== undefined && <SweepResult />}
      </div>
    </details>
  );
}

function SweepResult() {
  const { state, seeds, seedsPerSecond, found, plant, given, workers, error } = sweep.value!;
  return (
    <div class="sweep">
      <p role="status">
        {formatCounted(seeds, "seed")}, {formatNumber(seedsPerSecond)} seeds/s by{" "}
        {formatCounted(workers, "worker")}; {formatCounted(found.length, "failure")}
        {state === "running" ? "…" : "."}
      </p>
      {state === "failed" && <p class="error-text">It has failed: {error}</p>}
      {state === "done" && found.length === 0 && (
        <p>
          Nothing in {formatCount(sweepLimits.seeds)}{" "}
          seeds. Choose another pattern or a planted bug to see what a failure is like.
        </p>
      )}
      <ul class="sweep-found">
        {found.map(({ seed, violations }) => (
          <li key={seed}>
            <button
              type="button"
              class="event-button"
              onClick={() => void show({ seed, plant, given }, "found by the sweep")}
            >
              <b>seed {seed}</b>
              <span>
                <span class="error-text">{violations[0]!.invariant}</span>: {violations[0]!.text}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** A failure: shrunk and original to switch between, why it came, the command. */
export function FailurePanel() {
  const run = current.value;
  if (run === undefined || run.info.violations.length === 0) return null;
  const [first] = run.info.violations;
  const shrunk = shrinks.value.get(run.code);
  const original = originals.value.get(run.code);
  return (
    <section class="failure" aria-label="The failure">
      <h2 class="error-text">{first!.invariant}</h2>
      <p>
        <button type="button" class="text-button" onClick={() => seekTime(first!.atMs)}>
          At {secondsWords(first!.atMs)}
        </button>: {first!.text}
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
        <p class="quiet">
          <code>{after.decisions.map(([name, value]) => `${name} = ${value}`).join("; ")}</code>
        </p>
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
  const { jump: [before, after], lines } = inquiry.answer;
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
        </button>: of 50 futures from there {Math.round(before.probability * 100)} % fail before it,
        {" "}
        {Math.round(after.probability * 100)} % after it.
      </p>
      {lines.length > 0 && (
        <pre
          class="why-lines"
          tabIndex={0}
        >{lines.slice(0, 12).join("\n")}</pre>
      )}
    </div>
  );
}

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
      label={`the futures of run ${run.letter} in which ${invariant} breaks`}
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
