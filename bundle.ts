#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-env
/**
 * Makes each program one file: `dist/<program>.js`, which runs with Deno in an empty folder, or
 * with `--compile` also `dist/<program>`, which runs without Deno (its base binary is downloaded once).
 *
 * ```sh
 * deno task bundle                 # every program
 * deno task bundle console         # one
 * deno task compile orb-server
 * ```
 *
 * It starts `deno`, which reads and writes where its cache and the target are, and which inherits
 * the environment: no list can name what that touches.
 *
 * @module
 */
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { type Program, programNamed, programs } from "./programs.ts";
import { commandLine, flag } from "./service/command_line.ts";
import { embedWasm } from "./service/embedded_wasm.ts";
import { runCommand, StartError } from "./service/life_cycle.ts";
import { pageEmbedding, pagesOf } from "./service/page/built_pages.ts";
import { shebangArguments } from "./service/program_file.ts";

const root = new URL(".", import.meta.url);

/**
 * Bundles each program into one file with `deno bundle`, its page and its shebang included. All at
 * once: what several import is found and read once, which for all programs is 6 s of processor time
 * in place of 15.
 *
 * @param folder where the files go, `<program>.js` each; it is there
 * @returns the files, in the order of the programs
 * @throws {StartError} one does not bundle.
 *
 * @example
 * ```ts
 * await bundleStandalone([programNamed("console")], new URL("dist/", import.meta.url));
 * ```
 */
export async function bundleStandalone(
  programs: readonly Program[],
  folder: URL,
): Promise<URL[]> {
  const aside = await Deno.makeTempDir({ prefix: "orrery-bundle-" });
  try {
    const entries = programs.map(({ entry }) => fileURLToPath(new URL(entry, root)));
    await run("deno", ["bundle", "--quiet", "--platform", "deno", "--outdir", aside, ...entries]);
    const base = commonFolder(entries);
    const targets: URL[] = [];
    for (const [i, program] of programs.entries()) {
      const bundle = join(aside, relative(base, entries[i]!).replace(/\.ts$/, ".js"));
      const target = new URL(`${program.name}.js`, folder);
      await complete(program, await Deno.readTextFile(bundle), target);
      targets.push(target);
    }
    return targets;
  } finally {
    await stopMinifying();
    await Deno.remove(aside, { recursive: true });
  }
}

/** The folder below which `deno bundle --outdir` keeps where its entries lie. */
function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!);
  while (!paths.every((path) => path.startsWith(folder + sep))) folder = dirname(folder);
  return folder;
}

/** Makes of what `deno bundle` wrote a file that is a program. */
async function complete({ entry, page }: Program, code: string, target: URL): Promise<void> {
  const shebang = await firstLine(fileURLToPath(new URL(entry, root)));
  const embeddedPage = page === undefined ? "" : await pageEmbedding(await pagesOf(page));
  const small = await minify(refuseFilesBeside(await embedWasm(code)));
  await Deno.writeTextFile(target, `${shebang}\n${embeddedPage}${small.replace(/^#!.*\n/, "")}`);
  if (Deno.build.os !== "windows") await Deno.chmod(target, 0o755);
}

/**
 * Half the bytes: an image's layer, a binary and what V8 parses at each start. By esbuild, which makes
 * the pages too; names stay, as errors and logs tell them, and so do the libraries' licences. It runs
 * until {@linkcode stopMinifying}.
 */
export async function minify(code: string): Promise<string> {
  const esbuild = await import("esbuild");
  const { code: small } = await esbuild.transform(code, {
    ...{ minify: true, keepNames: true, legalComments: "eof", charset: "utf8" },
    ...{ format: "esm", target: "esnext" },
  });
  return small;
}

/** Ends the process that minifies. */
export async function stopMinifying(): Promise<void> {
  const esbuild = await import("esbuild");
  await esbuild.stop();
}

/**
 * A bundle is alone in its folder.
 *
 * @throws {StartError} it would read a file from beside itself.
 */
function refuseFilesBeside(code: string): string {
  const [left] = /new URL\("[^"]*", import\.meta\.url\)/.exec(code) ?? [];
  if (left === undefined) return code;
  throw new StartError(`Cannot bundle: the code reads a file from beside itself, ${left}`);
}

