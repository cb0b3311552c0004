/**
 * For tests: a bus of `service/bus/` as the suite of buses wants it.
 *
 * @module
 */
import type { Bus } from "../../service/bus/bus.ts";
import { testContext } from "../../service/testing/context.ts";
import { realWorld } from "../../service/world/world.ts";
import type { BusUnderTest } from "../simulation/bus_suite.ts";
import { toPromise, waitFor } from "../topology/step.ts";
import { newLiveProcess } from "./live_process.ts";
import { ServiceBus } from "./service_bus.ts";

/** The lease that the suite runs with, in milliseconds. */
export const testLeaseMs = 300;

/** @param prefix of the topics: each test wants one of its own where the bus outlives it */
export async function serviceBusUnderTest(bus: Bus, prefix: string): Promise<BusUnderTest> {
  await bus.createTopic(`${prefix}.topic`, { partitions: 2 });
  const service = new ServiceBus({
    bus,
    topicPrefix: prefix,
    leaseMs: testLeaseMs,
    pollMs: 100,
    timeoutMs: 10_000,
    world: realWorld,
    log: testContext().log,
  });
  // As at a live start: what is published afterwards is for these groups.
  for (const group of ["g", "h"]) await service.join("topic", group);
  return {
    bus: service.connect(newLiveProcess("test")),
    sleep: (delayMs) => waitFor<void>((resume) => realWorld.setTimeout(() => resume(), delayMs)),
    run: (work) => toPromise(work),
    async close() {
      await service.close();
      await bus.close();
    },
  };
}
