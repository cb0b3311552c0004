/**
 * Faults that a person sets: by switch and slider, from the instant that is shown on.
 *
 * @module
 */
import type {
  EngineInput,
  FaultKind,
  FaultPoint,
  FaultRates,
  Intervention,
} from "../simulation/engine.ts";
import { faultPoints } from "../simulation/engine.ts";
import type { RunInfo } from "./protocol.ts";

/** The rates of one point. */
export type PointRates = Readonly<Partial<Record<FaultKind, number>>>;

/** What a switch turns on where nothing was set before. */
export const usualRates: PointRates = { "lose-answer": 0.2 };

type RatesIntervention = Extract<Intervention, { kind: "rates" }>;

/** The rates that are in force at a time, in milliseconds. */
export function ratesAt({ options, input }: Pick<RunInfo, "options" | "input">, ms: number) {
  const rates: Record<FaultPoint, PointRates> = {
    1: {},
    2: {},
    3: {},
    4: {},
    5: {},
    6: {},
    7: {},
    8: {},
  };
  // In a replay the record alone decides.
  if (input.replay === undefined) {
    for (const point of faultPoints) rates[point] = options.faults[point] ?? {};
  }
  for (const { point, rates: set } of ratesOf(input, ms)) rates[point] = set;
  return rates;
}

function ratesOf({ interventions = [] }: EngineInput, untilMs: number): RatesIntervention[] {
  return interventions
    .filter((one): one is RatesIntervention => one.kind === "rates" && one.atMs <= untilMs)
    .sort((a, b) => a.atMs - b.atMs);
}

/** How likely a call at a point fails: the sum of its kinds. */
export function totalRate(rates: PointRates): number {
  return Math.min(1, Object.values(rates).reduce((sum, rate) => sum + rate, 0));
}

/** The kinds that are set, the likeliest first. */
export function kindsOf(rates: PointRates): FaultKind[] {
  return (Object.entries(rates) as [FaultKind, number][])
    .filter(([, rate]) => rate > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([kind]) => kind);
}

/** The same kinds, with another sum. */
export function scaled(rates: PointRates, total: number): PointRates {
  const before = totalRate(rates);
  if (before === 0) return scaled(usualRates, total);
  return Object.fromEntries(
    Object.entries(rates).map(([kind, rate]) => [kind, round(rate / before * total)]),
  );
}

/** These kinds alike, with the sum that there was. */
export function withKinds(rates: PointRates, kinds: readonly FaultKind[]): PointRates {
  const total = totalRate(rates) || totalRate(usualRates);
  return Object.fromEntries(kinds.map((kind) => [kind, round(total / kinds.length)]));
}

/** Down, as those of a point are at most 1 together, and fine enough for the least rate of a slider. */
function round(rate: number): number {
  return Math.floor(rate * 100_000 + 1e-6) / 100_000;
}

/**
 * The run in which a point has other rates from a time on: its past stays as it was. From the
 * beginning on they are options of the run itself.
 */
export function withRates(
  { input, options }: Pick<RunInfo, "input" | "options">,
  point: FaultPoint,
  rates: PointRates,
  atMs: number,
): EngineInput {
  const kept = (input.interventions ?? []).filter((one) =>
    one.kind !== "rates" || one.point !== point || one.atMs < atMs
  );
  if (atMs <= 0) {
    const all = Object.entries({ ...options.faults, [point]: rates });
    const faults: FaultRates = Object.fromEntries(all.filter(([, one]) => totalRate(one) > 0));
    return { ...input, given: { ...input.given, faults }, interventions: kept };
  }
  return { ...input, interventions: [...kept, { kind: "rates", atMs, point, rates }] };
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
