/**
 * What a console is started with.
 *
 * @module
 */
import type { ConsoleLimits } from "./page_api/stream_events.ts";
import { defaultLimits } from "./stores/telemetry_store.ts";

/** Options of `startConsole()`; the limits are {@linkcode ConsoleLimits}, each with a default. */
export interface ConsoleOptions extends Partial<ConsoleLimits> {
  /** Address of all ports; `localhost` is both families of loopback. @default "localhost" */
  host?: string;
  /** Lets it listen beyond loopback, where clients need not authenticate. @default false */
  allowRemoteWithoutAuth?: true;
  /**
   * File with the token that senders, programs and pages have to show, made if there is none; also
   * on loopback.
   *
   * @default beyond loopback a token of this run, which the page tells; on loopback none
   */
  tokenFile?: string;
  /** Host names it answers to, besides those of loopback and `host`. @default none */
  allowedHost?: readonly string[];
  /** The path under which a proxy has it, such as `/orrery`; both HTTP ports take it away. @default none */
  basePath?: string;
  /** Port of the OTLP receiver; 0 takes a free one. */
  otlpPort: number;
  /** Port of OTLP/gRPC; 0 takes a free one. @default 4317 if `otlpPort` is 4318, else a free one */
  grpcPort?: number;
  /** Port of the page, the API and `/metrics`; 0 takes a free one. */
  pagePort: number;
  /** Other OTLP/HTTP endpoints that get every accepted request. @default none */
  forward?: string | readonly string[];
  /** Origins of web pages that may send telemetry; `*` for all. @default none */
  corsOrigin?: string[];
  /** File with the programs that run beside it (`service/program_list.ts`), read when a page asks. @default none is known */
  programs?: string;
  /** SQLite file that keeps accepted requests for the next start. @default what it holds ends with it */
  store?: string;
  /** How often that file is written, in milliseconds: what a killed console may lose. @default 1_000 */
  storeSyncInterval?: number;
  /** Bytes of requests in that file. @default 256 MiB */
  storeMaxBytes?: number;
  /** How old a request in that file may become, in milliseconds. @default 24 hours */
  storeMaxAge?: number;
}

/** The limits, each given or its default. */
export function limitsOf(options: ConsoleOptions): ConsoleLimits {
  const limits = { ...defaultLimits };
  for (const name of Object.keys(limits) as (keyof ConsoleLimits)[]) {
    limits[name] = options[name] ?? limits[name];
  }
  return limits;
}

/** The endpoints that requests are passed on to. */
export function endpointsOf({ forward = [] }: ConsoleOptions): readonly string[] {
  return typeof forward === "string" ? [forward] : forward;
}
