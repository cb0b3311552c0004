/**
 * What is known of one message, or of one part, at the instant that is shown.
 *
 * @module
 */
import { formatCounted, formatDuration } from "../../service/page/format.ts";
import { DetailPanel, Facts } from "../../service/page/detail_panel.tsx";
import { setParams } from "../../service/page/url_state.ts";
import type { BoxItem, BoxName, Change, LogEntry, PartState } from "../simulation/engine.ts";
import { withTrouble } from "./faults.ts";
import { type Branch, current, entryPlace, event, message, part, view } from "./page_state.ts";
import { interventionMs, isAbout, seekEntry } from "./position.ts";
import { edit } from "./store.ts";
import { keyOf, keysOf } from "./message_key.ts";
import { nodeWords, pictureOf } from "./picture.ts";
import { nodeNamed, nodeOfPart, nodes } from "./topology_layout.ts";
import { entryWords, messageWords, partWords, secondsWords } from "./words.ts";

/** The card of what is selected, if anything is. */
export function Card() {
  const run = current.value;
  if (run === undefined) return null;
  if (message.value !== undefined) return <MessageCard run={run} id={message.value} />;
  if (part.value !== undefined && nodes.some(({ name }) => name === part.value)) {
    return <NodeCard run={run} />;
  }
  return null;
}

function MessageCard({ run, id }: { run: Branch; id: string }) {
  const number = id.slice(1);
  const order = `o${number}`;
  const story = view.value?.orders.find((one) => one.order === order);
  const about = run.info.entries.map((entry, place) => ({ entry, place }))
    .filter(({ entry }) => isAbout(entry, order));
  const past = about.filter(({ place }) => place <= entryPlace.value);
  const attempts = past.filter(({ entry: { kind } }) => isAttempt(kind)).length;
  const rows = rowsOf(past.map(({ entry }) => entry), number);
  return (
    <DetailPanel
      label={`Order ${number}`}
      title={<h2>Order {number}</h2>}
      onClose={() => setParams({ message: undefined })}
    >
      <p>{story?.text ?? "Nothing is known of it yet at this instant."}</p>
      <Facts
        facts={[
          ["Trace", `t-${order}`],
          ["Key", `k${keyOf(order, keysOf(run.info.options))}`],
          ["Messages", `${order}, and r${number} for its result`],
          ["Attempts that failed", String(attempts)],
        ]}
      />
      <h3>Its rows</h3>
      {rows.length === 0 ? <p class="quiet">None yet.</p> : (
        <ul class="row-history">
          {rows.map(({ name, steps }) => (
            <li key={name}>
              <b>{name}</b>
              <ol>
                {steps.map(({ atMs, text }, index) => (
                  <li key={index}>
                    <span class="event-at">{secondsWords(atMs)}</span> {text}
                  </li>
                ))}
              </ol>
            </li>
          ))}
        </ul>
      )}
      <h3>{formatCounted(about.length, "event")}</h3>
      <ol class="card-events">
        {about.slice(0, 200).map(({ entry, place }) => (
          <li key={place}>
            <button
              type="button"
              class={place > entryPlace.value ? "event-button event-future" : "event-button"}
              aria-current={place === entryPlace.value ? "true" : undefined}
              onClick={() => seekEntry(place)}
            >
              <span class="event-at">{secondsWords(entry.atUs / 1_000)}</span>
              <span>{entryWords(entry)}</span>
            </button>
          </li>
        ))}
      </ol>
    </DetailPanel>
  );
}

function isAttempt(kind: string): boolean {
  return kind.startsWith("fault-") || kind === "place-again" || kind === "not-sent" ||
    kind === "not-taken-in";
}

interface RowHistory {
  readonly name: string;
  readonly steps: { readonly atMs: number; readonly text: string }[];
}

