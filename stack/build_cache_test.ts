import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import {
  BuildError,
  buildOnce,
  type BuildRecipe,
  recipeStamp,
  requireTool,
  ToolMissingError,
} from "./build_cache.ts";

const needed: Deno.PermissionName[] = ["run", "read", "write"];

testWith(needed, "buildOnce() builds the first time and finds it the second", async () => {
  await using folder = await temporaryFolder();
  const lines: string[] = [];
  const options = { cacheFolder: folder.path, report: (line: string) => lines.push(line) };
  const recipe = recipeThatCounts(join(folder.path, "count"));

  const first = await buildOnce(recipe, options);
  const second = await buildOnce(recipe, options);

  assert.equal(second, first);
  assert.equal(await Deno.readTextFile(join(first, "out", "result")), "made of source");
  assert.equal(await Deno.readTextFile(join(folder.path, "count")), "x");
  assert.match(lines[0]!, /^building counter v1, once \(a moment\); log: .*build\.log$/);
  assert.equal(lines.length, 2);
});

testWith(needed, "buildOnce() called twice at once builds once", async () => {
  await using folder = await temporaryFolder();
  const recipe = recipeThatCounts(join(folder.path, "count"));
  const build = () => buildOnce(recipe, { cacheFolder: folder.path, report: () => {} });

  const [first, second] = await Promise.all([build(), build()]);

  assert.equal(first, second);
  assert.equal(await Deno.readTextFile(join(folder.path, "count")), "x");
});

testWith(needed, "buildOnce() builds anew when the recipe changes", async () => {
  await using folder = await temporaryFolder();
  const options = { cacheFolder: folder.path, report: () => {} };
  const recipe = recipeThatCounts(join(folder.path, "count"));

  const old = await buildOnce(recipe, options);
  const bumped = await buildOnce({ ...recipe, version: "v2" }, options);

  assert.notEqual(bumped, old);
  assert.equal(await Deno.readTextFile(join(folder.path, "count")), "xx");
  assert.ok((await Deno.stat(old)).isDirectory, "the old build is kept for who still uses it");
});

testWith(needed, "buildOnce() shows what a failed step printed and keeps nothing", async () => {
  await using folder = await temporaryFolder();
  const recipe: BuildRecipe = {
    ...recipeThatCounts(join(folder.path, "count")),
    steps: [deno(`console.error("no such module"); Deno.exit(3)`)],
  };

  await assert.rejects(
    buildOnce(recipe, { cacheFolder: folder.path, report: () => {} }),
    (error) => {
      assert.ok(error instanceof BuildError);
      assert.match(error.message, /^Cannot build counter v1: '.*' ended with code 3\./);
      assert.match(error.message, /no such module/);
      assert.match(Deno.readTextFileSync(error.logFile), /no such module/);
      return true;
    },
  );
  assert.deepEqual(await namesIn(join(folder.path, "counter")), ["build.log", "lock"]);
});

testWith(needed, "buildOnce() ends a step that takes too long", async () => {
  await using folder = await temporaryFolder();
  const recipe: BuildRecipe = {
    ...recipeThatCounts(join(folder.path, "count")),
    steps: [deno(`setInterval(() => {}, 1000)`)],
  };

  await assert.rejects(
    buildOnce(recipe, { cacheFolder: folder.path, report: () => {}, stepTimeoutMs: 50 }),
    /took longer than 50 ms/,
  );
  assert.deepEqual(await namesIn(join(folder.path, "counter")), ["build.log", "lock"]);
});

testWith(needed, "buildOnce() ends the running step when its signal is aborted", async () => {
  await using folder = await temporaryFolder();
  const stop = new AbortController();
  const pidFile = join(folder.path, "pid");
  const recipe: BuildRecipe = {
    ...recipeThatCounts(join(folder.path, "count")),
    steps: [
      deno(
        `Deno.writeTextFileSync(${JSON.stringify(pidFile + ".new")}, String(Deno.pid));` +
          `Deno.renameSync(${JSON.stringify(pidFile + ".new")}, ${JSON.stringify(pidFile)});` +
          `setInterval(() => {}, 1000)`,
      ),
    ],
  };

  const building = buildOnce(recipe, {
    cacheFolder: folder.path,
    report: () => {},
    signal: stop.signal,
  });
  const pid = await eventually("the pid of the step", async () => {
    const text = await Deno.readTextFile(pidFile).catch(() => "");
    return text === "" ? undefined : Number(text);
  });
  stop.abort();

  await assert.rejects(building, { name: "AbortError" });
  assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound);
  assert.deepEqual(await namesIn(join(folder.path, "counter")), ["build.log", "lock"]);
});

testWith(needed, "buildOnce() removes what a killed builder left", async () => {
  await using folder = await temporaryFolder();
  const leftover = join(folder.path, "counter", "building-abc");
  await Deno.mkdir(leftover, { recursive: true });
  const recipe = recipeThatCounts(join(folder.path, "count"));

  await buildOnce(recipe, { cacheFolder: folder.path, report: () => {} });

  assert.deepEqual(
    await namesIn(join(folder.path, "counter")),
    ["build.log", "lock", recipeStamp(recipe)].sort(),
  );
});

testWith(needed, "buildOnce() names a missing tool and how to get it", async () => {
  await using folder = await temporaryFolder();
  const recipe: BuildRecipe = {
    ...recipeThatCounts(join(folder.path, "count")),
    tools: [{ command: "orrery-no-such-tool", install: "apt-get install no-such-tool" }],
  };

  await assert.rejects(buildOnce(recipe, { cacheFolder: folder.path }), {
    name: "ToolMissingError",
    message: "Cannot find 'orrery-no-such-tool', which building counter needs: " +
      "apt-get install no-such-tool",
  });
});

testWith(["run"], "requireTool() accepts a tool that refuses --version", async () => {
  await requireTool({ command: "false", install: "" }, "this test");
  await assert.rejects(
    requireTool({ command: "orrery-no-such-tool", install: "" }, "this test"),
    ToolMissingError,
  );
});

Deno.test("recipeStamp() depends on steps, kept files and version, not on wording", () => {
  const recipe = recipeThatCounts("/count");
  const stamp = recipeStamp(recipe);

  assert.match(stamp, /^v1-[0-9a-f]{16}$/);
  assert.equal(recipeStamp({ ...recipe, firstBuildTakes: "long" }), stamp);
  assert.notEqual(recipeStamp({ ...recipe, version: "v2" }), stamp);
  assert.notEqual(recipeStamp({ ...recipe, keep: ["out/other"] }), stamp);
  assert.notEqual(
    recipeStamp({ ...recipe, steps: [...recipe.steps, { write: "more", text: "" }] }),
    stamp,
  );
});

/** A recipe that makes `out/result` and adds an `x` to a file each time it is carried out. */
function recipeThatCounts(countFile: string): BuildRecipe {
  return {
    name: "counter",
    version: "v1",
    tools: [],
    firstBuildTakes: "a moment",
    steps: [
      { write: "out/source", text: "source" },
      deno(
        `Deno.writeTextFileSync("out/result", "made of " + Deno.readTextFileSync("out/source"));` +
          `Deno.writeTextFileSync(${JSON.stringify(countFile)}, "x", { append: true })`,
      ),
    ],
    keep: ["out/result"],
  };
}

function deno(script: string): { run: string[] } {
  return { run: ["deno", "eval", "--no-lock", script] };
}

async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), (entry) => entry.name)).sort();
}

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
