/**
 * A switch and sliders for each fault that is at none of the eight points of what runs live.
 *
 * @module
 */
import type { LiveState } from "../live/live_state.ts";
import {
  type BeyondFault,
  type BeyondRow,
  beyondRows,
  isOn,
  type Knob,
  partChoices,
  rowAmong,
  startOf,
  valueOf,
  withBeyond,
  withValue,
} from "./beyond_faults.ts";
import { KnobSlider } from "./knob_slider.tsx";
import { changeFaults } from "./live_store.ts";

/** What each row had before it was switched off, to be had again. */
const remembered = new Map<string, BeyondFault>();

const keyOf = ({ kind, nth }: BeyondRow) => `${kind.name} ${nth}`;

/** Changes a row's fault, as it is once it is its turn; `undefined` switches it off. */
function changeRow(
  row: BeyondRow,
  change: (fault: BeyondFault) => BeyondFault | undefined,
): Promise<void> {
  return changeFaults((faults) => {
    const now = rowAmong(faults, row);
    const fault = change(startOf(now, remembered.get(keyOf(row))));
    if (fault === undefined && isOn(now)) remembered.set(keyOf(row), now.fault!);
    return withBeyond(faults, row, fault);
  });
}

/** See the module. */
export function BeyondControls({ state }: { state: LiveState }) {
  return (
    <section class="beyond" aria-labelledby="beyond-title">
      <h2 id="beyond-title">Beyond the points</h2>
      <ul>
        {beyondRows(state.faults).map((row) => (
          <li key={keyOf(row)} class={isOn(row) ? "fault-on" : ""}>
            <BeyondFaultRow row={row} parts={state.parts} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function BeyondFaultRow({ row, parts }: { row: BeyondRow; parts: LiveState["parts"] }) {
  const { kind, nth } = row;
  const on = isOn(row);
  const title = nth === 0 ? kind.title : `${kind.title} (${nth + 1})`;
  const fault = startOf(row, remembered.get(keyOf(row)));
  return (
    <>
      <div class="beyond-head">
        <button
          type="button"
          role="switch"
          class="fault-switch"
          aria-checked={on}
          aria-label={title}
          onClick={() => void changeRow(row, (fault) => on ? undefined : fault)}
        >
          {on && "!"}
        </button>
        <h3>{title}</h3>
      </div>
      <p class="quiet">{kind.does}</p>
      <div class="knob-rows">
        {"part" in fault && (
          <label class="knob-choice">
            <span class="knob-label">Which</span>
            <select
              aria-label={`${title}: which part`}
              value={fault.part}
              onChange={({ currentTarget: { value: part } }) =>
                void changeRow(row, (fault) => ({ ...fault, part }) as BeyondFault)}
            >
              {partChoices(parts, fault.part).map(([part, words]) => (
                <option key={part} value={part}>{words}</option>
              ))}
            </select>
          </label>
        )}
        <BeyondKnob
          {...{ row, title, knob: kind.strength }}
          value={on ? valueOf(fault, kind.strength) : kind.strength.off}
        />
        {kind.duration !== undefined && (
          <BeyondKnob
            {...{ row, title, knob: kind.duration }}
            value={valueOf(fault, kind.duration)}
          />
        )}
      </div>
    </>
  );
}

interface BeyondKnobProps {
  row: BeyondRow;
  title: string;
  knob: Knob;
  value: number;
}

function BeyondKnob({ row, title, knob, value }: BeyondKnobProps) {
  return (
    <div class="knob-row">
      <KnobSlider
        label={knob.label}
        name={`${title}: ${knob.label.toLowerCase()}`}
        value={value}
        scale={knob.scale}
        words={knob.words}
        onSet={(value) => changeRow(row, (fault) => withValue(row.kind, fault, knob, value))}
      />
    </div>
  );
}
