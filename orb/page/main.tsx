/**
 * The orb server's page: the fleet, an orb, the queue.
 *
 * @module
 */
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { startShortcuts, useShortcuts } from "../../service/page/keys.ts";
import { ConnectionPill, PauseButton, Shell } from "../../service/page/shell.tsx";
import { startTheme } from "../../service/page/theme.tsx";
import { address, href, setParams, startUrlState } from "../../service/page/url_state.ts";
import { FleetView } from "./fleet_view.tsx";
import { QueueView } from "./queue_view.tsx";
import { deadLetters, paused, startStore, stream } from "./store.ts";
import { TokenForm } from "./token_form.tsx";

function OrbPage() {
  const state = stream.state.value;
  const { path } = address.value;
  const togglePause = () => setParams({ paused: !paused.peek() });
  useShortcuts([{ key: "p", label: "Pause or go on", run: togglePause }]);
  useEffect(() => {
    document.title = path === "/queue" ? "Queue · Orb · Orrery" : "Fleet · Orb · Orrery";
  }, [path]);
  const dead = deadLetters.value;
  const keep = paused.value ? { paused: true } : {};
  return (
    <Shell
      program="Orb"
      nav={[
        { href: href("/", new URLSearchParams(), keep), label: "Fleet", current: path === "/" },
        {
          href: href("/queue", new URLSearchParams(), keep),
          label: dead > 0 ? `Queue (${dead} dead)` : "Queue",
          current: path === "/queue",
        },
      ]}
      notice={state.kind === "reconnecting" && state.attempt > 1 && <Unreachable />}
      actions={
        <>
          <ConnectionPill state={state} paused={paused.value} onRetry={() => stream.restart()} />
          <PauseButton paused={paused.value} onToggle={togglePause} />
        </>
      }
    >
      {path === "/queue" ? <QueueView /> : <FleetView />}
    </Shell>
  );
}

function Unreachable() {
  return (
    <>
      The orb server does not answer, or wants a token. What you see is the last it sent; the page
      tries again by itself. If it was stopped, start it: <code>deno task orb:server</code>
      <TokenForm />
    </>
  );
}

startUrlState(["/", "/queue"]);
startTheme();
startShortcuts();
startStore();
render(<OrbPage />, document.getElementById("page")!);
