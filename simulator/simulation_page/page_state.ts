/**
 * What the page shows: the runs that it keeps, where it is in them, and what its address says.
 *
 * @module
 */
import { computed, signal } from "@preact/signals";
import { address, wordParam } from "../../service/page/url_state.ts";
import { faultPoints } from "../simulation/engine.ts";
import { encodeRun } from "./link.ts";
import type { RunInfo, RunView } from "./protocol.ts";
import { firstRun } from "./scenario.ts";
import type { SimulatorClient } from "./simulator_client.ts";

/** A run that is kept. */
export interface Branch {
  /** What it is in the address. */
  readonly code: string;
  /** `A`, `B` and so on. */
  readonly letter: string;
  readonly info: RunInfo;
  /** How it came to be, such as `from 2.1 s: refuse order 3`. */
  readonly origin: string;
  /** The letter of the run that it was made of. */
  readonly parent?: string;
  /** The worker that holds it: a run that takes too long costs only itself. */
  readonly client: SimulatorClient;
}

/** The ways to see a run. */
export const pageViews = ["topology", "events", "compare", "tour", "live"] as const;

/** Runs, in the order in which they were made. */
export const branches = signal<readonly Branch[]>([]);
/** What could not be opened, in words. */
export const failure = signal<{ title: string; detail: string } | undefined>(undefined);
/** Whether a run is being made. */
export const isOpening = signal(false);

/** The first example, as it is in the address. */
export const firstCode = encodeRun(firstRun);

/** What is shown: one of {@linkcode pageViews}. */
export const pageView = computed(() => wordParam(address.value.params, "view", pageViews));
/** What is shown, as it is in the address. */
export const code = computed(() => address.value.params.get("run") ?? firstCode);
/** What it is compared with, as it is in the address. */
export const otherCode = computed(() => address.value.params.get("b") ?? undefined);
/** The message that is looked at. */
export const message = computed(() => {
  const text = address.value.params.get("message") ?? "";
  return /^[or]\d{1,6}$/.test(text) ? text : undefined;
});
/** The part that is looked at. */
export const part = computed(() => {
  const text = address.value.params.get("part") ?? "";
  return /^[a-z]+(-\d)?(\.\d)?$/.test(text) ? text : undefined;
});

/** The fault point that is looked at. */
export const faultPoint = computed(() => {
  const wanted = Number(address.value.params.get("point"));
  return faultPoints.find((point) => point === wanted);
});

/** The run that is shown. */
export const current = computed(() => branches.value.find((one) => one.code === code.value));
/** The run that it is compared with. */
export const other = computed(() =>
  otherCode.value === undefined
    ? undefined
    : branches.value.find((one) => one.code === otherCode.value)
);

/** The position in the run that is shown: so many events have run. */
export const event = signal(0);
/** Virtual time at the position, in milliseconds. */
export const atMs = signal(0);
/** The instant of the run that is shown, and of the one that it is compared with. */
export const view = signal<RunView | undefined>(undefined);
export const otherView = signal<RunView | undefined>(undefined);

/** The entry that is looked at: the last one up to the position, unless a step has chosen one of several. */
export const entryPlace = signal(-1);
