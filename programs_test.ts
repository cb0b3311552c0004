/**
 * Holds everything that starts a program against the table of programs and against the one list of
 * what a program may do, the first line of its entry file.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { CORE_SCHEMA, load as parseYaml, mergeTag } from "js-yaml";
import { criSockets, rktAddress } from "./observer/grpc/endpoint.ts";
import { type Program, programs, runtimePlaces, serviceOf } from "./programs.ts";
import { filesBelow } from "./service/found_files.ts";
import { shebangArguments } from "./service/program_file.ts";
import { testWith } from "./service/testing/permissions.ts";

const root = import.meta.dirname!;
const read = (path: string) => Deno.readTextFile(join(root, path));

/** What a command line lets a program do. */
interface Grants {
  /** By permission: `true` for everything, or what is listed. */
  permissions: Record<string, true | string[]>;
  v8Flags: string[];
  /** What else changes what a program can see or do. */
  others: string[];
}

/** Deno's short names of permissions. */
const shortNames: Record<string, string> = { N: "net", R: "read", W: "write", E: "env" };

/** Flags that make an image safer or quieter, and grant nothing. */
const harmless = ["run", "--no-prompt", "--no-remote", "--no-npm", "--quiet"];

function grantsOf(words: readonly string[]): Grants {
  const grants: Grants = { permissions: {}, v8Flags: [], others: [] };
  for (const word of words) {
    const [, long, short = "", list] = /^(?:--allow-([a-z]+)|-([NRWE]))(?:=(.*))?$/.exec(word) ??
      [];
    const name = long ?? shortNames[short];
    if (name !== undefined) grants.permissions[name] = list?.split(",") ?? true;
    else if (word.startsWith("--v8-flags=")) grants.v8Flags.push(...word.slice(11).split(","));
    else if (!harmless.includes(word)) grants.others.push(word);
  }
  return grants;
}

async function shebangGrants(entry: string): Promise<Grants> {
  const [firstLine = ""] = (await read(entry)).split("\n", 1);
  return grantsOf(shebangArguments(firstLine, entry));
}

/**
 * A container's command line may grant less than the shebang, as its folders are known: of paths a
 * list of its own, of everything else a part of the shebang's list; never more.
 */
async function assertGrantsOfContainer(
  { name, entry }: Program,
  words: readonly string[],
): Promise<void> {
  const [given, wanted] = [grantsOf(words), await shebangGrants(entry)];
  assert.deepEqual(given.v8Flags, wanted.v8Flags, `${name}: V8's flags`);
  assert.deepEqual(given.others.sort(), wanted.others.sort(), `${name}: other flags`);
  assert.deepEqual(
    Object.keys(given.permissions).sort(),
    Object.keys(wanted.permissions).sort(),
    `${name}: kinds of permission`,
  );
  for (const [kind, list] of Object.entries(given.permissions)) {
    const allowed = wanted.permissions[kind]!;
    if (kind === "read" || kind === "write") {
      assert.notEqual(list, true, `${name}: --allow-${kind} of everything in a container`);
    } else if (allowed !== true) {
      assert.ok(list !== true, `${name}: --allow-${kind} of everything`);
      const more = list.filter((one) => !allowed.includes(one));
      assert.deepEqual(more, [], `${name}: --allow-${kind} beyond the shebang's`);
    }
  }
}

testWith(["read"], "programs have names, tasks, prefixes and ports of their own", async () => {
  for (const key of ["name", "entry", "task", "envPrefix"] as const) {
    const values = programs.map((program) => program[key]);
    assert.deepEqual(values, [...new Set(values)], key);
  }
  const ports = programs.flatMap(({ ports = {} }) => Object.values(ports).map((one) => one.usual));
  assert.deepEqual(ports, [...new Set(ports)]);
  for (const { name, entry, envPrefix, page, ports = {}, health, demo } of programs) {
    assert.ok(health === undefined || health in ports, `${name} has no port '${health}'`);
    assert.ok(
      demo?.after === undefined || programs.findIndex((one) => one.name === demo.after) <
          programs.findIndex((one) => one.name === name),
      `${name} comes before what it waits for`,
    );
    const { permissions } = await shebangGrants(entry);
    assert.ok(permissions.env !== true, `${name} may read the whole environment`);
    assert.ok(permissions.env!.includes(`${envPrefix}_*`), `${name} may not read ${envPrefix}_*`);
    if (page !== undefined) await Deno.stat(join(root, page, "page", "main.tsx"));
  }
});

testWith(["read"], "each program's V8 flags stand in the table, with the reason", async () => {
  for (const { name, entry, v8 } of programs) {
    assert.deepEqual((await shebangGrants(entry)).v8Flags, v8?.flags ?? [], name);
    assert.ok(v8 === undefined || /\d/.test(v8.reason), `${name}: no figure in the reason`);
  }
});

