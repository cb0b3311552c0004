#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-net=127.0.0.1 --allow-env=DEMO_*
/**
 * Starts Orrery on one machine: every program as a child process with embedded defaults, watched
 * by the console. Nothing has to be installed, nothing stays behind.
 *
 * ```sh
 * deno task demo
 * deno task demo --open --orbs 20
 * deno task demo --forward http://127.0.0.1:14318   # a real collector sees it too
 * ```
 *
 * A program joins by one entry in {@linkcode allPrograms}. `--allow-run` names no program because
 * the browser that `--open` starts differs from system to system.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { discover } from "./observer/grpc/endpoint.ts";
import {
  commandLine,
  flag,
  InvalidArgumentError,
  parseHttpUrl,
  parseInteger,
  parsePort,
} from "./service/command_line.ts";
import { runService, type Service, type ServiceContext, StartError } from "./service/life_cycle.ts";
import { programArguments } from "./service/program_file.ts";
import { acceptsTcp, answersOk } from "./service/ports.ts";
import { lastLines, type RunningProcess, startProcess } from "./service/supervisor.ts";

/** Options of the demo, as its flags give them. */
export interface DemoOptions {
  /** Opens the console in the browser. */
  open?: true;
  /** Virtual orbs in the fleet. @default 5 */
  orbs: number;
  /** Seconds between two signups of an orb. @default 2 */
  signupInterval: number;
  /** Another OTLP/HTTP endpoint that gets all telemetry too. */
  forward?: string;
  /** The parts that are started, beside the console. @default all */
  only?: readonly Part[];
  /** Takes free ports in place of the usual ones; a port that is named is still preferred. */
  freePorts?: true;
  /** Preferred port of the console's page. @default 8080 */
  consolePort: number;
  /** Preferred port of the console's OTLP receiver. @default 4318 */
  otlpPort: number;
  /** Preferred port of the orb server. @default 4242 */
  orbApiPort: number;
  /** Preferred port of the observer's page and metrics. @default 33333 */
  observerPort: number;
  /** Preferred port of the signer's page and API. @default 8090 */
  signerPort: number;
  /** Preferred UDP port of the ping-pong server. @default 4433 */
  pingpongPort: number;
}

/** What an entry knows when its turn comes. */
interface Place {
  options: DemoOptions;
  /** The port a program really gets, by the name of its use. */
  ports: Record<PortUse, number>;
  /** A folder that is removed when the demo ends. */
  dataFolder: string;
  /** Where real container runtimes are, as `--endpoint` takes it. */
  runtimes: string[];
}

/** A program of the demo. */
interface DemoProgram {
  /** Its `service.name`. */
  name: string;
  /** Its entry file. */
  entry: string;
  /** Whether it is needed. @default always */
  when?(place: Place): boolean;
  /** The program that has to be ready first. @default none */
  after?: string;
  /** Its flags. */
  args(place: Place): string[];
  /** Its own environment, beside what all get. */
  env?: Record<string, string>;
  /** True as soon as it does its work. */
  ready(place: Place, signal: AbortSignal): Promise<boolean>;
  /** What it is there for, and where a person finds it. */
  about(place: Place): [what: string, where: string];
}

const url = (port: number, path = "") => `http://127.0.0.1:${port}${path}`;

/** The ports that programs listen on: the usual one, and where an option says otherwise. */
const portUses = {
  consolePage: { usual: 8080, chosen: (options: DemoOptions) => options.consolePort },
  otlp: { usual: 4318, chosen: (options: DemoOptions) => options.otlpPort },
  orbApi: { usual: 4242, chosen: (options: DemoOptions) => options.orbApiPort },
  observer: { usual: 33333, chosen: (options: DemoOptions) => options.observerPort },
  signer: { usual: 8090, chosen: (options: DemoOptions) => options.signerPort },
  pingpong: { usual: 4433, chosen: (options: DemoOptions) => options.pingpongPort },
  pingpongPage: { usual: 4480, chosen: () => 4480 },
  imagesRkt: { usual: 15441, chosen: () => 15441 },
  imagesCri: { usual: 15442, chosen: () => 15442 },
} as const;
type PortUse = keyof typeof portUses;

