/**
 * What the main program and a part that runs in a program of its own say to each other.
 *
 * @module
 */
import type { BusFlagValues } from "../../service/bus/open_bus.ts";
import type { Order } from "../topology/backend_one.ts";
import {
  type Delivery,
  LinkError,
  type LinkErrorKind,
  type Message,
  StoreError,
  type StoreErrorKind,
} from "../topology/ports.ts";
import type { Settings } from "../topology/settings.ts";
import type { Fault } from "./faults.ts";
import type { LiveEvent } from "./live_event.ts";
import type { LiveProcess } from "./live_process.ts";
import type { StorePlace } from "./open_store.ts";
import type { Box } from "./part_runtime.ts";
import type { PartPlan } from "./parts.ts";
import type { TopicDepth } from "./service_bus.ts";

/** What a part is started with. */
export interface PartStart {
  readonly plan: PartPlan;
  readonly settings: Settings;
  readonly seed: number;
  readonly store: StorePlace;
  /** The bus; `undefined` is that of the main program, reached through it. */
  readonly bus: BusFlagValues | undefined;
  readonly topicPrefix: string;
  readonly faults: readonly Fault[];
}

/** An error on its way. */
export interface WireError {
  readonly name: string;
  readonly kind: string;
  readonly message: string;
}

/** To the part. */
export type ToPart =
  | { readonly type: "start"; readonly start: PartStart }
  | { readonly type: "faults"; readonly faults: readonly Fault[] }
  | { readonly type: "place"; readonly call: number; readonly order: Order }
  | {
    readonly type: "answer";
    readonly call: number;
    readonly value?: unknown;
    readonly error?: WireError;
  }
  | { readonly type: "wake"; readonly box: Box; readonly subject: string }
  /** What lies in the topics, for those who do not receive by themselves. */
  | { readonly type: "depths"; readonly depths: readonly TopicDepth[] }
  | { readonly type: "doom"; readonly doom: LiveProcess["doom"] };

/** What a part asks of the main program's bus. */
export type BusCall =
  | { readonly op: "publish"; readonly topic: string; readonly message: Message }
  | {
    readonly op: "receive";
    readonly topic: string;
    readonly group: string;
    readonly limit: number;
  }
  | { readonly op: "acknowledge"; readonly delivery: Delivery }
  | { readonly op: "release"; readonly delivery: Delivery; readonly delayMs: number };

/** From the part. */
export type FromPart =
  | { readonly type: "ready" }
  | { readonly type: "event"; readonly event: LiveEvent }
  | { readonly type: "wake"; readonly box: Box; readonly subject: string }
  | { readonly type: "bus"; readonly call: number; readonly ask: BusCall }
  /** A fault of order is to hit its next call of the bus. */
  | { readonly type: "reorder"; readonly delayMs: number }
  | { readonly type: "placed"; readonly call: number; readonly error?: WireError }
  /** What lies in the topics that it receives by a bus of its own. */
  | { readonly type: "depths"; readonly depths: readonly TopicDepth[] }
  /** Kill me: a fault wants it. */
  | { readonly type: "crash"; readonly minDownMs: number };

/** Puts an error on its way. */
export function toWire(error: unknown): WireError {
  const kind = error instanceof LinkError || error instanceof StoreError ? error.kind : "";
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { name, kind, message };
}

/** The error that was put on its way. */
export function fromWire({ name, kind, message }: WireError): Error {
  if (name === "LinkError") return new LinkError(kind as LinkErrorKind, message);
  if (name === "StoreError") return new StoreError(kind as StoreErrorKind, message);
  return new Error(`${name}: ${message}`);
}
