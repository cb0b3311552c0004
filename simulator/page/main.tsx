/**
 * The simulator's page: processes as sprites, live.
 *
 * @module
 */
import { type ComponentChildren, render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { formatCount, formatCounted } from "../../service/page/format.ts";
import { Icon } from "../../service/page/icon.tsx";
import { startShortcuts, useShortcuts } from "../../service/page/keys.ts";
import { SearchField } from "../../service/page/search_field.tsx";
import { ConnectionPill, PauseButton, Shell } from "../../service/page/shell.tsx";
import { startTheme } from "../../service/page/theme.tsx";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { address, href, setParams, startUrlState } from "../../service/page/url_state.ts";
import { ClientDetail } from "./client_detail.tsx";
import { ClientList, RecentEvents } from "./event_list.tsx";
import { StageView } from "./stage_view.tsx";
import {
  capture,
  closeCapture,
  loadCapture,
  model,
  paused,
  query,
  selected,
  socket,
  startStore,
  stats,
  step,
  version,
  view,
  waiting,
} from "./store.ts";
import { Timeline } from "./timeline.tsx";
import { followed, followNext, playTrace, refreshPath } from "./trace_store.ts";
import { TraceDetail, TraceScrubber, useTraceKeys } from "./trace_view.tsx";

const shownMs = 60_000;

function SimulatorPage() {
  const state = socket.state.value;
  // Forced colours have no canvas: the list says the same.
  const forced = useMediaQuery("(forced-colors: active)");
  const shown = forced ? "list" : view.value;
  const isDetailed = selected.value !== undefined || followed.value !== undefined;
  const togglePause = () => setParams({ paused: !paused.peek() });
  useShortcuts([
    { key: "p", label: "Pause or go on", run: togglePause },
    { key: "s", label: "One event on, while paused", run: step },
    {
      key: "t",
      label: "Stage or list",
      run: () => setParams({ view: view.peek() === "stage" ? "list" : undefined }),
    },
    { key: ",", label: "Client before", run: () => selectNext(-1) },
    { key: ".", label: "Next client", run: () => selectNext(1) },
  ]);
  useTraceKeys();
  return (
    <Shell
      program="Simulator"
      nav={[
        {
          href: href("/", address.value.params, { view: undefined }),
          label: "Stage",
          current: shown === "stage",
        },
        {
          href: href("/", address.value.params, { view: "list" }),
          label: "List",
          current: shown === "list",
        },
        { href: "/simulation", label: "Simulation", current: false },
      ]}
      notice={state.kind === "reconnecting" && state.attempt > 1 && !capture.value && (
        <>
          The simulator does not answer. What you see is the last it sent; the page tries again by
          itself. If it was stopped, start it: <code>deno task simulator:server</code>
        </>
      )}
      actions={
        <>
          <ConnectionPill state={state} paused={paused.value} onRetry={() => socket.start()} />
          <PauseButton paused={paused.value} onToggle={togglePause} />
        </>
      }
    >
      <div class={isDetailed ? "simulator simulator-detail" : "simulator"}>
        <Toolbar />
        {shown === "stage" ? <StageView /> : <ClientList />}
        <TraceScrubber />
        <aside class="side">
          <ClientDetail />
          <TraceDetail />
          {!isDetailed && <RecentEvents />}
          {!isDetailed && <Figures />}
        </aside>
        <LiveTimeline />
      </div>
    </Shell>
  );
}

function selectNext(by: 1 | -1): void {
  const numbers = [...model.sprites.keys()];
  if (numbers.length === 0) return;
  const at = numbers.indexOf(selected.peek() ?? -1);
  const next = at === -1 ? (by === 1 ? 0 : numbers.length - 1) : at + by;
  setParams({ client: numbers[(next + numbers.length) % numbers.length]! });
}

function Toolbar() {
  const file = useRef<HTMLInputElement>(null);
  const played = capture.value;
  return (
    <div class="toolbar">
      <SearchField
        label="Name, process, trace, word"
        value={query.value}
        onChange={(text) => setParams({ q: text }, { replace: true })}
      />
      {paused.value && (
        <button type="button" class="button" title="One event on (s)" onClick={step}>
          Step{waiting.value > 0 ? ` (${formatCount(waiting.value)} wait)` : ""}
        </button>
      )}
      <button
        type="button"
        class="button"
        title="One trace, from process to process ([ and ])"
        onClick={() => followNext(1)}
      >
        Follow a trace
      </button>
      <span class="toolbar-rest">
        {played
          ? <CaptureControls name={played.name} />
          : (
            <a class="button" href="/api/capture" download="capture.ndjson">
              Save a capture
            </a>
          )}
        <button type="button" class="button" onClick={() => file.current!.click()}>
          Play a capture…
        </button>
        <input
          ref={file}
          type="file"
          hidden
          accept=".ndjson,.jsonl,application/x-ndjson"
          aria-label="A capture to play"
          onChange={({ currentTarget }) => {
            const [chosen] = currentTarget.files ?? [];
            if (chosen) void loadCapture(chosen);
            currentTarget.value = "";
          }}
        />
      </span>
    </div>
  );
}

const speeds = [0.1, 0.5, 1, 2, 5, 10, 100] as const;

function CaptureControls({ name }: { name: string }) {
  const { player } = capture.value!;
  const at = version.value >= 0 ? player.played : 0;
  return (
    <>
      <span class="capture-name clip" title={name}>
        {name}: {formatCount(at)} of {formatCount(player.events.length)}
      </span>
      <label class="capture-speed">
        <span class="hidden-text">Speed</span>
        <select
          value={String(player.speed)}
          onChange={({ currentTarget }) => player.speed = Number(currentTarget.value)}
        >
          {speeds.map((speed) => <option key={speed} value={String(speed)}>{speed} ×</option>)}
        </select>
      </label>
      <button
        type="button"
        class="button"
        onClick={() => {
          model.reset([], 0);
          player.rewind();
        }}
      >
        From the start
      </button>
      <button
        type="button"
        class="icon-button"
        aria-label="Back to live"
        title="Back to live"
        onClick={closeCapture}
      >
        <Icon name="close" />
      </button>
    </>
  );
}

/** The server's figures, with what was dropped: nothing is left out without a word. */
function Figures() {
  const now = stats.value;
  if (!now || version.value < 0) return null;
  const refused = Object.entries(now.refused).filter(([, count]) => count > 0);
  const dropped = Object.entries(now.dropped).filter(([, count]) => count > 0);
  return (
    <section class="figures" aria-label="Figures">
      <Figure label="clients">{formatCount(model.sprites.size)}</Figure>
      <Figure label="events a second">{formatCount(now.eventsPerSecond)}</Figure>
      <Figure label="events">{formatCount(now.events)}</Figure>
      {now.clientsBeyondLimit > 0 && (
        <Figure label="clients without a sprite" bad>{formatCount(now.clientsBeyondLimit)}</Figure>
      )}
      {refused.map(([reason, count]) => (
        <Figure key={reason} label={`lines refused: ${reason}`} bad>{formatCount(count)}</Figure>
      ))}
      {dropped.map(([reason, count]) => (
        <Figure key={reason} label={`web clients dropped: ${reason}`} bad>
          {formatCount(count)}
        </Figure>
      ))}
      {model.flightsLeftOut > 0 && (
        <Figure label="flights not drawn">{formatCount(model.flightsLeftOut)}</Figure>
      )}
      {now.lastRefused && (
        <p class="last-refused">
          <span class="error-text">Last refused:</span> {now.lastRefused.reason}
          <code class="clip">{now.lastRefused.beginning}</code>
        </p>
      )}
    </section>
  );
}

function Figure({ label, bad = false, children }: {
  label: string;
  bad?: boolean;
  children: ComponentChildren;
}) {
  return (
    <div class={bad ? "figure figure-bad" : "figure"}>
      <strong>{children}</strong>
      <span>{label}</span>
    </div>
  );
}

function LiveTimeline() {
  // Drawn anew as events come; while paused it stands still.
  const newest = version.value >= 0 ? model.events.at(-1)?.atMs ?? Date.now() : 0;
  const toMs = capture.value || paused.value ? newest : Math.max(newest, Date.now());
  return (
    <Timeline
      fromMs={toMs - shownMs}
      toMs={toMs}
      counts={model.perSecond}
      lanes={["faults", "lost connections"].map((name) => ({
        name,
        marks: model.marks.filter(({ lane }) => lane === name),
      }))}
    />
  );
}

function Titled() {
  const count = version.value >= 0 ? model.sprites.size : 0;
  useEffect(() => {
    document.title = `${formatCounted(count, "client")} · Simulator · Orrery`;
  }, [count]);
  return <SimulatorPage />;
}

startUrlState(["/"]);
startTheme();
startShortcuts();
startStore((elapsedMs, isDrawn) => {
  playTrace(elapsedMs);
  if (isDrawn) refreshPath();
});
render(<Titled />, document.getElementById("page")!);
