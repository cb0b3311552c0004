/**
 * A switch, a slider and the kinds of each of the eight fault points. What is set holds from the
 * instant that is shown on.
 *
 * @module
 */
import { announce } from "../../service/page/announce.ts";
import { formatPercent } from "../../service/page/format.ts";
import { type FaultKind, faultKinds, type FaultPoint, faultPoints } from "../simulation/engine.ts";
import { type FaultTarget, useFaultTarget } from "./fault_target.ts";
import {
  kindsOf,
  type PointRates,
  ratesAt,
  scaled,
  totalRate,
  usualRates,
  withKinds,
  withRates,
} from "./faults.ts";
import { KnobSlider } from "./knob_slider.tsx";
import { rateScale } from "./slider_scale.ts";
import { atMs, current, edit, interventionMs } from "./store.ts";
import { pointTitles } from "./topology_layout.ts";
import { faultWords } from "./words.ts";

/** What each point had before it was switched off, to be had again. */
const remembered = new Map<FaultPoint, PointRates>();

/** The run that is shown, from its instant on. */
export const runTarget: FaultTarget = {
  rates(point) {
    const run = current.value;
    return run === undefined ? {} : ratesAt(run.info, atMs.value)[point];
  },
  changeRates(point, change) {
    const run = current.peek();
    if (run === undefined) return;
    const whenMs = interventionMs();
    const rates = change(ratesAt(run.info, atMs.peek())[point]);
    return edit(run, withRates(run.info, point, rates, whenMs), whenMs);
  },
  get fixedBy() {
    return current.value?.info.input.replay === undefined
      ? undefined
      : "This run is replayed: its record decides. Branch, to change a decision, or kill a part.";
  },
};

/** How many points have a fault. */
export function activeFaults({ rates }: FaultTarget): number {
  return faultPoints.filter((point) => totalRate(rates(point)) > 0).length;
}

function toggle(target: FaultTarget, point: FaultPoint): void {
  if (target.fixedBy !== undefined) return announce(target.fixedBy, 8_000);
  const isOn = totalRate(target.rates(point)) > 0;
  void target.changeRates(point, (rates) => {
    if (!isOn) return remembered.get(point) ?? usualRates;
    if (totalRate(rates) > 0) remembered.set(point, rates);
    return {};
  });
}

/** The switch, as it stands on its edge. */
export function FaultSwitch({ point }: { point: FaultPoint }) {
  const target = useFaultTarget();
  const rates = target.rates(point);
  const total = totalRate(rates);
  const isOn = total > 0;
  return (
    <button
      type="button"
      role="switch"
      class="fault-switch"
      aria-checked={isOn}
      aria-disabled={target.fixedBy !== undefined}
      aria-label={`Fault point ${point}: ${pointTitles[point]}`}
      title={`${point}: ${pointTitles[point]}${
        isOn
          ? `, ${formatPercent(total)} ${
            kindsOf(rates).map((kind) => faultWords[kind].name).join(", ")
          }`
          : ", no fault"
      }`}
      onClick={() => toggle(target, point)}
    >
      {point}
    </button>
  );
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
        </li>
      ))}
    </ul>
  );
}

/** How likely, and which kinds. */
export function FaultKnobs({ point }: { point: FaultPoint }) {
  const target = useFaultTarget();
  const rates = target.rates(point);
  const total = totalRate(rates);
  const kinds = kindsOf(rates);
  return (
    <div class={total > 0 ? "fault-knobs fault-on" : "fault-knobs"}>
      <KnobSlider
        name={`How likely a fault is at point ${point}`}
        value={total}
        scale={rateScale}
        disabled={target.fixedBy !== undefined}
        words={formatPercent}
        onSet={(rate) =>
          target.changeRates(point, (rates) => rate === 0 ? {} : scaled(rates, rate))}
      />
      <label>
        <span class="hidden-text">Kind of fault at point {point}</span>
        <select
          disabled={target.fixedBy !== undefined}
          value={kinds.length === 0 ? "lose-answer" : kinds.length === 1 ? kinds[0]! : "several"}
          onChange={({ currentTarget: { value } }) => {
            if (value === "several") return;
            const chosen = value === "all" ? [...faultKinds] : [value as FaultKind];
            void target.changeRates(point, (rates) => withKinds(rates, chosen));
          }}
        >
          {faultKinds.map((kind) => <option key={kind} value={kind}>{faultWords[kind].name}
          </option>)}
          <option value="all">every kind</option>
          {kinds.length > 1 && <option value="several">{kinds.length} kinds</option>}
        </select>
      </label>
    </div>
  );
}
