/**
 * What the switches act on: a run from an instant on, or what runs live.
 *
 * @module
 */
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { FaultPoint } from "../simulation/engine.ts";
import type { PointRates } from "./faults.ts";

/** See the module. */
export interface FaultTarget {
  /** The rates in force. */
  rates(point: FaultPoint): PointRates;
  /** Resolves once it is so. */
  setRates(point: FaultPoint, rates: PointRates): void | Promise<void>;
  /** Why nothing can be set; `undefined` if it can. */
  readonly fixedBy: string | undefined;
}

/** The target of all switches below. */
export const FaultTargetContext = createContext<FaultTarget>({
  rates: () => ({}),
  setRates() {},
  fixedBy: undefined,
});

/** The target of this switch. */
export function useFaultTarget(): FaultTarget {
  return useContext(FaultTargetContext);
}
