import assert from "node:assert/strict";
import { testWith } from "./permissions.ts";

/** What the module hands on to `Deno.test` as it was. */
async function declaredBy(declare: () => void): Promise<Deno.TestDefinition[]> {
  const declared: Deno.TestDefinition[] = [];
  const before = Deno.test;
  const record = (definition: Deno.TestDefinition) => void declared.push(definition);
  const hook = () => {};
  const hooks = { beforeAll: hook, beforeEach: hook, afterEach: hook, afterAll: hook };
  const install = (value: unknown) => Object.defineProperty(Deno, "test", { value });
  install(Object.assign(record, { ignore: record, only: record, ...hooks }));
  try {
    await import(`./time_limits.ts?${crypto.randomUUID()}`);
    declare();
  } finally {
    install(before);
  }
  return declared;
}

const run = () => {};

testWith(
  ["read"],
  "a test of any form has the limit of its file's kind, and its name, unless it has its own",
  async () => {
    const declared = await declaredBy(() => {
      Deno.test("a", run);
      Deno.test({ name: "b", fn: run, timeout: 5 });
      Deno.test("c", { ignore: true }, run);
      Deno.test({ name: "d", ignore: true }, run);
      Deno.test(function e() {});
      Deno.test.only("f", run);
      Deno.test.ignore("g", run);
      testWith([], "h", run);
    });
    assert.deepEqual(
      declared.map(({ name, timeout }) => [name, timeout]),
      [..."abcdefgh"].map((name) => [name, name === "b" ? 5 : 300_000]),
    );
    assert.deepEqual(declared.filter(({ ignore }) => ignore).map(({ name }) => name), ["c", "d"]);
  },
);

testWith(["read"], "a test is where it is declared, also by a helper's hand", async () => {
  const declared = await declaredBy(() => {
    Deno.test("a", run);
    testWith([], "b", run);
  });
  const key = Symbol.for("Deno.test.location");
  for (const { fn } of declared) {
    assert.match(String(Reflect.get(fn, key)), /\/time_limits_test\.ts:\d+:\d+$/);
  }
});

testWith(
  ["read"],
  "the sanitizers are on, and every task that runs tests loads the limits",
  async () => {
    const { test, tasks } = JSON.parse(
      await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
    );
    assert.deepEqual(test, { sanitizeOps: true, sanitizeResources: true });
    const commands = Object.values<string | { command?: string }>(tasks)
      .map((task) => typeof task === "string" ? task : task.command ?? "")
      .filter((command) => /\bdeno test\b/.test(command));
    assert.ok(commands.length >= 4);
    for (const command of commands) {
      assert.match(command, /--preload=\.\/service\/testing\/time_limits\.ts/);
    }
  },
);