/** Every program of the demo, in the order of their start. */
const allPrograms: DemoProgram[] = [
  {
    name: "console",
    entry: "console/server.ts",
    args: ({ options, ports }) => [
      ...["--page-port", String(ports.consolePage), "--otlp-port", String(ports.otlp)],
      ...(options.forward ? ["--forward", options.forward] : []),
    ],
    ready: ({ ports }, signal) => answersOk(url(ports.consolePage, "/readyz"), signal),
    about: ({ ports }) => ["traces, metrics and logs", url(ports.consolePage)],
  },
  {
    name: "orb-server",
    entry: "orb/server.ts",
    args: ({ ports, dataFolder }) => [
      ...["--orb-api-port", String(ports.orbApi), "--data-dir", join(dataFolder, "orb-server")],
    ],
    ready: ({ ports }, signal) => answersOk(url(ports.orbApi, "/readyz"), signal),
    about: ({ ports }) => ["device signup", url(ports.orbApi, "/api/signup")],
  },
  {
    name: "orb-client",
    entry: "orb/client.ts",
    // An orb that signs up before there is a server begins with an error.
    after: "orb-server",
    args: ({ options, ports }) => [
      ...["--telemetry-url", url(ports.orbApi, "/api/telemetry"), "--telemetry-interval", "0"],
      ...["--orb-server", url(ports.orbApi), "--images", "fresh", "--repeat-ratio", "0.2"],
      ...["--orb-signup-interval", String(options.signupInterval)],
      ...["--orbs", String(options.orbs)],
    ],
    ready: ({ ports }, signal) => seenByConsole("orb-client", ports.consolePage, signal),
    about: ({ options }) => [`a fleet of ${options.orbs} orbs that sign up irises`, ""],
  },
  {
    name: "signer-api",
    entry: "signer/rest_api.ts",
    args: ({ ports, dataFolder }) => [
      ...["--port", String(ports.signer), "--data-dir", join(dataFolder, "signer")],
    ],
    ready: ({ ports }, signal) => answersOk(url(ports.signer, "/readyz"), signal),
    about: ({ ports }) => ["signatures, by a service inside itself", url(ports.signer, "/sign")],
  },
  {
    name: "signer-load",
    entry: "signer/load.ts",
    after: "signer-api",
    args: ({ ports }) => ["--url", url(ports.signer)],
    ready: ({ ports }, signal) => seenByConsole("signer-load", ports.consolePage, signal),
    about: () => ["somebody who has messages signed", ""],
  },
  {
    name: "pingpong-server",
    entry: "pingpong/server.ts",
    args: ({ ports, dataFolder }) => [
      ...["--port", String(ports.pingpong), "--https-port", String(ports.pingpong)],
      ...["--page-port", String(ports.pingpongPage), "--generate-certificate"],
      ...["--certificate-path", join(dataFolder, "cert.pem")],
      ...["--key-path", join(dataFolder, "key.pem")],
    ],
    ready: ({ ports }, signal) => answersOk(url(ports.pingpongPage, "/readyz"), signal),
    about: ({ ports }) => [
      `pings over WebTransport, on ${ports.pingpong}/udp`,
      url(ports.pingpongPage),
    ],
  },
  {
    name: "pingpong-client",
    entry: "pingpong/client.ts",
    after: "pingpong-server",
    args: ({ ports, dataFolder }) => [
      ...["--port", String(ports.pingpong), "--pin", join(dataFolder, "cert.sha256")],
      ...["--ping-count", "0", "--interval", "1", "--quiet"],
    ],
    ready: ({ ports }, signal) => seenByConsole("pingpong-client", ports.consolePage, signal),
    about: () => ["a ping a second", ""],
  },
  {
    name: "image-service",
    entry: "observer/image_service.ts",
    when: ({ runtimes }) => runtimes.length === 0,
    args: ({ ports }) => [
      ...["--rkt-port", String(ports.imagesRkt), "--cri-port", String(ports.imagesCri)],
    ],
    ready: async ({ ports }) => await acceptsTcp(ports.imagesRkt) && acceptsTcp(ports.imagesCri),
    about: ({ ports }) => [
      "a simulated image store, as no container runtime was found",
      `127.0.0.1:${ports.imagesRkt} (rkt), 127.0.0.1:${ports.imagesCri} (CRI)`,
    ],
  },
  {
    name: "observer",
    entry: "observer/observer.ts",
    args: ({ ports, runtimes }) => [
      ...["--metrics-address", `127.0.0.1:${ports.observer}`, "--interval", "5s"],
      ...(runtimes.length > 0 ? runtimes : [
        `rkt=127.0.0.1:${ports.imagesRkt}`,
        `cri=127.0.0.1:${ports.imagesCri}`,
      ]).flatMap((endpoint) => ["--endpoint", endpoint]),
    ],
    ready: ({ ports }, signal) => answersOk(url(ports.observer, "/readyz"), signal),
    about: ({ ports }) => ["image stores and what they hold", url(ports.observer)],
  },
];

