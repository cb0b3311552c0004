/**
 * actionlint, which finds mistakes in GitHub's workflows: unknown keys, wrong types in expressions,
 * jobs that need what is not there.
 *
 * @module
 */
import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe, GO } from "./build_cache.ts";

/** The version of its Go module. */
export const ACTIONLINT_VERSION = "v1.7.7";

/** actionlint is one Go program. */
export const ACTIONLINT_RECIPE: BuildRecipe = {
  name: "actionlint",
  version: ACTIONLINT_VERSION,
  tools: [GO],
  firstBuildTakes: "about 30 s on 2 cores",
  steps: [{
    run: ["go", "install", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
      .concat(`github.com/rhysd/actionlint/cmd/actionlint@${ACTIONLINT_VERSION}`),
  }],
  keep: ["bin/actionlint"],
};

/** What it finds in workflows, a line each; nothing when all is well. */
export async function findingsIn(
  files: readonly string[],
  options: BuildOptions = {},
): Promise<string[]> {
  const actionlint = join(await buildOnce(ACTIONLINT_RECIPE, options), "bin", "actionlint");
  // Alone: neither shellcheck nor pyflakes of this machine, so that it finds the same everywhere.
  const { stdout, stderr } = await new Deno.Command(actionlint, {
    args: ["-oneline", "-no-color", "-shellcheck=", "-pyflakes=", ...files],
    signal: AbortSignal.timeout(60_000),
  }).output();
  const decoder = new TextDecoder();
  return (decoder.decode(stdout) + decoder.decode(stderr)).split("\n").filter((one) => one !== "");
}
