/**
 * Calls that were refused for want of a right: who, what and why, as log lines (and so as OTLP log
 * records) and, where a file is given, as one JSON object a line. Tokens are never in it.
 *
 * @module
 */
import type { Counter, Meter } from "@opentelemetry/api";
import type { Log } from "../../service/log.ts";
import { reasonOf } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";

/** A call that was refused. */
export interface RefusedCall {
  method: string;
  path: string;
  status: number;
  /** Why, as the caller was told. */
  reason: string;
  /** Who the token was for, where there was a good one. */
  subject?: string;
  /** The device it wanted to act for. */
  orb?: string;
}

/** Options of {@linkcode openAuditLog}. */
export interface AuditLogOptions {
  /** The file. @default none: the log has the lines */
  path?: string;
  /** At this size the file is renamed to `….1`, and a new one begins. @default 16 MiB */
  maxFileBytes?: number;
  /** Lines a second; what is beyond is counted, and the next line says how many. @default 100 */
  maxLinesPerSecond?: number;
  /** Gets a line each. */
  log: Log;
  /** Makes the instruments. */
  meter: Meter;
  /** Whose time it is. @default the real world */
  world?: World;
}

/** Where refused calls are noted. */
export interface AuditLog {
  /** Notes a call; never fails. */
  refused(call: RefusedCall): void;
  /** Closes the file. */
  close(): void;
}

/** Longer paths and names are cut: a caller chooses them. */
const maxTextLength = 200;

/**
 * Opens the file.
 *
 * @throws the reason of the operating system
 *
 * @example
 * ```ts
 * using audit = openAuditLog({ path: join(dataDir, "refused.jsonl"), log, meter });
 * ```
 */
export function openAuditLog(options: AuditLogOptions): AuditLog {
  return new FileAuditLog(options);
}

class FileAuditLog implements AuditLog {
  readonly #options: AuditLogOptions;
  readonly #world: World;
  readonly #refusals: Counter;
  #file: Deno.FsFile | undefined;
  #fileBytes = 0;
  #second = -1;
  #lines = 0;
  #leftOut = 0;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
    this.#refusals = options.meter.createCounter("orb.calls.refused", {
      description: "Calls that were refused for want of a right, by status.",
      unit: "{call}",
    });
    if (options.path !== undefined) this.#open(options.path);
  }

  refused(call: RefusedCall): void {
    this.#refusals.add(1, { status: call.status });
    const second = Math.floor(this.#world.monotonicMs() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
    }
    if (++this.#lines > (this.#options.maxLinesPerSecond ?? 100)) {
      this.#leftOut++;
      return;
    }
    const fields = Object.fromEntries(
      Object.entries({ ...call, ...(this.#leftOut > 0 && { left_out: this.#leftOut }) })
        .map(([name, value]) => [
          name,
          typeof value === "string" ? value.slice(0, maxTextLength) : value,
        ]),
    );
    this.#leftOut = 0;
    this.#options.log.warn("A call was refused", fields);
    this.#append({ time: new Date(this.#world.nowMs()).toISOString(), ...fields });
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #open(path: string): void {
    this.#file = Deno.openSync(path, { create: true, append: true, mode: 0o600 });
    this.#fileBytes = this.#file.statSync().size;
  }

  #append(entry: object): void {
    const { path, maxFileBytes = 16 * 1024 ** 2, log } = this.#options;
    if (path === undefined || this.#file === undefined) return;
    const line = new TextEncoder().encode(`${JSON.stringify(entry)}\n`);
    try {
      if (this.#fileBytes + line.length > maxFileBytes) {
        this.#file.close();
        Deno.renameSync(path, `${path}.1`);
        this.#open(path);
      }
      for (let at = 0; at < line.length;) at += this.#file.writeSync(line.subarray(at));
      this.#fileBytes += line.length;
    } catch (error) {
      // The line above has it all the same.
      log.error("The audit log cannot be written", { path, reason: reasonOf(error) });
    }
  }
}
