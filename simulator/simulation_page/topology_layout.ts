/**
 * Where the topology's parts stand, and which way a message takes at each event of the log: the way
 * there above, the way back below, the bus between the two backends. On a narrow page the same, turned
 * by a quarter.
 *
 * @module
 */
import type { BoxName, FaultPoint, LogEntry } from "../simulation/engine.ts";

/** A place on the drawing, in its own measure. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** What stands in the topology. */
export type NodeName =
  | "frontend"
  | "backend-1"
  | BoxName
  | "relay-1"
  | "relay-2"
  | "lambda-1"
  | "lambda-2"
  | "processor-1"
  | "processor-2"
  | "done";

/** A part or a box. */
export interface TopologyNode {
  readonly name: NodeName;
  readonly title: string;
  readonly kind: "part" | "box" | "end";
  /** Column and row; wide, columns go to the right. */
  readonly column: number;
  readonly row: 0 | 1;
}

const columns = [
  ["frontend", "Frontend", "part", 0, 0],
  ["backend-1", "Backend 1", "part", 1, 0],
  ["outbox-1", "Outbox 1", "box", 2, 0],
  ["relay-1", "Relay 1", "part", 3, 0],
  ["orders", "Bus: orders", "box", 4, 0],
  ["lambda-2", "Lambda 2", "part", 5, 0],
  ["inbox-2", "Inbox 2", "box", 6, 0],
  ["processor-2", "Processor 2", "part", 7, 0],
  ["outbox-2", "Outbox 2", "box", 7, 1],
  ["relay-2", "Relay 2", "part", 6, 1],
  ["results", "Bus: results", "box", 4, 1],
  ["lambda-1", "Lambda 1", "part", 3, 1],
  ["inbox-1", "Inbox 1", "box", 2, 1],
  ["processor-1", "Processor 1", "part", 1, 1],
  ["done", "Confirmed", "end", 0, 1],
] as const;

/** All of them, along the way of an order. */
export const nodes: readonly TopologyNode[] = columns.map(([name, title, kind, column, row]) => ({
  name,
  title,
  kind,
  column,
  row,
}));

const byName = new Map(nodes.map((node) => [node.name, node]));

/** The node of a name. */
export function nodeNamed(name: NodeName): TopologyNode {
  return byName.get(name)!;
}

/** A connection; faults happen at those that have a point. */
export interface TopologyEdge {
  readonly from: NodeName;
  readonly to: NodeName;
  readonly point?: FaultPoint;
}

/** All of them. */
export const edges: readonly TopologyEdge[] = [
  { from: "frontend", to: "backend-1", point: 1 },
  { from: "backend-1", to: "outbox-1" },
  { from: "outbox-1", to: "relay-1" },
  { from: "relay-1", to: "orders", point: 2 },
  { from: "orders", to: "lambda-2", point: 3 },
  { from: "lambda-2", to: "inbox-2", point: 4 },
  { from: "inbox-2", to: "processor-2", point: 5 },
  { from: "processor-2", to: "outbox-2" },
  { from: "outbox-2", to: "relay-2" },
  { from: "relay-2", to: "results", point: 6 },
  { from: "results", to: "lambda-1", point: 7 },
  { from: "lambda-1", to: "inbox-1", point: 8 },
  { from: "inbox-1", to: "processor-1" },
  { from: "processor-1", to: "done" },
];

/** What happens at each point, in words. */
export const pointTitles: Readonly<Record<FaultPoint, string>> = {
  1: "Frontend to Backend 1",
  2: "Outbox 1 to bus",
  3: "Bus to lambda 2",
  4: "Lambda to Inbox 2",
  5: "Processing",
  6: "Outbox 2 to bus",
  7: "Bus to lambda 1",
  8: "Lambda to Inbox 1",
};

/** A drawing of a size. */
export interface TopologyLayout {
  readonly isNarrow: boolean;
  readonly width: number;
  readonly height: number;
  readonly nodeWidth: number;
  readonly nodeHeight: number;
  place(name: NodeName): Place;
  /** Where the switch of a point is. */
  pointPlace(point: FaultPoint): Place;
}

