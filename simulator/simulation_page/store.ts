/**
 * Runs are made, shown, changed and compared: the page follows its address, and what a person does.
 *
 * @module
 */
import { batch, effect } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { address, type ParamChanges, setParams } from "../../service/page/url_state.ts";
import type { EngineInput } from "../simulation/engine.ts";
import { decodeRun, encodeRun, maxLinkLength } from "./link.ts";
import {
  atMs,
  type Branch,
  branches,
  code,
  current,
  event,
  failure,
  firstCode,
  isOpening,
  other,
  otherCode,
  otherView,
  view,
} from "./page_state.ts";
import { eventAt, seek, seekEntry, seekTime } from "./position.ts";
import type { RunInfo } from "./protocol.ts";
import { firstRun } from "./scenario.ts";
import { SimulatorClient } from "./simulator_client.ts";

/** More are not kept: each has a worker of its own. */
const maxBranches = 12;

/** Begins: follows the address. */
export function startStore(): void {
  effect(() => void follow(code.value, "shown"));
  effect(() => {
    if (otherCode.value !== undefined) void follow(otherCode.value, "compared");
  });
  effect(() => {
    const run = current.value;
    if (run !== undefined) void refresh(run, event.value, view);
  });
  effect(() => {
    const run = other.value;
    const ms = atMs.value;
    if (run !== undefined) void refresh(run, eventAt(run.info, ms), otherView);
    else otherView.value = undefined;
  });
}

async function follow(wanted: string, what: "shown" | "compared"): Promise<void> {
  if (branches.peek().some((one) => one.code === wanted)) {
    if (what === "shown") placeInRun();
    return;
  }
  try {
    const input = wanted === firstCode ? firstRun : decodeRun(wanted);
    const origin = wanted === firstCode ? "the first example" : "from a link";
    await keep(input, { origin, code: wanted });
    if (what === "shown" && code.peek() === wanted) placeInRun();
  } catch (error) {
    failure.value = {
      title: "This link cannot be opened",
      detail: `${(error as Error).message}. Ask whoever sent it for a new one, or for the file.`,
    };
  }
}

/** Where a run that has just come to be shown is looked at: where the address says, or where it matters. */
function placeInRun(): void {
  const run = current.peek();
  if (run === undefined) return;
  failure.value = undefined;
  const asked = Number(address.peek().params.get("at") ?? NaN);
  const entry = Number(address.peek().params.get("entry") ?? NaN);
  if (run.info.entries[entry]?.event === asked) return seekEntry(entry);
  if (Number.isInteger(asked) && asked >= 0) return seek(Math.min(asked, run.info.length));
  if (atMs.peek() > 0) return seekTime(atMs.peek());
  const place = placeOfInterest(run.info);
  if (place === undefined) seek(0);
  else seekEntry(place);
}

/** The first violation, else the first fault. */
function placeOfInterest({ entries }: RunInfo): number | undefined {
  const broken = entries.findIndex(({ kind }) => kind === "VIOLATION");
  if (broken >= 0) return broken;
  const fault = entries.findIndex(({ kind }) => kind.startsWith("fault-"));
  return fault < 0 ? undefined : fault;
}

/** How a run that is made comes to be. */
interface KeepOptions {
  readonly origin: string;
  /** What it is in the address. @default what it packs into */
  readonly code?: string;
  /** The letter of the run that it is made of. @default none */
  readonly parent?: string;
  /** The run in whose place it will come. @default none: it is one more */
  readonly replaces?: Branch;
}

/** Makes a run and keeps it. */
async function keep(
  input: EngineInput,
  { origin, code: wanted, parent, replaces }: KeepOptions,
): Promise<Branch> {
  const known = wanted ?? codeOf(input);
  const before = branches.peek().find((one) => one.code === known);
  if (before !== undefined) return before;
  isOpening.value = true;
  const client = new SimulatorClient();
  try {
    const info = await client.ask("open", { input });
    const again = branches.peek().find((one) => one.code === known);
    if (again !== undefined) {
      client.stop();
      return again;
    }
    const branch: Branch = {
      ...{ code: known, letter: replaces?.letter ?? letterOf(++made), info, origin, client },
      ...(parent !== undefined && { parent }),
    };
    branches.value = replaces === undefined
      ? [...makeRoom(branches.peek()), branch]
      : branches.peek().flatMap((one) => one === replaces ? [one, branch] : [one]);
    return branch;
  } catch (error) {
    client.stop();
    throw error;
  } finally {
    isOpening.value = false;
  }
}

