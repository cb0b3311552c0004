/**
 * What the page knows: the fleet and the queue, kept up by one live stream, and what its address
 * says. An orb keeps its place for as long as the page lives, wherever it is drawn.
 *
 * @module
 */
import { computed, effect, signal } from "@preact/signals";
import { LiveStream, type StreamMessage } from "../../service/page/live_stream.ts";
import { address, wordParam } from "../../service/page/url_state.ts";
import type {
  FleetBeat,
  FleetChanges,
  FleetEvent,
  FleetQueue,
  FleetRow,
} from "../api/fleet_api.ts";
import { type DeviceState, deviceStates } from "../devices/device_state.ts";

/** An orb as the page shows it. */
export interface Orb {
  readonly id: string;
  readonly state: DeviceState;
  readonly lastSeenMs: number | null;
  readonly signupsPerMinute: number;
  readonly signupsLeftToUpload: number | null;
  /** Why it is in its state. */
  readonly reason: string | null;
  /** When its figures last rose, by the page's clock: it brightens for a moment. */
  readonly brightMs: number;
}

/** All that was heard last. */
export interface Fleet {
  /** In the order of their places. */
  readonly orbs: readonly Orb[];
  readonly queue: FleetQueue | null;
  /** What the server's clock is ahead of the page's, in milliseconds. */
  readonly clockAheadMs: number;
}

const newest = signal<Fleet | undefined>(undefined);
const held = signal<Fleet | undefined>(undefined);

/** Whether the page stands still. */
export const paused = computed(() => address.value.params.has("paused"));

/** The fleet as it is shown: while paused, as it was. */
export const fleet = computed(() => paused.value ? held.value ?? newest.value : newest.value);

/** How many orbs are in each state. */
export const counts = computed(() => {
  const all = Object.fromEntries(deviceStates.map((state) => [state, 0])) as Record<
    DeviceState,
    number
  >;
  for (const { state } of fleet.value?.orbs ?? []) all[state]++;
  return all;
});

/** Dead letters, as far as they are known. */
export const deadLetters = computed(() => fleet.value?.queue?.byState.dead_letter ?? 0);

/** The state that is filtered by; `all` shows everyone. */
export const stateFilter = computed(() =>
  wordParam(address.value.params, "state", ["all", ...deviceStates])
);

/** The orbs that are shown. */
export const shownOrbs = computed(() => {
  const text = (address.value.params.get("q") ?? "").toLowerCase();
  const state = stateFilter.value;
  const orbs = fleet.value?.orbs ?? [];
  if (text === "" && state === "all") return orbs;
  return orbs.filter((orb) =>
    (state === "all" || orb.state === state) && orb.id.toLowerCase().includes(text)
  );
});

/** The time by the server's clock, each second. */
export const now = signal(Date.now());

/** The stream. */
export const stream = new LiveStream({
  url: () => "/v2/fleet/events",
  events: ["fleet", "changes", "queue"],
  silenceTimeoutMs: 5_000,
  onMessages: (messages) => {
    newest.value = messages.reduce(afterMessage, newest.peek());
  },
});

/** Begins. */
export function startStore(): void {
  stream.start();
  setInterval(() => {
    if (!paused.peek()) now.value = Date.now() + (newest.peek()?.clockAheadMs ?? 0);
  }, 1_000);
  effect(() => {
    held.value = paused.value ? newest.peek() : undefined;
  });
}

/** What a message makes of the fleet. */
function afterMessage(before: Fleet | undefined, { name, data }: StreamMessage): Fleet | undefined {
  const clockAheadMs = (data as { nowMs: number }).nowMs - Date.now();
  if (name === "fleet") {
    const { rows, queue } = data as FleetEvent;
    return { orbs: placed(before?.orbs ?? [], rows, { all: true }), queue, clockAheadMs };
  }
  if (before === undefined) return undefined;
  if (name === "queue") return { ...before, queue: (data as FleetBeat).queue, clockAheadMs };
  const { rows, removed } = data as FleetChanges;
  const gone = new Set(removed);
  const left = gone.size === 0 ? before.orbs : before.orbs.filter(({ id }) => !gone.has(id));
  return { ...before, orbs: placed(left, rows, { all: false }), clockAheadMs };
}

/** Known orbs stay where they are, new ones come last; `all` rows are the whole fleet. */
function placed(
  orbs: readonly Orb[],
  rows: readonly FleetRow[],
  { all }: { all: boolean },
): readonly Orb[] {
  const incoming = new Map(rows.map((row) => [row[0], row]));
  const kept = orbs.flatMap((orb) => {
    const row = incoming.get(orb.id);
    incoming.delete(orb.id);
    return row ? [orbOf(row, orb)] : all ? [] : [orb];
  });
  return [...kept, ...[...incoming.values()].map((row) => orbOf(row, undefined))];
}

function orbOf(row: FleetRow, before: Orb | undefined): Orb {
  const [id, state, lastSeenMs, signupsPerMinute, signupsLeftToUpload, reason] = row;
  const rose = before !== undefined && signupsPerMinute > before.signupsPerMinute;
  return {
    id,
    state,
    lastSeenMs,
    signupsPerMinute,
    signupsLeftToUpload,
    reason,
    brightMs: rose ? Date.now() : before?.brightMs ?? 0,
  };
}
