/**
 * An orb's reports to its server: how it is, again and again, and back what it is to do. A report
 * that fails costs itself only; results of commands go with the next one that arrives.
 *
 * @module
 */
import type { Counter, Meter } from "@opentelemetry/api";
import type { LogFields } from "../../service/log.ts";
import { pause, reasonOf, timeoutSignal } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import {
  createOrbClient,
  fetchedBy,
  type OrbCall,
  type OrbClient,
  type OrbSchemas,
  readStart,
} from "../api/orb_client.ts";
import type { Command, CommandRequest, DeviceStatus } from "./device_status.ts";
import type { LoopControl } from "./loop_control.ts";
import type { VirtualDevice } from "./virtual_device.ts";

/** Options of {@linkcode reportStatus}. */
export interface DeviceReporterOptions {
  /** The orb server's base, as `http://127.0.0.1:4242`. */
  server: string;
  /** The orb's id. */
  id: string;
  /** What it reports, and what obeys. */
  device: Pick<VirtualDevice, "status" | "obey">;
  /** When it reports. */
  control: LoopControl;
  /** Before the first report, in milliseconds. */
  delayMs: number;
  /** Every interval is varied by up to this share of itself, 0 to 1. */
  jitter: number;
  /** Makes the calls, with the orb's token if it has one. */
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** How long one call may take, in milliseconds. */
  requestTimeoutMs: number;
  /** Ends the loop. */
  stopping: AbortSignal;
  /** Cuts a call under way. */
  cut: AbortSignal;
  meter: Meter;
  /** Gets what comes again and again while a server is away; limited, as a fleet is many. */
  warn: (message: string, fields?: LogFields) => void;
  /** Added to every log line. @default none */
  fields?: LogFields;
  world: World;
}

/** Commands that are remembered, so that one that comes twice is obeyed once. */
const maxKnownCommands = 64;

type CommandResult = NonNullable<DeviceStatus["command_results"]>[number];

/**
 * Reports until `stopping`.
 *
 * @example
 * ```ts
 * await reportStatus({ server, id: "orb-17", device, control, … });
 * ```
 */
export async function reportStatus(options: DeviceReporterOptions): Promise<void> {
  const { control, delayMs, jitter, stopping: signal, world } = options;
  const reporter = new DeviceReporter(options);
  await pause(delayMs, { signal, world });
  while (!signal.aborted) {
    await reporter.report();
    await control.rest(1 + jitter * (2 * world.random() - 1), { signal, world });
  }
}

class DeviceReporter {
  readonly #options: DeviceReporterOptions;
  readonly #client: OrbClient;
  readonly #reports: Counter;
  /** Commands that were obeyed, and what came of them. */
  readonly #obeyed = new Map<string, CommandResult>();
  /** Results that no report has carried yet. */
  #untold: CommandResult[] = [];

  constructor(options: DeviceReporterOptions) {
    this.#options = options;
    this.#client = createOrbClient({ server: options.server });
    this.#reports = options.meter.createCounter("orb.client.status_reports", {
      description: "Reports of an orb's status, by outcome.",
      unit: "{report}",
    });
  }

  async report(): Promise<void> {
    const told = this.#untold.slice(0, 16);
    try {
      const commands = await this.#send(told);
      this.#untold = this.#untold.filter((one) => !told.includes(one));
      this.#reports.add(1, { outcome: "sent" });
      for (const command of commands) this.#obey(command);
    } catch (error) {
      this.#reports.add(1, { outcome: "failed" });
      this.#options.warn(
        `Unable to report the orb's status: ${reasonOf(error)}`,
        this.#options.fields,
      );
    }
  }

  async #send(results: readonly CommandResult[]): Promise<readonly Command[]> {
    const { id, device, fetch, requestTimeoutMs, cut, world } = this.#options;
    using deadline = timeoutSignal(requestTimeoutMs, { signal: cut, world });
    const status: DeviceStatus = {
      ...device.status(),
      ...(results.length > 0 && { command_results: [...results] }),
    };
    const call: OrbCall = async (url, init) => {
      const response = await fetch(url, { ...init, redirect: "manual", signal: deadline.signal });
      const { status, headers, body } = response;
      return { status, headers, text: await readStart(body) };
    };
    const { data, response } = await this.#client.POST("/v2/orbs/{id}/status", {
      params: { path: { id } },
      // What is undefined is left out, as JSON has none.
      body: status as OrbSchemas["DeviceStatus"],
      fetch: fetchedBy(call),
    });
    if (response.status !== 200) throw new Error(`the answer has status ${response.status}`);
    const { commands } = (data ?? {}) as { commands?: unknown };
    if (!Array.isArray(commands)) throw new Error("the answer has no commands");
    return commands.filter(isCommand);
  }

  /** A command comes until its result has arrived; it is obeyed at its first coming. */
  #obey({ id, command }: Command): void {
    const known = this.#obeyed.get(id);
    if (known !== undefined) {
      if (!this.#untold.includes(known)) this.#untold.push(known);
      return;
    }
    const result = { id, ...this.#options.device.obey(command) };
    this.#obeyed.set(id, result);
    if (this.#obeyed.size > maxKnownCommands) {
      this.#obeyed.delete(this.#obeyed.keys().next().value!);
    }
    this.#untold.push(result);
  }
}

/** What this version knows; another one is left for the server to expire. */
function isCommand(value: unknown): value is Command {
  const { id, command } = value as { id?: unknown; command?: Partial<CommandRequest> };
  return typeof id === "string" &&
    (command?.type === "reset" || command?.type === "sign_up" || command?.type === "set_interval");
}
