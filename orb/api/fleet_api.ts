/**
 * What the orb server's page is told, over `GET /v2/fleet/events`: the fleet, its changes, and the
 * queue. Types only: the page is made of this file, too.
 *
 * @module
 */
import type { DeviceState } from "../devices/device_state.ts";
import type { SignupState } from "../signups/signup_record.ts";

/** A device in a few bytes, as 2,000 of them go in one event. */
export type FleetRow = readonly [
  id: string,
  state: DeviceState,
  /** Milliseconds since the epoch; null if it never reported. */
  lastSeenMs: number | null,
  signupsPerMinute: number,
  signupsLeftToUpload: number | null,
  /** Why it is in that state; null if there is nothing to say. */
  reason: string | null,
];

/** The queue in figures; null while the store cannot be asked. */
export interface FleetQueue {
  readonly byState: Readonly<Record<SignupState, number>>;
  /** How long the oldest waits that could be claimed, in milliseconds. */
  readonly oldestWaitMs: number;
}

/** Event `fleet`, at the beginning: all there is. */
export interface FleetEvent {
  readonly nowMs: number;
  readonly rows: readonly FleetRow[];
  readonly queue: FleetQueue | null;
}

/** Event `changes`, each second at most: rows that are new or changed, devices that are gone. */
export interface FleetChanges {
  readonly nowMs: number;
  readonly rows: readonly FleetRow[];
  readonly removed: readonly string[];
}

/** Event `queue`, every second: how the queue is, and a sign of life. */
export interface FleetBeat {
  readonly nowMs: number;
  readonly queue: FleetQueue | null;
}