/**
 * Small heaps for a machine that has other things to do: young objects are collected early, and
 * glibc gives large blocks (bodies, images) back at once. Without it the fleet alone holds twice
 * as much; a program that runs by itself is free to take what makes it fast.
 */
const smallMemory = {
  DENO_V8_FLAGS: "--max-semi-space-size=2",
  MALLOC_MMAP_THRESHOLD_: "131072",
  MALLOC_TRIM_THRESHOLD_: "131072",
};

/** What `--only` chooses from. */
const parts = ["orb", "signer", "observer", "pingpong"] as const;
type Part = typeof parts[number];

function parseParts(text: string): Part[] {
  return text.split(",").map((name) => {
    const part = parts.find((one) => one === name.trim());
    if (part === undefined) {
      throw new InvalidArgumentError(`Give one or more of ${parts.join(",")}.`);
    }
    return part;
  });
}

/** The console is always wanted: it is what shows the others. */
function wanted({ entry }: DemoProgram, { only }: DemoOptions): boolean {
  return only === undefined || entry.startsWith("console/") ||
    only.some((part) => entry.startsWith(`${part}/`));
}

/** A program without a port of its own is ready when its telemetry is there. */
async function seenByConsole(name: string, port: number, signal: AbortSignal): Promise<boolean> {
  if (!await answersOk(url(port, "/readyz"), signal)) return false;
  const response = await fetch(url(port, "/api/services"), { signal });
  const { data } = await response.json() as { data: string[] };
  return data.includes(name);
}

const command = commandLine({
  name: "demo",
  summary: "Starts every program of Orrery on this machine and watches them with the console.",
  examples: [
    ["deno task demo", "start, until Ctrl-C"],
    ["deno task demo --open --orbs 20", "a larger fleet, and open the console in the browser"],
    [
      "deno task demo --forward http://127.0.0.1:14318",
      "send all telemetry to a collector as well",
    ],
  ],
})
  .addOption(flag("--open", "open the console in the browser"))
  .addOption(
    flag("--orbs <count>", "virtual orbs in the fleet")
      .argParser(parseInteger({ min: 1, max: 10_000 })).default(5),
  )
  .addOption(
    flag("--signup-interval <seconds>", "time between two signups of an orb")
      .argParser(parseInteger({ min: 1, max: 86_400 })).default(2),
  )
  .addOption(
    flag("--forward <url>", "another OTLP/HTTP endpoint that gets all telemetry too")
      .argParser(parseHttpUrl),
  )
  .addOption(
    flag("--console-port <port>", "port of the console's page, if it is free")
      .argParser(parsePort).default(portUses.consolePage.usual),
  )
  .addOption(
    flag("--otlp-port <port>", "port of the console's OTLP receiver, if it is free")
      .argParser(parsePort).default(portUses.otlp.usual),
  )
  .addOption(
    flag("--orb-api-port <port>", "port of the orb server, if it is free")
      .argParser(parsePort).default(portUses.orbApi.usual),
  )
  .addOption(
    flag("--observer-port <port>", "port of the observer's page and metrics, if it is free")
      .argParser(parsePort).default(portUses.observer.usual),
  )
  .addOption(
    flag("--signer-port <port>", "port of the signer's page and API, if it is free")
      .argParser(parsePort).default(portUses.signer.usual),
  )
  .addOption(
    flag("--pingpong-port <port>", "UDP port of the ping-pong server, if it is free")
      .argParser(parsePort).default(portUses.pingpong.usual),
  )
  .addOption(
    flag("--only <parts>", `some parts only, with the console: ${parts.join(", ")}`)
      .argParser(parseParts),
  )
  .addOption(flag("--free-ports", "free ports in place of the usual ones, for a second demo"));

