/**
 * Forks: which choices there are from an instant on, what one made otherwise makes of a run, and where
 * two runs part.
 *
 * @module
 */
import { formatDuration } from "../../service/page/format.ts";
import {
  type Decision,
  type DecisionAt,
  type EngineInput,
  type FaultKind,
  faultKinds,
  type FaultPoint,
  type LogEntry,
} from "../simulation/engine.ts";
import type { RunInfo } from "./protocol.ts";
import { capitalWords, faultWords, messageWords, partWords } from "./words.ts";

/** A choice about a call: whether it fails, and how. */
export interface Choice {
  readonly name: string;
  readonly point: FaultPoint;
  readonly subject: string;
  /** What it was decided to be. */
  readonly kind: FaultKind | "none";
  readonly event: number;
  readonly atMs: number;
}

/** A decision, if it is about a call. */
export function choiceOf({ name, value, event, atMs }: DecisionAt): Choice | undefined {
  const [, point, subject] = /^fault-([1-8]) (\S+)/.exec(name) ?? [];
  if (point === undefined) return undefined;
  const kind = value === 0 ? "none" : faultKinds[value - 1] ?? "none";
  return { name, point: Number(point) as FaultPoint, subject: subject!, kind, event, atMs };
}

/** The next choices from an event on; what only asks for messages comes last, as there is so much of it. */
export function nextChoices(info: RunInfo, event: number, most = 12): Choice[] {
  const ahead: Choice[] = [];
  for (const decision of info.decisions) {
    if (decision.event < event) continue;
    const choice = choiceOf(decision);
    if (choice === undefined || !/^[or]\d+$/.test(choice.subject)) continue;
    ahead.push(choice);
    if (ahead.length >= most) break;
  }
  return ahead;
}

/** `point 2, order 3`. */
export function choiceWords({ point, subject }: Choice): string {
  return `point ${point}, ${messageWords(subject)}`;
}

/** A decision of a record, in words. */
export function decisionWords(name: string, value: number): string {
  const choice = choiceOf({ name, value, usual: 0, event: 0, atMs: 0 });
  if (choice !== undefined) {
    const words = choice.kind === "none" ? "gets through" : faultWords[choice.kind].name;
    return `${capitalWords(choiceWords(choice))}: ${words}`;
  }
  const [, what, subject] = /^([a-z-]+?)(?:-ms)? (\S+)/.exec(name) ?? [];
  if (what === undefined) return name;
  const [point, message = point] = subject!.split("/");
  const about = message === point ? partWords(point!) : `point ${point}, ${messageWords(message!)}`;
  const amount = name.includes("-ms ") ? formatDuration(value) : String(value);
  return `${capitalWords(what.replaceAll("-", " "))}, ${about}: ${amount}`;
}

/** Kinds that last. */
export function lasts(kind: FaultKind | "none"): boolean {
  return kind === "delay" || kind === "duplicate" || kind === "reorder" || kind === "outage";
}

/** What a run with a choice made otherwise follows from. */
export function withChoice(
  info: Pick<RunInfo, "input" | "decisions">,
  choice: Choice,
  kind: FaultKind | "none",
  durationMs: number,
): EngineInput {
  const changes: Decision[] = [[choice.name, kind === "none" ? 0 : faultKinds.indexOf(kind) + 1]];
  if (lasts(kind)) changes.push([durationName(info, choice, kind as FaultKind), durationMs]);
  const names = new Set(changes.map(([name]) => name));
  const kept = (info.input.changes ?? []).filter(([name]) => !names.has(name));
  return { ...info.input, changes: [...kept, ...changes] };
}

/** How long the n-th fault of a kind lasts has a name of its own, too. */
function durationName(
  { decisions }: Pick<RunInfo, "decisions">,
  { name, point, subject, event }: Choice,
  kind: FaultKind,
): string {
  const before = decisions.filter((one) => {
    if (one.event > event || one.name === name) return false;
    const other = choiceOf(one);
    return other?.point === point && other.subject === subject && other.kind === kind;
  }).length;
  return `${kind}-ms ${point}/${subject}${before === 0 ? "" : ` #${before + 1}`}`;
}

/** What a fork does, in words. */
export function forkWords(choice: Choice, kind: FaultKind | "none"): string {
  const what = kind === "none" ? "let through" : faultWords[kind].name;
  return `${what}: ${choiceWords(choice)}`;
}

/** Whether two entries say the same, at the same time. */
export function isAlike(a: LogEntry, b: LogEntry): boolean {
  return a.atUs === b.atUs && isSame(a, b);
}

/** Whether two entries say the same, whenever. */
export function isSame(a: LogEntry, b: LogEntry): boolean {
  return a.kind === b.kind && a.part === b.part && a.subject === b.subject &&
    a.detail === b.detail;
}

/** The place of the first entry that differs; `undefined` if none does. */
export function divergenceOf(
  one: readonly LogEntry[],
  other: readonly LogEntry[],
): number | undefined {
  const length = Math.max(one.length, other.length);
  for (let place = 0; place < length; place++) {
    const [a, b] = [one[place], other[place]];
    if (a === undefined || b === undefined || !isAlike(a, b)) return place;
  }
  return undefined;
}

/** When two runs part, in milliseconds. */
export function divergenceMs(one: RunInfo, other: RunInfo): number | undefined {
  const place = divergenceOf(one.entries, other.entries);
  if (place === undefined) return undefined;
  const times = [one.entries[place], other.entries[place]]
    .filter((entry) => entry !== undefined).map(({ atUs }) => atUs / 1_000);
  return Math.min(...times);
}
