/**
 * The queue: how it is, the signups by state, and the dead letters with their buttons.
 *
 * @module
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { formatCount, formatDuration } from "../../service/page/format.ts";
import { NewPill } from "../../service/page/shell.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams, wordParam } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import type { SignupResource } from "../signups/signup_resource.ts";
import { callAndSay } from "./call.ts";
import { SignupDetail } from "./signup_detail.tsx";
import { signupReason, SignupState, SignupTime, signupWords } from "./signup_row.tsx";
import { fleet } from "./store.ts";

const filters = [
  "dead_letter",
  "all",
  "queued",
  "processing",
  "accepted",
  "duplicate",
  "rejected",
] as const;
const maxShown = 500;
const rowHeight = 48;

/** See the module. */
export function QueueView() {
  const signup = address.value.params.get("signup");
  const state = wordParam(address.value.params, "state", filters);
  const queue = fleet.value?.queue;
  return (
    <div class={signup === null ? "split" : "split split-open"}>
      <div class="queue">
        <div class="queue-head">
          <h1>Queue</h1>
          {queue === null && (
            <p class="error-text" role="alert">
              The store cannot be asked: what is shown may be old. The server's log says why.
            </p>
          )}
          <QueueFigures />
        </div>
        <SignupList key={state} state={state} />
      </div>
      {signup !== null && <SignupDetail key={signup} id={signup} />}
    </div>
  );
}

/** The figures, each a filter. */
function QueueFigures() {
  const queue = fleet.value?.queue;
  const current = wordParam(address.value.params, "state", filters);
  const total = Object.values(queue?.byState ?? {}).reduce((sum, count) => sum + count, 0);
  return (
    <div class="fleet-filters" role="group" aria-label="Signups by state">
      {filters.map((state) => (
        <button
          key={state}
          type="button"
          class="fleet-filter"
          aria-pressed={current === state}
          onClick={() => setParams({ state: state === filters[0] ? undefined : state })}
        >
          <b>{queue ? formatCount(state === "all" ? total : queue.byState[state]) : "–"}</b>{" "}
          {state === "all" ? "in all" : signupWords[state]}
        </button>
      ))}
      {queue && queue.oldestWaitMs > 0 && (
        <span class="quiet">the oldest waits for {formatDuration(queue.oldestWaitMs)}</span>
      )}
    </div>
  );
}

function SignupList({ state }: { state: typeof filters[number] }) {
  const query = new URLSearchParams({ limit: `${maxShown}` });
  if (state !== "all") query.set("state", state);
  const { answer, error, reload } = useAnswer<{ signups: SignupResource[] }>(
    `/v2/signups?${query}`,
  );
  const last = useRef(answer);
  if (answer !== undefined) last.current = answer;
  const shown = answer ?? last.current;
  const [held, setHeld] = useState(false);
  const [topRequest, setTopRequest] = useState(0);
  const waiting = useChanges(state, shown !== undefined && !held, reload);

  if (shown === undefined) {
    return error === undefined
      ? <Loading what="the signups" />
      : <Failure title={error.title} detail={error.message} onRetry={reload} />;
  }
  return (
    <>
      {state === "dead_letter" && shown.signups.length > 1 && (
        <RequeueAll signups={shown.signups} onDone={reload} />
      )}
      <div class="queue-place">
        <NewPill
          count={held ? waiting : 0}
          onShow={() => {
            setTopRequest(topRequest + 1);
            setHeld(false);
          }}
        />
        {shown.signups.length === 0 ? <NoSignups state={state} /> : (
          <VirtualList
            label="Signups"
            rows={shown.signups}
            rowKey={({ id }) => id}
            rowHeight={rowHeight}
            onHold={setHeld}
            topRequest={topRequest}
            scrollName={`queue ${state}`}
          >
            {(signup, tabIndex) => (
              <SignupRow signup={signup} tabIndex={tabIndex} onChange={reload} />
            )}
          </VirtualList>
        )}
      </div>
    </>
  );
}

/** Asks again when the figures say that something changed, unless the list is held; counts what waits. */
function useChanges(
  state: typeof filters[number],
  follows: boolean,
  reload: () => void,
): number {
  const byState = fleet.value?.queue?.byState;
  const figure = state === "all"
    ? Object.values(byState ?? {}).reduce((sum, count) => sum + count, 0)
    : byState?.[state] ?? 0;
  const mark = state === "all" ? JSON.stringify(byState) : `${figure}`;
  const seen = useRef({ mark, figure });
  useEffect(() => {
    if (!follows || seen.current.mark === mark) return;
    seen.current = { mark, figure };
    reload();
  }, [follows, mark]);
  return Math.max(0, figure - seen.current.figure);
}

function NoSignups({ state }: { state: typeof filters[number] }) {
  if (state === "dead_letter") {
    return (
      <Empty title="No dead letters">
        <p>Every signup was decided, or will be. One that fails again and again ends here.</p>
      </Empty>
    );
  }
  return <Empty title={state === "all" ? "No signup yet" : `None is ${signupWords[state]} now`} />;
}

function SignupRow({ signup, tabIndex, onChange }: {
  signup: SignupResource;
  tabIndex: 0 | -1;
  onChange: () => void;
}) {
  const open = address.value.params.get("signup") === signup.id;
  return (
    <div class="signup-row" aria-current={open ? "true" : undefined}>
      <a
        class="signup-link"
        tabIndex={tabIndex}
        href={href("/queue", address.value.params, { signup: open ? undefined : signup.id })}
      >
        <code class="clip signup-id" title={signup.id}>{signup.id}</code>
        <SignupState state={signup.state} />
        <span class="clip signup-orb">{signup.orbId ?? "no orb named"}</span>
        <SignupTime signup={signup} />
        <span class="quiet clip signup-reason" title={signupReason(signup)}>
          {signupReason(signup)}
        </span>
      </a>
      {signup.state === "dead_letter" && <RequeueButton id={signup.id} onDone={onChange} />}
    </div>
  );
}

/** Gives a dead letter all its attempts anew. */
export function RequeueButton({ id, onDone }: { id: string; onDone: () => void }) {
  const [sending, setSending] = useState(false);
  return (
    <button
      type="button"
      class="button"
      disabled={sending}
      aria-label={`Queue ${id} again`}
      onClick={async () => {
        setSending(true);
        const path = `/v2/signups/${encodeURIComponent(id)}/requeue`;
        if (await callAndSay("POST", path, { done: `${id} is queued again` })) onDone();
        setSending(false);
      }}
    >
      Requeue
    </button>
  );
}

/** All that are shown, one after the other. */
function RequeueAll({ signups, onDone }: {
  signups: readonly SignupResource[];
  onDone: () => void;
}) {
  const [done, setDone] = useState<number | undefined>(undefined);
  return (
    <p class="requeue-all">
      <button
        type="button"
        class="button"
        disabled={done !== undefined}
        onClick={async () => {
          for (const [index, { id }] of signups.entries()) {
            setDone(index);
            const path = `/v2/signups/${encodeURIComponent(id)}/requeue`;
            const text = `${formatCount(index + 1)} of ${formatCount(signups.length)} queued again`;
            if (!await callAndSay("POST", path, { done: text })) break;
          }
          setDone(undefined);
          onDone();
        }}
      >
        {done === undefined
          ? `Requeue all ${formatCount(signups.length)}`
          : `Requeued ${formatCount(done)}`}
      </button>
    </p>
  );
}