/** Starts all programs; the service that comes back is the whole of them. */
export async function startDemo(options: DemoOptions, context: ServiceContext): Promise<Service> {
  const startMs = performance.now();
  await using undo = new AsyncDisposableStack();
  const dataFolder = await Deno.makeTempDir({ prefix: "orrery-demo-" });
  undo.defer(() => Deno.remove(dataFolder, { recursive: true }));
  const { found } = await discover();
  const runtimes = found.map(({ kind, address }) => `${kind}=${address}`);
  const place: Place = { options, ports: chooseDemoPorts(options), dataFolder, runtimes };
  const programs = allPrograms.filter((program) =>
    wanted(program, options) && (program.when?.(place) ?? true)
  );

  say("Orrery is starting …");
  // All at once, so that the first trace is there soon; telemetry waits for the console by itself.
  const failed = new AbortController();
  const signal = AbortSignal.any([context.stopping, failed.signal]);
  const starts = new Map<string, Promise<RunningProcess>>();
  for (const program of programs) {
    const before = program.after === undefined ? undefined : starts.get(program.after);
    const started = Promise.resolve(before).then(() => start(program, place, signal));
    starts.set(
      program.name,
      started.catch((error) => {
        // The first failure is the one to tell: the others are called off.
        failed.abort(error);
        throw failed.signal.reason;
      }),
    );
  }
  for (const settled of await Promise.allSettled(starts.values())) {
    if (settled.status === "fulfilled") undo.use(settled.value);
  }
  const children = await Promise.all(starts.values());

  const width = Math.max(...programs.map(({ name }) => name.length));
  for (const program of programs) {
    const [what, where] = program.about(place);
    say(`  ${program.name.padEnd(width)}  ${what}${where && `  ${where}`}`);
  }
  say(
    `Ready after ${((performance.now() - startMs) / 1_000).toFixed(1)} s. Ctrl-C stops all of it.`,
  );
  say(`Logs of the programs: ${dataFolder}/<program>/*.log\n`);
  if (options.open) await openBrowser(url(place.ports.consolePage));

  const status = showStatus(programs.length, place);
  const resources = undo.move();
  return {
    finished: firstDeath(children, context.stopping),
    async stop() {
      status.stop();
      say("Stopping …");
      await resources.disposeAsync();
      say("All programs have ended, nothing is left behind.");
    },
  };
}

/** Takes the preferred ports where they are free, and says which are not. */
function chooseDemoPorts(options: DemoOptions): Record<PortUse, number> {
  const taken = new Set<number>();
  const ports = {} as Record<PortUse, number>;
  for (const [use, { usual, chosen }] of Object.entries(portUses)) {
    const preferred = chosen(options);
    const wanted = options.freePorts && preferred === usual ? 0 : preferred;
    const port = freePortFrom(wanted, taken);
    taken.add(port);
    ports[use as PortUse] = port;
    if (wanted !== 0 && port !== wanted) {
      say(`Port ${wanted} is in use, ${use} takes ${port} instead.`);
    }
  }
  return ports;
}

async function start(
  program: DemoProgram,
  place: Place,
  signal: AbortSignal,
): Promise<RunningProcess> {
  const entry = fileURLToPath(new URL(program.entry, import.meta.url));
  const args = await programArguments(entry, [...program.args(place), "--stop-with-stdin"]);
  return await startProcess({
    name: program.name,
    command: "deno",
    args: () => args,
    env: {
      // Telemetry is what the demo is for, whatever the caller's environment says of it.
      OTEL_SDK_DISABLED: "false",
      OTEL_EXPORTER_OTLP_ENDPOINT: url(place.ports.otlp),
      // Someone is watching: a second is long.
      OTEL_BSP_SCHEDULE_DELAY: "250",
      OTEL_BLRP_SCHEDULE_DELAY: "250",
      OTEL_METRIC_EXPORT_INTERVAL: "1000",
      NO_COLOR: "1",
      ...smallMemory,
      ...program.env,
    },
    endsWithUs: true,
    // The ports have been chosen already, and a race lost since then is told by the program.
    ports: {},
    ready: (signal) => program.ready(place, signal),
  }, { runFolder: join(place.dataFolder, program.name), readyPollMs: 25, signal });
}

