/**
 * What runs live on this machine, as the simulator's server says it: its state, and what has just
 * happened as flights over the topology.
 *
 * @module
 */
import type { Fault, LinkFault } from "../live/faults.ts";
import type { LiveState, LiveStep } from "../live/live_state.ts";
import {
  type BoxName,
  boxNames,
  type FaultKind,
  type FaultPoint,
  type LogEntry,
} from "../simulation/engine.ts";
import type { PointRates } from "./faults.ts";
import { emptyBoxes, type InstancePicture, type Picture } from "./picture.ts";
import { edges, type Flight, nodeOfPart, pointTitles } from "./topology_layout.ts";
import { entryWords, messageWords, partWords } from "./words.ts";

/** The picture of what runs live. */
export function livePicture(state: LiveState): Picture {
  const boxes = { ...emptyBoxes };
  for (const { name, depth, parked } of state.boxes) {
    if (!(boxNames as readonly string[]).includes(name)) continue;
    boxes[name as BoxName] = { count: depth, parked, items: [] };
  }
  return {
    label: "what runs live",
    keys: Math.max(1, state.keys.length),
    placed: String(state.counters.placed),
    confirmed: String(state.counters.confirmed),
    boxes,
    parts: state.parts.map(({ name, state }): InstancePicture => ({
      name,
      state: state === "running" ? "up" : state === "paused" ? "paused" : "down",
    })),
    hasOutbox: state.pattern === "outbox",
  };
}

/** What flies at a step. */
export function flightsOfStep(step: LiveStep): Flight[] {
  const { event, subject, part, point, detail } = step;
  const node = nodeOfPart(part);
  const message = /^[or]\d+$/.test(subject) ? subject : "";
  const fly = (...way: Flight["way"]): Flight[] => [{ message, way, kind: "message" }];
  switch (event) {
    case "placed":
      return fly("frontend", "backend-1", "outbox-1");
    case "delivered":
      if (node === "lambda-2") return fly("orders", "lambda-2");
      return node === "lambda-1" ? fly("results", "lambda-1") : [];
    case "effect":
      if (node === "processor-1") return fly("inbox-1", "processor-1", "done");
      if (node !== "processor-2") return [];
      return detail === "billing"
        ? fly("inbox-2", "processor-2", "outbox-2")
        : fly("inbox-2", "processor-2");
    case "duplicate":
      return node === undefined ? [] : [{
        message,
        way: [node, node === "lambda-1" ? "inbox-1" : "inbox-2"],
        kind: "copy",
      }];
    case "fault": {
      const edge = edges.find((one) => one.point === point);
      return edge === undefined ? [] : [{ message, way: [edge.from, edge.to], kind: "lost" }];
    }
    case "call":
      return detail === undefined ? flightOfCall(point, message) : [];
    default:
      return [];
  }
}

function flightOfCall(point: FaultPoint | undefined, message: string): Flight[] {
  const ways: Readonly<Partial<Record<FaultPoint, Flight["way"]>>> = {
    2: ["outbox-1", "relay-1", "orders"],
    4: ["lambda-2", "inbox-2"],
    6: ["outbox-2", "relay-2", "results"],
    8: ["lambda-1", "inbox-1"],
  };
  const way = point === undefined ? undefined : ways[point];
  return way === undefined || message === "" ? [] : [{ message, way, kind: "message" }];
}

/** The rates of a point that are set live. */
export function liveRates(faults: readonly Fault[], point: FaultPoint): PointRates {
  const rates: Partial<Record<FaultKind, number>> = {};
  for (const fault of faults) {
    if (!("point" in fault) || fault.point !== point) continue;
    rates[fault.kind] = (rates[fault.kind] ?? 0) + fault.probability;
  }
  return rates;
}

/** All faults, with those of a point replaced; what else is set of a kind that stays is kept. */
export function withLiveRates(
  faults: readonly Fault[],
  point: FaultPoint,
  rates: PointRates,
): Fault[] {
  const others = faults.filter((fault) => !("point" in fault) || fault.point !== point);
  const before = faults.filter((fault): fault is LinkFault =>
    "point" in fault && fault.point === point
  );
  const set = (Object.entries(rates) as [FaultKind, number][])
    .filter(([, rate]) => rate > 0)
    .map(([kind, probability]): LinkFault => ({
      ...before.find((fault) => fault.kind === kind),
      kind,
      point,
      probability,
    }));
  return [...others, ...set];
}

/** A step in words; calls that have got through are drawn only. */
export function stepWords(step: LiveStep): string {
  const { part, event, subject, detail = "", point } = step;
  const entry = (kind: string, words = detail, messages: string[] = []): LogEntry => ({
    ...{ event: 0, atUs: 0, kind, part, subject, detail: words, messages },
  });
  switch (event) {
    case "placed":
      return entryWords(
        part === "frontend" ? entry("placed") : entry("commit", "orders+1", [subject]),
      );
    case "delivered":
      return entryWords(entry("deliver", detail.replace(",", "")));
    case "fault":
      return point === undefined
        ? `${partWords(part)}: ${detail}`
        : entryWords(entry(`fault-${point}`));
    case "call":
      return `${partWords(part)} did not get through at point ${point}, ${pointTitles[point!]}: ${
        messageWords(subject)
      } (${detail})`;
    case "kill":
      return `${partWords(part)} was killed`;
    case "start":
      return `${partWords(part)} was started`;
    default:
      return entryWords(entry(event));
  }
}

/** Whether a step is worth a line. */
export function isTold({ event, detail }: LiveStep): boolean {
  return event !== "call" || detail !== undefined;
}
