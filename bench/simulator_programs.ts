/**
 * For the simulator's benchmarks: the server as a program, its reference, and lines to send.
 *
 * @module
 */
import { programArguments } from "../service/program_file.ts";
import type { Stats } from "../simulator/api.ts";

/** A program under measurement. `await using` ends it. */
export interface BenchProgram extends AsyncDisposable {
  readonly pid: number;
  /** The TCP port that takes lines. */
  readonly port: number;
  /** The web side; empty for the reference. */
  readonly url: string;
  /** Lines taken so far. */
  events(): Promise<number>;
}

/**
 * Starts the simulator as an operator would; what it prints is read and dropped.
 *
 * @param flags further ones
 */
export async function startSimulator(flags: readonly string[] = []): Promise<BenchProgram> {
  const entry = new URL("../simulator/server.ts", import.meta.url).pathname;
  const args = await programArguments(entry, [
    ...["--web-server", "--port", "0", "--web-port", "0"],
    ...flags,
  ]);
  const started = await start(args, /telemetry=tcp:\/\/[^:]+:(\d+) page=(\S+)/);
  const url = started.match[2]!;
  return {
    ...started,
    port: Number(started.match[1]),
    url,
    events: async () => (await (await fetch(`${url}/api/stats`)).json() as Stats).events,
  };
}

/** Starts what no server of lines can do without: splitting, decoding, `JSON.parse`, and counting. */
export async function startReference(): Promise<BenchProgram> {
  const entry = new URL("./simulator_bare_server.ts", import.meta.url).pathname;
  const started = await start(["run", "--allow-net", entry], /port=(\d+) count=(\d+)/);
  const count = `http://127.0.0.1:${started.match[2]}`;
  return {
    ...started,
    port: Number(started.match[1]),
    url: "",
    events: async () => Number(await (await fetch(count)).text()),
  };
}

async function start(args: string[], ready: RegExp) {
  const child = new Deno.Command("deno", {
    args,
    env: { OTEL_SDK_DISABLED: "true", NO_COLOR: "1" },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let match: RegExpMatchArray | null = null;
  while (!match) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The program ended before it was ready:\n${text}`);
    text += decoder.decode(value, { stream: true });
    match = text.match(ready);
  }
  const drained = (async () => {
    while (!(await reader.read()).done);
  })();
  return {
    pid: child.pid,
    match,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await drained;
    },
  };
}

/** A line as the contract's clients send it. */
export function line(name: string, pid: number, args: string): string {
  return `{"traceId":"9de118da-675c-4b41-9a22-05db226ad398","name":"${name}","event":"processingPerformed",` +
    `"timeUnixNano":1795798574686000001,"attributes":[{"key":"pid","value":{"type":"integer","value":${pid}}},` +
    `{"key":"args","value":{"stringValue":"${args}"}}]}\n`;
}

/** Connects; reads nothing. */
export async function connect(port: number): Promise<Deno.TcpConn> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  // As our own client does: else the kernel holds a line back until the one before is acknowledged,
  // and it is that delay, up to 40 ms, which is measured.
  socket.setNoDelay(true);
  return socket;
}

/** Writes all of it. */
export async function writeAll(socket: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await socket.write(bytes.subarray(at));
}
