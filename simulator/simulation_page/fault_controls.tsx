/**
 * A switch, a slider and the kinds of each of the eight fault points. What is set holds from the
 * instant that is shown on.
 *
 * @module
 */
import { announce } from "../../service/page/announce.ts";
import { formatPercent } from "../../service/page/format.ts";
import { setParams } from "../../service/page/url_state.ts";
import { type FaultKind, type FaultPoint, faultPoints } from "../simulation/engine.ts";
import { type FaultTarget, useFaultTarget } from "./fault_target.ts";
import { kindsOf, type PointFaults, scaled, startOf, totalRate, withKinds } from "./faults.ts";
import { KnobSlider } from "./knob_slider.tsx";
import { knobsInWords } from "./point_knobs.ts";
import { PointSettings } from "./point_settings.tsx";
import { rateScale } from "./slider_scale.ts";
import { faultPoint } from "./page_state.ts";
import { pointTitles } from "./topology_layout.ts";
import { faultWords } from "./words.ts";

/** What each point had before it was switched off, to be had again. */
const remembered = new WeakMap<FaultTarget, Map<FaultPoint, PointFaults>>();

function rememberedBy(target: FaultTarget): Map<FaultPoint, PointFaults> {
  let points = remembered.get(target);
  if (points === undefined) remembered.set(target, points = new Map());
  return points;
}

/** How many points have a fault. */
export function activeFaults({ faults }: FaultTarget): number {
  return faultPoints.filter((point) => totalRate(faults(point)) > 0).length;
}

/** What the controls of a point begin with, and how they change it. */
function usePoint(point: FaultPoint) {
  const target = useFaultTarget();
  const before = rememberedBy(target);
  const faults = target.faults(point);
  return {
    target,
    isOn: totalRate(faults) > 0,
    faults: startOf(faults, before.get(point)),
    change(change: (faults: PointFaults) => PointFaults) {
      return target.change(point, (now) => {
        if (totalRate(now) > 0) before.set(point, now);
        return change(startOf(now, before.get(point)));
      });
    },
  };
}

/** The switch, as it stands on its edge. */
export function FaultSwitch({ point }: { point: FaultPoint }) {
  const { target: { fixedBy }, isOn, faults, change } = usePoint(point);
  function toggle() {
    if (fixedBy !== undefined) return announce(fixedBy, 8_000);
    void change((faults) => isOn ? [] : faults);
  }
  return (
    <button
      type="button"
      role="switch"
      class="fault-switch"
      aria-checked={isOn}
      aria-disabled={fixedBy !== undefined}
      aria-label={`Fault point ${point}: ${pointTitles[point]}`}
      title={`${point}: ${pointTitles[point]}, ${isOn ? faultsInWords(faults) : "no fault"}`}
      onClick={toggle}
    >
      {point}
    </button>
  );
}

function faultsInWords(faults: PointFaults): string {
  const kinds = kindsOf(faults).map((kind) => faultWords[kind].name);
  return `${formatPercent(totalRate(faults))} ${kinds.join(", ")}`;
}

/** All eight with their names: where there is no room for them on the drawing. */
export function FaultList() {
  return (
    <ul class="fault-list">
      {faultPoints.map((point) => (
        <li key={point}>
          <FaultSwitch point={point} />
          <span class="fault-title">{pointTitles[point]}</span>
          <FaultKnobs point={point} />
          {faultPoint.value === point && (
            <div class="fault-more">
              <AllKnobs point={point} />
            </div>
          )}
        </li>
      ))}
    </ul>
  );
}

/** How likely, and which kinds; and the way to the rest. */
export function FaultKnobs({ point }: { point: FaultPoint }) {
  const { target, isOn, faults, change } = usePoint(point);
  const isFixed = target.fixedBy !== undefined;
  return (
    <div class={isOn ? "fault-knobs fault-on" : "fault-knobs"}>
      <KnobSlider
        name={`How likely a fault is at point ${point}`}
        value={isOn ? totalRate(faults) : 0}
        scale={rateScale}
        disabled={isFixed}
        words={formatPercent}
        onSet={(rate) => change((faults) => rate === 0 ? [] : scaled(faults, rate))}
      />
      <KindSelect point={point} />
      <MoreButton point={point} />
    </div>
  );
}

function KindSelect({ point }: { point: FaultPoint }) {
  const { target, faults, change } = usePoint(point);
  const possible = target.kinds(point);
  const kinds = kindsOf(faults);
  return (
    <label>
      <span class="hidden-text">Kind of fault at point {point}</span>
      <select
        disabled={target.fixedBy !== undefined}
        value={kinds.length > 1 ? "several" : kinds[0]}
        onChange={({ currentTarget: { value } }) => {
          if (value === "several") return;
          const chosen = value === "all" ? possible : [value as FaultKind];
          void change((faults) => withKinds(faults, chosen));
        }}
      >
        {possible.map((kind) => <option key={kind} value={kind}>{faultWords[kind].name}</option>)}
        <option value="all">every kind</option>
        {kinds.length > 1 && <option value="several">{kinds.length} kinds</option>}
      </select>
    </label>
  );
}

/** Opens what else can be set, and says what is. */
function MoreButton({ point }: { point: FaultPoint }) {
  const { target, isOn, faults } = usePoint(point);
  const isOpen = faultPoint.value === point;
  const set = isOn
    ? faults.map((fault) => knobsInWords(fault, target)).filter((words) => words !== "").join("; ")
    : "";
  return (
    <button
      type="button"
      class="text-button fault-more-button"
      aria-expanded={isOpen}
      title={set === "" ? "How long, how late, which way" : set}
      onClick={() => setParams({ point: isOpen ? undefined : point })}
    >
      {set === "" ? isOpen ? "less" : "more" : set}
      <span class="hidden-text">, all settings of point {point}</span>
    </button>
  );
}

/** Everything that can be set at a point. */
export function AllKnobs({ point }: { point: FaultPoint }) {
  const { target, isOn, faults, change } = usePoint(point);
  return (
    <PointSettings point={point} target={target} isOn={isOn} faults={faults} onChange={change} />
  );
}
