#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env=OTEL_* --ignore-env
/**
 * One part of the simulator's live topology, in a program of its own, so that it can be killed.
 *
 * Nobody starts it by hand: `simulator/server.ts --live --processes` does, and talks to it over stdin
 * and stdout. Reading and writing are for the stores' files.
 *
 * @module
 */
import { commandLine } from "../service/command_line.ts";
import { runService } from "../service/life_cycle.ts";
import { startPartProgram } from "./live/part_program.ts";

function makeCommand() {
  return commandLine({
    name: "simulator-part",
    summary: "Runs one part of the simulator's live topology; the simulator's server starts it.",
    envPrefix: "SIMULATOR_PART",
    examples: [["deno run -A simulator/server.ts --live --processes", "starts it for each part"]],
  });
}

if (import.meta.main) {
  await runService(makeCommand(), (_options, context) => startPartProgram(context), {
    stdout: "data",
    telemetry: false,
  });
}
