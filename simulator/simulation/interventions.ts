/**
 * What somebody does to a run by hand while it goes on: its rates of faults are changed, a part is
 * killed or held. Part of what a run follows from, as its seed is.
 *
 * @module
 */
import type { FaultPoint } from "../topology/ports.ts";
import { areFaultKnobs } from "./option_bounds.ts";
import { type FaultKind, faultKinds, type FaultKnobs, faultPoints } from "./options.ts";

/** Something that is done at an instant. */
export type Intervention =
  /** From then on, calls at that point fail so; kinds that are left out no longer do. */
  | {
    readonly kind: "rates";
    readonly atMs: number;
    readonly point: FaultPoint;
    readonly rates: Readonly<Partial<Record<FaultKind, number>>>;
    /** How these kinds are, beside how likely. @default all of it is drawn */
    readonly knobs?: Readonly<Partial<Record<FaultKind, FaultKnobs>>>;
  }
  /** A part crashes, and is down for so long. */
  | {
    readonly kind: "crash";
    readonly atMs: number;
    readonly part: string;
    readonly durationMs: number;
  }
  /** A part does not run for so long, and then goes on. */
  | {
    readonly kind: "pause";
    readonly atMs: number;
    readonly part: string;
    readonly durationMs: number;
  };

/** Whether something that was read from outside is a list of interventions. */
export function areInterventions(value: unknown): value is readonly Intervention[] {
  return Array.isArray(value) && value.every(isIntervention);
}

function isIntervention(value: unknown): value is Intervention {
  if (typeof value !== "object" || value === null) return false;
  const { kind, atMs, part, durationMs, point, rates, knobs } = value as Record<string, unknown>;
  if (!isDuration(atMs)) return false;
  if (kind === "crash" || kind === "pause") {
    return typeof part === "string" && isDuration(durationMs);
  }
  return kind === "rates" && faultPoints.includes(point as FaultPoint) &&
    typeof rates === "object" && rates !== null &&
    (knobs === undefined || areFaultKnobs(knobs)) &&
    Object.entries(rates).every(([name, rate]) =>
      faultKinds.includes(name as FaultKind) && typeof rate === "number" && rate >= 0 && rate <= 1
    );
}

function isDuration(value: unknown): boolean {
  return typeof value === "number" && value >= 0 && value <= 1e9;
}

/** Rates and knobs as the log has them, such as `delay 0.2 (by 50 ms, back)`. */
export function ratesInWords(
  rates: Readonly<Record<string, number>>,
  knobs: Readonly<Record<string, FaultKnobs>> = {},
): string {
  const words = Object.entries(rates).map(([kind, rate]) => {
    const { minDurationMs, delayMs, direction } = knobs[kind] ?? {};
    const more = [
      minDurationMs !== undefined && `for ${minDurationMs} ms`,
      delayMs !== undefined && `by ${delayMs} ms`,
      direction,
    ].filter(Boolean);
    return `${kind} ${rate}${more.length === 0 ? "" : ` (${more.join(", ")})`}`;
  });
  return words.length === 0 ? "none" : words.join(" ");
}
