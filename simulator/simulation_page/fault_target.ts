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
  /** Changes them as they are when it is their turn: of two changes none is lost. Resolves once it is so. */
  changeRates(
    point: FaultPoint,
    change: (rates: PointRates) => PointRates,
  ): void | Promise<void>;
  /** Why nothing can be set; `undefined` if it can. */
  readonly fixedBy: string | undefined;
}

/** The target of all switches below. */
export const FaultTargetContext = createContext<FaultTarget>({
  rates: () => ({}),
  changeRates() {},
  fixedBy: undefined,
});

/** The target of this switch. */
export function useFaultTarget(): FaultTarget {
  return useContext(FaultTargetContext);
}
