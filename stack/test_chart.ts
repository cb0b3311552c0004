/**
 * For tests: a program's chart below `deploy/helm`, rendered by Helm, as objects and as a file.
 *
 * @module
 */
import { loadAll } from "js-yaml";
import { fileURLToPath } from "node:url";
import { renderChart } from "./helm.ts";
import type { KubeObject } from "./kube_pods.ts";
import { validateObjects } from "./kubernetes_validate.ts";

/** Values as `helm --set-json` takes them: `{"api.replicas": 3}`. */
export type ChartValues = Readonly<Record<string, unknown>>;

/** The folder of a program's chart. */
export function chartFolder(part: string): string {
  return fileURLToPath(new URL(`../deploy/helm/orrery/charts/${part}`, import.meta.url));
}

/**
 * What a chart makes of values, by kind and name: `Service test-orb`.
 *
 * @throws {StackError} the chart or a value is wrong, with Helm's words
 */
export async function chartObjects(
  part: string,
  values: ChartValues = {},
): Promise<Map<string, KubeObject>> {
  const text = await renderChart(chartFolder(part), { values });
  const objects = (loadAll(text) as (KubeObject | null)[]).filter((one) => one !== null);
  return new Map(objects.map((one) => [`${one.kind} ${one.metadata.name}`, one]));
}

/**
 * Holds what a chart makes of values against Kubernetes' schemas, and gives what was said of it.
 *
 * @throws {StackError} one of the objects is none
 */
export async function validateChart(part: string, values: ChartValues = {}): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(file, await renderChart(chartFolder(part), { values }));
    return await validateObjects(file);
  } finally {
    await Deno.remove(file);
  }
}
