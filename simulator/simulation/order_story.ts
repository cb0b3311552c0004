/**
 * What has become of each order up to an instant, in words.
 *
 * @module
 */
import { orderStage, resultStage } from "../topology/settings.ts";
import type { LogEntry } from "./event_loop.ts";
import { type BoxName, boxNames, type Snapshot } from "./snapshot.ts";

/** An order, as far as it has come. */
export interface OrderStory {
  /** Such as `o17`. */
  readonly order: string;
  /** When it was stored; `undefined` before that. */
  readonly placedAtMs: number | undefined;
  /** Each effect that was had, oldest first; one that was had twice stands here twice. */
  readonly effects: readonly { readonly consumer: string; readonly atMs: number }[];
  /** Consumers whose effect is to come. */
  readonly missing: readonly string[];
  /** `lost`: an effect is to come, but nothing carries it any more. */
  readonly state: "asked" | "under-way" | "parked" | "done" | "lost" | "twice";
  /** The boxes that it, or its result, lies in now. */
  readonly boxes: readonly BoxName[];
  /** All of it in a sentence. */
  readonly text: string;
}

interface Draft {
  placedAtMs: number | undefined;
  effects: { consumer: string; atMs: number }[];
  lastSeen: string;
}

const boxTitles: Readonly<Record<BoxName, string>> = {
  "outbox-1": "Outbox 1",
  "orders": "the bus (orders)",
  "inbox-2": "Inbox 2",
  "outbox-2": "Outbox 2",
  "results": "the bus (results)",
  "inbox-1": "Inbox 1",
};

/** Tells of every order that was asked for, by ascending number. */
export function orderStories(entries: readonly LogEntry[], snapshot: Snapshot): OrderStory[] {
  const drafts = new Map<string, Draft>();
  for (const entry of entries) {
    if (entry.event > snapshot.event) break;
    follow(drafts, entry);
  }
  const boxes = boxesByOrder(snapshot);
  const parked = new Set(
    [...snapshot.boxes["inbox-1"], ...snapshot.boxes["inbox-2"]]
      .filter(({ state }) => state === "parked").map(({ message }) => orderOf(message)),
  );
  return [...drafts].sort(([a], [b]) => Number(a.slice(1)) - Number(b.slice(1))).map((
    [order, draft],
  ) => storyOf(order, draft, boxes.get(order) ?? [], parked.has(order)));
}

function follow(drafts: Map<string, Draft>, entry: LogEntry): void {
  const { kind, subject, messages, atUs } = entry;
  const atMs = atUs / 1_000;
  if (kind === "commit") {
    for (const message of messages) {
      const draft = draftOf(drafts, message);
      if (/\borders\+/.test(entry.detail)) draft.placedAtMs ??= atMs;
      draft.lastSeen = placeOf(entry) ?? draft.lastSeen;
    }
    return;
  }
  if (!/^[or]\d+$/.test(subject)) return;
  const draft = draftOf(drafts, subject);
  if (kind === "effect") draft.effects.push({ consumer: entry.detail, atMs });
  else if (kind === "publish") draft.lastSeen = boxTitles[entry.detail as BoxName];
  else if (kind === "deliver") draft.lastSeen = entry.part;
}

/** Where a commit has put it. */
function placeOf({ subject, detail }: LogEntry): string | undefined {
  const number = subject.slice(-1);
  if (/\binbox\+/.test(detail)) return `Inbox ${number}`;
  if (/\boutbox\+/.test(detail)) return `Outbox ${number}`;
  return /\borders\+/.test(detail) ? `the orders of backend ${number}` : undefined;
}

function draftOf(drafts: Map<string, Draft>, message: string): Draft {
  const order = orderOf(message);
  let draft = drafts.get(order);
  if (draft === undefined) {
    draft = { placedAtMs: undefined, effects: [], lastSeen: "the frontend" };
    drafts.set(order, draft);
  }
  return draft;
}

/** An order and its result have the same number. */
function orderOf(message: string): string {
  return `o${message.slice(1)}`;
}

function boxesByOrder({ boxes }: Snapshot): Map<string, BoxName[]> {
  const found = new Map<string, BoxName[]>();
  for (const box of boxNames) {
    for (const { message } of boxes[box]) {
      const here = found.get(orderOf(message)) ?? [];
      if (!here.includes(box)) here.push(box);
      found.set(orderOf(message), here);
    }
  }
  return found;
}

function storyOf(
  order: string,
  { placedAtMs, effects, lastSeen }: Draft,
  boxes: readonly BoxName[],
  isParked: boolean,
): OrderStory {
  const consumers = [...orderStage.consumers, ...resultStage.consumers];
  const missing = consumers.filter((one) => !effects.some(({ consumer }) => consumer === one));
  const isTwice = effects.length > consumers.length - missing.length;
  const state = isTwice
    ? "twice"
    : placedAtMs === undefined
    ? "asked"
    : missing.length === 0
    ? "done"
    : isParked
    ? "parked"
    : boxes.length === 0
    ? "lost"
    : "under-way";
  const where = boxes.length > 0
    ? `now in ${boxes.map((box) => boxTitles[box]).join(" and ")}`
    : `last seen in ${lastSeen}`;
  const text = `order ${order.slice(1)}: ${
    placedAtMs === undefined ? "asked for, not stored" : `committed at ${seconds(placedAtMs)}`
  }${applicationsOf(effects, missing)}${state === "done" ? "" : `; ${where}`}`;
  return { order, placedAtMs, effects, missing, state, boxes, text };
}

function applicationsOf(effects: Draft["effects"], missing: readonly string[]): string {
  if (effects.length === 0) return ", never applied";
  const had = effects.map(({ consumer, atMs }) => `${consumer} at ${seconds(atMs)}`).join(", ");
  return `, applied by ${had}${missing.length === 0 ? "" : `, not by ${missing.join(", ")}`}`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
