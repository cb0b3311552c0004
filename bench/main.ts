#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * Runs the benchmarks one after the other, each alone on the machine, and closes with what was
 * met and what was missed. It fails only when a benchmark breaks: a figure is not a test.
 *
 * ```sh
 * deno task bench                # all
 * deno task bench demo orb       # those whose names begin so
 * ```
 *
 * @module
 */
import { cpus, totalmem } from "node:os";
import { commandLine } from "../service/command_line.ts";
import { runCommand, StartError } from "../service/life_cycle.ts";

/** Every benchmark: one file a question. */
const benchmarks = [
  "demo_start.ts",
  "containers.ts",
  "orb_signup.ts",
  "orb_v2.ts",
  "orb_queue.ts",
  "orb_original.ts",
  "orb_servers.ts",
  "orb_uniqueness.ts",
  "orb_irises.ts",
  "console_ingest.ts",
  "console_store.ts",
  "console_queries.ts",
  "console_browsers.ts",
  "console_peers.ts",
  "observer_signal.ts",
  "observer_large_store.ts",
  "observer_scrape.ts",
  "signer_speed.ts",
  "simulator_intake.ts",
  "simulator_latency.ts",
  "simulator_page.ts",
  "simulator_live.ts",
  "simulator_simulation.ts",
  "pingpong_rtt.ts",
  "pingpong_crowd.ts",
  "pingpong_outage.ts",
  "pingpong_endurance.ts",
];

async function main(prefixes: string[]): Promise<void> {
  const chosen = benchmarks.filter((file) =>
    prefixes.length === 0 || prefixes.some((prefix) => file.startsWith(prefix))
  );
  if (chosen.length === 0) {
    throw new StartError(
      `No benchmark begins with ${prefixes.join(" or ")}. There are: ${benchmarks.join(", ")}`,
    );
  }
  say(`${machine()}, ${new Date().toISOString().slice(0, 10)}`);
  const lines: string[] = [];
  const broken: string[] = [];
  for (const file of chosen) {
    say(`\n${file}`);
    const child = new Deno.Command("deno", {
      args: ["run", ...permissions, new URL(file, import.meta.url).pathname],
      stdout: "piped",
    }).spawn();
    let output = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      const text = decoder.decode(chunk, { stream: true });
      Deno.stdout.writeSync(new TextEncoder().encode(text));
      output += text;
    }
    lines.push(...output.split("\n"));
    if (!(await child.status).success) broken.push(file);
  }
  const missed = lines.filter((line) => line.endsWith("-> missed"));
  const met = lines.filter((line) => line.endsWith("-> met")).length;
  say(`\n${met} targets met, ${missed.length} missed`);
  for (const line of missed) say(`  ${line}`);
  if (broken.length > 0) throw new StartError(`These benchmarks broke: ${broken.join(", ")}`);
}

const permissions = ["net", "read", "write", "env", "run", "sys"].map((name) => `--allow-${name}`);

function machine(): string {
  const processors = cpus();
  return `${processors.length} × ${processors[0]?.model.trim() ?? "unknown processor"}, ${
    Math.round(totalmem() / 1024 ** 3)
  } GiB, ${Deno.build.os}, Deno ${Deno.version.deno}`;
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

if (import.meta.main) {
  await runCommand(
    commandLine({
      name: "bench",
      summary: "Measures every speed target, as ratios taken in one run where it can be.",
      examples: [["deno task bench", "all"], ["deno task bench orb", "those of the orb"]],
    })
      .argument("[prefixes...]", `which: ${benchmarks.join(", ")}`, [] as string[])
      .action(main),
  );
}
