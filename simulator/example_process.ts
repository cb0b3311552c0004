#!/usr/bin/env -S deno run --allow-net --allow-env=OTEL_*,SIMPLE_TELEMETRY_HOST,SIMPLE_TELEMETRY_PORT,SIMULATOR_EXAMPLE_*
/**
 * An example of a process that the simulator watches, like the original's: it starts, says hello
 * three times, one second apart, and stops.
 *
 * ```sh
 * SIMPLE_TELEMETRY_HOST=127.0.0.1 SIMPLE_TELEMETRY_PORT=1234 deno task simulator:example 17
 * ```
 *
 * @module
 */
import { commandLine, flag, parseDuration, parsePort } from "../service/command_line.ts";
import { runCommand } from "../service/life_cycle.ts";
import { startTelemetry, telemetryIsWanted } from "../service/telemetry.ts";
import { pause } from "../service/resilience.ts";
import { realWorld, type World } from "../service/world/world.ts";
import { TelemetryClient } from "./telemetry_client.ts";

/** Options of {@linkcode exampleProcess}. */
export interface ExampleProcessOptions {
  /** What it says hello with. */
  id: string;
  /** The server's host. */
  host: string;
  /** The server's port. */
  port: number;
  /** Time between two hellos, in milliseconds. @default 1_000 */
  intervalMs?: number;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Runs it; resolves when it has stopped. */
export async function exampleProcess(options: ExampleProcessOptions): Promise<TelemetryClient> {
  const { id, host, port, intervalMs = 1_000, world = realWorld } = options;
  const client = new TelemetryClient({
    host,
    port,
    stopAtExit: false,
    stopTimeoutMs: 5_000,
    world,
  });
  client.start();
  for (let times = 0; times < 3; times++) {
    client.event(`hello ${id}`);
    await pause(intervalMs, { world });
  }
  await client.stop();
  return client;
}

function makeCommand() {
  return commandLine({
    name: "simulator-example",
    summary: "A process that the simulator's page shows: it starts, says hello three times, stops.",
    envPrefix: "SIMULATOR_EXAMPLE",
    examples: [["deno task simulator:example 17", "says hello 17 to the server on this machine"]],
  })
    .argument("<id>", "what it says hello with")
    .addOption(
      flag("--host <address>", "the simulator's address").env("SIMPLE_TELEMETRY_HOST")
        .default("127.0.0.1"),
    )
    .addOption(
      flag("--port <port>", "the simulator's port").env("SIMPLE_TELEMETRY_PORT")
        .argParser(parsePort).default(1234),
    )
    .addOption(
      flag("--interval-ms <ms>", "time between two hellos")
        .argParser(parseDuration({ unit: "ms", maxMs: 86_400_000 })).default(1_000),
    )
    .action(async (id, options) => {
      const warn = (message: string) =>
        void Deno.stderr.writeSync(new TextEncoder().encode(`simulator-example: ${message}\n`));
      const telemetry = startTelemetry({
        serviceName: "simulator-example",
        warn,
        enabled: await telemetryIsWanted(),
      });
      const client = await exampleProcess({ id, ...options });
      await telemetry.shutdown(500);
      if (client.dropped > 0) {
        warn(
          `${client.dropped} events were not delivered: nothing listens on ${options.host}:${options.port}. Start the server with: deno task simulator:server`,
        );
        Deno.exit(1);
      }
    });
}

if (import.meta.main) await runCommand(makeCommand());
