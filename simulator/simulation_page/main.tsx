/**
 * The simulation's page: orders through two backends in virtual time, to be stepped, broken by hand,
 * forked and explained. The simulator runs in the page's own workers; no server is asked.
 *
 * @module
 */
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { startShortcuts, useShortcuts } from "../../service/page/keys.ts";
import { Shell } from "../../service/page/shell.tsx";
import { Failure, Loading } from "../../service/page/states.tsx";
import { startTheme } from "../../service/page/theme.tsx";
import {
  address,
  href,
  setParams,
  startUrlState,
  wordParam,
} from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { Card } from "./cards.tsx";
import { CompareView } from "./compare_view.tsx";
import { EventTable } from "./event_table.tsx";
import { FaultTargetContext } from "./fault_target.ts";
import { FaultList } from "./fault_controls.tsx";
import { ForkPanel } from "./fork_panel.tsx";
import { FailurePanel, WhyCurve } from "./failure_panel.tsx";
import { FindFailure } from "./find_failure.tsx";
import { Lanes } from "./lanes.tsx";
import { ChecksPanel, EventPanel, Figures } from "./panels.tsx";
import { isPlaying, startPlay, togglePlay } from "./play.ts";
import { PointPanel } from "./point_panel.tsx";
import {
  type Branch,
  current,
  entryPlace,
  failure,
  pageView,
  pageViews,
  view,
} from "./page_state.ts";
import { seek, step } from "./position.ts";
import { startStore } from "./store.ts";
import { findLive, isLive } from "./live_store.ts";
import { LiveView } from "./live_view.tsx";
import { RunsBar } from "./runs_bar.tsx";
import { SpaceTimeView } from "./space_time.tsx";
import { runTarget } from "./run_target.ts";
import { RunTopology } from "./run_topology.tsx";
import { TourView } from "./tour_view.tsx";
import { Transport } from "./transport.tsx";

const viewLabels: Readonly<Record<typeof pageViews[number], string>> = {
  topology: "Topology",
  events: "Events",
  compare: "Compare",
  tour: "Tour",
  live: "Live",
};

function SimulationPage() {
  useKeys();
  const run = current.value;
  useEffect(() => {
    document.title = `${
      run === undefined ? "" : `Seed ${run.info.input.seed} · `
    }Simulation · Orrery`;
  }, [run]);
  return (
    <Shell
      program="Simulation"
      nav={pageViews.filter((one) => one !== "live" || isLive.value || pageView.value === "live")
        .map((one) => ({
          href: href("/simulation", address.value.params, {
            view: one === "topology" ? undefined : one,
          }),
          label: viewLabels[one],
          current: pageView.value === one,
        }))}
    >
      {failure.value !== undefined
        ? (
          <Failure title={failure.value.title} detail={failure.value.detail}>
            <a class="button" href="/simulation">Begin with the first example</a>
          </Failure>
        )
        : run === undefined
        ? <Loading what="the run" />
        : <RunPage />}
    </Shell>
  );
}

function RunPage() {
  const run = current.value!;
  const isNarrow = useMediaQuery("(max-width: 720px)");
  if (pageView.value === "live") return <LiveView />;
  if (pageView.value === "tour") {
    return (
      <div class="simulation simulation-one simulation-tour">
        <div class="simulation-main">
          <TourView />
        </div>
      </div>
    );
  }
  if (pageView.value === "events" || pageView.value === "compare") {
    return (
      <div class="simulation simulation-one">
        <Head />
        <div class="simulation-main">
          {pageView.value === "events" ? <EventTable /> : <CompareView />}
        </div>
      </div>
    );
  }
  return isNarrow ? <NarrowRun run={run} /> : <WideRun run={run} />;
}

function WideRun({ run }: { run: Branch }) {
  return (
    <div class="simulation">
      <Head />
      <div class="simulation-main">
        <Drawing run={run} />
        <Figures counters={view.value?.snapshot.counters} />
        <Times run={run} />
      </div>
      <aside class="simulation-side" tabIndex={0} aria-label="This instant">
        <FaultTargetContext.Provider value={runTarget}>
          <PointPanel />
        </FaultTargetContext.Provider>
        <Card />
        <Instant />
        <FailurePanel />
        <ChecksPanel />
      </aside>
    </div>
  );
}

const tabs = ["topology", "now", "faults", "time", "checks"] as const;
const tabLabels: Readonly<Record<typeof tabs[number], string>> = {
  topology: "Topology",
  now: "Now",
  faults: "Faults",
  time: "Time",
  checks: "Checks",
};

/** On a phone one thing at a time, and the steps always in reach. */
function NarrowRun({ run }: { run: Branch }) {
  const tab = wordParam(address.value.params, "tab", tabs);
  return (
    <div class="simulation simulation-narrow">
      <Head />
      <nav class="tabs" aria-label="This run">
        {tabs.map((one) => (
          <a
            key={one}
            href={href("/simulation", address.value.params, {
              tab: one === "topology" ? undefined : one,
            })}
            aria-current={tab === one ? "page" : undefined}
          >
            {tabLabels[one]}
          </a>
        ))}
      </nav>
      <div class="simulation-main">
        {tab === "topology" && (
          <>
            <Card />
            <Drawing run={run} />
          </>
        )}
        {tab === "now" && (
          <>
            <Instant />
            <FailurePanel />
            <Figures counters={view.value?.snapshot.counters} />
          </>
        )}
        {tab === "faults" && (
          <FaultTargetContext.Provider value={runTarget}>
            <FaultList />
          </FaultTargetContext.Provider>
        )}
        {tab === "time" && <Times run={run} />}
        {tab === "checks" && <ChecksPanel />}
      </div>
    </div>
  );
}

function Head() {
  return (
    <>
      <RunsBar>
        <FindFailure />
      </RunsBar>
      <Transport />
    </>
  );
}

function Drawing({ run }: { run: Branch }) {
  return <RunTopology run={run} view={view.value} place={entryPlace.value} />;
}

function Times({ run }: { run: Branch }) {
  return (
    <>
      <Lanes run={run} />
      <WhyCurve run={run} />
      <SpaceTimeView />
    </>
  );
}

function Instant() {
  return (
    <EventPanel>
      <ForkPanel />
    </EventPanel>
  );
}

function useKeys(): void {
  const isRunShown = () => pageView.peek() !== "live";
  const stop = (run: () => void) => () => {
    if (!isRunShown()) return;
    isPlaying.value = false;
    run();
  };
  useShortcuts([
    { key: "p", label: "Play or pause", run: () => isRunShown() && togglePlay() },
    { key: "ArrowRight", label: "Next event", run: stop(() => step("event", 1)) },
    { key: "ArrowLeft", label: "Event before", run: stop(() => step("event", -1)) },
    { key: "]", label: "Next message", run: stop(() => step("message", 1)) },
    { key: "[", label: "Message before", run: stop(() => step("message", -1)) },
    { key: "Home", label: "To the beginning", run: stop(() => seek(0)) },
    {
      key: "End",
      label: "To the end",
      run: stop(() => seek(current.peek()?.info.length ?? 0)),
    },
    {
      key: "t",
      label: "Topology or table of events",
      run: () =>
        isRunShown() &&
        setParams({ view: pageView.peek() === "events" ? undefined : "events" }),
    },
  ]);
}

startUrlState(["/simulation"]);
startTheme();
startShortcuts();
startPlay();
startStore();
void findLive();
render(<SimulationPage />, document.getElementById("page")!);
