/**
 * For tests: a live topology in this process, with stores in a temporary folder.
 *
 * @module
 */
import type { Meter, Tracer } from "@opentelemetry/api";
import assert from "node:assert/strict";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { type TestContext, testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { missingPermissions } from "../../service/testing/permissions.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { LiveWorld, type LiveWorldOptions, startLiveWorld } from "./live_world.ts";
import type { LiveStep } from "./live_state.ts";

/** A topology under test. `await using` stops it. */
export interface TestLive extends AsyncDisposable {
  readonly live: LiveWorld;
  readonly context: TestContext;
  /** What has happened so far. */
  readonly steps: LiveStep[];
  /** Waits until so many orders are confirmed. */
  confirmed(count: number, timeoutMs?: number): Promise<void>;
}

/** Starts one: one instance of each part and commits that survive the end of the process only. */
export async function testLive(
  options: Partial<LiveWorldOptions> = {},
  { world = realWorld, ...telemetry }: { tracer?: Tracer; meter?: Meter; world?: World } = {},
): Promise<TestLive> {
  const own = testContext({ world });
  const context = { ...own, telemetry: { ...own.telemetry, ...telemetry } };
  const steps: LiveStep[] = [];
  const live = await startLiveWorld({
    seed: 1,
    pattern: "outbox",
    instances: { apis: 1, relays: 1, lambdas: 1, processors: 1 },
    keys: 4,
    durability: "process-end",
    orderRate: 0,
    faults: [],
    openBus: () => Promise.resolve(memoryBus()),
    onSteps: (batch) => void steps.push(...batch.steps),
    ...options,
  }, context);
  return {
    live,
    context,
    steps,
    confirmed: async (count, timeoutMs = 30_000) => {
      await eventually(
        `${count} confirmed orders`,
        () => live.state().counters.confirmed >= count || undefined,
        timeoutMs,
      );
    },
    [Symbol.asyncDispose]: async () => {
      context.stop();
      await live.stop();
    },
  };
}

/** Every consumer has applied each order once, and nothing is left in a box. */
export async function assertAppliedOnce({ live }: TestLive, orders: number): Promise<void> {
  await eventually(
    "empty boxes",
    () => live.state().boxes.every(({ depth }) => depth === 0) || undefined,
    30_000,
  );
  const { placed, applied, confirmed, lost } = live.state().counters;
  assert.deepEqual({ placed, applied, confirmed, lost }, {
    ...{ placed: orders, applied: orders, confirmed: orders, lost: 0 },
  });
}

/** `Deno.test` for what needs files. */
export function liveTest(name: string, fn: () => Promise<void>): void {
  const missing = missingPermissions([{ name: "read" }, { name: "write" }]);
  Deno.test({
    name: missing.length === 0 ? name : `${name} (ignored: needs --allow-read --allow-write)`,
    ignore: missing.length > 0,
    fn,
  });
}
