/**
 * What the switches act on: a run from an instant on, or what runs live.
 *
 * @module
 */
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import {
  type FaultKind,
  faultKinds,
  type FaultKnobs,
  type FaultPoint,
} from "../simulation/engine.ts";
import type { PointFaults } from "./faults.ts";

/** See the module. */
export interface FaultTarget {
  /** What is in force. */
  faults(point: FaultPoint): PointFaults;
  /** Changes it as it is when it is its turn: of two changes none is lost. Resolves once it is so. */
  change(
    point: FaultPoint,
    change: (faults: PointFaults) => PointFaults,
  ): void | Promise<void>;
  /** The kinds that there can be at a point. */
  kinds(point: FaultPoint): readonly FaultKind[];
  /** How a kind is unless it is set; what is left out is drawn from the seed. */
  usual(kind: FaultKind): FaultKnobs;
  /** The longest that something may last, in milliseconds. */
  readonly maxMs: number;
  /** Why nothing can be set; `undefined` if it can. */
  readonly fixedBy: string | undefined;
}

/** The target of all switches below. */
export const FaultTargetContext = createContext<FaultTarget>({
  faults: () => [],
  change() {},
  kinds: () => faultKinds,
  usual: () => ({}),
  maxMs: 0,
  fixedBy: undefined,
});

/** The target of this switch. */
export function useFaultTarget(): FaultTarget {
  return useContext(FaultTargetContext);
}