/** What binaries are made for, as `deno compile --target` names them. */
export const targets = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
] as const;

/** One of {@linkcode targets}. */
export type Target = (typeof targets)[number];

/** Options of {@linkcode compileBundle}. */
export interface CompileOptions {
  /** What the binary is for. @default this machine */
  target?: Target;
  /** Deno's base binary for it, a file. @default downloaded once */
  baseBinary?: string;
}

/**
 * Makes a bundle a binary with `deno compile`, with the permissions of its first line. Of the bundle,
 * not of the entry file: the sources' `node_modules` would come along whole, 89 MB instead of one.
 *
 * @param binary where it goes, without the `.exe` that Windows' gets
 * @throws {StartError} it does not compile, or Deno's base binary could not be downloaded.
 *
 * @example
 * ```ts
 * await compileBundle(new URL("dist/console.js", import.meta.url), new URL("dist/console", import.meta.url));
 * ```
 */
export async function compileBundle(
  bundle: URL,
  binary: URL,
  { target, baseBinary }: CompileOptions = {},
): Promise<void> {
  const path = fileURLToPath(bundle);
  const [, ...permissions] = shebangArguments(await firstLine(path), path);
  await run("deno", [
    ...["compile", "--quiet", "--no-config", "--output", fileURLToPath(binary)],
    ...(target === undefined ? [] : ["--target", target]),
    ...permissions,
    path,
  ], baseBinary === undefined ? {} : { DENORT_BIN: baseBinary });
}

async function firstLine(path: string): Promise<string> {
  return (await Deno.readTextFile(path)).split("\n", 1)[0]!;
}

async function run(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, {
    args,
    env,
    cwd: root,
    stdout: "inherit",
    stderr: "piped",
  }).output();
  if (success) return;
  const reason = new TextDecoder().decode(stderr).trim();
  throw new StartError(`'${command} ${args.join(" ")}' failed:\n${reason}`);
}

/** What the command line says. */
interface Flags {
  compile?: boolean;
  target?: Target;
}

/** Makes the named programs, or all, and says how large each has become. */
async function makeAll(names: string[], { compile = false, target }: Flags): Promise<void> {
  const known = programs.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new StartError(`There is no program '${unknown}'. Programs: ${known.join(", ")}`);
  }
  if (target !== undefined && !compile) {
    throw new StartError("--target is for --compile: a bundle is the same everywhere");
  }
  const folder = target === undefined ? "dist/" : `dist/${target}/`;
  await Deno.mkdir(new URL(folder, root), { recursive: true });
  const chosen = names.length > 0 ? [...new Set(names)].map(programNamed) : programs;
  await bundleStandalone(chosen, new URL("dist/", root));
  for (const program of chosen) {
    const bundle = `dist/${program.name}.js`;
    if (!compile) await printSize(bundle);
    else {
      const binary = `${folder}${program.name}`;
      await compileBundle(new URL(bundle, root), new URL(binary, root), {
        ...(target !== undefined && { target }),
      });
      const isForWindows = target?.includes("windows") ?? Deno.build.os === "windows";
      await printSize(isForWindows ? `${binary}.exe` : binary);
    }
  }
}

async function printSize(file: string): Promise<void> {
  const { size } = await Deno.stat(new URL(file, root));
  // deno-lint-ignore no-console -- the result of a tool that a person runs
  console.log(`${file}  ${Math.round(size / 1000)} kB`);
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "bundle",
    summary: "Makes each program one file in dist/.",
    examples: [
      ["deno task bundle", "every program, as JavaScript for Deno"],
      ["deno task bundle orb-server", "one program"],
      ["deno task compile", "every program, as a binary of its own"],
      ["deno task compile --target aarch64-apple-darwin", "for another machine"],
    ],
  })
    .argument(
      "[programs...]",
      `which: ${programs.map(({ name }) => name).join(", ")}`,
      [] as string[],
    )
    .addOption(flag("--compile", "make binaries with deno compile"))
    .addOption(
      flag("--target <triple>", "what the binaries are for, into dist/<triple>/").choices(targets),
    )
    .action((names: string[], flags: Flags) => makeAll(names, flags));
  await runCommand(command);
}

if (import.meta.main) await main();
