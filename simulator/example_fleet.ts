#!/usr/bin/env -S deno run --allow-net --allow-env=OTEL_*,SIMPLE_TELEMETRY_HOST,SIMPLE_TELEMETRY_PORT,SIMULATOR_FLEET_*
/**
 * A load generator for the simulator: so many processes' worth of events at a given rate, in traces
 * that cross them.
 *
 * ```sh
 * deno task simulator:fleet --processes 200 --rate 100
 * deno task simulator:fleet --processes 10000 --rate 5000 --connections 100
 * ```
 *
 * @module
 */
import {
  commandLine,
  flag,
  parseInteger,
  parseNumber,
  parsePort,
} from "../service/command_line.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import { runFleet } from "./fleet.ts";

interface Flags {
  host: string;
  port: number;
  processes: number;
  rate: number;
  connections?: number;
  faultRatio: number;
  churn: number;
}

/** Starts it; it goes on until it is stopped. */
export function startFleet(flags: Flags, context: ServiceContext): Promise<Service> {
  const { log, health, stopping, world } = context;
  const finished = runFleet({ ...flags, signal: stopping, world }).then(({ sent, dropped }) => {
    log.info("The fleet has stopped", { sent, dropped });
  });
  health.set("fleet", "ok");
  log.info("The fleet runs", {
    processes: flags.processes,
    rate: flags.rate,
    server: `${flags.host}:${flags.port}`,
  });
  return Promise.resolve({ finished, stop: () => finished });
}

function makeCommand() {
  return commandLine({
    name: "simulator-fleet",
    summary: "Sends the simulator what a fleet of processes would, at a rate.",
    envPrefix: "SIMULATOR_FLEET",
    examples: [
      ["deno task simulator:fleet", "20 processes, 20 events a second"],
      ["deno task simulator:fleet --processes 2000 --rate 1000", "a crowd"],
    ],
  })
    .addOption(
      flag("--host <address>", "the simulator's address").env("SIMPLE_TELEMETRY_HOST")
        .default("127.0.0.1"),
    )
    .addOption(
      flag("--port <port>", "the simulator's port").env("SIMPLE_TELEMETRY_PORT")
        .argParser(parsePort).default(1234),
    )
    .addOption(
      flag("--processes <count>", "processes")
        .argParser(parseInteger({ min: 1, max: 100_000 })).default(20),
    )
    .addOption(
      flag("--rate <count>", "events a second, of all together")
        .argParser(parseNumber({ min: 0, max: 1_000_000 })).default(20),
    )
    .addOption(
      flag("--connections <count>", "TCP connections (default: one a process, at most 1000)")
        .argParser(parseInteger({ min: 1, max: 10_000 })),
    )
    .addOption(
      flag("--fault-ratio <share>", "how likely a request fails, 0 to 1")
        .argParser(parseNumber({ min: 0, max: 1 })).default(0.02),
    )
    .addOption(
      flag("--churn <count>", "processes a second that end, each replaced by a new one")
        .argParser(parseNumber({ min: 0, max: 10_000 })).default(0),
    );
}

if (import.meta.main) await runService(makeCommand(), startFleet);
