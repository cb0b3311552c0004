/**
 * pywebtransport, a WebTransport implementation for Python of today's draft, with the ping-pong peer
 * that runs on it.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  buildOnce,
  type BuildOptions,
  type BuildRecipe,
  type Tool,
  ToolMissingError,
} from "./build_cache.ts";
import type { PeerCommand } from "./wtransport.ts";

/** The version on PyPI. */
export const PYWEBTRANSPORT_VERSION = "0.21.1";

const python: Tool = {
  command: "python3.12",
  install: "install Python 3.12 or newer, with pip, also beside an older python3",
};

/** The package, which has all it needs in it, in a folder for `PYTHONPATH`, which may be moved. */
function recipeWith(command: string): BuildRecipe {
  return {
    name: "pywebtransport",
    version: PYWEBTRANSPORT_VERSION,
    tools: [{ ...python, command }],
    firstBuildTakes: "about 5 s",
    steps: [{
      run: [command, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        .concat("--no-warn-script-location", "--target=site", "--only-binary=:all:")
        .concat(`pywebtransport==${PYWEBTRANSPORT_VERSION}`),
    }],
    keep: ["site"],
  };
}

/** The peer's command, the package installed first when the cache has none. */
export async function pywebtransportPeer(options: BuildOptions = {}): Promise<PeerCommand> {
  const command = await findPython();
  const built = await buildOnce(recipeWith(command), options);
  const script = fileURLToPath(
    new URL("../pingpong/peers/pywebtransport_peer.py", import.meta.url),
  );
  return { command, args: [script], env: { PYTHONPATH: join(built, "site") } };
}

/**
 * A Python that is new enough, and not only a name for one, as pyenv's are: it is asked.
 *
 * @throws {ToolMissingError} there is none
 */
async function findPython(): Promise<string> {
  const names = ["python3", "python3.12", "python3.13", "python3.14"];
  for (const command of [...names, ...await pyenvPythons()]) {
    if (await isNewEnough(command)) return command;
  }
  throw new ToolMissingError(python, "pywebtransport");
}

async function isNewEnough(command: string): Promise<boolean> {
  const test = "import sys; sys.exit(0 if sys.version_info >= (3, 12) else 1)";
  try {
    const asked = new Deno.Command(command, {
      args: ["-c", test],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    });
    return (await asked.output()).success;
  } catch {
    // There is no such program.
    return false;
  }
}

/** Those that pyenv has installed, the latest first: its shims know only the one that is chosen. */
async function pyenvPythons(): Promise<string[]> {
  const root = Deno.env.get("PYENV_ROOT") ?? join(Deno.env.get("HOME") ?? "/", ".pyenv");
  const folder = join(root, "versions");
  try {
    const versions = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
    const latestFirst = versions.toSorted((a, b) =>
      b.localeCompare(a, undefined, { numeric: true })
    );
    return latestFirst.map((version) => join(folder, version, "bin", "python3"));
  } catch {
    // No pyenv here.
    return [];
  }
}
