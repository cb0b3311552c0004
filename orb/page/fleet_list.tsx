/**
 * The fleet as a list of any length: what the grid says, for whoever does not see it.
 *
 * @module
 */
import { formatCount } from "../../service/page/format.ts";
import { address, href } from "../../service/page/url_state.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import { agoText } from "./fleet_view.tsx";
import { OrbMark, stateLooks } from "./orb_mark.tsx";
import type { Orb } from "./store.ts";

const rowHeight = 40;

/** See the module. */
export function FleetList({ orbs }: { orbs: readonly Orb[] }) {
  return (
    <VirtualList
      label="Orbs"
      rows={orbs}
      rowKey={({ id }) => id}
      rowHeight={rowHeight}
      scrollName="fleet"
    >
      {(orb, tabIndex) => <OrbRow orb={orb} tabIndex={tabIndex} />}
    </VirtualList>
  );
}

function OrbRow({ orb, tabIndex }: { orb: Orb; tabIndex: 0 | -1 }) {
  const { id, state, lastSeenMs, signupsPerMinute, signupsLeftToUpload } = orb;
  const open = address.value.params.get("orb") === id;
  return (
    <a
      class="orb-row"
      tabIndex={tabIndex}
      href={href("/", address.value.params, { orb: open ? undefined : id })}
      aria-current={open ? "true" : undefined}
    >
      <span class="orb-row-name clip" title={id}>{id}</span>
      <span class="orb-row-state">
        <OrbMark state={state} />
        {stateLooks[state].word}
      </span>
      <span class="orb-row-figure">{formatCount(signupsPerMinute)}/min</span>
      <span class="orb-row-seen quiet">
        {lastSeenMs === null ? "no report" : `${agoText(lastSeenMs)} ago`}
      </span>
      <span class="orb-row-left quiet">
        {signupsLeftToUpload ? `${formatCount(signupsLeftToUpload)} to upload` : ""}
      </span>
    </a>
  );
}
