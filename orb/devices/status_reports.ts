/**
 * The reports of a whole fleet of virtual orbs: a device and a loop for each.
 *
 * @module
 */
import type { Meter } from "@opentelemetry/api";
import { limitedLog } from "../../service/limited_log.ts";
import type { Log } from "../../service/log.ts";
import type { World } from "../../service/world/world.ts";
import { reportStatus } from "./device_reporter.ts";
import { LoopControl } from "./loop_control.ts";
import { VirtualDevice } from "./virtual_device.ts";

/** Options of {@linkcode startStatusReports}. */
export interface StatusReportsOptions {
  /** The orb server's base. */
  server: string;
  /** Orbs, numbered from 1. */
  orbs: number;
  /** Between two reports of an orb, in milliseconds, above 0. */
  intervalMs: number;
  /** Every interval is varied by up to this share of itself, 0 to 1. */
  jitter: number;
  /** The id of an orb. */
  idOf(orb: number): string;
  /** Makes an orb's calls. */
  fetch(orb: number, url: string, init: RequestInit): Promise<Response>;
  /** When an orb signs up. @default it does not */
  signupsOf: (orb: number) => LoopControl | undefined;
  /** How many of an orb's signups wait. */
  leftToUpload: (orb: number) => number;
  /** How long one call may take, in milliseconds. */
  requestTimeoutMs: number;
  stopping: AbortSignal;
  cut: AbortSignal;
  log: Log;
  meter: Meter;
  world: World;
}

/**
 * Starts a loop for each orb; they spread over an interval.
 *
 * @example
 * ```ts
 * const loops = startStatusReports({ server, orbs: 20, intervalMs: 30_000, … });
 * await Promise.all(loops);
 * ```
 */
export function startStatusReports(options: StatusReportsOptions): Promise<void>[] {
  const { orbs, intervalMs, log, world, fetch } = options;
  const warn = limitedLog(log, { world });
  return Array.from({ length: orbs }, (_, index) => {
    const orb = index + 1;
    const control = new LoopControl(intervalMs);
    const device = new VirtualDevice({
      number: orb,
      reports: control,
      signups: options.signupsOf(orb),
      leftToUpload: () => options.leftToUpload(orb),
      world,
    });
    return reportStatus({
      ...options,
      id: options.idOf(orb),
      device,
      control,
      delayMs: intervalMs * index / orbs,
      fetch: (url, init) => fetch(orb, url, init),
      warn,
      fields: orbs > 1 ? { orb } : {},
    });
  });
}
