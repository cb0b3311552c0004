/**
 * Helm, to see what the charts below `deploy/helm` become.
 *
 * @module
 */

import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe, GO, StackError } from "./build_cache.ts";

/** Helm's version. */
export const HELM_VERSION = "v3.19.0";

/** Helm is one Go program. */
export const HELM_RECIPE: BuildRecipe = {
  name: "helm",
  version: HELM_VERSION,
  tools: [GO],
  firstBuildTakes: "about 2 minutes on 2 cores",
  steps: [{
    run: ["go", "install", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
      .concat(`helm.sh/helm/v3/cmd/helm@${HELM_VERSION}`),
  }],
  keep: ["bin/helm"],
};

/** Options of {@link renderChart}. */
export interface RenderOptions extends BuildOptions {
  /** Values as `helm --set-json` takes them: `{"api.replicas": 3}`. */
  values?: Readonly<Record<string, unknown>>;
}

/**
 * Checks a chart with `helm lint --strict` and renders it for a release named `test`.
 *
 * @param chart the chart's folder
 * @returns the manifests, YAML documents one after the other
 * @throws {StackError} when the chart or a value is wrong, with Helm's words
 */
export async function renderChart(chart: string, options: RenderOptions = {}): Promise<string> {
  const helm = join(await buildOnce(HELM_RECIPE, options), "bin", "helm");
  const values = Object.entries(options.values ?? {})
    .flatMap(([path, value]) => ["--set-json", `${path}=${JSON.stringify(value)}`]);
  await run(helm, ["lint", "--strict", "--quiet", chart, ...values]);
  return await run(helm, ["template", "test", chart, ...values]);
}

async function run(helm: string, args: readonly string[]): Promise<string> {
  const output = await new Deno.Command(helm, {
    args: [...args],
    stdin: "null",
    // Nothing of the user's own Helm: neither plugins nor caches.
    env: { HELM_NO_PLUGINS: "1" },
    signal: AbortSignal.timeout(60_000),
  }).output();
  const decoder = new TextDecoder();
  if (output.success) return decoder.decode(output.stdout);
  throw new StackError(
    `'helm ${args[0]}' refuses the chart:\n${decoder.decode(output.stdout)}${
      decoder.decode(output.stderr)
    }`,
  );
}
