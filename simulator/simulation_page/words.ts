/**
 * Events of a run in words, for people who have not read the log's columns.
 *
 * @module
 */
import { formatDuration } from "../../service/page/format.ts";
import type { FaultKind, FaultPoint, invariantNames, LogEntry } from "../simulation/engine.ts";
import { pointOf, pointTitles } from "./topology_layout.ts";

/** What each kind of fault does to a call. */
export const faultWords: Readonly<Record<FaultKind, { readonly name: string; does: string }>> = {
  "refuse": { name: "refuse", does: "was refused" },
  "time-out": { name: "time out", does: "never arrived; whoever sent it waits in vain" },
  "lose-answer": { name: "lose answer", does: "arrived, but its answer was lost" },
  "delay": { name: "delay", does: "was delayed" },
  "duplicate": { name: "duplicate", does: "will arrive twice" },
  "reorder": { name: "reorder", does: "was overtaken" },
  "crash-before": { name: "crash before", does: "made its part crash before it was done" },
  "crash-after": { name: "crash after", does: "made its part crash after it was done" },
  "outage": { name: "outage", does: "met an outage that lasts for a while" },
};

/** `order 17`, `result 17`, or the word itself. */
export function messageWords(message: string): string {
  const [, kind, number] = /^([or])(\d+)$/.exec(message) ?? [];
  if (kind === undefined) return message;
  return kind === "o" ? `order ${number}` : `result ${number}`;
}

/** A text of the simulator's, in which messages have the names that people say. */
export function textWords(text: string): string {
  return text.replace(/\b[or]\d+\b/g, messageWords);
}

/** The name of an invariant. */
export type CheckName = typeof invariantNames[number];

/** What each invariant says. */
export const invariantTitles: Readonly<Record<CheckName, string>> = {
  "no-lost-effect": "No effect is lost",
  "exactly-once-effect": "Each effect happens exactly once",
  "no-ghost-message": "No message about what never happened",
  "order-per-key": "The order of each key is kept",
  "boxes-bounded-and-drained": "Boxes are drained",
  "deduplication-window": "Duplicates come within the window",
  "conservation": "Sent = delivered + dropped + in flight",
  "deleted-only-if-acknowledged": "Deleted only if acknowledged",
  "one-owner": "One owner at a time",
  "amplification": "Faults do not multiply calls",
  "progress": "Everything goes on",
  "connected-trace": "One trace for each order",
};

const partTitles: Readonly<Record<string, string>> = {
  "frontend": "Frontend",
  "backend-1": "Backend 1",
  "relay-1": "Relay 1",
  "relay-2": "Relay 2",
  "lambda-1": "Lambda 1",
  "lambda-2": "Lambda 2",
  "processor-1": "Processor 1",
  "processor-2": "Processor 2",
  "janitor-1": "Janitor 1",
  "janitor-2": "Janitor 2",
  "operator-1": "Operator 1",
  "operator-2": "Operator 2",
  "world": "The world",
};

/** `relay-1.0` as `Relay 1a`: instances by letters, as the number is the backend's. */
export function partWords(part: string): string {
  const [name, instance] = part.split(".");
  const title = partTitles[name!] ?? name!;
  return instance === undefined || /^(janitor|operator|frontend)/.test(part)
    ? title
    : `${title}${String.fromCharCode(97 + Number(instance))}`;
}

/** A part's own title, without its instance. */
export function partTitle(part: string): string {
  return partTitles[part.replace(/\.\d+$/, "")] ?? part;
}

const sentences: Readonly<Record<string, (entry: LogEntry, message: string) => string>> = {
  "publish": ({ part, detail }, message) =>
    `${partWords(part)} put ${message} on the bus (${detail})`,
  "deliver": ({ part, detail }, message) => {
    const attempt = /attempt (\d+)/.exec(detail)?.[1] ?? "1";
    return `${partWords(part)} got ${message} from the bus${
      attempt === "1" ? "" : `, attempt ${attempt}`
    }`;
  },
  "acknowledge": ({ part }, message) =>
    `${partWords(part)} acknowledged ${message}: the bus forgets it`,
  "effect": ({ part, detail }, message) => `${partWords(part)} applied ${message}: ${detail}`,
  "placed": (_, message) => `Frontend knows that ${message} is placed`,
  "place-again": ({ detail }, message) =>
    `Frontend got no answer about ${message} (${detail}); it will ask again`,
  "claim": ({ part, detail }) =>
    `${partWords(part)} claims ${detail.split(" ").map(messageWords).join(", ")}`,
  "claim-taken": ({ part }, message) =>
    `${partWords(part)} takes over ${message}, which another had claimed`,
  "not-sent": ({ part, detail }, message) =>
    `${partWords(part)} could not send ${message} (${detail})`,
  "not-taken-in": ({ part, detail }, message) =>
    `${partWords(part)} could not take in ${message} (${detail})`,
  "duplicate": ({ part }, message) =>
    `${partWords(part)} dropped a copy of ${message}: it is known already`,
  "forgotten-dup": ({ part }, message) =>
    `${partWords(part)} dropped an old copy of ${message}: its number is behind the mark`,
  "forgotten": ({ part, detail }, message) =>
    `${partWords(part)} could not send ${message} (${detail}), and forgets it`,
  "failed": ({ part, detail }) => `${partWords(part)} failed at something (${detail})`,
  "fenced": ({ part }, message) =>
    `${partWords(part)} was too late with ${message}: another owns it by now`,
  "lease-over": ({ part }, message) =>
    `${partWords(part)} takes ${message}, whose lease has run out`,
  "parked": ({ part, detail }, message) =>
    `${partWords(part)} parked ${message} for an operator (${detail})`,
  "redriven": (_, message) => `An operator gives ${message} another chance`,
  "purged": ({ part, subject, detail }) =>
    `${partWords(part)} removed ${detail} old rows (${subject})`,
  "crash": ({ part, detail }) =>
    `${partWords(part)} crashed; it is down for ${lastingWords(detail)}`,
  "restart": ({ part }) => `${partWords(part)} is up again`,
  "pause": ({ part, detail }) => `${partWords(part)} stands still for ${lastingWords(detail)}`,
  "cut": ({ subject, detail }) =>
    `${/^point/.test(subject) ? subject : partWords(subject)} is cut off for ${
      lastingWords(detail)
    }`,
  "store-crash": ({ subject, detail }) =>
    `${storeWords(subject)} crashed; it is down for ${lastingWords(detail)}`,
  "store-full": ({ subject, detail }) =>
    `${storeWords(subject)} is full for ${lastingWords(detail)}`,
  "stall": ({ part, detail }) => `${partWords(part)}: a commit stalls for ${lastingWords(detail)}`,
  "hook-threw": ({ part }) => `${partWords(part)}: a hook failed after publishing`,
  "lock-wait": ({ part }) => `${partWords(part)} waits for a lock`,
  "deadlock": ({ part }) => `${partWords(part)} gave way in a deadlock`,
  "heal": () => "All faults end; whatever was down comes up",
  "mend": () => "Handlers are mended, and what is parked gets another chance",
  "owns": ({ part, subject }) => `${partWords(part)} believes that it owns ${subject}`,
  "rates": ({ detail, subject }) =>
    `Somebody sets the faults at point ${subject}, ${pointTitles[Number(subject) as FaultPoint]}: ${
      detail || "none"
    }`,
  "lambda-failed": ({ part }, message) => `${partWords(part)} failed at ${message}`,
};

