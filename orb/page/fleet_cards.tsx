/**
 * A small fleet: a card for each orb.
 *
 * @module
 */
import { formatCount } from "../../service/page/format.ts";
import { address, href } from "../../service/page/url_state.ts";
import { agoText } from "./fleet_view.tsx";
import { OrbMark, stateLooks } from "./orb_mark.tsx";
import type { Orb } from "./store.ts";

/** See the module. */
export function FleetCards({ orbs }: { orbs: readonly Orb[] }) {
  return (
    <ul class="cards" aria-label="Orbs">
      {orbs.map((orb) => <OrbCard key={orb.id} orb={orb} />)}
    </ul>
  );
}

function OrbCard({ orb }: { orb: Orb }) {
  const { id, state, lastSeenMs, signupsPerMinute, signupsLeftToUpload } = orb;
  const open = address.value.params.get("orb") === id;
  return (
    <li>
      <a
        class={`card card-${state}`}
        href={href("/", address.value.params, { orb: open ? undefined : id })}
        aria-current={open ? "true" : undefined}
      >
        <span class="card-name clip" title={id}>
          <OrbMark state={state} />
          {id}
        </span>
        <span class="card-state">{stateLooks[state].word}</span>
        <span class="card-figure">{formatCount(signupsPerMinute)}/min</span>
        <span class="quiet">
          {lastSeenMs === null ? "no report yet" : `seen ${agoText(lastSeenMs)} ago`}
          {signupsLeftToUpload !== null && signupsLeftToUpload > 0 &&
            `, ${formatCount(signupsLeftToUpload)} to upload`}
        </span>
      </a>
    </li>
  );
}
