#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=1,--heap-growing-percent=20,--optimize-for-size --allow-run --allow-read --allow-write --allow-net=127.0.0.1 --allow-env=DEMO_*,DENO_USR2_MEMORY_TRIM
/**
 * Starts Orrery on one machine: every program as a child process with embedded defaults, watched
 * by the console. Nothing has to be installed, nothing stays behind. One that ends unasked is shown
 * as down, and started again: kill one and watch what that does to the others.
 *
 * ```sh
 * deno task demo
 * deno task demo --open --orbs 20
 * deno task demo --forward http://127.0.0.1:14318   # a real collector sees it too
 * ```
 *
 * A program joins by its `demo` in the table of `programs.ts`. `--allow-run` names no program
 * because the browser that `--open` starts differs from system to system, `--allow-read` and
 * `--allow-write` no folder because its temporary one is not known before.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { KeptProgram } from "./demo/kept_program.ts";
import {
  choosePorts,
  demoArguments,
  describe,
  findContainerRuntime,
  localUrl,
  makePlace,
} from "./demo/place.ts";
import { MemoryTrim, memoryTrimVariables, trimmableSelf } from "./demo/memory_trim.ts";
import { isReady } from "./demo/readiness.ts";
import { bundlePrograms, type Bundles } from "./demo/program_bundles.ts";
import { ProgramListFile } from "./demo/program_list_file.ts";
import { openBrowser, say, StatusLine } from "./demo/terminal.ts";
import { type Place, type Program, programNamed, programs, serviceOf } from "./programs.ts";
import {
  commandLine,
  flag,
  InvalidArgumentError,
  parseDuration,
  parseHttpUrl,
  parseInteger,
  parsePort,
} from "./service/command_line.ts";
import { runService, type Service, type ServiceContext } from "./service/life_cycle.ts";
import { programArguments } from "./service/program_file.ts";
import { consoleUrlVariable } from "./service/program_list.ts";
import { reasonOf } from "./service/resilience.ts";
import { type RunningProcess, startProcess } from "./service/supervisor.ts";

const root = fileURLToPath(new URL(".", import.meta.url));

/** Options of the demo, as its flags give them. */
export interface DemoOptions {
  /**
   * Opens the console in the browser.
   *
   * @default false
   */
  open?: true;
  /**
   * Virtual orbs in the fleet, 1 to 10,000.
   *
   * @default 5
   */
  orbs: number;
  /**
   * Time between two signups of an orb, in milliseconds, 1,000 to 86,400,000.
   *
   * @default 2_000
   */
  signupInterval: number;
  /**
   * Another OTLP/HTTP endpoint that gets all telemetry too.
   *
   * @default none
   */
  forward?: string;
  /**
   * The services whose programs are started, beside the console.
   *
   * @default all
   */
  only?: readonly string[];
  /**
   * Orbs need tokens, of an issuer that is started too.
   *
   * @default false
   */
  oauth?: true;
  /**
   * Takes free ports in place of the usual ones; a port that is named is still preferred.
   *
   * @default false
   */
  freePorts?: true;
  /**
   * Starts the entry files themselves in place of bundles made of them: slower, with stack traces
   * that name the sources.
   *
   * @default false
   */
  unbundled?: true;
  /** Preferred ports: `consolePort` of `--console-port`, and so on. */
  [port: `${string}Port`]: unknown;
}

/**
 * Small heaps for a machine that has other things to do: young objects are collected early, the
 * heap stays close to what is in use, and glibc gives large blocks (bodies, images) back at once.
 * PSS of all programs after a minute, two runs each: 434 and 425 MB; without the growing percent
 * 474 and 449; without V8's flags 517 and 541; without any of it 549 and 552. Later, with more in
 * each program, after 45 s beside other work, in turn: 446 and 458 MB, with code optimised for its
 * size 404 and 423. A program that runs by itself is free to take what makes it fast.
 */