/** The drawing of a page that is wide, or narrow. */
export function topologyLayout(isNarrow: boolean): TopologyLayout {
  const [width, height] = isNarrow ? [328, 600] : [960, 208];
  const [nodeWidth, nodeHeight] = isNarrow ? [116, 48] : [86, 64];
  const place = (name: NodeName): Place => {
    const { column, row } = nodeNamed(name);
    return isNarrow
      ? { x: row === 0 ? 90 : 238, y: 32 + column * 76.5 }
      : { x: 50 + column * 122.8, y: row === 0 ? 50 : 158 };
  };
  return {
    isNarrow,
    width,
    height,
    nodeWidth,
    nodeHeight,
    place,
    pointPlace(point) {
      const { from, to } = edges.find((edge) => edge.point === point)!;
      const [a, b] = [place(from), place(to)];
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    },
  };
}

/** The node that a process belongs to; `undefined` for janitors and operators, which are not drawn. */
export function nodeOfPart(part: string): NodeName | undefined {
  const name = part.replace(/\.\d+$/, "") as NodeName;
  return byName.has(name) ? name : undefined;
}

/** A message on its way from one node to the next, or further. */
export interface Flight {
  readonly message: string;
  readonly way: readonly NodeName[];
  /** `lost`: it does not get there. */
  readonly kind: "message" | "copy" | "lost" | "acknowledgement";
}

const isMessage = (text: string) => /^[or]\d+$/.test(text);

/** What flies at an entry of the log. */
export function flightsOf(entry: LogEntry): Flight[] {
  const { kind, part, subject, detail } = entry;
  const node = nodeOfPart(part);
  switch (kind) {
    case "commit":
      return node === undefined ? [] : committed(node, entry);
    case "publish": {
      const topic = detail as "orders" | "results";
      const from = topic === "orders" ? "outbox-1" : "outbox-2";
      const way: NodeName[] = node?.startsWith("relay") ? [from, node, topic] : [node!, topic];
      return [{ message: subject, way, kind: "message" }];
    }
    case "deliver": {
      const attempt = Number(/attempt (\d+)/.exec(detail)?.[1] ?? 1);
      const topic = detail.startsWith("orders") ? "orders" : "results";
      return [{ message: subject, way: [topic, node!], kind: attempt > 1 ? "copy" : "message" }];
    }
    case "acknowledge": {
      const topic = detail === "orders" ? "orders" : "results";
      return [{ message: subject, way: [node!, topic], kind: "acknowledgement" }];
    }
    case "effect": {
      if (detail === "confirmation") {
        return [{ message: subject, way: ["inbox-1", "processor-1", "done"], kind: "message" }];
      }
      const way: NodeName[] = ["inbox-2", "processor-2"];
      if (detail === "billing") way.push("outbox-2");
      return [{ message: subject, way, kind: "message" }];
    }
    case "duplicate":
    case "forgotten-dup": {
      const inbox = part.startsWith("lambda-1") ? "inbox-1" : "inbox-2";
      return [{ message: subject, way: [node!, inbox], kind: "copy" }];
    }
  }
  const point = pointOf(kind);
  if (point === undefined) return [];
  const { from, to } = edges.find((edge) => edge.point === point)!;
  const message = isMessage(subject) ? subject : "";
  return [{ message, way: [from, to], kind: "lost" }];
}

function committed(node: NodeName, { detail, messages }: LogEntry): Flight[] {
  const fly = (...way: NodeName[]) =>
    messages.map((message): Flight => ({ message, way, kind: "message" }));
  if (/\borders\+/.test(detail)) {
    return /\boutbox\+/.test(detail)
      ? fly("frontend", "backend-1", "outbox-1")
      : fly("frontend", "backend-1");
  }
  if (node === "lambda-2" && /\binbox\+/.test(detail)) return fly("lambda-2", "inbox-2");
  if (node === "lambda-1" && /\binbox\+/.test(detail)) return fly("lambda-1", "inbox-1");
  return [];
}

/** The point of an entry that tells of a fault. */
export function pointOf(kind: string): FaultPoint | undefined {
  const [, point] = /^fault-([1-8])$/.exec(kind) ?? [];
  return point === undefined ? undefined : Number(point) as FaultPoint;
}
