#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=4,--heap-growing-percent=20,--optimize-for-size --allow-net --allow-read --allow-write --allow-env=OTEL_*,SIMPLE_TELEMETRY_*,SIMULATOR_* --ignore-env
/**
 * The simulator's server: processes tell it what they do, over TCP, and it shows each of them as a
 * sprite on a page, live.
 *
 * Exports {@linkcode startSimulator}; can also be used as a CLI:
 *
 * ```sh
 * deno task simulator:server                          # TCP on 1234, page on http://127.0.0.1:9292
 * curl -N http://127.0.0.1:9292                       # every event, as server-sent events
 * deno task simulator:server --capture talk.ndjson    # and saved to a file
 * deno task simulator:server replay talk.ndjson --speed 2
 * ```
 *
 * Started by the original's variables it does what the original does: with `SIMPLE_TELEMETRY_PORT`
 * set there is a web side only where `SIMPLE_TELEMETRY_WEB_SERVER` asks for one.
 *
 * Reading and writing are for the page's files and for captures, whose paths flags name.
 *
 * @module
 */
import type { OptionValues } from "commander";
import { busFlags } from "../service/bus/open_bus.ts";
import {
  commandLine,
  flag,
  parseHttpUrl,
  parseInteger,
  parseNumber,
  parsePort,
} from "../service/command_line.ts";
import { guardFlags } from "../service/http_guard.ts";
import { hostFlags } from "../service/http_server.ts";
import { runService, type ServiceContext, StartError } from "../service/life_cycle.ts";
import { liveFlags, type LiveFlagValues, liveOptionsOf } from "./live_flags.ts";
import { speedBounds } from "./capture/player.ts";
import {
  type SimulatorOptions,
  type SimulatorService,
  startSimulator,
} from "./simulator_server.ts";

export { type SimulatorOptions, type SimulatorService, startSimulator };

/** The flags' values. */
interface Flags extends Omit<SimulatorOptions, "webPort" | "live">, LiveFlagValues {
  webServer?: boolean | undefined;
  webPort: number;
}

/** Starts the server and follows the signals of the contract, beside those that every program follows. */
async function run(options: SimulatorOptions, context: ServiceContext): Promise<SimulatorService> {
  const server = await startSimulator(options, context);
  if (Deno.build.os !== "windows") {
    Deno.addSignalListener("SIGUSR1", () => server.healthcheck());
    Deno.addSignalListener("SIGHUP", () => server.end());
  }
  return server;
}

/** Takes events in. */
function runLive(flags: Flags, context: ServiceContext): Promise<SimulatorService> {
  const { webServer = !Deno.env.get("SIMPLE_TELEMETRY_PORT"), webPort, ...options } = flags;
  const live = liveOptionsOf(flags);
  if (live !== undefined && !webServer) {
    throw new StartError("--live is driven over the web side: leave --no-web-server out");
  }
  return run({ ...options, live, ...(webServer && { webPort }) }, context);
}

/** Plays a capture in place of what is live. */
function runReplay(
  [path]: readonly string[],
  flags: OptionValues,
  context: ServiceContext,
): Promise<SimulatorService> {
  const { webServer: _, port: __, live: ___, speed, ...options } = flags as Flags & {
    speed: number;
  };
  return run({ ...options, play: { path: path!, speed } }, context);
}

function makeCommand() {
  return commandLine({
    name: "simulator",
    summary: "Takes in events of processes over TCP and shows each process as a sprite, live.",
    envPrefix: "SIMULATOR",
    examples: [
      ["deno task simulator:server", "TCP on 1234, page on http://127.0.0.1:9292"],
      ["deno task simulator:example 17", "a process for it to show"],
      ["deno task simulator:server --capture talk.ndjson", "saves what comes, to be played again"],
      ["deno task simulator:server replay talk.ndjson --speed 2", "plays it, twice as fast"],
      [
        "deno task simulator:server --live --order-rate 2",
        "orders through two backends, to be broken",
      ],
    ],
  })
    .addOption(hostFlags.host().env("SIMPLE_TELEMETRY_HOST"))
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(guardFlags.allowedHost())
    .addOption(guardFlags.allowedOrigin())
    .addOption(
      flag("--port <port>", "TCP port of the intake, a JSON object a line")
        .env("SIMPLE_TELEMETRY_PORT").argParser(parsePort).default(1234),
    )
    .addOption(
      flag("--single-threaded", "serve one client, and end after it has stopped")
        .env("SIMPLE_TELEMETRY_SINGLE_THREADED"),
    )
    .addOption(
      flag(
        "--web-server",
        "the page and the streams (default: unless SIMPLE_TELEMETRY_PORT is set)",
      ).env("SIMPLE_TELEMETRY_WEB_SERVER"),
    )
    .addOption(flag("--no-web-server", "no page and no streams").env("SIMULATOR_NO_WEB_SERVER"))
    .addOption(
      flag("--web-port <port>", "port of the page and the streams")
        .env("SIMPLE_TELEMETRY_WEB_PORT").argParser(parsePort).default(9292),
    )
    .addOption(flag("--capture <file>", "saves everything that comes in to a file"))
    .addOption(
      flag("--console-url <url>", "the console's page, for links to traces")
        .argParser(parseHttpUrl),
    )
    .addOption(
      flag("--max-events <count>", "events kept for who connects later")
        .argParser(parseInteger({ min: 1, max: 1_000_000 })).default(10_000),
    )
    .addOption(
      flag("--max-line-bytes <bytes>", "the longest line of the intake")
        .argParser(parseInteger({ min: 1_024, max: 67_108_864 })).default(1_048_576),
    )
    .addOption(
      flag("--max-connections <count>", "TCP connections at once")
        .argParser(parseInteger({ min: 1, max: 100_000 })).default(12_000),
    )
    .addOption(liveFlags.live())
    .addOption(liveFlags.orderRate())
    .addOption(liveFlags.instances())
    .addOption(liveFlags.keys())
    .addOption(liveFlags.pattern())
    .addOption(liveFlags.fault())
    .addOption(liveFlags.faults())
    .addOption(liveFlags.seed())
    .addOption(liveFlags.dataFolder())
    .addOption(liveFlags.databaseUrl())
    .addOption(liveFlags.databasePasswordFile())
    .addOption(liveFlags.processes())
    .addOption(liveFlags.durability())
    .addOption(liveFlags.record())
    .addOption(busFlags.brokers())
    .addOption(busFlags.tls())
    .addOption(busFlags.tlsCa())
    .addOption(busFlags.saslMechanism())
    .addOption(busFlags.saslUsername())
    .addOption(busFlags.saslPasswordFile())
    .addOption(busFlags.startTimeout())
    .addOption(busFlags.outageLimit());
}

async function main(): Promise<void> {
  const command = makeCommand();
  const replay = command.command("replay").description("play a capture in place of what is live")
    .argument("<file>", "a file that --capture or the page has saved")
    .addOption(
      flag("--speed <factor>", `how many times as fast, ${speedBounds.min} to ${speedBounds.max}`)
        .argParser(parseNumber(speedBounds)).default(1),
    )
    .configureHelp({ showGlobalOptions: true });
  await runService(command, runLive, { subcommands: [{ command: replay, start: runReplay }] });
}

if (import.meta.main) await main();
