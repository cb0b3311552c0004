/**
 * What somebody does to a run by hand while it goes on: its rates of faults are changed, a part is
 * killed or held. Part of what a run follows from, as its seed is.
 *
 * @module
 */
import type { FaultPoint } from "../topology/ports.ts";
import { type FaultKind, faultKinds, faultPoints } from "./options.ts";

/** Something that is done at an instant. */
export type Intervention =
  /** From then on, calls at that point fail so; kinds that are left out no longer do. */
  | {
    readonly kind: "rates";
    readonly atMs: number;
    readonly point: FaultPoint;
    readonly rates: Readonly<Partial<Record<FaultKind, number>>>;
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
  const { kind, atMs, part, durationMs, point, rates } = value as Record<string, unknown>;
  if (!isDuration(atMs)) return false;
  if (kind === "crash" || kind === "pause") {
    return typeof part === "string" && isDuration(durationMs);
  }
  return kind === "rates" && faultPoints.includes(point as FaultPoint) &&
    typeof rates === "object" && rates !== null &&
    Object.entries(rates).every(([name, rate]) =>
      faultKinds.includes(name as FaultKind) && typeof rate === "number" && rate >= 0 && rate <= 1
    );
}

function isDuration(value: unknown): boolean {
  return typeof value === "number" && value >= 0 && value <= 1e9;
}
