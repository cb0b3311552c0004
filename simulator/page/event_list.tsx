/**
 * The list: the ten most recent events, as the original has it, and the clients that run. It says
 * what the stage shows, and is the view for who reads with ears or fingers.
 *
 * @module
 */
import { useState } from "preact/hooks";
import { formatCount, formatCounted, formatTime, shortenId } from "../../service/page/format.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { Empty } from "../../service/page/states.tsx";
import { CommandLine } from "../../service/page/copy.tsx";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { NewPill } from "../../service/page/shell.tsx";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import type { SeenEvent, Sprite } from "./stage_model.ts";
import { eventFits, fits, model, query, selected, version } from "./store.ts";

const recentEvents = 10;

/** The most recent events that are searched for, newest first. */
export function RecentEvents() {
  const rows = version.value >= 0 ? newest(query.value) : [];
  return (
    <section class="recent" aria-labelledby="recent-title">
      <h2 id="recent-title">Most recent events</h2>
      {rows.length === 0
        ? <p class="quiet">{query.value === "" ? "None yet." : "None that fits the search."}</p>
        : (
          <ol class="recent-list">
            {rows.map((event) => <RecentEvent key={event.id} event={event} />)}
          </ol>
        )}
    </section>
  );
}

function newest(text: string): SeenEvent[] {
  const rows: SeenEvent[] = [];
  for (let i = model.events.length - 1; i >= 0 && rows.length < recentEvents; i--) {
    const event = model.events[i]!;
    if (eventFits(event, text)) rows.push(event);
  }
  return rows;
}

function RecentEvent({ event }: { event: SeenEvent }) {
  const { traceId, timeUnixNano, text, fault, client, atMs } = event;
  return (
    <li class={fault ? "recent-event recent-fault" : "recent-event"}>
      <a
        href={href("/", address.value.params, { client: client || undefined })}
        title={JSON.stringify({ event: event.event, traceId, timeUnixNano })}
      >
        <span class="recent-time">{formatTime(atMs)}</span>
        <strong class="clip">{event.event}</strong>
        <span class="clip recent-text">{text === event.event ? "" : text}</span>
        <code class="recent-trace">{shortenId(traceId)}</code>
      </a>
    </li>
  );
}

/** Every client, in the order in which they came. */
export function ClientList() {
  const [held, setHeld] = useState(false);
  const [heldRows, setHeldRows] = useState<readonly Sprite[]>([]);
  const [topRequest, setTopRequest] = useState(0);
  const all = version.value >= 0 && query.value !== undefined
    ? [...model.sprites.values()].filter(fits)
    : [];
  // Rows never move under a reader: who comes meanwhile waits behind a pill.
  const rows = held ? heldRows : all;
  const fresh = held ? all.filter((sprite) => !heldRows.includes(sprite)).length : 0;
  const hold = (next: boolean) => {
    if (next && !held) setHeldRows(all);
    setHeld(next);
  };
  if (all.length === 0) return <NoClients />;
  return (
    <section class="clients" aria-labelledby="clients-title">
      <h2 id="clients-title">{formatCounted(all.length, "client")}</h2>
      <div class="clients-place">
        <NewPill
          count={fresh}
          onShow={() => {
            setHeld(false);
            setTopRequest(topRequest + 1);
          }}
        />
        <VirtualList
          label="Clients"
          rows={rows}
          rowKey={({ number }) => number}
          rowHeight={40}
          onHold={hold}
          topRequest={topRequest}
          revealKey={selected.value}
          scrollName="clients"
        >
          {(sprite, tabIndex) => <ClientRow sprite={sprite} tabIndex={tabIndex} />}
        </VirtualList>
      </div>
    </section>
  );
}

function ClientRow({ sprite, tabIndex }: { sprite: Sprite; tabIndex: 0 | -1 }) {
  const last = sprite.bubbles.at(-1)?.text ?? "";
  const { number, name, pid, state, events } = sprite;
  return (
    <a
      class={`client-row client-${state}`}
      tabIndex={tabIndex}
      href={href("/", address.value.params, { client: number })}
      aria-current={selected.value === number ? "true" : undefined}
    >
      <ServiceName name={name} />
      <span class="client-pid">{pid === undefined ? `#${number}` : `pid ${pid}`}</span>
      <span class="client-state">{state}</span>
      <span class="client-events">{formatCount(events)}</span>
      <span class="clip client-last">{last}</span>
    </a>
  );
}

function NoClients() {
  if (query.value !== "") {
    return (
      <Empty title="No client fits">
        <button type="button" class="button" onClick={() => setParams({ q: undefined })}>
          Show all
        </button>
      </Empty>
    );
  }
  return (
    <Empty title="No process has said anything yet">
      <p>Start one, and it is a sprite here:</p>
      <CommandLine text="deno task simulator:example 17" />
      <p>or a fleet of them:</p>
      <CommandLine text="deno task simulator:fleet --processes 50" />
    </Empty>
  );
}