let made = 0;

function makeRoom(kept: readonly Branch[]): readonly Branch[] {
  if (kept.length < maxBranches) return kept;
  const oldest = kept.find(({ code: one }) => one !== code.peek() && one !== otherCode.peek())!;
  oldest.client.stop();
  return kept.filter((one) => one !== oldest);
}

const local = new Map<string, string>();

/** What a run is in an address; one that is too large for it has a name that only this page knows. */
function codeOf(input: EngineInput): string {
  const text = encodeRun(input);
  if (text.length <= maxLinkLength - 200) return text;
  const known = local.get(text);
  if (known !== undefined) return known;
  const name = `~${local.size + 1}`;
  local.set(text, name);
  return name;
}

/** Whether a run fits into a link. */
export function fitsLink({ code }: Branch): boolean {
  return !code.startsWith("~");
}

function letterOf(index: number): string {
  return index <= 26 ? String.fromCharCode(64 + index) : `A${index - 26}`;
}

/** Makes a run and shows it, where something goes wrong in it unless `params` say where. */
export async function show(
  input: EngineInput,
  origin: string,
  { params = {}, parent, isReplacing = false }: {
    params?: ParamChanges;
    parent?: string | undefined;
    /** Whether a person did not choose to go there: then going back does not come here. @default false */
    isReplacing?: boolean;
  } = {},
): Promise<Branch | undefined> {
  try {
    const branch = await keep(input, { origin, ...(parent && { parent }) });
    const place = placeOfInterest(branch.info);
    const at = place === undefined ? 0 : branch.info.entries[place]!.event;
    const position = params["at"] === undefined ? { at, entry: place } : {};
    showBranch(branch, { ...position, ...params }, isReplacing);
    return branch;
  } catch (error) {
    announce(`This run cannot be made: ${(error as Error).message}`, 8_000);
    return undefined;
  }
}

/**
 * Changes a run in place, from a time on: it keeps its letter. Who wants to keep both forks it.
 *
 * @param whenMs see {@linkcode interventionMs}
 */
export async function edit(branch: Branch, input: EngineInput, whenMs: number): Promise<void> {
  const { origin, parent } = branch;
  try {
    const next = await keep(input, { origin, replaces: branch, ...(parent && { parent }) });
    if (next === branch) return;
    batch(() => {
      // What is done is an event of its own: it is shown.
      showBranch(next, { at: whenMs === 0 ? 0 : eventAt(next.info, whenMs) });
      branches.value = branches.peek().filter((one) => one !== branch);
    });
    branch.client.stop();
  } catch (error) {
    announce(`This run cannot be made: ${(error as Error).message}`, 8_000);
  }
}

/** Shows a run that is kept. */
export function showBranch(
  branch: Branch,
  params: ParamChanges = {},
  isReplacing = false,
): void {
  setParams({
    run: branch.code === firstCode ? undefined : branch.code,
    ...(otherCode.peek() === branch.code && { b: undefined }),
    at: undefined,
    entry: undefined,
    ...params,
  }, { replace: isReplacing });
}

/** What a seek is called among the page's measures: from the wish to the picture's arrival. */
export const seekMeasure = "simulation seek";

const asked = new WeakMap<object, { run: Branch; event: number; startMs: number } | "busy">();

/** Gets an instant from the worker: one at a time, and the latest that was asked for at the end. */
async function refresh(run: Branch, event: number, into: typeof view): Promise<void> {
  const isBusy = asked.has(into);
  asked.set(into, { run, event, startMs: performance.now() });
  if (isBusy) return;
  try {
    for (;;) {
      const next = asked.get(into)!;
      if (next === "busy") break;
      asked.set(into, "busy");
      const answer = await next.run.client.ask("view", {
        key: next.run.info.key,
        event: next.event,
      });
      const isShown = into === view ? current.peek() === next.run : other.peek() === next.run;
      if (!isShown) continue;
      into.value = answer;
      if (into === view) measureSeek(next.startMs);
    }
  } catch (error) {
    // A run that is no longer kept may be stopped while it is asked.
    if (!branches.peek().includes(run)) return;
    failure.value = {
      title: "The simulator has stopped",
      detail: `${(error as Error).message}. Reload the page to go on; the address keeps the run.`,
    };
  } finally {
    asked.delete(into);
  }
}

function measureSeek(startMs: number): void {
  // One is kept, as a run that plays has many a second.
  performance.clearMeasures(seekMeasure);
  performance.measure(seekMeasure, { start: startMs });
}
