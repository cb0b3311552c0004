/**
 * Everything that can be set at a fault point: each of its kinds with all knobs that the kind has.
 *
 * @module
 */
import { formatPercent } from "../../service/page/format.ts";
import type { FaultKind, FaultKnobs, FaultPoint } from "../simulation/engine.ts";
import type { FaultTarget } from "./fault_target.ts";
import { type PointFault, type PointFaults, withFault, withKind } from "./faults.ts";
import { KnobSlider } from "./knob_slider.tsx";
import { directionWords, hasDirection, slidersOf, valueOf } from "./point_knobs.ts";
import { drawn, rateScale } from "./slider_scale.ts";
import { faultWords } from "./words.ts";

/** Options of {@linkcode PointSettings}. */
export interface PointSettingsProps {
  point: FaultPoint;
  target: FaultTarget;
  /** Whether they happen; else they are what the switch turns on. */
  isOn: boolean;
  faults: PointFaults;
  /** Changes them as they are when it is their turn. */
  onChange: (change: (faults: PointFaults) => PointFaults) => void | Promise<void>;
}

/** See the module. */
export function PointSettings(props: PointSettingsProps) {
  const { point, target, isOn, faults, onChange } = props;
  const isFixed = target.fixedBy !== undefined;
  const missing = target.kinds(point).filter((kind) =>
    !faults.some((fault) => fault.kind === kind)
  );
  return (
    <div class={isOn ? "point-settings fault-on" : "point-settings"}>
      {isFixed && <p class="quiet">{target.fixedBy}</p>}
      {faults.map((fault, nth) => (
        <KindSettings key={`${fault.kind} ${nth}`} {...props} fault={fault} nth={nth} />
      ))}
      {missing.length > 0 && (
        <label class="knob-choice">
          <span class="knob-label">And also</span>
          <select
            aria-label={`One kind of fault more at point ${point}`}
            value=""
            disabled={isFixed}
            onChange={({ currentTarget }) => {
              const kind = currentTarget.value as FaultKind;
              currentTarget.value = "";
              void onChange((faults) => withKind(faults, kind));
            }}
          >
            <option value="">no other kind</option>
            {missing.map((kind) => (
              <option key={kind} value={kind}>{faultWords[kind].name}</option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}

function KindSettings(
  { point, target, isOn, faults, onChange, fault, nth }: PointSettingsProps & {
    fault: PointFault;
    nth: number;
  },
) {
  const title = faultWords[fault.kind].name;
  const name = `Point ${point}, ${title}`;
  const isFixed = target.fixedBy !== undefined;
  const set = (change: Parameters<typeof withFault>[2]) =>
    onChange((faults) => withFault(faults, nth, change));
  return (
    <fieldset class="knob-rows">
      <legend>
        <b>{title}</b> <span class="quiet">A call {faultWords[fault.kind].does}.</span>
      </legend>
      <div class="knob-row">
        <KnobSlider
          label="How likely"
          name={`${name}: how likely`}
          value={isOn ? fault.probability : 0}
          scale={rateScale}
          disabled={isFixed}
          words={(rate) => `${formatPercent(rate)} of calls`}
          onSet={(probability) =>
            probability === 0
              ? onChange((faults) => faults.toSpliced(nth, 1))
              : set({ probability })}
        />
      </div>
      {slidersOf(fault.kind, target).map((knob) => (
        <div key={knob.field} class="knob-row">
          <KnobSlider
            label={knob.label}
            name={`${name}: ${knob.label.toLowerCase()}`}
            value={valueOf(fault, knob, target)}
            scale={knob.scale}
            disabled={isFixed}
            words={knob.words}
            onSet={(ms) => set({ [knob.field]: ms === drawn ? undefined : ms })}
          />
        </div>
      ))}
      {hasDirection(fault.kind) && (
        <Direction name={name} fault={fault} target={target} onSet={set} />
      )}
      {faults.length > 1 && (
        <button
          type="button"
          class="text-button"
          disabled={isFixed}
          aria-label={`Without ${title} at point ${point}`}
          onClick={() => void onChange((faults) => faults.toSpliced(nth, 1))}
        >
          Without {title}
        </button>
      )}
    </fieldset>
  );
}

function Direction({ name, fault, target, onSet }: {
  name: string;
  fault: PointFault;
  target: FaultTarget;
  onSet: (change: Pick<FaultKnobs, "direction"> | { direction: undefined }) => unknown;
}) {
  const usual = target.usual(fault.kind).direction;
  return (
    <label class="knob-choice">
      <span class="knob-label">Which way</span>
      <select
        aria-label={`${name}: which way`}
        value={fault.direction ?? usual ?? ""}
        disabled={target.fixedBy !== undefined}
        onChange={({ currentTarget: { value } }) =>
          void onSet({
            direction: value === "" ? undefined : value as NonNullable<FaultKnobs["direction"]>,
          })}
      >
        {usual === undefined && <option value="">as drawn</option>}
        {Object.entries(directionWords).map(([direction, words]) => (
          <option key={direction} value={direction}>{words}</option>
        ))}
      </select>
    </label>
  );
}
