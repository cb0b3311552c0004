#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-env
/**
 * Bundles all programs together for the tests that start them, unless their sources are as they
 * were, and prints the folder: a bundle starts in a third of the processor time.
 *
 * The tasks `test` and `test:programs` put the folder into the variable that
 * `service/testing/program.ts` reads; a test run by itself starts the sources.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { programs } from "../programs.ts";
import { bundlePrograms } from "./program_bundles.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

if (import.meta.main) {
  const folder = join(root, "dist", "test_programs");
  const bundles = await bundlePrograms(programs, { root, folder });
  const [[entry, path]] = [...bundles] as [[string, string]];
  // deno-lint-ignore no-console -- what the task takes
  console.log(path.slice(0, -entry.length));
}
