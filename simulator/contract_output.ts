/**
 * What the contract's server prints on stdout, and the health that it says each second.
 *
 * @module
 */
import type { LineWriter } from "../service/log.ts";
import type { TimerId, World } from "../service/world/world.ts";
import type { Recorder } from "./events/recorder.ts";

/** Options of {@linkcode ContractOutput}. */
export interface ContractOutputOptions {
  /** Where lines go. A reader that is too slow loses lines, which are counted; the intake never waits. */
  lines: Pick<LineWriter, "write">;
  /** Whether the web server runs. */
  web: boolean;
  world: World;
}

/** The original's exact kind of value. */
const nanoseconds = (ms: number) => ({
  type: "number",
  unit: "nanoseconds",
  value: Math.round(ms * 1_000_000),
});

const healthcheckIntervalMs = 1_000;

/** Prints. */
export class ContractOutput {
  readonly #options: ContractOutputOptions;
  readonly #startedMs: number;
  #recorder: Recorder | undefined;
  #timer: TimerId | undefined;

  constructor(options: ContractOutputOptions) {
    this.#options = options;
    this.#startedMs = options.world.monotonicMs();
  }

  /** The server begins. */
  starting(singleThreaded: boolean): void {
    this.#print("starting");
    if (singleThreaded) this.#print("single threaded mode");
  }

  /** A line came by TCP. */
  readonly received = (line: string): void => {
    this.#options.lines.write(`RECEIVED: ${line}`);
  };

  /** Says the health now, and each second from now on. */
  startHealthchecks(recorder: Recorder): void {
    this.#recorder = recorder;
    this.#timer = this.#options.world.setInterval(() => this.healthcheck(), healthcheckIntervalMs);
  }

  /** Says the health: on stdout, and as an event to all who listen. */
  healthcheck(): void {
    const status = this.#options.web ? "run" : null;
    this.#print("healthcheck");
    if (status !== null) this.#print(`server ${status}`);
    this.#recorder?.announce("serverHealthcheck", [
      { key: "status", value: { stringValue: "healthy" } },
      {
        key: "upTime",
        value: nanoseconds(this.#options.world.monotonicMs() - this.#startedMs),
      },
      { key: "webServerStatus", value: { stringValue: status } },
    ]);
  }

  /** The server was asked to end. */
  stopping(): void {
    this.#print("stopping");
  }

  /** Says the health no more. */
  stop(): void {
    this.#options.world.clearInterval(this.#timer);
  }

  #print(text: string): void {
    this.#options.lines.write(`SIMPLE TELEMETRY: ${text}`);
  }
}
