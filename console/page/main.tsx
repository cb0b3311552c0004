/**
 * The console's page.
 *
 * @module
 */
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { startShortcuts, useShortcuts } from "../../service/page/keys.ts";
import { sharedData } from "../../service/page/shared_data.ts";
import { ConnectionPill, PauseButton, Shell } from "../../service/page/shell.tsx";
import { Empty } from "../../service/page/states.tsx";
import { startTheme } from "../../service/page/theme.tsx";
import { address, go, href, setParams, startUrlState } from "../../service/page/url_state.ts";
import { pagePaths } from "../page_api/api.ts";
import { ChartsView } from "./charts_view.tsx";
import { CompareView } from "./compare_view.tsx";
import { FlameView } from "./flame_view.tsx";
import { LogsView } from "./logs_view.tsx";
import { MapView } from "./map_view.tsx";
import { StatusView } from "./status_view.tsx";
import { startStore, stream } from "./store.ts";
import { TraceView } from "./trace_view.tsx";
import { TracesView } from "./traces_view.tsx";
import { paused, view } from "./views.ts";

const views = [
  { kind: "traces", path: "/", label: "Traces" },
  { kind: "charts", path: "/charts", label: "Charts" },
  { kind: "logs", path: "/logs", label: "Logs" },
  { kind: "status", path: "/status", label: "Status" },
  { kind: "map", path: "/map", label: "Map" },
] as const;

function ConsolePage() {
  const now = view.value;
  const current = ["trace", "flame", "compare"].includes(now.kind) ? "traces" : now.kind;
  const state = stream.state.value;
  const togglePause = () => setParams({ paused: !paused.peek() });
  useShortcuts([
    { key: "p", label: "Pause or go on", run: togglePause },
    ...views.map(({ path, label }, i) => ({
      key: String(i + 1),
      label,
      run: () => go(href(path)),
    })),
  ]);
  useEffect(() => {
    const label = views.find((one) => one.kind === current)?.label ?? "Not found";
    document.title = now.kind === "trace"
      ? `Trace ${now.traceId.slice(0, 8)} · Orrery`
      : `${label} · Orrery`;
  }, [address.value.path]);
  return (
    <Shell
      program="Console"
      nav={sharedData() ? [] : views.map(({ kind, path, label }) => ({
        href: href(path),
        label,
        current: kind === current,
      }))}
      notice={state.kind === "reconnecting" && state.attempt > 1 && (
        <>
          The console does not answer. What you see is the last it sent; the page tries again by
          itself. If it was stopped, start it: <code>deno task console</code>
        </>
      )}
      actions={!sharedData() && (
        <>
          <ConnectionPill
            state={state}
            paused={paused.value}
            onRetry={() => stream.restart()}
          />
          <PauseButton paused={paused.value} onToggle={togglePause} />
        </>
      )}
    >
      <CurrentView />
    </Shell>
  );
}

function CurrentView() {
  const now = view.value;
  switch (now.kind) {
    case "traces":
      return <TracesView />;
    case "trace":
      return <TraceView traceId={now.traceId} />;
    case "charts":
      return <ChartsView />;
    case "logs":
      return <LogsView />;
    case "map":
      return <MapView />;
    case "flame":
      return <FlameView />;
    case "compare":
      return <CompareView />;
    case "status":
      return <StatusView />;
    case "unknown":
      return (
        <Empty title="There is no such view">
          <a class="button" href={href("/")}>Traces</a>
        </Empty>
      );
  }
}

startUrlState(Object.values(pagePaths));
startTheme();
startShortcuts();
if (sharedData() === undefined) startStore();
render(<ConsolePage />, document.getElementById("page")!);
