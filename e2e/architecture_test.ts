/**
 * Walks the imports and holds them against the drawing in ARCHITECTURE.md.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { programs, serviceOf } from "../programs.ts";
import { testWith } from "../service/testing/permissions.ts";
import { sourceFiles } from "../service/testing/source_files.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The room of a path: its first folder, or itself if it lies in the root. */
const roomOf = (path: string) => path.split("/", 1)[0]!;

testWith(
  ["read"],
  "imports go where ARCHITECTURE.md draws an arrow, and each arrow is one",
  async () => {
    const drawn = await arrows();
    const walked = new Set<string>();
    for (const { path, imports } of await sourceFiles()) {
      const room = roomOf(path);
      const mayImport = drawn.get(room);
      assert.ok(mayImport, `ARCHITECTURE.md draws no arrows from '${room}'`);
      for (const target of imports) {
        const other = roomOf(target);
        // Who the program is, its version, stands there.
        if (other === room || target === "deno.json") continue;
        if (other === "stack" && path.endsWith("_stack_test.ts")) continue;
        const isDrawn = mayImport.includes(other) || mayImport[0] === "*";
        assert.ok(isDrawn, `${path} imports ${target}: no arrow ${room} → ${other}`);
        walked.add(`${room} → ${other}`);
      }
    }
    const explicit = [...drawn].flatMap(([room, others]) =>
      others.filter((other) => other !== "*").map((other) => `${room} → ${other}`)
    );
    const unused = explicit.filter((arrow) => !walked.has(arrow));
    assert.deepEqual(unused, [], "arrows that no import goes along");
  },
);

testWith(["read"], "services, service/, the demo and the table know no service", async () => {
  const drawn = await arrows();
  for (const service of new Set(programs.map(serviceOf))) {
    assert.deepEqual(drawn.get(service), ["service"], service);
  }
  assert.deepEqual(drawn.get("service"), []);
  assert.deepEqual(drawn.get("programs.ts"), []);
  for (const room of ["demo", "demo.ts"]) {
    const others = drawn.get(room)!.filter((other) => !["demo", "programs.ts"].includes(other));
    assert.deepEqual(others, ["service"], room);
  }
});

testWith(["read"], "a folder's modules do not import its entry files", async () => {
  const all = await sourceFiles();
  const entries = new Set(all.filter(({ isEntry }) => isEntry).map(({ path }) => path));
  for (const { path, imports, isEntry } of all) {
    if (isEntry || isForTests(path) || ["bench", "e2e"].includes(roomOf(path))) continue;
    assert.deepEqual(imports.filter((target) => entries.has(target)), [], path);
  }
});

testWith(["read"], "what is for tests is imported by tests alone", async () => {
  for (const { path, imports } of await sourceFiles()) {
    if (isForTests(path) || ["bench", "e2e", "stack"].includes(roomOf(path))) continue;
    // They take pictures for the documents, as tests drive a browser.
    if (path.endsWith("/screenshots.ts")) continue;
    assert.deepEqual(imports.filter(isForTests), [], path);
  }
});

testWith(
  ["read"],
  "a test is called for what it starts, so that deno task ok runs units alone",
  async () => {
    for (const { path, imports } of await sourceFiles()) {
      if (!path.endsWith("_test.ts")) continue;
      const starts = [
        ["service/testing/browser.ts", /_(page|stack)_test\.ts$/],
        ["service/testing/program.ts", /(_page|_program|_stack|faults)_test\.ts$/],
        ["service/supervisor.ts", /(_program|_stack|faults)_test\.ts$/],
        // One after the other: beside each other they would wait for Podman's store of images.
        ["stack/test_containers.ts", /containers_stack_test\.ts$/],
      ] as const;
      for (const [target, name] of starts) {
        assert.ok(!imports.includes(target) || name.test(path), `${path} imports ${target}`);
      }
    }
  },
);

function isForTests(path: string): boolean {
  return /_test\.ts$|_suite\.ts$|_fixture\.ts$|\/test_[^/]+\.ts$|^service\/testing\//.test(path);
}

/** The drawing: by room, the rooms it may import from. */
async function arrows(): Promise<Map<string, string[]>> {
  const text = await Deno.readTextFile(join(root, "ARCHITECTURE.md"));
  const [, block] = /^```arrows\n([^]*?)^```/m.exec(text) ?? [];
  assert.ok(block, "ARCHITECTURE.md has no block of arrows");
  return new Map(
    block.trim().split("\n").map((line) => {
      const [, room, others] = /^(\S+) →(.*)$/.exec(line) ?? [];
      assert.ok(room !== undefined, `no arrow: '${line}'`);
      return [room, others!.trim().split(/\s+/).filter((other) => other !== "")];
    }),
  );
}
