/**
 * The device that a virtual orb pretends to be: its battery runs down and is charged, it gets warm
 * as it works, its disk and its network count what it sends. All of it is made up, but for what the
 * orb really does: signups that are left to upload, images sent, how long it has been running.
 *
 * @module
 */
import { version } from "../../service/version.ts";
import type { World } from "../../service/world/world.ts";
import type { CommandRequest, DeviceStatus } from "./device_status.ts";
import type { LoopControl } from "./loop_control.ts";

/** Options of {@linkcode VirtualDevice}. */
export interface VirtualDeviceOptions {
  /** Its number in the fleet, from 1. */
  number: number;
  /** When it reports. */
  reports: LoopControl;
  /** When it signs up. @default it signs nobody up */
  signups?: LoopControl | undefined;
  /** How many signups wait in its spool. @default none do */
  leftToUpload?: (() => number) | undefined;
  /** Bytes that it has sent so far. @default it is not known */
  sentBytes?: (() => number) | undefined;
  world: Pick<World, "nowMs" | "monotonicMs" | "random">;
}

/** What became of a command. */
export interface CommandOutcome {
  readonly outcome: "done" | "failed";
  readonly detail?: string;
}

const diskBytes = 64e9;
/** An image and what goes with it. */
const signupBytes = 300_000;

/**
 * The device.
 *
 * @example
 * ```ts
 * const device = new VirtualDevice({ number: 17, reports, signups, world });
 * device.status().battery; // { level: 81.3, isCharging: false }
 * device.obey({ type: "sign_up" }); // { outcome: "done" }
 * ```
 */
export class VirtualDevice {
  readonly #options: VirtualDeviceOptions;
  readonly #firstSignupMs: number;
  readonly #firstReportMs: number;
  readonly #macAddress: string;
  readonly #wifiLevel: number;
  #startMs: number;
  #battery: number;
  #isCharging = false;
  #warmth: number;

  constructor(options: VirtualDeviceOptions) {
    this.#options = options;
    const { world, number, reports, signups } = options;
    this.#startMs = world.monotonicMs();
    this.#firstReportMs = reports.intervalMs;
    this.#firstSignupMs = signups?.intervalMs ?? 0;
    this.#battery = 40 + 60 * world.random();
    this.#warmth = world.random();
    this.#wifiLevel = -45 - Math.round(30 * world.random());
    // Locally administered, so that it is nobody's (IEEE 802, section 8.2).
    const tail = number.toString(16).padStart(6, "0").match(/../g)!;
    this.#macAddress = ["02", "0b", "0b", ...tail].join(":");
  }

  /** What it reports now. */
  status(): DeviceStatus {
    const { world, number, reports, signups, leftToUpload, sentBytes } = this.#options;
    this.#live();
    const left = leftToUpload?.() ?? 0;
    const sent = sentBytes?.() ?? 0;
    return {
      orb_name: `virtual orb ${number}`,
      version: { current_release: `orrery ${version}` },
      uptime_sec: round((world.monotonicMs() - this.#startMs) / 1_000),
      timestamp: new Date(world.nowMs()).toISOString(),
      status_interval_sec: Math.max(.1, reports.intervalMs / 1_000),
      battery: { level: round(this.#battery), isCharging: this.#isCharging },
      temperature: this.#temperature(),
      ssd: {
        space_left: Math.max(0, Math.round(diskBytes / 2 - left * signupBytes)),
        file_left: 4_000_000,
        signup_left_to_upload: left,
      },
      mac_address: this.#macAddress,
      wifi: {
        ssid: "orrery",
        frequency: 5_180,
        quality: { signal_level: this.#wifiLevel, link_quality: 70 + this.#wifiLevel + 45 },
      },
      net_stats: {
        interfaces: [{
          ...{ name: "wlan0", tx_bytes: sent, rx_bytes: Math.round(sent / 100) },
          ...{ tx_packets: Math.ceil(sent / 1_460), rx_packets: Math.ceil(sent / 2_920) },
          ...{ tx_errors: 0, rx_errors: 0 },
        }],
      },
      signup_state: signups === undefined || signups.intervalMs === 0 ? "not_ready" : "ready",
    };
  }

  /** Does what it is told. */
  obey(command: CommandRequest): CommandOutcome {
    const { reports, signups, world } = this.#options;
    switch (command.type) {
      case "sign_up":
        if (signups === undefined) return nobodySignsUp;
        signups.wake();
        return { outcome: "done" };
      case "reset":
        this.#startMs = world.monotonicMs();
        reports.intervalMs = this.#firstReportMs;
        if (signups !== undefined) signups.intervalMs = this.#firstSignupMs;
        return { outcome: "done" };
      case "set_interval": {
        const { signup_interval_sec: signupSec, status_interval_sec: statusSec } = command;
        if (signupSec !== undefined && signups === undefined) return nobodySignsUp;
        if (signupSec !== undefined) signups!.intervalMs = signupSec * 1_000;
        if (statusSec !== undefined) reports.intervalMs = statusSec * 1_000;
        return { outcome: "done" };
      }
    }
  }

  /** Some time has gone by. */
  #live(): void {
    this.#battery = Math.min(100, Math.max(5, this.#battery + (this.#isCharging ? 1.5 : -.2)));
    if (this.#battery < 20) this.#isCharging = true;
    if (this.#battery > 97) this.#isCharging = false;
    this.#warmth = Math.min(
      1,
      Math.max(0, this.#warmth + .1 * (this.#options.world.random() - .5)),
    );
  }

  #temperature(): NonNullable<DeviceStatus["temperature"]> {
    const warm = (coolest: number, hottest: number) =>
      round(coolest + (hottest - coolest) * this.#warmth);
    return {
      cpu: warm(42, 78),
      gpu: warm(40, 74),
      front_unit: warm(30, 52),
      battery_cell: warm(26, 41),
      liquid_lens: warm(28, 45),
      main_mcu: warm(34, 58),
      ssd: warm(32, 60),
    };
  }
}

const nobodySignsUp: CommandOutcome = {
  outcome: "failed",
  detail: "this orb signs nobody up: it was started with --orb-signup-interval 0",
};

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
