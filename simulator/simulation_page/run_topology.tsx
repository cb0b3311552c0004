/**
 * The topology of a run at an instant.
 *
 * @module
 */
import { FaultTargetContext } from "./fault_target.ts";
import { pictureOf } from "./picture.ts";
import type { RunView } from "./protocol.ts";
import { runTarget } from "./run_target.ts";
import { RunSprites } from "./sprite_canvas.tsx";
import type { Branch } from "./page_state.ts";
import { TopologyView } from "./topology_view.tsx";

/** See the module. */
export function RunTopology(
  { run, view, place, hasControls = true }: {
    run: Branch;
    view: RunView | undefined;
    /** The entry that is looked at. */
    place: number;
    /** Whether faults can be set in it; not in a comparison. @default true */
    hasControls?: boolean;
  },
) {
  return (
    <FaultTargetContext.Provider value={runTarget}>
      <TopologyView
        picture={pictureOf(run.letter, run.info, view)}
        hasControls={hasControls}
      >
        {(layout) => <RunSprites layout={layout} run={run} place={place} />}
      </TopologyView>
    </FaultTargetContext.Provider>
  );
}
