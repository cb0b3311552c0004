/**
 * For tests: every part of a live topology is killed from outside while orders are on their way.
 *
 * @module
 */
import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { missingPermissions } from "../../service/testing/permissions.ts";
import { assertAppliedOnce, type TestLive } from "./test_live.ts";

/** `Deno.test` for what starts programs. */
export function processesTest(name: string, fn: () => Promise<void>): void {
  const missing = missingPermissions([{ name: "read" }, { name: "write" }, { name: "run" }]);
  const why = missing.map((one) => `--allow-${one}`).join(" ");
  Deno.test({
    name: missing.length === 0 ? name : `${name} (ignored: needs ${why})`,
    ignore: missing.length > 0,
    fn,
  });
}

/** Nine programs start again and again, and with Kafka each joins a group anew, in milliseconds. */
const limitMs = 180_000;

/** Kills each part twice by SIGKILL, each time with orders on their way; then all must be well. */
export async function testKills(test: TestLive): Promise<void> {
  const { live } = test;
  const running = () => live.state().parts.filter(({ kind }) => kind !== "frontend");
  await eventually(
    "all programs",
    () => running().every(({ pid }) => pid !== undefined) || undefined,
    limitMs,
  );
  // The first order shows that all of them are up.
  let ordered = live.submitOrders(1).length;
  await test.confirmed(ordered, limitMs);
  for (const { name, kind } of [...running(), ...running()]) {
    ordered += live.submitOrders(20).length;
    const seen = test.steps.length;
    // In the middle of what it does for one of them; a janitor does nothing for any.
    if (kind !== "janitor") {
      const works = () => test.steps.slice(seen).some(({ part }) => part === name) || undefined;
      await eventually(`work of ${name}`, works, limitMs);
    }
    const { pid, starts } = running().find((part) => part.name === name)!;
    Deno.kill(pid!, "SIGKILL");
    await eventually(`the end and the return of ${name}`, () => {
      const part = running().find((one) => one.name === name)!;
      return part.starts > starts && part.pid !== undefined && part.pid !== pid || undefined;
    }, limitMs);
  }
  await test.confirmed(ordered, limitMs);
  await assertAppliedOnce(test, ordered);
  assert.deepEqual(live.state().counters.faults, {});
  assert.ok(running().every(({ starts }) => starts >= 3), "each has had three lives");
}
