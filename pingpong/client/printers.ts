/**
 * What the client prints about its runs: for people as `ping` does, for programs a JSON object a
 * line.
 *
 * @module
 */
import { realWorld, type World } from "../../service/world/world.ts";
import { WebTransportError } from "../http3/mod.ts";
import type { Mode } from "../protocol/session_terms.ts";
import type { TransportChoice } from "./failover.ts";
import type { Target } from "./link.ts";
import { bracketed } from "./link_request.ts";
import type { PingEvent, PingRun } from "./ping_events.ts";
import type { PingStatistics } from "./statistics.ts";
import { summaryLines, type SummaryLinesOptions } from "./summary_lines.ts";

/** Writes about runs, for people or for programs. */
export interface Printer {
  /** Servers were found. */
  found(targets: readonly Target[]): void;
  /** A run begins. */
  begin(mode: Mode | "auto", target: Target, size: number): void;
  /** A transport was taken where either would do. */
  chosen(choice: TransportChoice): void;
  /** Something has happened during a run. */
  event(event: PingEvent): void;
  /** A run has ended. */
  end(mode: Mode | "auto", run: PingRun): void;
  /** There can be no run. */
  failed(reason: string): void;
}

/** Takes a line, without its end. */
export type Print = (line: string) => void;

/** Where lines go. */
export interface Output {
  /** Gets what was asked for: answers and figures; all there is in JSON. */
  data: Print;
  /** Gets what a person should know beside it: failures and warnings. */
  talk: Print;
}

/** Options of {@linkcode TextPrinter}. */
export interface TextPrinterOptions extends SummaryLinesOptions {
  /** No line a ping. @default false */
  quiet?: boolean | undefined;
  /** The time in front of each line, as `[seconds.microseconds]` since the epoch. @default false */
  timestamps?: boolean | undefined;
  /** Whose time that is. @default realWorld */
  world?: Pick<World, "nowMs">;
}

/** Prints as `ping` does. */
export class TextPrinter implements Printer {
  readonly #print: Print;
  readonly #talk: Print;
  readonly #options: TextPrinterOptions;

  constructor({ data, talk }: Output, options: TextPrinterOptions = {}) {
    const { timestamps = false, world = realWorld } = options;
    const stamp = () => `[${(world.nowMs() / 1_000).toFixed(6)}] `;
    this.#print = timestamps ? (line) => data(line === "" ? line : stamp() + line) : data;
    this.#talk = talk;
    this.#options = options;
  }

  found(targets: readonly Target[]): void {
    for (const { host, port } of targets) this.#print(`found ${bracketed(host)}:${port}`);
  }

  begin(mode: Mode | "auto", target: Target, size: number): void {
    const { host, port, path = "/", websocketPort = port, addresses = [] } = target;
    const at = mode === "websocket" ? `${websocketPort}/tcp` : `${port}/udp`;
    const found = addresses.filter((address) => address !== host);
    const resolved = found.length === 0 ? "" : ` (${found.join(", ")})`;
    const to = `${bracketed(host)}:${at}${path}`;
    this.#print(`PING ${to}${resolved} over ${mode}, ${size} bytes of data`);
  }

  chosen({ mode, reason }: TransportChoice): void {
    this.#print(reason === undefined ? `using ${mode}` : `using ${mode}, as ${reason}`);
  }

  event(event: PingEvent): void {
    const isOfOnePing = event.kind === "pong" || event.kind === "lost";
    const line = this.#options.quiet && isOfOnePing ? undefined : eventLine(event);
    if (line === undefined) return;
    if (isOfOnePing) this.#print(line);
    else this.#talk(line);
  }

