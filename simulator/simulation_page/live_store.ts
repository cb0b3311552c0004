/**
 * The connection to what runs live, and what a person does to it.
 *
 * @module
 */
import { batch, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { LiveRows } from "../../service/page/live_rows.ts";
import { LiveStream, type StreamMessage } from "../../service/page/live_stream.ts";
import type { Fault } from "../live/faults.ts";
import { faultLimits, usualDownMs, usualFault } from "../live/live_settings.ts";
import type { LiveState, LiveStep, LiveSteps } from "../live/live_state.ts";
import { type FaultKind, faultKinds, type FaultKnobs, isCrash } from "../simulation/engine.ts";
import type { FaultTarget } from "./fault_target.ts";
import { inputOfFile } from "./link.ts";
import { flightsOfStep, liveFaults, withLiveFaults } from "./live_model.ts";
import { isTold } from "./live_words.ts";
import { show } from "./store.ts";
import { turns } from "./turns.ts";
import type { Flight } from "./topology_layout.ts";

/** Whether this server runs the topology live; `undefined` until it has answered. */
export const isLive = signal<boolean | undefined>(undefined);
/** What it said last. */
export const liveState = signal<LiveState | undefined>(undefined);
/** What has flown since the last frame. */
export const liveFlights = signal<readonly Flight[]>([]);
/** A step, and which one it is. */
export interface NumberedStep {
  readonly number: number;
  readonly step: LiveStep;
}

/** The latest steps, newest first; while they are held, new ones wait. */
export const liveSteps = signal(
  new LiveRows<NumberedStep>({ key: ({ number }) => number, maxRows: 40 }),
);

let areHeld = false;
let stepsTaken = 0;

/** While held, no step moves; what is new waits. */
export function holdSteps(held: boolean): void {
  areHeld = held;
  if (!held) releaseSteps();
}

/** Shows what waits. */
export function releaseSteps(): void {
  liveSteps.value = liveSteps.peek().release();
}

/** The stream of it. */
export const liveStream = new LiveStream({
  url: () => "/api/live/stream",
  events: ["state", "steps"],
  onMessages: take,
});

let isStarted = false;

/** Asks whether there is anything live here; a server that simulates only answers 404. */
export async function findLive(): Promise<void> {
  try {
    const response = await fetch("/api/live");
    if (response.ok) liveState.value = await response.json();
    isLive.value = response.ok;
  } catch {
    // Without a server the simulation goes on: there is nothing live.
    isLive.value = false;
  }
}

/** Follows it, from the first time that somebody looks. */
export function followLive(): void {
  if (isStarted) return;
  isStarted = true;
  liveStream.start();
}

function take(messages: readonly StreamMessage[]): void {
  const steps: LiveStep[] = [];
  batch(() => {
    for (const { name, data } of messages) {
      if (name === "state") liveState.value = data as LiveState;
      else steps.push(...(data as LiveSteps).steps);
    }
    if (steps.length === 0) return;
    liveFlights.value = steps.flatMap(flightsOfStep);
    const told = steps.filter(isTold).map((step) => ({ number: ++stepsTaken, step }));
    liveSteps.value = liveSteps.peek().push(told, areHeld);
  });
}

/** The switches act on it. */
export const liveTarget: FaultTarget = {
  faults: (point) => liveFaults(liveState.value?.faults ?? [], point),
  change: (point, change) =>
    changeFaults((faults) => withLiveFaults(faults, point, change(liveFaults(faults, point)))),
  kinds: () => faultKinds,
  usual: usualLive,
  maxMs: faultLimits.maxDurationMs,
  fixedBy: undefined,
};

/** What the topology takes where a fault does not say. */
function usualLive(kind: FaultKind): FaultKnobs {
  const { outageMs, delayMs } = usualFault;
  const minDurationMs = kind === "outage" ? outageMs : isCrash(kind) ? usualDownMs : 0;
  return { minDurationMs, delayMs, direction: "both" };
}

/** Changes of the faults go one after the other, as each is of all of them. */
const inTurn = turns();

/**
 * Changes what goes wrong, beginning with what the server has now: another person, or the API, may
 * have set something meanwhile. Resolves once it is so, or it was said why it cannot be.
 */
export function changeFaults(
  change: (faults: readonly Fault[]) => readonly Fault[],
): Promise<void> {
  return inTurn(async () => {
    const now = await send<{ faults: readonly Fault[] }>("GET", "/api/faults");
    if (now === undefined) return;
    const faults = change(now.faults);
    const answer = await send<{ faults: readonly Fault[] }>("PUT", "/api/faults", { faults });
    if (answer === undefined) return;
    const state = liveState.peek();
    if (state !== undefined) liveState.value = { ...state, faults: answer.faults };
  });
}

/** Takes all faults away. */
export function healLive(): Promise<void> {
  return changeFaults(() => []);
}

/** Kills a part as `kill -9`, or starts it again. */
export function commandPart(name: string, command: "kill" | "start"): Promise<unknown> {
  return send("POST", `/api/live/parts/${encodeURIComponent(name)}/${command}`);
}

/** Places orders. */
export function placeOrders(count: number): Promise<unknown> {
  return send("POST", "/api/live/orders", { count });
}

/** How many orders come by themselves. */
export function setOrderRate(ordersPerSecond: number): Promise<unknown> {
  return send("PUT", "/api/live/order-rate", { ordersPerSecond });
}

/** Gives what is parked another chance. */
export async function redriveLive(): Promise<void> {
  const answer = await send<{ redriven: number }>("POST", "/api/live/redrive");
  if (answer !== undefined) announce(`${answer.redriven} parked messages have another chance`);
}

/** Takes what has happened so far as a run, to be stepped and explained. */
export async function takeRecord(): Promise<void> {
  try {
    const response = await fetch("/api/live/record");
    if (!response.ok) throw new Error(await problemOf(response));
    await show(inputOfFile(await response.text()), "what happened live", {
      params: { view: undefined },
    });
  } catch (error) {
    announce(`The record cannot be replayed: ${(error as Error).message}`, 8_000);
  }
}

async function send<Answer>(
  method: "GET" | "POST" | "PUT",
  path: string,
  body?: object,
): Promise<Answer | undefined> {
  try {
    const response = await fetch(path, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    if (!response.ok) throw new Error(await problemOf(response));
    return response.status === 204 ? {} as Answer : await response.json();
  } catch (error) {
    announce(`That did not work: ${(error as Error).message}`, 8_000);
    return undefined;
  }
}

async function problemOf(response: Response): Promise<string> {
  try {
    const { detail, title } = await response.json();
    return detail ?? title ?? `status ${response.status}`;
  } catch {
    return `status ${response.status}`;
  }
}
