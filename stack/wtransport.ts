/**
 * wtransport, the WebTransport implementation in Rust, with the ping-pong peer that runs on it.
 *
 * @module
 */

import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe } from "./build_cache.ts";

/** How a peer is started; `server <cert> <key>` or `client <url> …` follow. */
export interface PeerCommand {
  /** The program. */
  command: string;
  /** Its first arguments. */
  args: readonly string[];
  /** Added to the environment. */
  env: Readonly<Record<string, string>>;
}

/** The version on crates.io. */
export const WTRANSPORT_VERSION = "0.7.2";

const sources = new URL("../pingpong/peers/wtransport/", import.meta.url);
const binary = join("target", "release", "pingpong-wtransport-peer");

/** The peer's sources are part of the recipe: a change of them builds anew. */
async function wtransportRecipe(): Promise<BuildRecipe> {
  const files = await Promise.all(
    ["Cargo.toml", "Cargo.lock", "src/main.rs"].map(async (path) => ({
      write: path,
      text: await Deno.readTextFile(new URL(path, sources)),
    })),
  );
  return {
    name: "wtransport-peer",
    version: WTRANSPORT_VERSION,
    tools: [{ command: "cargo", install: "install Rust 1.85 or newer from https://rustup.rs" }],
    firstBuildTakes: "about 2 minutes on 2 cores",
    steps: [...files, { run: ["cargo", "build", "--release", "--locked", "--target-dir=target"] }],
    keep: [binary],
  };
}

/** The peer's command, built first when the cache has none. */
export async function wtransportPeer(options: BuildOptions = {}): Promise<PeerCommand> {
  const built = await buildOnce(await wtransportRecipe(), options);
  return { command: join(built, binary), args: [], env: {} };
}
