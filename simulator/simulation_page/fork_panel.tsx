/**
 * "Branch here": one choice from the position on is made otherwise, and both futures are kept.
 *
 * @module
 */
import { useSignal } from "@preact/signals";
import { type FaultKind, faultKinds } from "../simulation/engine.ts";
import {
  type Choice,
  choiceWords,
  forkWords,
  lasts,
  nextChoices,
  withChoice,
} from "./branching.ts";
import { type Branch, current, entryPlace, event } from "./page_state.ts";
import { show } from "./store.ts";
import { faultWords, secondsWords } from "./words.ts";

/** See the module. */
export function ForkPanel() {
  const run = current.value;
  if (run === undefined) return null;
  const choices = nextChoices(run.info, event.value);
  return (
    <details class="fork">
      <summary class="button">Branch here</summary>
      {choices.length === 0
        ? (
          <p class="quiet">
            From here on nothing is sent that could fail: go back to an earlier event.
          </p>
        )
        : <ForkForm key={`${run.code} ${event.value}`} run={run} choices={choices} />}
    </details>
  );
}

function ForkForm({ run, choices }: { run: Branch; choices: readonly Choice[] }) {
  const subject = run.info.entries[entryPlace.peek()]?.subject;
  const index = Math.max(0, choices.findIndex((one) => one.subject === subject));
  const chosen = useSignal(index);
  const choice = choices[chosen.value]!;
  const kind = useSignal<FaultKind | "none">(choice.kind === "none" ? "time-out" : "none");
  const durationMs = useSignal(500);
  const isSame = kind.value === choice.kind;
  async function fork() {
    const input = withChoice(run.info, choice, kind.peek(), durationMs.peek());
    const origin = `from ${secondsWords(choice.atMs)}: ${forkWords(choice, kind.peek())}`;
    await show(input, origin, {
      parent: run.letter,
      params: { b: run.code, view: "compare", at: event.peek() },
    });
  }
  return (
    <form
      class="fork-form"
      onSubmit={(event) => {
        event.preventDefault();
        void fork();
      }}
    >
      <label class="menu-field">
        Call
        <select
          value={String(chosen.value)}
          onChange={({ currentTarget }) => {
            chosen.value = Number(currentTarget.value);
            const { kind: now } = choices[chosen.value]!;
            kind.value = now === "none" ? "time-out" : "none";
          }}
        >
          {choices.map((one, place) => (
            <option key={one.name} value={String(place)}>
              {choiceWords(one)} at {secondsWords(one.atMs)}
              {one.kind !== "none" && ` (${faultWords[one.kind].name})`}
            </option>
          ))}
        </select>
      </label>
      <label class="menu-field">
        Make it
        <select
          value={kind.value}
          onChange={({ currentTarget }) => kind.value = currentTarget.value as FaultKind | "none"}
        >
          <option value="none">get through</option>
          {faultKinds.map((one) => <option key={one} value={one}>{faultWords[one].name}</option>)}
        </select>
      </label>
      {lasts(kind.value) && (
        <label class="menu-field">
          For
          <select
            value={String(durationMs.value)}
            onChange={({ currentTarget }) => durationMs.value = Number(currentTarget.value)}
          >
            {[50, 200, 500, 1_000, 2_000].map((ms) => (
              <option key={ms} value={String(ms)}>{ms} ms</option>
            ))}
          </select>
        </label>
      )}
      <button type="submit" class="button" disabled={isSame}>
        {isSame ? "That is what happens already" : "Branch"}
      </button>
    </form>
  );
}
