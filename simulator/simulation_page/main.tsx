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
import { address, href, setParams, startUrlState } from "../../service/page/url_state.ts";
import { ChecksPanel, EventPanel, Figures } from "./panels.tsx";
import { isPlaying, startPlay, togglePlay } from "./play.ts";
import {
  current,
  entryPlace,
  event,
  failure,
  pageView,
  pageViews,
  seek,
  startStore,
  step,
  view,
} from "./store.ts";
import { TopologyView } from "./topology_view.tsx";
import { Transport } from "./transport.tsx";

const viewLabels: Readonly<Record<typeof pageViews[number], string>> = {
  topology: "Topology",
  events: "Events",
  compare: "Compare",
  tour: "Tour",
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
      nav={pageViews.map((one) => ({
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
  return (
    <div class="simulation">
      <Transport />
      <div class="simulation-main">
        <TopologyView run={run} view={view.value} event={event.value} place={entryPlace.value} />
        <Figures counters={view.value?.snapshot.counters} />
      </div>
      <aside class="simulation-side" tabIndex={0} aria-label="This instant">
        <EventPanel />
        <ChecksPanel />
      </aside>
    </div>
  );
}

function useKeys(): void {
  const stop = (run: () => void) => () => {
    isPlaying.value = false;
    run();
  };
  useShortcuts([
    { key: "p", label: "Play or pause", run: togglePlay },
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
      run: () => setParams({ view: pageView.peek() === "events" ? undefined : "events" }),
    },
  ]);
}

startUrlState(["/simulation"]);
startTheme();
startShortcuts();
startPlay();
startStore();
render(<SimulationPage />, document.getElementById("page")!);
