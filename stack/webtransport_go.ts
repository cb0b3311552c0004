/**
 * webtransport-go, the WebTransport implementation in Go, with the ping-pong peer that runs on it.
 *
 * @module
 */

import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe } from "./build_cache.ts";
import type { PeerCommand } from "./wtransport.ts";

/** The version of the Go module. */
export const WEBTRANSPORT_GO_VERSION = "v0.13.0";

const sources = new URL("../pingpong/peers/webtransport_go/", import.meta.url);
const binary = "pingpong-webtransport-go-peer";

/** The peer's sources are part of the recipe: a change of them builds anew. */
async function webtransportGoRecipe(): Promise<BuildRecipe> {
  const files = await Promise.all(
    ["go.mod", "go.sum", "main.go"].map(async (path) => ({
      write: path,
      text: await Deno.readTextFile(new URL(path, sources)),
    })),
  );
  return {
    name: "webtransport-go-peer",
    version: WEBTRANSPORT_GO_VERSION,
    tools: [{ command: "go", install: "install Go 1.26 or newer from https://go.dev/dl/" }],
    firstBuildTakes: "about 30 s on 2 cores",
    steps: [...files, { run: ["go", "build", "-trimpath", "-o", binary, "."] }],
    keep: [binary],
  };
}

/** The peer's command, built first when the cache has none. */
export async function webtransportGoPeer(options: BuildOptions = {}): Promise<PeerCommand> {
  const built = await buildOnce(await webtransportGoRecipe(), options);
  return { command: join(built, binary), args: [], env: {} };
}
