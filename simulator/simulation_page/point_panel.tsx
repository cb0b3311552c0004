/**
 * The fault point that is selected, beside the drawing.
 *
 * @module
 */
import { DetailPanel } from "../../service/page/detail_panel.tsx";
import { setParams } from "../../service/page/url_state.ts";
import { AllKnobs, FaultSwitch } from "./fault_controls.tsx";
import { faultPoint } from "./page_state.ts";
import { pointTitles } from "./topology_layout.ts";

/** See the module. */
export function PointPanel() {
  const point = faultPoint.value;
  if (point === undefined) return null;
  return (
    <DetailPanel
      key={point}
      label={`Fault point ${point}`}
      title={<h2>{pointTitles[point]}</h2>}
      actions={<FaultSwitch point={point} />}
      onClose={() => setParams({ point: undefined })}
    >
      <AllKnobs point={point} />
    </DetailPanel>
  );
}
