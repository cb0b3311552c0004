import assert from "node:assert/strict";
import plugin from "./plugin.ts";

const where = "/orrery/orb/token_store.ts";

function complaints(code: string, path = where): string[] {
  return Deno.lint.runPlugin(plugin, path, code).map(({ message }) => message.split("'")[1]!);
}

Deno.test("the rule finds time and chance taken from the platform, by every name", () => {
  const code = `
    import { randomUUID, createHash } from "node:crypto";
    import { setTimeout as wait } from "node:timers/promises";
    Date.now(); new Date(); Date(); performance.now(); Math.random();
    crypto.randomUUID(); crypto.getRandomValues(bytes); AbortSignal.timeout(5);
    setTimeout(run, 5); setInterval(run, 5); globalThis.setTimeout(run, 5);
    const now = Date.now;
    queueMicrotask(run);
  `;
  assert.deepEqual(complaints(code), [
    "randomUUID of node:crypto",
    "setTimeout of node:timers/promises",
    "Date.now",
    "new Date()",
    "Date()",
    "performance.now",
    "Math.random",
    "crypto.randomUUID",
    "crypto.getRandomValues",
    "AbortSignal.timeout",
    "setTimeout",
    "setInterval",
    "globalThis.setTimeout",
    "Date.now",
  ]);
});

Deno.test("the rule leaves alone what a world gives and what reads no clock", () => {
  const code = `
    import { createHash } from "node:crypto";
    world.setTimeout(run, 5); world.nowMs(); world.random();
    new Date(timeMs).toISOString(); Date.parse(text); Math.floor(1.5); clearTimeout(timer);
    let timer: ReturnType<typeof setTimeout>;
  `;
  assert.deepEqual(complaints(code), []);
});

Deno.test("entry files, tests, pages and tools are free of the rule", () => {
  assert.deepEqual(complaints("setTimeout(run, 5); if (import.meta.main) await run();"), []);
  for (
    const path of [
      "/orrery/orb/token_store_test.ts",
      "/orrery/service/bus/bus_suite.ts",
      "/orrery/service/testing/program.ts",
      "/orrery/console/page/store.ts",
      "/orrery/simulator/simulation_page/store.ts",
      "/orrery/bench/report.ts",
      "/orrery/service/world/world.ts",
    ]
  ) assert.deepEqual(complaints("setTimeout(run, 5);", path), [], path);
});