const smallMemory = {
  DENO_V8_FLAGS: "--max-semi-space-size=2,--heap-growing-percent=20,--optimize-for-size",
  MALLOC_MMAP_THRESHOLD_: "131072",
  MALLOC_TRIM_THRESHOLD_: "131072",
  ...memoryTrimVariables,
};

/** Starts all programs; the service that comes back is the whole of them. */
export async function startDemo(options: DemoOptions, context: ServiceContext): Promise<Service> {
  const { world } = context;
  const startMs = world.monotonicMs();
  await using undo = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "orrery-demo-" });
  undo.defer(() => Deno.remove(folder, { recursive: true }));
  const ports = choosePorts({
    preferred: { ...options },
    freePorts: options.freePorts === true,
    onTaken: (what, wanted, instead) =>
      say(`Port ${wanted} is in use, ${what} takes ${instead} instead.`),
  });
  const place = makePlace(options, ports, folder, await findContainerRuntime());
  const started = programs.filter((program) => takesPart(program, options, place));

  say("Orrery is starting …");
  const bundles: Bundles = options.unbundled
    ? new Map<string, string>()
    : await bundled(started, context.stopping);
  const list = new ProgramListFile({
    path: place.path("programs.json"),
    place,
    world,
    onError: (error) => say(`The list of programs cannot be written: ${reasonOf(error)}`),
  });
  undo.defer(() => list.written());
  const kept = await startAll(started, { bundles, place, list }, context, undo);
  undo.use(new MemoryTrim({ programs: [...kept, ...trimmableSelf()], world }));
  announce(started, place);
  say(
    `Ready after ${
      ((world.monotonicMs() - startMs) / 1_000).toFixed(1)
    } s. Ctrl-C stops all of it.`,
  );
  say(`Logs of the programs: ${folder}/<program>/*.log\n`);
  if (options.open) {
    await openBrowser(place.url("console", programNamed("console").demo!.path));
  }

  const status = new StatusLine(kept, place, world);
  status.start();
  const resources = undo.move();
  return {
    async stop() {
      status.stop();
      say("Stopping …");
      await resources.disposeAsync();
      say("All programs have ended, nothing is left behind.");
    },
  };
}

/** The console is always wanted: it is what shows the others. */
function takesPart(program: Program, { only }: DemoOptions, place: Place): boolean {
  if (program.demo === undefined || program.demo.when?.(place) === false) return false;
  const service = serviceOf(program);
  const { partOf = service } = program.demo;
  return only === undefined || service === "console" || only.includes(service) ||
    only.includes(partOf);
}

/** Without bundles all works as well, only slower. */
async function bundled(started: readonly Program[], signal: AbortSignal): Promise<Bundles> {
  try {
    return await bundlePrograms(started, { root, signal });
  } catch (error) {
    signal.throwIfAborted();
    say(`The programs start from their sources, as they cannot be bundled: ${reasonOf(error)}`);
    return new Map<string, string>();
  }
}

/** What {@linkcode startAll} starts programs with. */
interface Surroundings {
  bundles: Bundles;
  place: Place;
  list: ProgramListFile;
}

/**
 * Starts all at once, so that the first trace is there soon; telemetry waits for the console by
 * itself. `undo` gets each that is up.
 */
async function startAll(
  started: readonly Program[],
  { bundles, place, list }: Surroundings,
  { stopping, world }: ServiceContext,
  undo: AsyncDisposableStack,
): Promise<KeptProgram[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([stopping, failed.signal]);
  const starts = new Map<string, Promise<KeptProgram>>();
  for (const program of started) {
    const before = starts.get(program.demo!.after ?? "");
    const kept = new KeptProgram({
      name: program.name,
      start: () => startOne(program, bundles.get(program.entry), place, signal),
      say: (text) => say(`\n${text}`),
      onState: (state, ended) => list.set(program.name, state, ended),
      stopping,
      world,
    });
    const start = Promise.resolve(before).then(() => kept.start());
    starts.set(
      program.name,
      start.catch((error) => {
        // The first failure is the one to report: the others are called off.
        failed.abort(error);
        throw failed.signal.reason;
      }),
    );
  }
  const settled = await Promise.allSettled(starts.values());
  const up = settled.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
  undo.defer(() => endAll(up));
  return await Promise.all(starts.values());
}

