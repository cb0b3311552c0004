/**
 * The schemas of Kubernetes' own objects, to check a chart without a cluster.
 *
 * @module
 */

import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe, StackError } from "./build_cache.ts";

/** The version of the schemas' package on PyPI, and so the newest Kubernetes it knows. */
export const KUBERNETES_VALIDATE_VERSION = "1.37.0";

/** kubernetes-validate carries the schemas of many versions of Kubernetes in itself. */
export const KUBERNETES_VALIDATE_RECIPE: BuildRecipe = {
  name: "kubernetes-validate",
  version: KUBERNETES_VALIDATE_VERSION,
  tools: [{ command: "python3", install: "install Python 3.11 or newer, with pip" }],
  firstBuildTakes: "about 10 s",
  steps: [{
    run: ["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
      .concat("--no-warn-script-location", "--target=site")
      .concat(`kubernetes-validate==${KUBERNETES_VALIDATE_VERSION}`),
  }],
  keep: ["site"],
};

/**
 * Holds objects, as YAML in a file, against Kubernetes' schemas; unknown fields are refused.
 *
 * @throws {StackError} an object does not fit, with where and why
 */
export async function validateObjects(
  file: string,
  { kubernetes = "1.33", ...options }: BuildOptions & { kubernetes?: string } = {},
): Promise<string> {
  const built = await buildOnce(KUBERNETES_VALIDATE_RECIPE, options);
  return await run(
    "python3",
    ["-m", "kubernetes_validate", "--kubernetes-version", kubernetes, "--strict", file],
    { PYTHONPATH: join(built, "site") },
  );
}

async function run(command: string, args: string[], env: Record<string, string>): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, env }).output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout) + decoder.decode(stderr);
  throw new StackError(
    `'${command} ${args.join(" ")}' failed:\n${decoder.decode(stdout)}${decoder.decode(stderr)}`,
  );
}
