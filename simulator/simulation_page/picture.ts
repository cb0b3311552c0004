/**
 * What there is to draw of a topology at an instant, whether it is simulated or runs live, and the same
 * in words.
 *
 * @module
 */
import { formatCount, formatCounted } from "../../service/page/format.ts";
import { type BoxItem, type BoxName, boxNames } from "../simulation/engine.ts";
import { type Keys, keysOf } from "./message_key.ts";
import type { RunInfo, RunView } from "./protocol.ts";
import { nodeOfPart, type TopologyNode } from "./topology_layout.ts";
import { partWords } from "./words.ts";

/** What lies in a box. */
export interface BoxPicture {
  readonly count: number;
  readonly parked: number;
  /** The messages themselves, if they are known. */
  readonly items: readonly BoxItem[];
}

/** A process. */
export interface InstancePicture {
  /** Such as `relay-1.0`. */
  readonly name: string;
  readonly state: "up" | "down" | "paused";
}

/** An instant of a topology. */
export interface Picture {
  /** What it is called, as `run A`. */
  readonly label: string;
  /** Keys that messages have: as many colours. */
  readonly keys: Keys;
  readonly placed: string;
  readonly confirmed: string;
  readonly boxes: Readonly<Record<BoxName, BoxPicture>>;
  readonly parts: readonly InstancePicture[];
  /** Whether outboxes and their relays are used. */
  readonly hasOutbox: boolean;
}

const emptyBox: BoxPicture = { count: 0, parked: 0, items: [] };

/** A picture without anything in its boxes. */
export const emptyBoxes: Picture["boxes"] = Object.fromEntries(
  boxNames.map((name) => [name, emptyBox]),
) as Record<BoxName, BoxPicture>;

/** The picture of a run at the instant of a view; before there is one, nothing is in it. */
export function pictureOf(
  letter: string,
  { options }: RunInfo,
  view: RunView | undefined,
): Picture {
  const { orders, pattern } = options;
  const done = view?.orders.filter(({ state }) => state === "done").length ?? 0;
  return {
    label: `run ${letter}`,
    keys: keysOf(options),
    placed: `${view?.snapshot.counters.placed ?? 0} of ${orders}`,
    confirmed: `${done} of ${orders}`,
    boxes: view === undefined ? emptyBoxes : boxesOf(view),
    parts: view?.snapshot.parts ?? [],
    hasOutbox: pattern === "outbox",
  };
}

function boxesOf({ snapshot: { boxes } }: RunView): Picture["boxes"] {
  return Object.fromEntries(
    boxNames.map((name): [BoxName, BoxPicture] => {
      const items = boxes[name];
      const parked = items.filter(({ state }) => state === "parked").length;
      return [name, { count: items.length, parked, items }];
    }),
  ) as Record<BoxName, BoxPicture>;
}

/** Whether a part or a box has no use in a pattern. */
export function isUnused({ name }: Pick<TopologyNode, "name">, { hasOutbox }: Picture): boolean {
  return !hasOutbox && /^(outbox|relay)/.test(name);
}

/** The instances of a part. */
export function instancesOf(
  { name }: Pick<TopologyNode, "name">,
  { parts }: Pick<Picture, "parts">,
): readonly InstancePicture[] {
  return parts.filter((one) => nodeOfPart(one.name) === name);
}

/** What is drawn of a node, in words. */
export function nodeWords(node: TopologyNode, picture: Picture): string {
  const { name, title, kind } = node;
  if (isUnused(node, picture)) return `${title}: not used by this pattern`;
  if (kind === "end") return `${title}: ${ordersOf(picture.confirmed)}`;
  if (kind === "box") return `${title}: ${boxWords(picture.boxes[name as BoxName])}`;
  if (name === "frontend") return `${title}: ${ordersOf(picture.placed)} placed`;
  const words = instancesOf(node, picture).map((one) =>
    `${partWords(one.name).slice(-1)} ${one.state}`
  );
  return `${title}: ${words.join(", ")}`;
}

function boxWords({ count, parked, items }: BoxPicture): string {
  if (count === 0) return "empty";
  const names = items.slice(0, 5).map(({ message, consumer }) =>
    consumer === undefined ? message : `${message} for ${consumer}`
  ).join(", ");
  return `${formatCounted(count, "message")}${names === "" ? "" : `: ${names}`}${
    items.length > 5 ? " and more" : ""
  }${parked > 0 ? `; ${formatCount(parked)} parked` : ""}`;
}

/** @param count such as `1`, or `1 of 6` */
function ordersOf(count: string): string {
  return `${count} ${count === "1" ? "order" : "orders"}`;
}
