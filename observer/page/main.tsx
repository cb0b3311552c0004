/**
 * The observer's page: image stores and what they hold.
 *
 * @module
 */
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { startShortcuts, useShortcuts } from "../../service/page/keys.ts";
import { ConnectionPill, PauseButton, Shell } from "../../service/page/shell.tsx";
import { startTheme } from "../../service/page/theme.tsx";
import { setParams, startUrlState } from "../../service/page/url_state.ts";
import { observeNow, paused, selected, startStore, stream } from "./store.ts";
import { StoresView } from "./stores_view.tsx";

function ObserverPage() {
  const state = stream.state.value;
  const togglePause = () => setParams({ paused: !paused.peek() });
  useShortcuts([
    { key: "o", label: "Observe now", run: () => void observeNow() },
    { key: "p", label: "Pause or go on", run: togglePause },
  ]);
  const title = selected.value?.address;
  useEffect(() => {
    document.title = title === undefined ? "Image stores · Orrery" : `${title} · Orrery`;
  }, [title]);
  return (
    <Shell
      program="Observer"
      nav={[{ href: "/", label: "Image stores", current: true }]}
      notice={state.kind === "reconnecting" && state.attempt > 1 && (
        <>
          The observer does not answer. What you see is the last it sent; the page tries again by
          itself. If it was stopped, start it: <code>deno task observer</code>
        </>
      )}
      actions={
        <>
          <ConnectionPill state={state} paused={paused.value} onRetry={() => stream.restart()} />
          <PauseButton paused={paused.value} onToggle={togglePause} />
        </>
      }
    >
      <StoresView />
    </Shell>
  );
}

startUrlState(["/"]);
startTheme();
startShortcuts();
startStore();
render(<ObserverPage />, document.getElementById("page")!);
