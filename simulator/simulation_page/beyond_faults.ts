/**
 * What can be made to go wrong live beyond the eight points: each kind with its knobs, as rows of
 * switches and sliders. The values' bounds are those of the API.
 *
 * @module
 */
import { formatCounted, formatDuration, formatPercent } from "../../service/page/format.ts";
import type { Fault, LinkFault } from "../live/faults.ts";
import { faultLimits, usualDownMs, usualSettings } from "../live/live_settings.ts";
import type { PartState } from "../live/live_state.ts";
import { durations, rateScale, type SliderScale, steps } from "./slider_scale.ts";
import { partWords } from "./words.ts";

/** A fault that is at none of the eight points. */
export type BeyondFault = Exclude<Fault, LinkFault>;

type Field = "probability" | "minDurationMs" | "skewMs" | "capacity";

/** A slider of a row. */
export interface Knob {
  readonly field: Field;
  readonly label: string;
  readonly scale: SliderScale;
  /** What it has where the fault does not say. */
  readonly usual: number;
  /** The value with its unit. */
  words(value: number): string;
}

/** One kind of fault; a full queue is one for each topic. */
export interface BeyondKind {
  readonly name: string;
  readonly title: string;
  readonly does: string;
  /** How strong it is; its value `off` is none at all. */
  readonly strength: Knob & { readonly off: number };
  /** How long it lasts. */
  readonly duration?: Knob;
  /** What its switch turns on. */
  readonly usual: BeyondFault;
}

const { maxCapacity } = faultLimits;
const { leaseMs } = usualSettings;

const second = 1_000;
const backwards = durations.map((ms) => -ms).reverse();
const decades = [10, 100, 1_000, 10_000, 100_000].flatMap((one) => [one, 2 * one, 5 * one]);
const capacities = [0, 1, 2, 3, 4, 5, ...decades, maxCapacity, Infinity];

const share = (of: string, label: string) => ({
  ...{ field: "probability" as const, label, scale: rateScale, usual: 0, off: 0 },
  words: (rate: number) => `${formatPercent(rate)} ${of}`,
});

const lasting = (label: string, usual: number, words = formatDuration): Knob => ({
  ...{ field: "minDurationMs", label, usual, words },
  scale: steps([0, ...durations]),
});

const fullQueue = (topic: "orders" | "results"): BeyondKind => ({
  name: `full-queue ${topic}`,
  title: `Full queue: ${topic}`,
  does: "Once so many lie in the topic, nobody can publish to it.",
  strength: {
    ...{ field: "capacity", label: "Room for", scale: steps(capacities) },
    ...{ usual: Infinity, off: Infinity },
    words: (room) => room === Infinity ? "all" : formatCounted(room, "message"),
  },
  usual: { kind: "full-queue", topic, capacity: 4 },
});

/** All kinds, in the order of the rows. */
export const beyondKinds: readonly BeyondKind[] = [
  fullQueue("orders"),
  fullQueue("results"),
  {
    name: "poison",
    title: "Poison messages",
    does: "Some messages fail at their handler each time, until this is off and they are redriven.",
    strength: share("of messages", "How many"),
    usual: { kind: "poison", probability: 0.1 },
  },
  {
    name: "slow-consumer",
    title: "Slow consumer",
    does: `Handling takes long; beyond ${
      formatDuration(leaseMs)
    } the lease runs out under the handler.`,
    strength: share("of messages", "How many"),
    duration: lasting("Takes", 2 * leaseMs),
    usual: { kind: "slow-consumer", probability: 0.1, minDurationMs: 2 * leaseMs },
  },
  {
    name: "clock-skew",
    title: "Clock skew",
    does: "A part's clock is wrong by this.",
    strength: {
      ...{ field: "skewMs", label: "Wrong by", usual: 0, off: 0 },
      scale: steps([...backwards, 0, ...durations]),
      words: (ms) =>
        ms === 0 ? "not at all" : `${formatDuration(Math.abs(ms))} ${ms < 0 ? "behind" : "ahead"}`,
    },
    usual: { kind: "clock-skew", part: "lambda-2", skewMs: -3 * second },
  },
  {
    name: "crash",
    title: "Random crash",
    does: "A part dies as by kill -9, and comes back by itself.",
    strength: share("each second", "How likely"),
    duration: lasting("Down for", usualDownMs, (ms) => `${formatDuration(ms)} or more`),
    usual: { kind: "crash", part: "*", probability: 0.05, minDurationMs: 2 * second },
  },
  {
    name: "pause",
    title: "Random pause",
    does: "A part stands still, and then goes on as if nothing had been.",
    strength: share("each second", "How likely"),
    duration: lasting("Held for", usualDownMs),
    usual: { kind: "pause", part: "*", probability: 0.05, minDurationMs: 5 * second },
  },
];

