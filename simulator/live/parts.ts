/**
 * Which parts there are, and what each of them does: the list has the order that the simulated world
 * starts them in, so that a record of a live run means the same there.
 *
 * @module
 */
import type { FaultPoint, Surroundings } from "../topology/ports.ts";
import { janitor } from "../topology/janitor.ts";
import { lambda } from "../topology/lambda.ts";
import { processor, type Work } from "../topology/processor.ts";
import { relay } from "../topology/relay.ts";
import { orderStage, resultStage, type Settings } from "../topology/settings.ts";
import type { Step } from "../topology/step.ts";

/** What a part is. */
export type PartKind = "frontend" | "backend" | "relay" | "lambda" | "processor" | "janitor";

/** A part of the topology. */
export interface PartPlan {
  /** Such as `relay-1.0`. */
  readonly name: string;
  readonly kind: PartKind;
  /** Whose store it uses. */
  readonly backend: 1 | 2;
}

/** How many of each there are. */
export interface Instances {
  readonly apis: number;
  readonly relays: number;
  readonly lambdas: number;
  readonly processors: number;
}

/** Every part but the frontend. */
export function planParts({ pattern }: Settings, instances: Instances): PartPlan[] {
  const plans: PartPlan[] = [];
  const add = (count: number, kind: PartKind, backend: 1 | 2) => {
    for (let index = 0; index < count; index++) {
      plans.push({ name: `${kind}-${backend}.${index}`, kind, backend });
    }
  };
  add(instances.apis, "backend", 1);
  for (const from of [1, 2] as const) {
    const to = from === 1 ? 2 : 1;
    if (pattern === "outbox") add(instances.relays, "relay", from);
    add(instances.lambdas, "lambda", to);
    add(instances.processors, "processor", to);
    add(1, "janitor", from);
  }
  return plans;
}

/** What a part does while it lives; backend 1's side to its clients only answers. */
export function mainOf(
  { kind, backend }: PartPlan,
  settings: Settings,
  work: Work,
): ((part: Surroundings) => Step<never>) | undefined {
  const outgoing = backend === 1 ? orderStage : resultStage;
  const incoming = backend === 1 ? resultStage : orderStage;
  switch (kind) {
    case "relay":
      return (part) => relay(part, settings, outgoing);
    case "lambda":
      return (part) => lambda(part, settings, incoming);
    case "processor":
      return (part) => processor(part, settings, incoming, work);
    case "janitor":
      return (part) => janitor(part, settings);
    default:
      return undefined;
  }
}

/** The topology as a page draws it: who hands messages to whom, and at which of the eight points. */
export const topologyEdges: readonly {
  readonly from: string;
  readonly to: string;
  readonly point: FaultPoint | undefined;
}[] = [
  { from: "frontend", to: "backend-1", point: 1 },
  { from: "backend-1", to: "outbox-1", point: undefined },
  { from: "outbox-1", to: "relay-1", point: undefined },
  { from: "relay-1", to: "orders", point: 2 },
  { from: "orders", to: "lambda-2", point: 3 },
  { from: "lambda-2", to: "inbox-2", point: 4 },
  { from: "inbox-2", to: "processor-2", point: 5 },
  { from: "processor-2", to: "outbox-2", point: undefined },
  { from: "outbox-2", to: "relay-2", point: undefined },
  { from: "relay-2", to: "results", point: 6 },
  { from: "results", to: "lambda-1", point: 7 },
  { from: "lambda-1", to: "inbox-1", point: 8 },
  { from: "inbox-1", to: "processor-1", point: undefined },
];
