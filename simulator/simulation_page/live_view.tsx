/**
 * The topology of this machine, as it runs: the same drawing and switches as for a run in simulated
 * time.
 *
 * @module
 */
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { formatCount, formatCounted, formatDuration } from "../../service/page/format.ts";
import { announce } from "../../service/page/announce.ts";
import { DetailPanel } from "../../service/page/detail_panel.tsx";
import { Empty, Loading } from "../../service/page/states.tsx";
import { CommandLine } from "../../service/page/copy.tsx";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { ConnectionPill } from "../../service/page/shell.tsx";
import { setParams } from "../../service/page/url_state.ts";
import type { LiveState } from "../live/live_state.ts";
import { BeyondControls } from "./beyond_controls.tsx";
import { beyondRows, isOn } from "./beyond_faults.ts";
import { activeFaults, FaultList } from "./fault_controls.tsx";
import { FaultTargetContext } from "./fault_target.ts";
import { livePicture } from "./live_model.ts";
import {
  commandPart,
  followLive,
  healLive,
  isLive,
  liveFlights,
  liveState,
  liveStream,
  liveTarget,
  placeOrders,
  redriveLive,
  setOrderRate,
  takeRecord,
} from "./live_store.ts";
import { JustNow } from "./just_now.tsx";
import { LiveSprites } from "./sprite_canvas.tsx";
import { PointPanel } from "./point_panel.tsx";
import { part } from "./page_state.ts";
import { nodeOfPart, nodes } from "./topology_layout.ts";
import { TopologyView } from "./topology_view.tsx";
import { partWords } from "./words.ts";

/** See the module. */
export function LiveView() {
  const isNarrow = useMediaQuery("(max-width: 720px)");
  const state = liveState.value;
  useEffect(() => {
    if (isLive.value) followLive();
  }, [isLive.value]);
  if (isLive.value === undefined) return <Loading what="what runs live" />;
  if (!isLive.value || state === undefined) {
    return (
      <Empty title="Nothing runs live here">
        <p>This server only simulates. Start it with the topology of this machine:</p>
        <CommandLine text="deno task simulator:server --live --order-rate 2" />
      </Empty>
    );
  }
  const picture = livePicture(state);
  return (
    <FaultTargetContext.Provider value={liveTarget}>
      <div class="simulation simulation-live">
        <LiveBar state={state} />
        <div class="simulation-main">
          {isNarrow && <LivePart state={state} />}
          <TopologyView picture={picture}>
            {(layout) => <LiveSprites layout={layout} keys={picture.keys} flights={liveFlights} />}
          </TopologyView>
          <LiveFigures state={state} />
          {isNarrow && <FaultList />}
          <BeyondControls state={state} />
        </div>
        <aside class="simulation-side" tabIndex={0} aria-label="Now">
          {!isNarrow && (
            <>
              <PointPanel />
              <LivePart state={state} />
            </>
          )}
          <JustNow />
        </aside>
      </div>
    </FaultTargetContext.Provider>
  );
}

function LiveBar({ state }: { state: LiveState }) {
  const rate = useSignal(String(state.orderRate));
  const faults = activeFaults(liveTarget) + beyondRows(state.faults).filter(isOn).length;
  return (
    <div class="transport" role="group" aria-label="What comes in">
      <ConnectionPill
        state={liveStream.state.value}
        paused={false}
        onRetry={() => liveStream.start()}
      />
      <button type="button" class="button transport-step" onClick={() => void placeOrders(1)}>
        Place an order
      </button>
      <button type="button" class="button" onClick={() => void placeOrders(20)}>
        Place 20
      </button>
      <label class="field">
        Orders a second
        <input
          type="text"
          inputMode="decimal"
          value={rate.value}
          onInput={({ currentTarget }) => rate.value = currentTarget.value}
          onChange={() => void setOrderRate(Number(rate.peek()))}
        />
      </label>
      <span class="quiet">
        {state.pattern} · {state.store === "sqlite" ? "SQLite" : "PostgreSQL"} ·{" "}
        {state.bus === "kafka" ? "Kafka" : "bus in process"}
      </span>
      <span class="runs-rest">
        <button type="button" class="button" onClick={() => void redriveLive()}>Redrive</button>
        <button
          type="button"
          class="button"
          title="What has happened so far, replayed in simulated time"
          onClick={() => void takeRecord()}
        >
          Replay it here
        </button>
        <button
          type="button"
          class="button"
          disabled={state.faults.length === 0}
          onClick={() => void healLive()}
        >
          Heal
        </button>
      </span>
      <span class={faults > 0 ? "transport-faults fault-on" : "transport-faults"}>
        {faults === 0 ? "no faults" : faults === 1 ? "1 fault on" : `${faults} faults on`}
      </span>
    </div>
  );
}

