/**
 * What `deno task compile` puts into a binary of each program for each target. Deno's base binaries
 * have to be downloaded; what stands for them here is of the same formats, so that everything but
 * the running is as it is in a release.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { fileURLToPath, pathToFileURL } from "node:url";
import { compileBundle, type Target, targets } from "../bundle.ts";
import { programs } from "../programs.ts";
import { shebangArguments } from "../service/program_file.ts";
import { denortStandIn } from "../stack/denort_stand_ins.ts";
import { testWithStack } from "../stack/test_with_stack.ts";
import { allBundles, removeBundlesAfterAll } from "./bundles_fixture.ts";

/** What Deno keeps of its command line in a binary; a list that is empty grants all. */
interface Metadata {
  permissions: Record<string, string[] | boolean | null>;
  v8_flags: string[];
  entrypoint_key: string;
  node_modules: unknown;
  unstable_config: { features: string[] };
}

removeBundlesAfterAll();

for (const { name } of programs) {
  testWithStack(`a binary of ${name} has what its bundle needs, for every target`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const bundle = pathToFileURL(`${await allBundles()}/${name}.js`);
      for (const target of targets) await proveBinary(folder, name, bundle, target);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

async function proveBinary(folder: string, name: string, bundle: URL, target: Target) {
  const path = `${folder}/${name}-${target}`;
  const baseBinary = await denortStandIn(target);
  await compileBundle(bundle, pathToFileURL(path), { target, baseBinary });
  const binary = await Deno.readFile(target.includes("windows") ? `${path}.exe` : path);
  // The bundle's workers, pages and WebAssembly are in its one file, and it is in the binary, whole.
  const text = await Deno.readTextFile(bundle);
  const lines = text.indexOf("\n") + 1;
  const code = new TextEncoder().encode(text.slice(lines));
  assert.notEqual(indexOf(binary, code), -1, `${target}: the bundle's code`);
  const metadata = metadataOf(binary);
  assert.equal(metadata.entrypoint_key, `${name}.js`, target);
  assert.equal(metadata.node_modules, null, `${target}: packages beside the bundle`);
  assertGrants(metadata, shebangArguments(text.slice(0, lines - 1), fileURLToPath(bundle)));
}

/** Deno's short names of permissions. */
const shortNames: Record<string, string> = { N: "net", R: "read", W: "write", E: "env" };

/** The binary may do what the bundle's first line lets it, and nothing else. */
function assertGrants({ permissions, v8_flags, unstable_config }: Metadata, words: string[]): void {
  const given = Object.fromEntries(
    Object.entries(permissions).filter(([kind, list]) =>
      list !== null && list !== false && kind !== "allow_import"
    ),
  );
  const wanted: Record<string, string[] | boolean> = {};
  for (const word of words) {
    const [, long, short = "", list] = /^(?:--allow-([a-z]+)|-([A-Z]))(?:=(.*))?$/.exec(word) ?? [];
    const kind = long ?? shortNames[short];
    if (kind !== undefined) wanted[`allow_${kind}`] = list?.split(",") ?? [];
  }
  if (words.includes("--ignore-env")) wanted["ignore_env"] = [];
  assert.deepEqual(given, wanted);
  const v8 = words.find((word) => word.startsWith("--v8-flags="))?.slice(11).split(",") ?? [];
  assert.deepEqual(v8.filter((flag) => !v8_flags.includes(flag)), [], "V8's flags");
  const unstable = words.filter((word) => word.startsWith("--unstable-")).map((word) =>
    word.slice(11)
  );
  assert.deepEqual(unstable_config.features, unstable, "unstable features");
}

function metadataOf(binary: Uint8Array): Metadata {
  const start = indexOf(binary, new TextEncoder().encode('{"argv":['));
  assert.notEqual(start, -1, "no metadata");
  // It ends where its braces do; strings in it hold none.
  let depth = 0;
  for (let at = start; at < binary.length; at++) {
    if (binary[at] === 0x7b) depth++;
    if (binary[at] === 0x7d && --depth === 0) {
      return JSON.parse(new TextDecoder().decode(binary.subarray(start, at + 1)));
    }
  }
  throw new Error("the metadata has no end");
}

/** Where `part` begins in `whole`, or -1. */
function indexOf(whole: Uint8Array, part: Uint8Array): number {
  return Buffer.from(whole.buffer, whole.byteOffset, whole.byteLength).indexOf(part);
}