/** The wanted port, or the next one that is free; 0 is any. */
function freePortFrom(wanted: number, taken: Set<number>): number {
  for (let port = wanted; port <= 65_535; port++) {
    if (port !== 0 && taken.has(port)) continue;
    try {
      using listener = Deno.listen({ hostname: "127.0.0.1", port });
      const free = listener.addr.port;
      // Some are for UDP: a port is free when it is so for both.
      Deno.listenDatagram({ hostname: "127.0.0.1", port: free, transport: "udp" }).close();
      return free;
    } catch (error) {
      if (
        !(error instanceof Deno.errors.AddrInUse || error instanceof Deno.errors.PermissionDenied)
      ) {
        throw error;
      }
    }
  }
  throw new StartError(`No port from ${wanted} to 65535 is free on 127.0.0.1.`);
}

/** Rejects with the last lines of the first program that ends while nobody asked it to. */
async function firstDeath(children: RunningProcess[], stopping: AbortSignal): Promise<void> {
  const stopped = new Promise<undefined>((resolve) =>
    stopping.addEventListener("abort", () => resolve(undefined), { once: true })
  );
  const dead = await Promise.race([
    stopped,
    ...children.map((child) => child.exited.then(() => child)),
  ]);
  if (dead && !stopping.aborted) {
    throw new StartError(`${dead.name} has ended unasked. ${await lastLines(dead.logFile)}`);
  }
}

/** The one line that stays alive: on a terminal rewritten each second, else printed now and then. */
function showStatus(programs: number, place: Place): { stop(): void } {
  const terminal = Deno.stdout.isTerminal();
  const stop = new AbortController();
  async function tick(): Promise<void> {
    const text = await statusText(programs, place, stop.signal);
    if (stop.signal.aborted) return;
    if (terminal) write(`\r\x1b[2K${text}`);
    else say(text);
  }
  const timer = setInterval(() => void tick(), terminal ? 1_000 : 15_000);
  // Not at once: the first figures come a second after the start.
  const first = setTimeout(() => void tick(), 1_500);
  return {
    stop() {
      clearTimeout(first);
      clearInterval(timer);
      stop.abort();
      if (terminal) write("\n");
    },
  };
}

async function statusText(
  programs: number,
  place: Place,
  stopped: AbortSignal,
): Promise<string> {
  try {
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(900)]);
    const response = await fetch(url(place.ports.consolePage, "/api/stats"), { signal });
    const stats = await response.json();
    const perSecond = (part: { perSecond: number }) => Math.round(part.perSecond);
    return `● ${programs} programs up · ${stats.traces.tracesHeld} traces · ` +
      `${perSecond(stats.traces)} spans/s · ${perSecond(stats.metrics)} points/s · ` +
      `${perSecond(stats.logs)} logs/s · ${url(place.ports.consolePage)} · Ctrl-C stops`;
  } catch {
    return `○ the console does not answer · ${url(place.ports.consolePage)}`;
  }
}

async function openBrowser(address: string): Promise<void> {
  const [opener, ...args] = Deno.build.os === "darwin"
    ? ["open"]
    : Deno.build.os === "windows"
    ? ["cmd", "/c", "start", ""]
    : ["xdg-open"];
  try {
    const { success } = await new Deno.Command(opener!, {
      args: [...args, address],
      stdout: "null",
      stderr: "null",
    }).output();
    if (success) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  say(`No browser could be opened (${opener} did not work). Open ${address} yourself.`);
}

function say(text: string): void {
  write(`${text}\n`);
}

function write(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

if (import.meta.main) await runService(command, startDemo, { telemetry: false });
