#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-env
/**
 * Makes each program one file: `dist/<program>.js`, which runs with Deno in an empty folder, or
 * with `--compile` `dist/<program>`, which runs without Deno (its base binary is downloaded once).
 *
 * ```sh
 * deno task bundle                 # every program
 * deno task bundle console         # one
 * deno task compile orb-server
 * ```
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { commandLine, flag } from "./service/command_line.ts";
import { runCommand, StartError } from "./service/life_cycle.ts";
import { findPages, pageEmbedding } from "./service/page/build.ts";
import { shebangArguments } from "./service/program_file.ts";

/** Every program: its entry file, by its `service.name`. */
export const programs: Readonly<Record<string, string>> = {
  "console": "console/server.ts",
  "image-service": "observer/image_service.ts",
  "observer": "observer/observer.ts",
  "orb-client": "orb/client.ts",
  "orb-server": "orb/server.ts",
  "pingpong-client": "pingpong/client.ts",
  "pingpong-server": "pingpong/server.ts",
  "signer-api": "signer/rest_api.ts",
  "signer-load": "signer/load.ts",
  "signer-service": "signer/service.ts",
};

const root = new URL(".", import.meta.url);

/**
 * Bundles a program with `deno bundle`, its page and its shebang included.
 *
 * @throws {StartError} it does not bundle.
 */
export async function bundleProgram(name: string, target: URL): Promise<void> {
  const entry = fileURLToPath(new URL(programs[name]!, root));
  const shebang = await firstLine(entry);
  await run("deno", [
    ...["bundle", "--quiet", "--platform", "deno", "--output", fileURLToPath(target), entry],
  ]);
  const page = programs[name]!.split("/")[0]!;
  const pages = (await findPages()).includes(page) ? await pageEmbedding([page]) : "";
  const code = await embedWasm(await Deno.readTextFile(target));
  await Deno.writeTextFile(target, `${shebang}\n${pages}${code.replace(/^#!.*\n/, "")}`);
  if (Deno.build.os !== "windows") await Deno.chmod(target, 0o755);
}

/** The Kafka client reads its WebAssembly from beside itself: alone in a folder it must be inside. */
async function embedWasm(code: string): Promise<string> {
  const reading =
    /"(node_modules\/[^"]+\/wasm-utils\/dist)\/index\.js"\(\) \{[^]*?(readFileSync\d*\(new URL\("\.\.\/dist\/native\.wasm", import\.meta\.url\)\))/;
  const [, folder, expression] = reading.exec(code) ?? [];
  if (folder === undefined || expression === undefined) return code;
  const wasm = await Deno.readFile(new URL(`${folder}/native.wasm`, root));
  return code.replace(expression, () => `Uint8Array.fromBase64("${wasm.toBase64()}")`);
}

/**
 * Compiles a program with `deno compile`, with the permissions of its shebang.
 *
 * @throws {StartError} it does not compile, or Deno's base binary could not be downloaded.
 */
export async function compileProgram(name: string, target: URL): Promise<void> {
  const entry = fileURLToPath(new URL(programs[name]!, root));
  const [, ...permissions] = shebangArguments(await firstLine(entry), entry);
  const page = programs[name]!.split("/")[0]!;
  const pages = (await findPages()).includes(page) ? ["--include", `dist/pages/${page}.json`] : [];
  await run("deno", [
    ...["compile", "--quiet", "--output", fileURLToPath(target)],
    ...permissions,
    ...pages,
    entry,
  ]);
}

async function firstLine(path: string): Promise<string> {
  return (await Deno.readTextFile(path)).split("\n", 1)[0]!;
}

async function run(command: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, {
    args,
    cwd: root,
    stdout: "inherit",
    stderr: "piped",
  }).output();
  if (success) return;
  const reason = new TextDecoder().decode(stderr).trim();
  throw new StartError(`'${command} ${args.join(" ")}' failed:\n${reason}`);
}

const command = commandLine({
  name: "bundle",
  summary: "Makes each program one file in dist/.",
  examples: [
    ["deno task bundle", "every program, as JavaScript for Deno"],
    ["deno task bundle orb-server", "one program"],
    ["deno task compile", "every program, as a binary of its own"],
  ],
})
  .argument("[programs...]", `which: ${Object.keys(programs).join(", ")}`, [] as string[])
  .addOption(flag("--compile", "make binaries with deno compile"))
  .action(async (names: string[], { compile }: { compile?: true }) => {
    const unknown = names.find((name) => !(name in programs));
    if (unknown !== undefined) {
      throw new StartError(
        `There is no program '${unknown}'. Programs: ${Object.keys(programs).join(", ")}`,
      );
    }
    await Deno.mkdir(new URL("dist/", root), { recursive: true });
    for (const name of names.length > 0 ? names : Object.keys(programs)) {
      const target = new URL(compile ? `dist/${name}` : `dist/${name}.js`, root);
      await (compile ? compileProgram : bundleProgram)(name, target);
      const { size } = await Deno.stat(target);
      // deno-lint-ignore no-console -- the result of a tool that a person runs
      console.log(`dist/${name}${compile ? "" : ".js"}  ${Math.round(size / 1000)} kB`);
    }
  });

if (import.meta.main) await runCommand(command);
