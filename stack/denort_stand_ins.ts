/**
 * Stands for Deno's base binaries, which `deno compile` downloads for each target: programs of the
 * same formats that do nothing, built by Go. What is compiled with them does not run, but holds all
 * that a real one would.
 *
 * @module
 */
import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe, GO } from "./build_cache.ts";

/** Go's names of what binaries are made for. */
const goTargets = {
  "x86_64-unknown-linux-gnu": ["linux", "amd64"],
  "aarch64-unknown-linux-gnu": ["linux", "arm64"],
  "x86_64-apple-darwin": ["darwin", "amd64"],
  "aarch64-apple-darwin": ["darwin", "arm64"],
  "x86_64-pc-windows-msvc": ["windows", "amd64"],
} as const;

/** One program for each target, in ELF, Mach-O or PE. */
export const DENORT_STAND_INS_RECIPE: BuildRecipe = {
  name: "denort-stand-ins",
  version: "1",
  tools: [GO],
  firstBuildTakes: "about 30 s",
  steps: [
    { write: "go.mod", text: "module orrery.invalid/stack/denort\n\ngo 1.22\n" },
    { write: "main.go", text: "package main\n\nfunc main() {}\n" },
    ...Object.entries(goTargets).map(([target, [os, architecture]]) => ({
      run: ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", target, "."],
      env: { GOOS: os, GOARCH: architecture } as Record<string, string>,
    })),
  ],
  keep: Object.keys(goTargets),
};

/** The stand-in of a target, for `DENORT_BIN`. */
export async function denortStandIn(
  target: keyof typeof goTargets,
  options: BuildOptions = {},
): Promise<string> {
  return join(await buildOnce(DENORT_STAND_INS_RECIPE, options), target);
}