/** All at once, but the console last: it gets what the others have to say at their end. */
async function endAll(kept: readonly KeptProgram[]): Promise<void> {
  const end = (some: readonly KeptProgram[]) =>
    Promise.all(some.map((one) => one[Symbol.asyncDispose]()));
  await end(kept.filter(({ name }) => name !== "console"));
  await end(kept.filter(({ name }) => name === "console"));
}

async function startOne(
  program: Program,
  bundle: string | undefined,
  place: Place,
  signal: AbortSignal,
): Promise<RunningProcess> {
  const entry = join(root, program.entry);
  const args = await programArguments(
    entry,
    [...demoArguments(program, place), "--stop-with-stdin"],
    bundle,
  );
  return await startProcess({
    name: program.name,
    command: "deno",
    args: () => args,
    env: {
      // Telemetry is what the demo is for, whatever the caller's environment says of it.
      OTEL_SDK_DISABLED: "false",
      [consoleUrlVariable]: place.url("console"),
      OTEL_EXPORTER_OTLP_ENDPOINT: localUrl(place.port("console", "otlp")),
      // Someone is watching: a second is long.
      OTEL_BSP_SCHEDULE_DELAY: "250",
      OTEL_BLRP_SCHEDULE_DELAY: "250",
      OTEL_METRIC_EXPORT_INTERVAL: "1000",
      NO_COLOR: "1",
      ...smallMemory,
    },
    endsWithUs: true,
    // They have been chosen already, and a race lost since then is reported by the program.
    ports: {},
    ready: (signal) => isReady(program, place, signal),
  }, { runFolder: place.path(program.name), readyPollMs: 25, signal });
}

function announce(started: readonly Program[], place: Place): void {
  const width = Math.max(...started.map(({ name }) => name.length));
  for (const program of started) {
    const [what, where] = describe(program, place);
    say(`  ${program.name.padEnd(width)}  ${what}${where && `  ${where}`}`);
  }
}

/** What `--only` chooses from. */
const services = [
  ...new Set(programs.filter(({ demo }) => demo).map(serviceOf)),
].filter((service) => service !== "console");

function parseServices(text: string): string[] {
  return text.split(",").map((name) => {
    if (services.includes(name.trim())) return name.trim();
    throw new InvalidArgumentError(`Give one or more of ${services.join(",")}.`);
  });
}

function demoCommand() {
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
        .argParser(parseDuration({ unit: "s", minMs: 1_000, maxMs: 86_400_000 })).default(2_000),
    )
    .addOption(
      flag("--forward <url>", "another OTLP/HTTP endpoint that gets all telemetry too")
        .argParser(parseHttpUrl),
    )
    .addOption(
      flag("--only <services>", `some only, with the console: ${services.join(", ")}`)
        .argParser(parseServices),
    )
    .addOption(flag("--oauth", "orbs need tokens, of an issuer that is started too"))
    .addOption(
      flag("--unbundled", "start the sources themselves: slower, for stack traces that name them"),
    )
    .addOption(flag("--free-ports", "free ports in place of the usual ones, for a second demo"));
  for (const { usual, demoFlag } of programs.flatMap(({ ports = {} }) => Object.values(ports))) {
    if (demoFlag === undefined) continue;
    const [name, description] = demoFlag;
    command.addOption(
      flag(`${name} <port>`, `${description}, if it is free`).argParser(parsePort).default(usual),
    );
  }
  return command;
}

if (import.meta.main) await runService(demoCommand(), startDemo, { telemetry: false });