/** What each row about an order has become, and when. */
export function rowsOf(entries: readonly LogEntry[], number: string): RowHistory[] {
  const histories = new Map<string, RowHistory>();
  for (const { rows = [], atUs, subject } of entries) {
    for (const change of rows) {
      const id = idOf(change);
      if (id === undefined || id.slice(1) !== number) continue;
      const consumer = (change.after ?? change.before)!["consumer"];
      const name = `${change.table} of backend ${subject.slice(-1)}, ${messageWords(id)}${
        consumer === undefined ? "" : ` for ${consumer}`
      }`;
      let history = histories.get(name);
      if (history === undefined) histories.set(name, history = { name, steps: [] });
      history.steps.push({ atMs: atUs / 1_000, text: changeWords(change) });
    }
  }
  return [...histories.values()];
}

function idOf({ before, after }: Change): string | undefined {
  const row = (after ?? before)!;
  const id = row["messageId"] ?? row["orderId"];
  return typeof id === "string" ? id : undefined;
}

function changeWords({ before, after }: Change): string {
  if (after === undefined) return "removed";
  if (before === undefined) return `inserted${after["state"] ? `, ${after["state"]}` : ""}`;
  const words: string[] = [];
  if (after["state"] !== before["state"]) words.push(String(after["state"]));
  if (after["token"] !== before["token"]) words.push(`token ${after["token"]}`);
  if (after["attempts"] !== before["attempts"]) words.push(`attempt ${after["attempts"]}`);
  return words.length === 0 ? "changed" : words.join(", ");
}

/** A part: its instances, each of which can be killed or held; or a box: what lies in it. */
function NodeCard({ run }: { run: Branch }) {
  const node = nodeNamed(part.value as Parameters<typeof nodeNamed>[0]);
  const { parts = [], boxes } = view.value?.snapshot ?? {};
  const instances = node.name === "frontend"
    ? []
    : parts.filter(({ name }) => nodeOfPart(name) === node.name);
  const items = node.kind === "box" ? boxes?.[node.name as BoxName] ?? [] : [];
  return (
    <DetailPanel
      label={node.title}
      title={<h2>{node.title}</h2>}
      onClose={() => setParams({ part: undefined })}
    >
      <p>{nodeWords(node, pictureOf(run.letter, run.info, view.value))}</p>
      {instances.length > 0 && <Instances run={run} instances={instances} />}
      {items.length > 0 && <BoxItems items={items} />}
    </DetailPanel>
  );
}

/** How long a part that is killed or held by hand is so, in milliseconds. */
const troubleMs = 500;

function Instances({ run, instances }: { run: Branch; instances: readonly PartState[] }) {
  function trouble(kind: "crash" | "pause", name: string) {
    const whenMs = interventionMs();
    void edit(run, withTrouble(run.info, kind, name, whenMs, troubleMs), whenMs);
  }
  return (
    <>
      <ul class="instances">
        {instances.map(({ name, state, skewMs }) => (
          <li key={name}>
            <span>
              <b>{partWords(name)}</b>{" "}
              <span class={state === "up" ? "quiet" : "error-text"}>{state}</span>
              {skewMs !== 0 && <span class="quiet">, clock off by {formatDuration(skewMs)}</span>}
            </span>
            <span class="instance-actions">
              <button type="button" class="button" onClick={() => trouble("crash", name)}>
                Kill
              </button>
              <button type="button" class="button" onClick={() => trouble("pause", name)}>
                Hold
              </button>
            </span>
          </li>
        ))}
      </ul>
      <p class="quiet">
        Each for {formatDuration(troubleMs)} of the run, from event {event.value} on.
      </p>
    </>
  );
}

function BoxItems({ items }: { items: readonly BoxItem[] }) {
  return (
    <table class="box-items">
      <thead>
        <tr>
          <th scope="col">Message</th>
          <th scope="col">Key</th>
          <th scope="col">State</th>
          <th scope="col">Attempts</th>
        </tr>
      </thead>
      <tbody>
        {items.slice(0, 200).map(({ message, consumer, key, sequence, state, attempts }) => (
          <tr key={`${message} ${consumer}`}>
            <td>
              <button
                type="button"
                class="text-button"
                onClick={() =>
                  setParams({ message, part: undefined })}
              >
                {message}
              </button>{" "}
              {consumer !== undefined && <span class="quiet">{consumer}</span>}
            </td>
            <td>{key}, {sequence}</td>
            <td class={state === "parked" ? "error-text" : ""}>{state}</td>
            <td>{attempts}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