testWith(["read"], "where a shebang grants all files, the table says which they are", async () => {
  for (const { name, entry, files } of programs) {
    const { read, write } = (await shebangGrants(entry)).permissions;
    assert.equal(files !== undefined, read === true || write === true, name);
    assert.ok(read !== undefined || write === undefined, `${name} writes what it may not read`);
  }
});

testWith(
  ["read"],
  "no program may do everything, run others or load what is not here",
  async () => {
    for (const { name, entry } of programs) {
      const { permissions, others } = await shebangGrants(entry);
      for (const kind of ["all", "run", "ffi", "import"]) {
        assert.ok(!(kind in permissions), `${name} has --allow-${kind}`);
      }
      assert.ok(permissions.sys !== true, `${name} has --allow-sys of everything`);
      const known = ["--unstable-net", "--ignore-env"];
      assert.deepEqual(others.filter((one) => !known.includes(one)), [], name);
    }
  },
);

/** Every source file of the repository, from its root. */
async function* sources(folder = ""): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    if (name.startsWith(".") || name === "node_modules" || name === "dist") continue;
    if (isDirectory) yield* sources(join(folder, name));
    else if (/\.tsx?$/.test(name)) yield join(folder, name);
  }
}

testWith(["read"], "a file with a shebang can be executed, and no other", async () => {
  if (Deno.build.os === "windows") return; // It has no such mode.
  const wrong: string[] = [];
  for await (const path of sources()) {
    const executable = ((await Deno.stat(join(root, path))).mode! & 0o111) !== 0;
    const hasShebang = (await read(path)).startsWith("#!");
    if (hasShebang && !executable) wrong.push(`chmod +x ${path}`);
    if (executable && !hasShebang) wrong.push(`chmod -x ${path}`);
  }
  assert.deepEqual(wrong, []);
});

testWith(["read"], "no shebang is longer than Linux reads", async () => {
  // BINPRM_BUF_SIZE is 256: what does not fit is cut off without a word, up to a file name's middle.
  const long: string[] = [];
  for await (const path of sources()) {
    const [line = ""] = (await read(path)).split("\n", 1);
    const bytes = new TextEncoder().encode(line).length;
    if (line.startsWith("#!") && bytes > 255) long.push(`${path}: ${bytes} bytes`);
  }
  assert.deepEqual(long, []);
});

testWith(["read"], "README's links lead to files that are there", async () => {
  const missing: string[] = [];
  for (const [, target] of (await read("README.md")).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
    if (/^[a-z]+:/.test(target!)) continue;
    const there = await Deno.stat(join(root, target!)).then(() => true, () => false);
    if (!there) missing.push(target!);
  }
  assert.deepEqual(missing, []);
});

testWith(["read"], "each program has a proof that its bundle works", async () => {
  const proofs = await read("e2e/bundle_program_test.ts");
  for (const { name } of programs) {
    assert.match(
      proofs,
      new RegExp(`^  (?:async )?"?${name}"?[(:]`, "m"),
      `e2e/bundle_program_test.ts has no proof for ${name}: add what shows its bundle at work`,
    );
  }
});

testWith(["read"], "deno.json's tasks start entry files by their own first line", async () => {
  interface Task {
    command?: string;
    dependencies?: string[];
  }
  const { tasks } = JSON.parse(await read("deno.json")) as { tasks: Record<string, string | Task> };
  const taskNamed = (name: string): Task => {
    const task = tasks[name];
    assert.ok(task !== undefined, `no task '${name}'`);
    return typeof task === "string" ? { command: task } : task;
  };
  for (const { entry, task, page } of programs) {
    const { command, dependencies } = taskNamed(task);
    assert.equal(command, `./${entry}`, task);
    assert.deepEqual(dependencies, page === undefined ? undefined : ["pages"], task);
  }
  for (const name of Object.keys(tasks)) {
    const { command } = taskNamed(name);
    // A task may be nothing but others.
    if (command === undefined || !command.includes(".ts") || command.includes("deno test ")) {
      continue;
    }
    // One after the other is fine: each by its own first line. So are variables, which grant nothing.
    for (const one of command.split(" && ")) {
      const [, path] = /^(?:[A-Z0-9_]+=\w+ )*\.\/(\S+\.ts)( [^&|;]*)?$/.exec(one) ?? [];
      assert.ok(path !== undefined, `task '${name}' grants by itself: ${one}`);
      await shebangGrants(path);
    }
  }
});

