/**
 * Faults that a person sets: by switches and sliders, from the instant that is shown on.
 *
 * @module
 */
import {
  type EngineInput,
  type FaultKind,
  type FaultKnobs,
  type FaultKnobsAtPoints,
  type FaultPoint,
  faultPoints,
  type FaultRates,
  type Intervention,
} from "../simulation/engine.ts";
import type { RunInfo } from "./protocol.ts";

/** One kind of fault at a point: how likely, and how. */
export interface PointFault extends FaultKnobs {
  readonly kind: FaultKind;
  readonly probability: number;
}

/** All of a point. */
export type PointFaults = readonly PointFault[];

/** What a switch turns on where nothing was set before. */
export const usualFaults: PointFaults = [{ kind: "lose-answer", probability: 0.2 }];

type RatesIntervention = Extract<Intervention, { kind: "rates" }>;

/** The faults that are in force at a time, in milliseconds. */
export function faultsAt(
  { options, input }: Pick<RunInfo, "options" | "input">,
  ms: number,
): Record<FaultPoint, PointFaults> {
  // In a replay the record alone decides.
  const isReplayed = input.replay !== undefined;
  const entries = faultPoints.map((point): [FaultPoint, PointFaults] => [
    point,
    isReplayed ? [] : listOf(options.faults[point], options.faultKnobs?.[point]),
  ]);
  const faults = Object.fromEntries(entries) as Record<FaultPoint, PointFaults>;
  for (const { point, rates, knobs } of ratesOf(input, ms)) faults[point] = listOf(rates, knobs);
  return faults;
}

function ratesOf({ interventions = [] }: EngineInput, untilMs: number): RatesIntervention[] {
  return interventions
    .filter((one): one is RatesIntervention => one.kind === "rates" && one.atMs <= untilMs)
    .sort((a, b) => a.atMs - b.atMs);
}

type Rates = NonNullable<FaultRates[FaultPoint]>;
type Knobs = NonNullable<FaultKnobsAtPoints[FaultPoint]>;

function listOf(rates: Rates = {}, knobs: Knobs = {}): PointFaults {
  return (Object.entries(rates) as [FaultKind, number][])
    .map(([kind, probability]) => ({ kind, probability, ...knobs[kind] }));
}

/** The same as the simulator has it: rates, and the knobs that are set. */
function splitOf(faults: PointFaults): { rates: Rates; knobs: Knobs } {
  const rates = faults.map(({ kind, probability }) => [kind, probability] as const);
  const knobs = faults.map(({ kind, probability: _, ...knobs }) => [kind, knobs] as const);
  return {
    rates: Object.fromEntries(rates),
    knobs: Object.fromEntries(knobs.filter(([, one]) => Object.keys(one).length > 0)),
  };
}

/** How likely a call at a point fails: the sum of its kinds. */
export function totalRate(faults: PointFaults): number {
  return Math.min(1, faults.reduce((sum, { probability }) => sum + probability, 0));
}

/** The kinds that happen, the likeliest first. */
export function kindsOf(faults: PointFaults): FaultKind[] {
  return faults.filter(({ probability }) => probability > 0)
    .toSorted((a, b) => b.probability - a.probability)
    .map(({ kind }) => kind);
}

/** The same kinds, with another sum. */
export function scaled(faults: PointFaults, total: number): PointFaults {
  const before = totalRate(faults);
  if (faults.length === 0) return scaled(usualFaults, total);
  return faults.map((fault) => ({
    ...fault,
    probability: round(before === 0 ? total / faults.length : fault.probability / before * total),
  }));
}

/** These kinds alike, with the sum that there was; what else is set of a kind that stays is kept. */
export function withKinds(faults: PointFaults, kinds: readonly FaultKind[]): PointFaults {
  const total = totalRate(faults) || totalRate(usualFaults);
  return kinds.map((kind) => ({
    ...faults.find((fault) => fault.kind === kind),
    kind,
    probability: round(total / kinds.length),
  }));
}

/** What the controls of a point begin with: what is set, or what its switch turns on. */
export function startOf(faults: PointFaults, before: PointFaults | undefined): PointFaults {
  if (totalRate(faults) > 0) return faults;
  return before ?? scaled(faults, totalRate(usualFaults));
}

/**
 * One of them changed; `undefined` takes a knob back to what it is unless it is set. It is no likelier
 * than the others of the point leave room for.
 */
export function withFault(
  faults: PointFaults,
  nth: number,
  change: { readonly [Name in keyof PointFault]?: PointFault[Name] | undefined },
): PointFaults {
  return faults.map((fault, index) => {
    if (index !== nth) return fault;
    const changed = Object.entries({ ...fault, ...change })
      .filter(([, value]) => value !== undefined);
    const others = totalRate(faults.toSpliced(nth, 1));
    const one = Object.fromEntries(changed) as unknown as PointFault;
    return { ...one, probability: Math.min(one.probability, round(1 - others)) };
  });
}

/** One kind more, as likely as is usual, or as there is room for. */
export function withKind(faults: PointFaults, kind: FaultKind): PointFaults {
  const room = round(1 - totalRate(faults));
  return [...faults, { kind, probability: Math.min(totalRate(usualFaults), room) }];
}

/** Down, as those of a point are at most 1 together, and fine enough for the least rate of a slider. */
function round(rate: number): number {
  return Math.floor(rate * 100_000 + 1e-6) / 100_000;
}

/**
 * The run in which a point has other faults from a time on: its past stays as it was. From the
 * beginning on they are options of the run itself.
 */
export function withFaults(
  { input, options }: Pick<RunInfo, "input" | "options">,
  point: FaultPoint,
  faults: PointFaults,
  atMs: number,
): EngineInput {
  const kept = (input.interventions ?? []).filter((one) =>
    one.kind !== "rates" || one.point !== point || one.atMs < atMs
  );
  const { rates, knobs } = splitOf(faults);
  const hasKnobs = Object.keys(knobs).length > 0;
  if (atMs > 0) {
    const set = { kind: "rates", atMs, point, rates, ...(hasKnobs && { knobs }) } as const;
    return { ...input, interventions: [...kept, set] };
  }
  const all = Object.entries({ ...options.faults, [point]: rates });
  const given: FaultRates = Object.fromEntries(
    all.filter(([, one]) => Object.values(one).some((rate) => rate > 0)),
  );
  const { [point]: _, ...others } = options.faultKnobs ?? {};
  const faultKnobs: FaultKnobsAtPoints = hasKnobs ? { ...others, [point]: knobs } : others;
  const { faultKnobs: __, ...before } = input.given ?? {};
  return {
    ...input,
    given: {
      ...{ ...before, faults: given },
      ...(Object.keys(faultKnobs).length > 0 && { faultKnobs }),
    },
    interventions: kept,
  };
}

/** The run in which a part is killed, or held, at a time. */
export function withTrouble(
  { input }: Pick<RunInfo, "input">,
  kind: "crash" | "pause",
  part: string,
  atMs: number,
  durationMs: number,
): EngineInput {
  const interventions = [...input.interventions ?? [], { kind, part, atMs, durationMs } as const];
  return { ...input, interventions };
}
