import assert from "node:assert/strict";
import type { Bus } from "./bus.ts";
import { busSuite } from "./bus_suite.ts";
import { memoryBus } from "./memory_bus.ts";

busSuite({ name: "memory", connect: memoryBus, test: Deno.test });

Deno.test("memoryBus() refuses more than it may hold, and goes on when there is room", async () => {
  const bus: Bus = memoryBus({ maxRecords: 10 });
  await bus.createTopic("t");
  const record = { headers: [], value: new Uint8Array(1) };
  const release: (() => void)[] = [];
  const reader = await bus.consume({
    topic: "t",
    group: "g",
    maxInFlight: 1,
    handle: () => new Promise<void>((resolve) => release.push(resolve)),
  });
  let accepted = 0;
  await assert.rejects(async () => {
    for (; accepted < 100; accepted++) await bus.send("t", record);
  }, { name: "BusError", kind: "overloaded" });
  assert.ok(accepted >= 10 && accepted <= 12, `took ${accepted}`);
  release.shift()?.();
  while (release.length === 0) await new Promise((resolve) => setTimeout(resolve));
  await bus.send("t", record);
  await reader.close(AbortSignal.abort());
  await bus.close();
});
