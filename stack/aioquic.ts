/**
 * aioquic, the WebTransport implementation in Python, with the ping-pong peer that runs on it.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildOnce, type BuildOptions, type BuildRecipe } from "./build_cache.ts";
import type { PeerCommand } from "./wtransport.ts";

/** The version on PyPI. */
export const AIOQUIC_VERSION = "1.7.2";

/** The package and all it needs, in a folder for `PYTHONPATH`, which may be moved. */
export const AIOQUIC_RECIPE: BuildRecipe = {
  name: "aioquic",
  version: AIOQUIC_VERSION,
  tools: [{ command: "python3", install: "install Python 3.11 or newer, with pip" }],
  firstBuildTakes: "about 10 s",
  steps: [{
    run: ["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
      .concat("--no-warn-script-location", "--target=site", `aioquic==${AIOQUIC_VERSION}`),
  }],
  keep: ["site"],
};

/** The peer's command, the package installed first when the cache has none. */
export async function aioquicPeer(options: BuildOptions = {}): Promise<PeerCommand> {
  const built = await buildOnce(AIOQUIC_RECIPE, options);
  const script = fileURLToPath(new URL("../pingpong/peers/aioquic_peer.py", import.meta.url));
  return { command: "python3", args: [script], env: { PYTHONPATH: join(built, "site") } };
}