function LiveFigures({ state: { counters, boxes, atMs, startedAtMs } }: { state: LiveState }) {
  useSpokenLoss(counters.lost);
  const oldestMs = Math.max(0, ...boxes.map(({ oldestMs }) => oldestMs ?? 0));
  const figures: readonly (readonly [string, string, boolean?])[] = [
    ["placed", formatCount(counters.placed)],
    ["applied", formatCount(counters.applied)],
    ["confirmed", formatCount(counters.confirmed)],
    ["retried", formatCount(counters.retried)],
    ["duplicates dropped", formatCount(counters.duplicatesDropped)],
    ["dead-lettered", formatCount(counters.deadLettered), counters.deadLettered > 0],
    ["in flight", formatCount(counters.inFlight)],
    ["lost", formatCount(counters.lost), counters.lost > 0],
    ["oldest in a box", formatDuration(oldestMs)],
    ["running for", formatDuration(Math.round((atMs - startedAtMs) / 1_000) * 1_000)],
  ];
  return (
    <dl class="run-figures" aria-label="Figures">
      {figures.map(([label, figure, isBad = false]) => (
        <div key={label} class={isBad ? "figure-bad" : ""}>
          <dt>{label}</dt>
          <dd>{figure}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Says when an order is lost, and when none is any more: what has been lost before somebody looks is on the page. */
function useSpokenLoss(lost: number): void {
  const before = useRef(lost);
  useEffect(() => {
    const last = before.current;
    before.current = lost;
    if (lost > last) announce(`${formatCounted(lost, "order")} lost: in no box any more`, 8_000);
    else if (lost === 0 && last > 0) announce("No order is lost any more");
  }, [lost]);
}

/** The part that is selected: its instances, to be killed and started. */
function LivePart({ state }: { state: LiveState }) {
  const node = nodes.find(({ name }) => name === part.value);
  if (node === undefined) return null;
  const instances = state.parts.filter(({ name }) => nodeOfPart(name) === node.name);
  const box = state.boxes.find(({ name }) => name === node.name);
  return (
    <DetailPanel
      label={node.title}
      title={<h2>{node.title}</h2>}
      onClose={() => setParams({ part: undefined })}
    >
      {box !== undefined && (
        <p>
          {formatCount(box.depth)} in it, {formatCount(box.parked)} parked
          {box.oldestMs !== undefined && `; the oldest for ${formatDuration(box.oldestMs)}`}
        </p>
      )}
      <ul class="instances">
        {instances.map(({ name, state, pid, starts }) => (
          <li key={name}>
            <span>
              <b>{partWords(name)}</b>{" "}
              <span class={state === "running" ? "quiet" : "error-text"}>{state}</span>
              <span class="quiet">
                {pid !== undefined && `, pid ${pid}`}, started {formatCounted(starts, "time")}
              </span>
            </span>
            <button
              type="button"
              class="button"
              onClick={() => void commandPart(name, state === "killed" ? "start" : "kill")}
            >
              {state === "killed" ? "Start" : "Kill"}
            </button>
          </li>
        ))}
      </ul>
    </DetailPanel>
  );
}
