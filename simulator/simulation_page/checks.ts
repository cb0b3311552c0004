/**
 * Each invariant at an instant, in words: what it says of what has happened up to then, and about
 * which order.
 *
 * @module
 */
import { formatCounted } from "../../service/page/format.ts";
import { invariantNames, type OrderStory } from "../simulation/engine.ts";
import type { RunInfo, RunView } from "./protocol.ts";
import { capitalWords, type CheckName, invariantTitles, secondsWords, textWords } from "./words.ts";

/** An invariant at an instant. */
export interface Check {
  readonly name: CheckName;
  readonly title: string;
  /** `open`: it holds so far, and has yet to be kept. */
  readonly state: "holds" | "open" | "broken";
  readonly text: string;
}

/** Every invariant at the instant of a view. */
export function checksAt(info: RunInfo, view: RunView): Check[] {
  return invariantNames.map((name) => checkAt(name, info, view));
}

function checkAt(name: CheckName, info: RunInfo, view: RunView): Check {
  const title = invariantTitles[name];
  const violation = info.violations.find(({ invariant }) => invariant === name);
  if (violation !== undefined && violation.atMs <= view.snapshot.atMs + 0.001) {
    const about = storyOf(violation.text, view.orders);
    const text = `Broken at ${secondsWords(violation.atMs)}: ${textWords(violation.text)}${
      about === undefined ? "" : `. ${capitalWords(about.text)}`
    }`;
    return { name, title, state: "broken", text };
  }
  return { name, title, ...wordsOf[name](view, info) };
}

type Words = Pick<Check, "state" | "text">;

const holds = (text: string): Words => ({ state: "holds", text });
const open = (text: string): Words => ({ state: "open", text });

const wordsOf: Readonly<Record<CheckName, (view: RunView, info: RunInfo) => Words>> = {
  "no-lost-effect"({ orders, snapshot }) {
    const lost = orders.filter(({ state }) => state === "lost");
    if (lost.length > 0) return open(`Nothing carries it any more: ${lost[0]!.text}`);
    const missing = orders.filter(({ state }) => state === "under-way" || state === "parked");
    if (missing.length > 0) {
      return open(
        `${formatCounted(snapshot.counters.inFlight, "effect")} to come; ${missing[0]!.text}`,
      );
    }
    return holds(`All ${formatCounted(snapshot.counters.applied, "effect")} up to now happened`);
  },
  "exactly-once-effect": ({ snapshot: { counters } }) =>
    holds(
      `${formatCounted(counters.applied, "effect")}, none twice; ${
        formatCounted(counters.duplicatesDropped, "duplicate")
      } dropped`,
    ),
  "no-ghost-message": ({ snapshot: { counters } }) =>
    holds(`Each of ${formatCounted(counters.applied, "effect")} has an order that is committed`),
  "order-per-key": (_, { options }) =>
    holds(
      options.ordering === "queue"
        ? `Kept by queues, for ${formatCounted(options.keys, "key")}`
        : `Kept by numbers that are waited for, for ${formatCounted(options.keys, "key")}`,
    ),
  "boxes-bounded-and-drained"({ snapshot: { boxes } }) {
    const items = Object.values(boxes).reduce((sum, box) => sum + box.length, 0);
    return items === 0
      ? holds("All boxes are empty")
      : open(`${formatCounted(items, "message")} in boxes now`);
  },
  "deduplication-window": (_, { options }) =>
    options.pattern === "outbox"
      ? holds(`What was handled is remembered for ${secondsWords(options.windowMs)}`)
      : holds("This pattern has no window: it does not know duplicates"),
  "conservation": ({ snapshot: { counters } }) =>
    holds(`${formatCounted(counters.sent, "message")} sent, each accounted for`),
  "deleted-only-if-acknowledged": () => holds("No row was removed that nobody had taken"),
  "one-owner"({ snapshot: { parts } }) {
    const relays = parts.filter(({ name }) => name.startsWith("relay")).length;
    return holds(
      relays === 0 ? "This pattern has no relays" : `${relays} relays, each shard owned by one`,
    );
  },
  "amplification": ({ snapshot: { counters } }) =>
    holds(`${formatCounted(counters.retried, "retry", "retries")} up to now, within the bound`),
  "progress"({ orders, snapshot: { phase } }) {
    const parked = orders.filter(({ state }) => state === "parked");
    if (parked.length > 0) return open(`Parked for an operator: ${parked[0]!.text}`);
    const waiting = orders.filter(({ state }) => state === "under-way");
    if (waiting.length === 0) return holds("Nobody waits");
    return phase === "faults"
      ? open(`${formatCounted(waiting.length, "order")} under way while faults last`)
      : open(`Healed; ${formatCounted(waiting.length, "order")} must be done soon`);
  },
  "connected-trace": ({ snapshot: { counters } }) =>
    holds(`Each of ${formatCounted(counters.applied, "effect")} carries its order's trace`),
};

/** The story of the order that a text speaks of. */
function storyOf(text: string, orders: readonly OrderStory[]): OrderStory | undefined {
  const [, number] = /\b[or](\d+)\b/.exec(text) ?? [];
  return number === undefined ? undefined : orders.find(({ order }) => order === `o${number}`);
}

/** A rare path: a check that holds if it was reached at least once. */
export interface Sometimes {
  readonly name: string;
  readonly atMs: number;
}
