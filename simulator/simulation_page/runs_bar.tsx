/**
 * The runs that are kept, what is to be run next, and how a run gets to others: by link, by file, by a
 * command.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { formatCounted } from "../../service/page/format.ts";
import { announce } from "../../service/page/announce.ts";
import { CommandLine, copyText } from "../../service/page/copy.tsx";
import { setParams } from "../../service/page/url_state.ts";
import type { EngineInput, RunOptions } from "../simulation/engine.ts";
import { inputOfFile, maxFileBytes, maxLinkLength } from "./link.ts";
import { NewRun } from "./new_run.tsx";
import { type Branch, branches, current, isOpening, other } from "./page_state.ts";
import { fitsLink, show, showBranch } from "./store.ts";

/** See the module. */
export function RunsBar({ children }: { children?: ComponentChildren }) {
  const run = current.value;
  if (run === undefined) return null;
  return (
    <div class="runs-bar">
      <div class="runs" role="group" aria-label="Runs">
        {branches.value.map((branch) => (
          <button
            key={branch.code}
            type="button"
            class="run-tab"
            aria-pressed={branch === run}
            title={`Run ${branch.letter}: ${branch.origin}`}
            onClick={() => showBranch(branch)}
          >
            <b>{branch.letter}</b>
            <span class={`run-verdict run-verdict-${branch.info.verdict}`}>
              {verdictWords(branch)}
            </span>
          </button>
        ))}
        {isOpening.value && <span class="quiet" role="status">Running…</span>}
      </div>
      <p class="run-origin clip" title={originWords(run)}>{originWords(run)}</p>
      <span class="runs-rest">
        {children}
        <NewRun run={run} />
        <Share run={run} />
      </span>
    </div>
  );
}

/** `holds`, or what is broken. */
export function verdictWords({ info: { verdict, violations } }: Branch): string {
  if (verdict === "true") return "holds";
  if (verdict === "unknown") return "stopped";
  return violations.length === 1
    ? `breaks ${violations[0]!.invariant}`
    : `breaks ${violations.length} invariants`;
}

function originWords({ info: { input, options }, origin, parent }: Branch): string {
  const plant = input.plant ? `, bug ${input.plant}` : "";
  return `${parent === undefined ? "" : `${parent} ▸ `}${origin} · seed ${input.seed}, ${
    formatCounted(options.orders, "order")
  }, ${options.pattern}${plant}`;
}

function Share({ run }: { run: Branch }) {
  const file = useRef<HTMLInputElement>(null);
  const isFit = fitsLink(run) && location.href.length <= maxLinkLength;
  return (
    <details class="menu">
      <summary class="button">Share</summary>
      <div class="menu-body">
        {isFit
          ? (
            <button
              type="button"
              class="button"
              onClick={() => void copyText(location.href, "the link")}
            >
              Copy the link
            </button>
          )
          : (
            <p>
              This run has {run.info.record.decisions.length}{" "}
              decisions: too many for a link of 2,000 characters. Save it as a file.
            </p>
          )}
        <button type="button" class="button" onClick={() => save(run)}>Save as a file</button>
        <button type="button" class="button" onClick={() => file.current!.click()}>
          Open a file…
        </button>
        <input
          ref={file}
          type="file"
          hidden
          accept=".json,application/json"
          aria-label="A run to open"
          onChange={({ currentTarget }) => {
            const [chosen] = currentTarget.files ?? [];
            if (chosen) void openFile(chosen);
            currentTarget.value = "";
          }}
        />
        <p class="quiet">The same run on the command line:</p>
        <CommandLine text={commandOf(run)} />
        <p class="quiet hash">
          Log <code>{run.info.hash.slice(0, 16)}…</code>
        </p>
      </div>
    </details>
  );
}

/** The command that runs it; what is not from a seed alone is replayed from its file. */
export function commandOf({ info: { input, options } }: Pick<Branch, "info">): string {
  const { seed, plant, given = {}, replay, changes = [], interventions = [], jitter = true } =
    input;
  const flags: Partial<Record<keyof RunOptions, string>> = {
    orders: "--orders",
    pattern: "--pattern",
    ordering: "--ordering",
    profile: "--store",
  };
  const names = Object.keys(given) as (keyof RunOptions)[];
  const isDrawn = replay === undefined && changes.length === 0 && interventions.length === 0 &&
    jitter && names.every((name) => flags[name] !== undefined);
  if (!isDrawn) return `deno task simulate replay ${fileName(input)}`;
  const words = names.map((name) => ` ${flags[name]} ${options[name]}`).join("");
  return `deno task simulate run --seed ${seed}${plant ? ` --plant ${plant}` : ""}${words}`;
}

function fileName({ seed, plant }: EngineInput): string {
  return `run-${seed}${plant ? `-bug-${plant}` : ""}.json`;
}

function save({ info: { input, record } }: Branch): void {
  const blob = new Blob([JSON.stringify(record, undefined, 2) + "\n"], {
    type: "application/json",
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName(input);
  link.click();
  // Once the browser has taken it.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function openFile(file: File): Promise<void> {
  try {
    if (file.size > maxFileBytes) throw new TypeError("It is larger than any run");
    await show(inputOfFile(await file.text()), file.name);
  } catch (error) {
    announce(`${file.name} cannot be opened. ${(error as Error).message}`, 8_000);
  }
}

/** The run that the shown one is compared with, to be chosen. */
export function CompareWith() {
  const run = current.value;
  return (
    <label class="field">
      Compare with
      <select
        value={other.value?.letter ?? ""}
        onChange={({ currentTarget: { value } }) => {
          const chosen = branches.peek().find(({ letter }) => letter === value);
          setParams({ b: chosen?.code });
        }}
      >
        <option value="">nothing</option>
        {branches.value.filter((one) => one !== run).map(({ letter, origin, code }) => (
          <option key={code} value={letter}>{letter}: {origin}</option>
        ))}
      </select>
    </label>
  );
}
