/**
 * The fleet: a sentence whose counts are filters, and everyone in their place, as cards, tiles or
 * cells by how many they are; or as a list, which says the same.
 *
 * @module
 */
import { CommandLine } from "../../service/page/copy.tsx";
import { formatCount, formatCounted, formatDuration } from "../../service/page/format.ts";
import { useShortcuts } from "../../service/page/keys.ts";
import { SearchField } from "../../service/page/search_field.tsx";
import { Empty, Loading } from "../../service/page/states.tsx";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { deviceStates } from "../devices/device_state.ts";
import { FleetCards } from "./fleet_cards.tsx";
import { FleetGrid } from "./fleet_grid.tsx";
import { FleetList } from "./fleet_list.tsx";
import { OrbDetail } from "./orb_detail.tsx";
import { OrbMark, stateLooks } from "./orb_mark.tsx";
import { counts, fleet, now, type Orb, shownOrbs, stateFilter } from "./store.ts";

/** So many orbs have room as cards. */
const maxCards = 50;

/** See the module. */
export function FleetView() {
  const all = fleet.value;
  const forced = useMediaQuery("(forced-colors: active)");
  const params = address.value.params;
  const asList = params.has("list") ? params.get("list") !== "0" : forced;
  useShortcuts([
    { key: "t", label: "Grid or list", run: () => setParams({ list: asList ? "0" : true }) },
    { key: "n", label: "Next orb with a problem", run: openNextProblem },
  ]);
  if (all === undefined) return <Loading what="the fleet" />;
  if (all.orbs.length === 0) return <NoOrbs />;
  const orb = params.get("orb");
  return (
    <div class={orb === null ? "split" : "split split-open"}>
      <div class="fleet">
        <FleetHead asList={asList} />
        <Attention />
        <div class="fleet-place">
          <Everyone asList={asList} />
        </div>
      </div>
      {orb !== null && <OrbDetail key={orb} id={orb} />}
    </div>
  );
}

function Everyone({ asList }: { asList: boolean }) {
  const orbs = shownOrbs.value;
  if (orbs.length === 0) {
    return (
      <Empty title="No orb fits">
        <button
          type="button"
          class="button"
          onClick={() => setParams({ q: undefined, state: undefined })}
        >
          Show all
        </button>
      </Empty>
    );
  }
  if (asList) return <FleetList orbs={orbs} />;
  return orbs.length <= maxCards ? <FleetCards orbs={orbs} /> : <FleetGrid orbs={orbs} />;
}

function NoOrbs() {
  return (
    <Empty title="No orb has reported yet">
      <p>Start one, or a fleet of them:</p>
      <CommandLine
        text={`deno task orb:client --orb-server ${location.origin} --orb-signup-interval 2 --telemetry-url ${location.origin}/api/telemetry --telemetry-interval 0 --orbs 20 --images fresh --api v2`}
      />
    </Empty>
  );
}

function FleetHead({ asList }: { asList: boolean }) {
  const { orbs } = fleet.value!;
  const perMinute = orbs.reduce((sum, orb) => sum + orb.signupsPerMinute, 0);
  const params = address.value.params;
  return (
    <div class="fleet-head">
      <h1>
        {formatCounted(orbs.length, "orb")}{" "}
        <span class="fleet-rate">{formatCounted(perMinute, "signup")} in the last minute</span>
      </h1>
      <div class="fleet-filters" role="group" aria-label="Orbs by state">
        {deviceStates.map((state) => (
          <button
            key={state}
            type="button"
            class="fleet-filter"
            aria-pressed={stateFilter.value === state}
            disabled={counts.value[state] === 0 && stateFilter.value !== state}
            onClick={() => setParams({ state: stateFilter.value === state ? undefined : state })}
          >
            <OrbMark state={state} />
            <b>{formatCount(counts.value[state])}</b> {stateLooks[state].word}
          </button>
        ))}
      </div>
      <SearchField
        label="Orb"
        value={params.get("q") ?? ""}
        onChange={(q) => setParams({ q }, { replace: true })}
      />
      <button
        type="button"
        class="button"
        title="Grid or list (t)"
        onClick={() => setParams({ list: asList ? "0" : true })}
      >
        {asList ? "Grid" : "List"}
      </button>
    </div>
  );
}

/** What matters first: whoever has a problem, in words. */
function Attention() {
  const problem = worst(fleet.value!.orbs);
  if (problem === undefined) return null;
  const others = (["error", "silent", "duplicate"] as const).reduce(
    (sum, state) => sum + counts.value[state],
    -1,
  );
  return (
    <p class="fleet-attention">
      <OrbMark state={problem.state} />
      <a href={href("/", address.value.params, { orb: problem.id })}>{problem.id}</a>{" "}
      {problemText(problem)}
      {others > 0 && <span class="quiet">and {formatCount(others)} more (n)</span>}
    </p>
  );
}

function worst(orbs: readonly Orb[]): Orb | undefined {
  for (const state of ["error", "silent", "duplicate"] as const) {
    const found = orbs.find((orb) => orb.state === state);
    if (found !== undefined) return found;
  }
  return undefined;
}

function problemText({ state, lastSeenMs, reason }: Orb): string {
  if (state === "silent") return `has been silent for ${agoText(lastSeenMs)}`;
  return state === "duplicate"
    ? `sent a duplicate: ${reason ?? "its image had signed up before"}`
    : `has an error: ${reason ?? "its last signup failed"}`;
}

/** How long ago, in whole seconds and in one unit. */
export function agoText(atMs: number | null): string {
  if (atMs === null) return "ever";
  const ms = Math.max(0, Math.floor((now.value - atMs) / 1_000) * 1_000);
  return ms === 0 ? "under 1 s" : formatDuration(ms).split(" ")[0]!;
}

function isProblem({ state }: Orb): boolean {
  return state === "error" || state === "silent" || state === "duplicate";
}

function openNextProblem(): void {
  const orbs = fleet.peek()?.orbs ?? [];
  const at = orbs.findIndex(({ id }) => id === address.peek().params.get("orb"));
  const next = orbs.slice(at + 1).find(isProblem) ?? orbs.find(isProblem);
  if (next !== undefined) setParams({ orb: next.id });
}