/** `4312000 ms` as `1 h 12 min`. */
function lastingWords(detail: string): string {
  return detail.replace(/([\d.]+) ms/, (_, ms) => formatDuration(Number(ms)));
}

/** `store-1` as `The store of backend 1`. */
function storeWords(store: string): string {
  return `The store of backend ${store.slice(-1)}`;
}

/** What went wrong beside the faults of calls: parts and stores. */
const troubles = new Set(["crash", "pause", "cut", "store-crash", "store-full", "starve", "stall"]);

/** Whether an entry tells of something that goes wrong in the world: a fault, a crash, a cut. */
export function isTrouble({ kind }: LogEntry): boolean {
  return kind.startsWith("fault-") || troubles.has(kind);
}

/** An entry as a sentence. */
export function entryWords(entry: LogEntry): string {
  const { kind, part, subject, detail } = entry;
  const message = messageWords(subject);
  const point = pointOf(kind);
  if (point !== undefined) {
    const { does } = faultWords[detail as FaultKind] ?? { does: detail };
    const what = message === "orders" || message === "results"
      ? `a call about ${message}`
      : message;
    return `Point ${point}, ${pointTitles[point]}: ${what} ${does}`;
  }
  if (kind === "VIOLATION") return brokenWords(detail);
  if (kind === "commit") return commitWords(entry);
  return sentences[kind]?.(entry, message) ??
    `${partWords(part)}: ${kind}${message === "" ? "" : ` ${message}`}${
      detail === "" ? "" : ` (${detail})`
    }`;
}

/** That an invariant does not hold, as a title. */
export function brokenTitle(name: CheckName): string {
  return `Broken: “${invariantTitles[name]}”`;
}

/** With a capital letter. */
export function capitalWords(text: string): string {
  return text === "" ? "" : text[0]!.toUpperCase() + text.slice(1);
}

/** @param detail such as `order-per-key: o9: number 2 of billing/k2 applied after number 3` */
function brokenWords(detail: string): string {
  const [, name, text] = /^([a-z-]+): (.*)$/s.exec(detail) ?? [];
  const title = invariantTitles[name as CheckName];
  if (title === undefined) return `Broken: ${detail}`;
  return `${brokenTitle(name as CheckName)} ${capitalWords(textWords(text!))}`;
}

function commitWords({ part, subject, detail, messages }: LogEntry): string {
  const who = partWords(part);
  const what = messages.map(messageWords).join(", ");
  if (/\borders\+/.test(detail)) return `${who} committed ${what || "an order"}`;
  if (/\beffects\+/.test(detail)) return `${who} committed the effect of ${what}`;
  if (/^inbox\+/.test(detail) && part.startsWith("lambda")) {
    return `${who} wrote ${what} into Inbox ${subject.slice(-1)}`;
  }
  if (/^leases\+1$/.test(detail)) return `${who} renewed its lease`;
  if (/^outbox\+/.test(detail)) {
    return `${who} marked ${what || "rows"} in Outbox ${subject.slice(-1)}`;
  }
  if (/^inbox\+/.test(detail)) {
    return `${who} marked ${what || "rows"} in Inbox ${subject.slice(-1)}`;
  }
  return `${who} committed ${detail}`;
}

/** Whether an entry is no more than the heartbeat of leases and locks. */
export function isQuiet({ kind, detail }: LogEntry): boolean {
  return kind === "lock-wait" || kind === "commit" && /^(leases|heartbeats)\+\d+$/.test(detail);
}

/** Virtual time: `2.104 s`. */
export function secondsWords(ms: number): string {
  return `${(ms / 1_000).toFixed(3)}\u202fs`;
}

/** A speed: `10 ×`. */
export function speedWords(speed: number): string {
  return `${speed.toLocaleString("en")}\u202f×`;
}

/** How long something takes. */
export const durationWords = formatDuration;
