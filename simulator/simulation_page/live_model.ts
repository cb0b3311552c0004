/**
 * What runs live on this machine, as the simulator's server says it: its state, and what has just
 * happened as flights over the topology.
 *
 * @module
 */
import type { Fault } from "../live/faults.ts";
import type { LiveState, LiveStep } from "../live/live_state.ts";
import { type BoxName, boxNames, type FaultPoint } from "../simulation/engine.ts";
import type { PointFaults } from "./faults.ts";
import { emptyBoxes, type InstancePicture, type Picture } from "./picture.ts";
import { edges, type Flight, nodeOfPart } from "./topology_layout.ts";

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

/** The faults of a point that are set live. */
export function liveFaults(faults: readonly Fault[], wanted: FaultPoint): PointFaults {
  return faults.flatMap((fault) => {
    if (!("point" in fault) || fault.point !== wanted) return [];
    const { point: _, ...one } = fault;
    return [one as PointFaults[number]];
  });
}

/** All faults, with those of a point replaced. */
export function withLiveFaults(
  faults: readonly Fault[],
  point: FaultPoint,
  ofPoint: PointFaults,
): Fault[] {
  const others = faults.filter((fault) => !("point" in fault) || fault.point !== point);
  return [...others, ...ofPoint.map(({ kind, ...rest }) => ({ kind, point, ...rest }))];
}
