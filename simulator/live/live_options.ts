/**
 * What the live topology is started with, and what its callers may get wrong.
 *
 * @module
 */
import type { Bus } from "../../service/bus/bus.ts";
import type { BusFlagValues } from "../../service/bus/open_bus.ts";
import type { Recorder } from "../events/recorder.ts";
import type { Pattern } from "../topology/settings.ts";
import type { Fault } from "./faults.ts";
import type { LiveState, LiveSteps } from "./live_state.ts";
import type { Instances } from "./parts.ts";

/** Options of {@linkcode startLiveWorld}. */
export interface LiveWorldOptions {
  /** What chance follows from, as far as live it can. */
  readonly seed: number;
  readonly pattern: Pattern;
  readonly instances: Instances;
  /** How many keys there are; orders of one key keep their order. */
  readonly keys: number;
  /** Where the stores' files are. @default a temporary folder, removed at the end */
  readonly dataFolder?: string | undefined;
  /** A PostgreSQL database that has the stores instead, with user and password. @default SQLite has them */
  readonly databaseUrl?: string | undefined;
  /** Runs each part in a program of its own; needs the permission to run Deno. @default false */
  readonly processes?: boolean | undefined;
  /** With `processes`, what each part opens its own bus by. @default they share that of this program */
  readonly partBus?: BusFlagValues | undefined;
  /** What a commit survives. @default "power-loss" */
  readonly durability?: "power-loss" | "process-end" | undefined;
  /** Orders a second that come by themselves. */
  readonly orderRate: number;
  readonly faults: readonly Fault[];
  /** Opens the bus; called once. */
  readonly openBus: () => Promise<Bus>;
  /** Shows the parts as clients. @default nobody does */
  readonly recorder?: Recorder | undefined;
  /** Takes what happens, at most ten times a second. @default nobody does */
  readonly onSteps?: (steps: LiveSteps) => void;
  /** Notified when the state is another. @default nobody is */
  readonly onState?: (state: LiveState) => void;
}

/** Something the caller asked for cannot be. */
export class LiveError extends Error {
  override name = "LiveError";
  /** `unknown`: there is no such thing; `invalid`: it cannot be so; `busy`: too much of it. */
  readonly kind: "unknown" | "invalid" | "busy";

  constructor(kind: LiveError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}
