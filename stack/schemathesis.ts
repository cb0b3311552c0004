/**
 * Schemathesis, which makes requests of an OpenAPI document and holds the answers against it.
 *
 * @module
 */

import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe } from "./build_cache.ts";

/** The version on PyPI. */
export const SCHEMATHESIS_VERSION = "4.32.5";

/** The package and all it needs, in a folder for `PYTHONPATH`, which may be moved. */
export const SCHEMATHESIS_RECIPE: BuildRecipe = {
  name: "schemathesis",
  version: SCHEMATHESIS_VERSION,
  tools: [{ command: "python3", install: "install Python 3.11 or newer, with pip" }],
  firstBuildTakes: "about 40 s",
  steps: [{
    run: ["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
      .concat("--no-warn-script-location", "--target=site")
      .concat(`schemathesis==${SCHEMATHESIS_VERSION}`),
  }],
  keep: ["site"],
};

/** Options of {@link runSchemathesis}. */
export interface SchemathesisOptions extends BuildOptions {
  /** Where the document is; what it describes is beside it. */
  url: string;
  /**
   * Cases of each operation and phase.
   * @default 20
   */
  maxExamples?: number;
  /** What cases are drawn from: the same seed, the same cases. */
  seed: number;
  /** What is held against the document, by its own names of checks. */
  checks: readonly string[];
  /**
   * Headers of every request.
   * @default none
   */
  headers?: Readonly<Record<string, string>>;
  /** The folder it runs in and may write to. */
  folder: string;
}

/** What a run came to. */
export interface SchemathesisResult {
  /** Whether every answer was as the document says. */
  success: boolean;
  /** What it printed: each failure with the request that shows it. */
  printed: string;
}

/** Longer means that it hangs. */
const TIMEOUT_MS = 600_000;

/** Asks a server everything that its document describes, and some things that it does not. */
export async function runSchemathesis(options: SchemathesisOptions): Promise<SchemathesisResult> {
  const { url, maxExamples = 20, seed, checks, headers = {}, folder, ...build } = options;
  const built = await buildOnce(SCHEMATHESIS_RECIPE, build);
  const { success, stdout, stderr } = await new Deno.Command("python3", {
    args: ["-m", "schemathesis.cli", "run", url]
      .concat("--checks", checks.join(","), "--max-examples", String(maxExamples))
      .concat("--seed", String(seed), "--generation-database", "none", "--no-color")
      .concat("--continue-on-failure", "--warnings", "off", "--request-timeout", "60")
      .concat(Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}:${value}`])),
    cwd: folder,
    env: { PYTHONPATH: join(built, "site"), HOME: folder, PYTHONUTF8: "1" },
    stdin: "null",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).output();
  const decoder = new TextDecoder();
  return { success, printed: decoder.decode(stdout) + decoder.decode(stderr) };
}
