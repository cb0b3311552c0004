/**
 * The switches of a run in simulated time: what is set holds from the instant that is shown on.
 *
 * @module
 */
import {
  type FaultKind,
  faultKinds,
  type FaultKnobs,
  isBusPoint,
  isCrash,
} from "../simulation/engine.ts";
import type { FaultTarget } from "./fault_target.ts";
import { faultsAt, withFaults } from "./faults.ts";
import { atMs, current } from "./page_state.ts";
import { interventionMs } from "./position.ts";
import { edit } from "./store.ts";
import { turns } from "./turns.ts";

/** Each change makes another run, of the one that the change before has made. */
const inTurn = turns();

/** The run that is shown, from its instant on. */
export const runTarget: FaultTarget = {
  faults(point) {
    const run = current.value;
    return run === undefined ? [] : faultsAt(run.info, atMs.value)[point];
  },
  change(point, change) {
    return inTurn(async () => {
      const run = current.peek();
      if (run === undefined) return;
      const whenMs = interventionMs();
      const faults = change(faultsAt(run.info, atMs.peek())[point]);
      await edit(run, withFaults(run.info, point, faults, whenMs), whenMs);
    });
  },
  kinds(point) {
    // Queues that keep the order do not reorder: that is what they promise.
    const isInOrder = current.value?.info.options.ordering === "queue" && isBusPoint(point);
    return isInOrder ? faultKinds.filter((kind) => kind !== "reorder") : faultKinds;
  },
  usual: usualInRun,
  maxMs: 600_000,
  get fixedBy() {
    return current.value?.info.input.replay === undefined
      ? undefined
      : "This run is replayed: its record decides. Branch, to change a decision, or kill a part.";
  },
};

/** How late, and how long an outage or a crash lasts, is drawn; which way an outage cuts is, too. */
function usualInRun(kind: FaultKind): FaultKnobs {
  if (kind === "outage" || isCrash(kind)) return {};
  return { minDurationMs: 0, direction: "there" };
}
