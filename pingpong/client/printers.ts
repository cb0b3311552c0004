/**
 * What the client prints about its runs: for people as `ping` does, for programs a JSON object a
 * line.
 *
 * @module
 */
import { WebTransportError } from "../http3/mod.ts";
import type { Mode } from "../protocol/session_terms.ts";
import type { TransportChoice } from "./failover.ts";
import type { Target } from "./link.ts";
import type { PingEvent, PingRun } from "./ping_events.ts";
import { summaryLines } from "./summary_lines.ts";

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

/** Prints as `ping` does; when `quiet`, no line a ping. */
export class TextPrinter implements Printer {
  readonly #print: Print;
  readonly #quiet: boolean;

  constructor(print: Print, quiet: boolean) {
    this.#print = print;
    this.#quiet = quiet;
  }

  found(targets: readonly Target[]): void {
    for (const { host, port } of targets) this.#print(`found ${host}:${port}`);
  }

  begin(mode: Mode | "auto", target: Target, size: number): void {
    const { host, port, path = "/", websocketPort = port } = target;
    const at = mode === "websocket" ? `${websocketPort}/tcp` : `${port}/udp`;
    this.#print(`PING ${host}:${at}${path} over ${mode}, ${size} bytes of data`);
  }

  chosen({ mode, reason }: TransportChoice): void {
    this.#print(reason === undefined ? `using ${mode}` : `using ${mode}, as ${reason}`);
  }

  event(event: PingEvent): void {
    const isOfOnePing = event.kind === "pong" || event.kind === "lost";
    const line = this.#quiet && isOfOnePing ? undefined : eventLine(event);
    if (line !== undefined) this.#print(line);
  }

  end(mode: Mode | "auto", { statistics, elapsedMs, error }: PingRun): void {
    if (error) this.#print(`gave up: ${error.message}${adviceFor(error)}`);
    if (error && statistics.summary().sent === 0) return;
    this.#print("");
    for (const line of summaryLines(mode, statistics, elapsedMs)) this.#print(line);
  }

  failed(reason: string): void {
    this.#print(`pingpong-client: ${reason}`);
  }
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

/** Prints a JSON object a line, each with its `kind`. */
export class JsonPrinter implements Printer {
  readonly #print: Print;

  constructor(print: Print) {
    this.#print = print;
  }

  found(targets: readonly Target[]): void {
    const places = targets.map(({ host, port, path }) => ({ host, port, path }));
    this.#put({ kind: "found", targets: places });
  }

  begin(mode: Mode | "auto", { host, port, path = "/" }: Target, size: number): void {
    this.#put({ kind: "begin", mode, host, port, path, size });
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
    this.#print(JSON.stringify(object));
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
