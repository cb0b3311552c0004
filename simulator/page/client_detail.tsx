/**
 * One client: what it is, its latest events, their traces, and the JSON as it was sent.
 *
 * @module
 */
import { useEffect, useState } from "preact/hooks";
import { CopyButton, ShortId } from "../../service/page/copy.tsx";
import { DetailPanel, Facts } from "../../service/page/detail_panel.tsx";
import { formatCount, formatTime, formatTimeWithZone } from "../../service/page/format.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { setParams } from "../../service/page/url_state.ts";
import type { SeenEvent, Sprite } from "./stage_model.ts";
import { follow } from "./trace_store.ts";
import { capture, model, selected, traceLink, version } from "./store.ts";

const shownEvents = 20;

/** See the module. */
export function ClientDetail() {
  const number = selected.value;
  if (number === undefined || version.value < 0) return null;
  const sprite = model.sprites.get(number);
  const close = () => setParams({ client: undefined });
  if (!sprite) {
    return (
      <DetailPanel label="Client" title={<h2>Client {number}</h2>} onClose={close}>
        <p class="quiet">It has left the stage.</p>
        <ClientEvents number={number} />
      </DetailPanel>
    );
  }
  return (
    <DetailPanel
      label="Client"
      title={
        <h2>
          <ServiceName name={sprite.name} />
        </h2>
      }
      onClose={close}
    >
      <Facts facts={factsOf(sprite)} />
      <TraceLine traceId={sprite.traceId} />
      <ClientEvents number={number} />
    </DetailPanel>
  );
}

function factsOf(sprite: Sprite): [string, string][] {
  return [
    ["state", sprite.state],
    ["process", sprite.pid === undefined ? "not said" : String(sprite.pid)],
    ["on the stage since", formatTimeWithZone(sprite.sinceMs)],
    ["events", formatCount(sprite.events)],
  ];
}

function TraceLine({ traceId }: { traceId: string }) {
  const link = traceLink(traceId);
  return (
    <p class="trace-line">
      <span class="quiet">Trace</span> <ShortId id={traceId} what="the trace id" />
      <button type="button" class="button" onClick={() => follow(traceId)}>Follow</button>
      {link && <a href={link}>Open in the console</a>}
    </p>
  );
}

function ClientEvents({ number }: { number: number }) {
  const [open, setOpen] = useState<string | undefined>(undefined);
  const events: SeenEvent[] = [];
  for (let i = model.events.length - 1; i >= 0 && events.length < shownEvents; i--) {
    if (model.events[i]!.client === number) events.push(model.events[i]!);
  }
  return (
    <section class="client-event-list" aria-label="Latest events">
      <h3>Latest events</h3>
      {events.length === 0 && <p class="quiet">None since this page was opened.</p>}
      <ol>
        {events.map((event) => (
          <li key={event.id} class={event.fault ? "recent-fault" : ""}>
            <button
              type="button"
              class="event-button"
              aria-expanded={open === event.id}
              onClick={() => setOpen(open === event.id ? undefined : event.id)}
            >
              <span class="recent-time">{formatTime(event.atMs)}</span>
              <span class="clip">{event.text}</span>
            </button>
            {open === event.id && <RawEvent event={event} />}
          </li>
        ))}
      </ol>
    </section>
  );
}

/** The event's JSON, digit for digit: the server has it as it came. */
function RawEvent({ event }: { event: SeenEvent }) {
  const [json, setJson] = useState<string | undefined>(undefined);
  useEffect(() => {
    let current = true;
    rawJson(event).then((text) => current && setJson(text));
    return () => {
      current = false;
    };
  }, [event.id]);
  return (
    <div class="raw-event">
      <TraceLine traceId={event.traceId} />
      {json === undefined ? <p class="quiet">Loading…</p> : (
        <>
          <pre tabIndex={0}>{json}</pre>
          <CopyButton text={json} what="the event" />
        </>
      )}
    </div>
  );
}

async function rawJson({ id, client, ...event }: SeenEvent): Promise<string> {
  if (capture.peek()) return JSON.stringify(event, undefined, 2);
  try {
    const response = await fetch(`/api/events/${encodeURIComponent(id)}`);
    if (response.ok) return await response.text();
    return `The server does not keep this event any more (client ${client}).`;
  } catch {
    return "The server does not answer.";
  }
}