testWith(["read"], "Dockerfile has each program once, with what its shebang grants", async () => {
  const stages = await programStages();
  assert.deepEqual([...stages.keys()].sort(), programs.map(({ name }) => name).sort());
  for (const program of programs) {
    const { name, ports = {}, health } = program;
    const stage = stages.get(name)!;
    const [deno, ...words] = jsonInstruction(stage, "ENTRYPOINT");
    assert.equal(deno, "/bin/deno");
    assert.equal(words.pop(), `${name}.js`);
    await assertGrantsOfContainer(program, words);
    const exposed = [...stage.matchAll(/^EXPOSE (.*)$/gm)].flatMap(([, list]) =>
      list!.split(" ").map((one) => Number.parseInt(one))
    );
    const usual = Object.values(ports).map((port) => port.usual);
    assert.deepEqual([...new Set(exposed)].sort(), usual.sort(), `${name}: EXPOSE`);
    const [, checked] = /^HEALTHCHECK [^]*?127\.0\.0\.1:(\d+)\/readyz/m.exec(stage) ?? [];
    const port = health === undefined ? undefined : String(ports[health]!.usual);
    assert.equal(checked, port, `${name}: HEALTHCHECK`);
  }
});

testWith(["read"], "compose.yaml starts programs as their images do", async () => {
  const schema = CORE_SCHEMA.withTags(mergeTag);
  const { services } = parseYaml(await read("compose.yaml"), { schema }) as {
    services: Record<string, { build?: { target: string }; entrypoint?: unknown }>;
  };
  const own = Object.entries(services).filter(([, { build }]) => build !== undefined);
  const lasting = programs.filter(({ ends }) => !ends);
  assert.deepEqual(own.map(([name]) => name).sort(), lasting.map(({ name }) => name).sort());
  for (const [name, { build, entrypoint }] of own) {
    assert.equal(build!.target, name);
    assert.equal(entrypoint, undefined, `${name} is started otherwise than its image says`);
  }
});

testWith(["read"], "Helm charts start programs as their images do, or with less", async () => {
  const charts = join(root, "deploy", "helm");
  let checked = 0;
  for await (const path of filesBelow(charts)) {
    if (!/\.(yaml|tpl)$/.test(path)) continue;
    const text = await Deno.readTextFile(path);
    assert.doesNotMatch(text, /^\s+command:(?! \{\{ toJson \$\w+ \}\})/m, `${path}: a command`);
    for (const [, list] of text.matchAll(/"\/bin\/deno" "run" ((?:"[^"]*" )*?"[^"]*\.js")/g)) {
      const words = [...list!.matchAll(/"([^"]*)"/g)].map(([, word]) => word!);
      const name = words.pop()!.replace(/\.js$/, "");
      const program = programs.find((one) => one.name === name);
      assert.ok(program, `${path} starts ${name}`);
      await assertGrantsOfContainer(program, words);
      checked++;
    }
    assert.equal(text.match(/deno/g)?.length ?? 0, text.match(/"\/bin\/deno" "run"/g)?.length ?? 0);
  }
  assert.ok(checked > 0);
});

testWith(
  ["read"],
  "README's table names every service, with tasks and ports that are true",
  async () => {
    const rows = (await read("README.md")).split("\n").filter((line) =>
      /^\| \[.*README/.test(line)
    );
    const named = new Set<string>();
    for (const row of rows) {
      const [, , tasks = "", , ports = ""] = row.split("|");
      const inRow = [...tasks.matchAll(/`([\w:-]+)`/g)].map(([, task]) => {
        const program = programs.find((one) => one.task === task);
        assert.ok(program, `README has a task '${task}' that no program has`);
        named.add(serviceOf(program));
        return program;
      });
      const usual = inRow.flatMap(({ ports = {} }) => Object.values(ports).map((one) => one.usual));
      for (const [port] of ports.matchAll(/\d+/g)) {
        assert.ok(usual.includes(Number(port)), `README: ${port} is no port of ${tasks}`);
      }
    }
    assert.deepEqual([...named].sort(), [...new Set(programs.map(serviceOf))].sort());
  },
);

testWith([], "the demo looks for container runtimes where the observer does", () => {
  assert.deepEqual(runtimePlaces.criSockets, criSockets);
  assert.equal(`127.0.0.1:${runtimePlaces.rktPort}`, rktAddress);
});

/** The stages of the Dockerfile that are a program's image, by its name. */
async function programStages(): Promise<Map<string, string>> {
  const parts = (await read("Dockerfile")).split(/^(?=FROM )/m);
  return new Map(parts.flatMap((part) => {
    const name = /^FROM program AS (\S+)/.exec(part)?.[1];
    return name === undefined ? [] : [[name, part]];
  }));
}

/** The words of an instruction in JSON form, or none when the stage lacks it. */
function jsonInstruction(stage: string, instruction: string): string[] {
  const found = new RegExp(`^${instruction} (\\[[^\\]]*\\])`, "m").exec(stage);
  return found ? JSON.parse(found[1]!.replaceAll("\\\n", "\n")) as string[] : [];
}
