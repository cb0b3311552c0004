/**
 * For tests: the bundles of all programs, made once for a test file, by the first test that wants one.
 *
 * @module
 */
import { pathToFileURL } from "node:url";
import { bundleStandalone } from "../bundle.ts";
import { programs } from "../programs.ts";

let made: Promise<string> | undefined;

/** The folder in which each program is `<name>.js`. It is removed after the last test. */
export function allBundles(): Promise<string> {
  return made ??= makeBundles();
}

async function makeBundles(): Promise<string> {
  const folder = await Deno.makeTempDir();
  await bundleStandalone(programs, pathToFileURL(`${folder}/`));
  return folder;
}

/** To be called where the tests are declared. */
export function removeBundlesAfterAll(): void {
  Deno.test.afterAll(async () => {
    if (made !== undefined) await Deno.remove(await made, { recursive: true });
  });
}