/** A row of controls: the nth fault of a kind, or that there is none. */
export interface BeyondRow {
  readonly kind: BeyondKind;
  /** From 0; beyond 0 only what was set by the API, a file or a flag. */
  readonly nth: number;
  readonly fault: BeyondFault | undefined;
}

/** A row for every fault that is set, and for every kind of which none is. */
export function beyondRows(faults: readonly Fault[]): BeyondRow[] {
  return beyondKinds.flatMap((kind): BeyondRow[] => {
    const set = faults.filter((fault): fault is BeyondFault => isOf(kind, fault));
    const rows = set.length === 0 ? [undefined] : set;
    return rows.map((fault, nth) => ({ kind, nth, fault }));
  });
}

/** All faults, with that of a row replaced, added, or taken away. */
export function withBeyond(
  faults: readonly Fault[],
  { kind, nth }: Pick<BeyondRow, "kind" | "nth">,
  fault: BeyondFault | undefined,
): Fault[] {
  const index = faults.map((one, index) => isOf(kind, one) ? index : -1)
    .filter((index) => index >= 0)[nth];
  if (index === undefined) return fault === undefined ? [...faults] : [...faults, fault];
  return faults.toSpliced(index, 1, ...fault === undefined ? [] : [fault]);
}

function isOf({ usual }: BeyondKind, fault: Fault): boolean {
  if (usual.kind === "full-queue") return fault.kind === usual.kind && fault.topic === usual.topic;
  return fault.kind === usual.kind;
}

/** What a fault's knob stands at. */
export function valueOf(fault: BeyondFault, { field, usual }: Knob): number {
  return (fault as Partial<Record<Field, number>>)[field] ?? usual;
}

/** The fault with another value; one without any strength is none. */
export function withValue(
  { strength }: BeyondKind,
  fault: BeyondFault,
  { field }: Knob,
  value: number,
): BeyondFault | undefined {
  if (field === strength.field && value === strength.off) return undefined;
  return { ...fault, [field]: value } as BeyondFault;
}

/**
 * What a row's controls begin with: what is set, or what its switch turns on.
 *
 * @param before what it had before it was switched off
 */
export function startOf(row: BeyondRow, before: BeyondFault | undefined): BeyondFault {
  const { kind: { usual, strength }, fault } = row;
  if (fault !== undefined && isOn(row)) return fault;
  if (before !== undefined) return before;
  return { ...usual, ...fault, [strength.field]: valueOf(usual, strength) } as BeyondFault;
}

/** The same row, as it is among these faults. */
export function rowAmong(faults: readonly Fault[], { kind, nth }: BeyondRow): BeyondRow {
  const set = faults.filter((fault): fault is BeyondFault => isOf(kind, fault));
  return { kind, nth, fault: set[nth] };
}

/** Whether a row does something. */
export function isOn({ kind: { strength }, fault }: BeyondRow): boolean {
  return fault !== undefined && valueOf(fault, strength) !== strength.off;
}

/** Parts that a fault can be about: all, all instances of one, each instance; and what is set. */
export function partChoices(
  parts: readonly PartState[],
  chosen: string,
): readonly (readonly [part: string, words: string])[] {
  const groups = Map.groupBy(
    parts.map(({ name }) => name).filter((name) => /\.\d$/.test(name)),
    (name) => name.replace(/\.\d$/, ""),
  );
  const choices = ["*"];
  for (const [group, instances] of groups) {
    choices.push(group);
    if (instances.length > 1) choices.push(...instances);
  }
  if (!choices.includes(chosen)) choices.push(chosen);
  return choices.map((part) => [part, part === "*" ? "every part" : partWords(part)]);
}