  end(mode: Mode | "auto", { statistics, elapsedMs, error }: PingRun): void {
    if (error) this.#talk(`gave up: ${error.message}${adviceFor(error)}`);
    if (error && statistics.summary().sent === 0) return;
    this.#print("");
    for (const line of summaryLines(mode, statistics, elapsedMs, this.#options)) this.#print(line);
  }

  failed(reason: string): void {
    this.#talk(`pingpong-client: ${reason}`);
  }
}

/** The figures so far, in a line, as `ping` has them on SIGQUIT. */
export function interimLine(statistics: PingStatistics): string {
  const { sent, received, lossRatio, rttMs } = statistics.summary();
  const counts = `${received}/${sent} pings answered, ${(lossRatio * 100).toFixed(0)}% lost`;
  if (!rttMs) return counts;
  const { min, avg, p99, max } = rttMs;
  const times = [min, avg, p99, max].map((ms) => ms.toFixed(3)).join("/");
  return `${counts}, min/avg/p99/max = ${times} ms`;
}

function eventLine(event: PingEvent): string | undefined {
  switch (event.kind) {
    case "pong": {
      const { seq, bytes, rttMs, recovered } = event;
      const time = `${rttMs.toFixed(rttMs < 10 ? 3 : 1)} ms`;
      const data = oneLine(event.data);
      const note = recovered ? " (recovered)" : "";
      return `Received response data: ${data} seq=${seq} bytes=${bytes} time=${time}${note}`;
    }
    case "lost":
      return `lost seq=${event.seq}`;
    case "stale":
      return "an answer that an earlier run of this client had missed";
    case "attempt-failed": {
      const { reason, delayMs } = event;
      if (delayMs === undefined) return `connection failed: ${reason}`;
      const next = `next attempt in ${Math.round(delayMs)} ms`;
      return `connection failed, retrying... (${reason}; ${next})`;
    }
    case "disconnected": {
      const { end, unanswered } = event;
      const why = end.reason === "" ? `code ${end.code}` : end.reason;
      return `connection ended (${why}), ${unanswered} unanswered, reconnecting...`;
    }
    case "connected": {
      const { remote, outageMs, waiting } = event;
      if (outageMs <= 1_000 && waiting === 0) return undefined;
      return `connected to ${remote}, ${waiting} answers waited`;
    }
  }
}

/** Prints a JSON object a line, each with its `kind` and its `time` (RFC 3339, UTC). */
export class JsonPrinter implements Printer {
  readonly #print: Print;
  readonly #world: Pick<World, "nowMs">;

  constructor({ data }: Pick<Output, "data">, world: Pick<World, "nowMs"> = realWorld) {
    this.#print = data;
    this.#world = world;
  }

  found(targets: readonly Target[]): void {
    const places = targets.map(({ host, port, path }) => ({ host, port, path }));
    this.#put({ kind: "found", targets: places });
  }

  begin(mode: Mode | "auto", target: Target, size: number): void {
    const { host, port, path = "/", addresses } = target;
    this.#put({ kind: "begin", mode, host, addresses, port, path, size });
  }

  chosen(choice: TransportChoice): void {
    this.#put({ kind: "chosen", ...choice });
  }

  event(event: PingEvent): void {
    this.#put({ ...event });
  }

  end(mode: Mode | "auto", { statistics, elapsedMs, error }: PingRun): void {
    const failure = error && { error: error.message };
    this.#put({ kind: "end", mode, elapsedMs, ...statistics.summary(), ...failure });
  }

  failed(reason: string): void {
    this.#put({ kind: "error", error: reason });
  }

  #put(object: Record<string, unknown>): void {
    const { kind, ...more } = object;
    const time = new Date(this.#world.nowMs()).toISOString();
    this.#print(JSON.stringify({ kind, time, ...more }));
  }
}

/** What a person can do about it. */
function adviceFor(error: Error): string {
  if (!(error instanceof WebTransportError)) return "";
  if (error.kind === "timeout") {
    return ". Is a server running there (deno task pingpong:server), and does UDP get through? --mode auto falls back to WebSocket";
  }
  if (error.kind === "certificate") {
    return ". Give the server's certificate hash with --pin (gen-certs writes it to cert.sha256), or its authority with --ca. --insecure believes anyone, by the certificate that the server shows on its TCP port (--websocket-port); where it has none, Deno itself must believe anyone: deno run --unsafely-ignore-certificate-errors --unstable-net --allow-net --allow-read --allow-env pingpong/client.ts --insecure";
  }
  if (error.status === 401) return ". Give the server's token with --token-file";
  return "";
}

/** Keeps an answer's text on its line and the terminal unharmed. */
function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex -- these are what is looked for
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "\ufffd");
  return plain.length > 64 ? `${plain.slice(0, 64)}…` : plain;
}
