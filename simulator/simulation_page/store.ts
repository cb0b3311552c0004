/**
 * What the page knows: the runs that it keeps, where it is in them, and what its address says.
 *
 * @module
 */
import { batch, computed, effect, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { address, type ParamChanges, setParams, wordParam } from "../../service/page/url_state.ts";
import { type EngineInput, faultPoints, type LogEntry } from "../simulation/engine.ts";
import { decodeRun, encodeRun, maxLinkLength } from "./link.ts";
import type { RunInfo, RunView } from "./protocol.ts";
import { firstRun } from "./scenario.ts";
import { SimulatorClient } from "./simulator_client.ts";
import { isQuiet } from "./words.ts";

/** A run that is kept. */
export interface Branch {
  /** What it is in the address. */
  readonly code: string;
  /** `A`, `B` and so on. */
  readonly letter: string;
  readonly info: RunInfo;
  /** How it came to be, such as `from 2.1 s: refuse order 3`. */
  readonly origin: string;
  /** The letter of the run that it was made of. */
  readonly parent?: string;
  /** The worker that holds it: a run that takes too long costs only itself. */
  readonly client: SimulatorClient;
}

/** More are not kept: each has a worker of its own. */
const maxBranches = 12;

/** The ways to see a run. */
export const pageViews = ["topology", "events", "compare", "tour", "live"] as const;

/** Runs, in the order in which they were made. */
export const branches = signal<readonly Branch[]>([]);
/** What could not be opened, in words. */
export const failure = signal<{ title: string; detail: string } | undefined>(undefined);
/** Whether a run is being made. */
export const isOpening = signal(false);

const firstCode = encodeRun(firstRun);

/** What is shown: one of {@linkcode pageViews}. */
export const pageView = computed(() => wordParam(address.value.params, "view", pageViews));
const code = computed(() => address.value.params.get("run") ?? firstCode);
const otherCode = computed(() => address.value.params.get("b") ?? undefined);
/** The message that is looked at. */
export const message = computed(() => {
  const text = address.value.params.get("message") ?? "";
  return /^[or]\d{1,6}$/.test(text) ? text : undefined;
});
/** The part that is looked at. */
export const part = computed(() => {
  const text = address.value.params.get("part") ?? "";
  return /^[a-z]+(-\d)?(\.\d)?$/.test(text) ? text : undefined;
});

/** The fault point that is looked at. */
export const faultPoint = computed(() => {
  const wanted = Number(address.value.params.get("point"));
  return faultPoints.find((point) => point === wanted);
});

/** The run that is shown. */
export const current = computed(() => branches.value.find((one) => one.code === code.value));
/** The run that it is compared with. */
export const other = computed(() =>
  otherCode.value === undefined
    ? undefined
    : branches.value.find((one) => one.code === otherCode.value)
);

/** The position in the run that is shown: so many events have run. */
export const event = signal(0);
/** Virtual time at the position, in milliseconds. */
export const atMs = signal(0);
/** The instant of the run that is shown, and of the one that it is compared with. */
export const view = signal<RunView | undefined>(undefined);
export const otherView = signal<RunView | undefined>(undefined);

/** The entry that is looked at: the last one up to the position, unless a step has chosen one of several. */
export const entryPlace = signal(-1);

/** The place of the last entry up to an event; -1 before the first. */
export function placeAt(entries: readonly LogEntry[], event: number): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle]!.event <= event) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The last event of a run that has run at that time. */
export function eventAt({ timesMs }: RunInfo, ms: number): number {
  let [low, high] = [0, timesMs.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (timesMs[middle]! <= ms) low = middle;
    else high = middle - 1;
  }
  return low;
}

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
 * When something happens that is done to the run where the page is: after the event that is shown, as
 * what has been seen is not to change.
 */
export function interventionMs(): number {
  const run = current.peek();
  if (run === undefined || event.peek() === 0 && atMs.peek() === 0) return 0;
  // Whole microseconds, as the run counts them.
  return Math.round(Math.max(atMs.peek(), run.info.timesMs[event.peek()]! + 0.001) * 1_000) / 1_000;
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

/** Goes to an event of the run that is shown. */
export function seek(to: number): void {
  const run = current.peek();
  if (run === undefined) return;
  const target = Math.max(0, Math.min(run.info.length, Math.round(to)));
  batch(() => {
    event.value = target;
    atMs.value = run.info.timesMs[target]!;
    entryPlace.value = placeAt(run.info.entries, target);
  });
  rememberPosition();
}

/** Goes to an entry of the log of the run that is shown: several can be of one event. */
export function seekEntry(place: number): void {
  const entry = current.peek()?.info.entries[place];
  if (entry === undefined) return;
  batch(() => {
    seek(entry.event);
    entryPlace.value = place;
  });
}

/** Goes to a time of the run that is shown, in milliseconds. */
export function seekTime(ms: number): void {
  const run = current.peek();
  if (run === undefined) return;
  const target = Math.max(0, Math.min(run.info.endMs, ms));
  batch(() => {
    event.value = eventAt(run.info, target);
    atMs.value = target;
    entryPlace.value = placeAt(run.info.entries, event.value);
  });
  rememberPosition();
}

let rememberTimer: ReturnType<typeof setTimeout> | undefined;

/** The address follows once a person rests: browsers refuse to be told at each frame. */
function rememberPosition(): void {
  clearTimeout(rememberTimer);
  rememberTimer = setTimeout(() => {
    const { entries } = current.peek()!.info;
    const place = entryPlace.peek();
    const isUsual = place === placeAt(entries, event.peek());
    setParams({ at: event.peek(), entry: isUsual ? undefined : place }, { replace: true });
  }, 400);
}

/** What a step goes to: the next event, or the next that a message does. */
export type StepBy = "event" | "message";

const movements = new Set(["publish", "deliver", "acknowledge", "effect", "placed", "parked"]);

/** Goes one step on, or back; gives whether there was one. */
export function step(by: StepBy, direction: 1 | -1): boolean {
  const run = current.peek();
  if (run === undefined) return false;
  const { entries } = run.info;
  const looked = message.peek();
  const isWanted = (entry: LogEntry) =>
    by === "event"
      ? !isQuiet(entry)
      : looked === undefined
      ? movements.has(entry.kind) || entry.kind.startsWith("fault-")
      : isAbout(entry, looked);
  let place = entryPlace.peek() + direction;
  while (place >= 0 && place < entries.length && !isWanted(entries[place]!)) place += direction;
  const entry = entries[place];
  if (entry === undefined) {
    if (direction === -1 && event.peek() > 0) {
      seek(0);
      return true;
    }
    if (direction === 1 && event.peek() < run.info.length) {
      seek(run.info.length);
      return true;
    }
    return false;
  }
  seekEntry(place);
  return true;
}

/** Whether an entry is about a message, or the order that it belongs to. */
export function isAbout({ subject, messages, kind, detail }: LogEntry, wanted: string): boolean {
  const number = wanted.slice(1);
  const isIt = (text: string) => /^[or]\d+$/.test(text) && text.slice(1) === number;
  return isIt(subject) || messages.some(isIt) || kind === "claim" && detail.split(" ").some(isIt);
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
