/**
 * The runs that are kept, what is to be run next, and how a run gets to others: by link, by file, by a
 * command.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { formatCounted } from "../../service/page/format.ts";
import { announce } from "../../service/page/announce.ts";
import { CommandLine, copyText } from "../../service/page/copy.tsx";
import { setParams } from "../../service/page/url_state.ts";
import { type EngineInput, plants, type RunOptions } from "../simulation/engine.ts";
import { inputOfFile, maxFileBytes, maxLinkLength } from "./link.ts";
import {
  type Branch,
  branches,
  current,
  fitsLink,
  isOpening,
  other,
  show,
  showBranch,
} from "./store.ts";

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

const patterns = ["outbox", "dual-write", "fire-and-forget"] as const;

/** What is drawn from a seed: the run that the command line makes of it. */
function NewRun({ run }: { run: Branch }) {
  const { input, options } = run.info;
  const seed = useSignal(String(input.seed));
  const orders = useSignal(String(options.orders));
  const pattern = useSignal<RunOptions["pattern"]>(options.pattern);
  const plant = useSignal(input.plant ?? 0);
  const menu = useRef<HTMLDetailsElement>(null);
  function start(chosen: number) {
    const count = Number(orders.peek());
    if (!Number.isInteger(chosen) || chosen < 0 || chosen > 0xffff_ffff) {
      return announce("The seed must be a whole number from 0 to 4,294,967,295");
    }
    if (!Number.isInteger(count) || count < 1 || count > 1_000) {
      return announce("The orders must be a whole number from 1 to 1,000");
    }
    seed.value = String(chosen);
    menu.current!.open = false;
    const given: Partial<RunOptions> = { orders: count, pattern: pattern.peek() };
    void show({ seed: chosen, plant: plant.peek(), given }, "drawn from its seed");
  }
  return (
    <details class="menu" ref={menu}>
      <summary class="button">New run</summary>
      <form
        class="menu-body"
        onSubmit={(event) => {
          event.preventDefault();
          start(Number(seed.peek()));
        }}
      >
        <p class="quiet">
          Faults, instances and times are drawn from the seed: half of all kinds of fault are
          absent.
        </p>
        <label class="menu-field">
          Seed
          <input
            type="text"
            inputMode="numeric"
            value={seed.value}
            onInput={({ currentTarget }) => seed.value = currentTarget.value}
          />
        </label>
        <label class="menu-field">
          Orders
          <input
            type="text"
            inputMode="numeric"
            value={orders.value}
            onInput={({ currentTarget }) => orders.value = currentTarget.value}
          />
        </label>
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
          <button type="submit" class="button">Run this seed</button>
          <button
            type="button"
            class="button"
            onClick={() => start(Math.floor(Math.random() * 1_000_000))}
          >
            Any seed
          </button>
        </div>
      </form>
    </details>
  );
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
