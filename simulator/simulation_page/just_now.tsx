/**
 * What has just happened live, newest first: it holds while somebody reads it.
 *
 * @module
 */
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { NewPill } from "../../service/page/shell.tsx";
import { traceAddress } from "../../service/page/program_switch.tsx";
import type { LiveStep } from "../live/live_state.ts";
import { holdSteps, liveSteps, releaseSteps } from "./live_store.ts";
import { stepWords } from "./live_words.ts";

/** See the module. */
export function JustNow() {
  const isPointed = useSignal(false);
  const isFocused = useSignal(false);
  const isHeld = isPointed.value || isFocused.value;
  useEffect(() => holdSteps(isHeld), [isHeld]);
  const { rows, waitingCount } = liveSteps.value;
  return (
    <section
      class="just-now"
      aria-label="What has just happened"
      onPointerEnter={() => isPointed.value = true}
      onPointerLeave={() => isPointed.value = false}
      onPointerCancel={() => isPointed.value = false}
      onFocusIn={({ target }) => isFocused.value = (target as Element).matches(":focus-visible")}
      onFocusOut={() => isFocused.value = false}
    >
      <h2>Just now</h2>
      <NewPill count={waitingCount} onShow={releaseSteps} />
      {rows.length === 0
        ? <p class="quiet">Nothing yet. Place an order.</p>
        : (
          <ol class="card-events live-steps">
            {rows.map(({ number, step }) => <Step key={number} step={step} />)}
          </ol>
        )}
    </section>
  );
}

function Step({ step }: { step: LiveStep }) {
  const isBad = step.event === "fault" || step.event === "kill" || step.event === "crash";
  const address = step.trace && traceAddress(step.trace);
  return (
    <li class={isBad ? "error-text" : ""}>
      {stepWords(step)}
      {address && (
        <>
          {" "}
          <a class="step-trace" href={address}>trace</a>
        </>
      )}
    </li>
  );
}
