import assert from "node:assert/strict";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { testContext } from "../../service/testing/context.ts";
import { realWorld } from "../../service/world/world.ts";
import { busSuite, idsOf, message } from "../simulation/bus_suite.ts";
import { LinkError } from "../topology/ports.ts";
import { toPromise } from "../topology/step.ts";
import { newLiveProcess } from "./live_process.ts";
import { ServiceBus } from "./service_bus.ts";
import { serviceBusUnderTest, testLeaseMs } from "./test_service_bus.ts";

busSuite({
  name: "in-process bus",
  leaseMs: testLeaseMs,
  open: () => serviceBusUnderTest(memoryBus(), "test"),
});

async function withBus(
  options: Partial<ConstructorParameters<typeof ServiceBus>[0]>,
  work: (bus: ServiceBus, lines: string[]) => Promise<void>,
): Promise<void> {
  const bus = options.bus ?? memoryBus();
  await bus.createTopic("test.topic");
  const { log, lines } = testContext();
  const common = { leaseMs: 200, pollMs: 50, timeoutMs: 1_000, world: realWorld, log };
  const service = new ServiceBus({ bus, topicPrefix: "test", ...common, ...options });
  try {
    await work(service, lines);
  } finally {
    await service.close();
    await bus.close();
  }
}

const process = newLiveProcess("test");

Deno.test("a full bus refuses, whether by its own limit or by a fault's", async () => {
  const full = (error: unknown) => error instanceof LinkError && error.kind === "full";
  for (
    const [room, options] of [
      // What has been taken in and is not acknowledged counts on top of what waits.
      [1_024 + 2, { bus: memoryBus({ maxRecords: 2 }) }],
      [2, { capacityOf: () => 2 }],
    ] as const
  ) {
    await withBus(options, async (service) => {
      const port = service.connect(process);
      await service.join("topic", "g");
      for (let count = 0; count < room; count++) {
        await toPromise(port.publish("topic", message(`m${count}`)));
      }
      await assert.rejects(toPromise(port.publish("topic", message("more"))), full);
      const batch = await toPromise(port.receive("topic", "g", 2));
      for (const delivery of batch) await toPromise(port.acknowledge(delivery));
      await toPromise(port.publish("topic", message("more")));
    });
  }
});

Deno.test("a fault of order puts a message behind the next", async () => {
  let lateMs = 100;
  await withBus({ takeReorderMs: () => [lateMs, lateMs = 0][0]! }, async (service) => {
    const port = service.connect(process);
    await toPromise(port.publish("topic", message("late")));
    await toPromise(port.publish("topic", message("next")));
    const got: string[] = [];
    while (got.length < 2) {
      const batch = await toPromise(port.receive("topic", "g", 10));
      got.push(...idsOf(batch));
      // On a busy machine its lease ends before the late one comes.
      for (const delivery of batch) await toPromise(port.acknowledge(delivery));
    }
    assert.deepEqual(got, ["next", "late"]);
  });
});

Deno.test("a record that is no message costs only itself", async () => {
  const bus = memoryBus();
  await withBus({ bus }, async (service, lines) => {
    const port = service.connect(process);
    await bus.send("test.topic", { headers: [], value: new TextEncoder().encode("nonsense") });
    await toPromise(port.publish("topic", message("a")));
    assert.deepEqual(idsOf(await toPromise(port.receive("topic", "g", 10))), ["a"]);
    assert.match(lines.join("\n"), /Dropped a record that is no message topic=test\.topic/);
  });
});

Deno.test("what a program had not acknowledged when it left is given to the next", async () => {
  const bus = memoryBus({ redeliverDelayMs: 1 });
  await withBus({ bus }, async (leaving) => {
    await toPromise(leaving.connect(process).publish("topic", message("a")));
    assert.equal((await toPromise(leaving.connect(process).receive("topic", "g", 1))).length, 1);
    await withBus({ bus }, async (staying) => {
      const port = staying.connect(process);
      await staying.join("topic", "g");
      await leaving.close();
      const batch = await toPromise(port.receive("topic", "g", 1));
      assert.deepEqual(idsOf(batch), ["a"]);
      await toPromise(port.acknowledge(batch[0]!));
    });
  });
});

Deno.test("a topic of which others know what lies in it is full when they say so", async () => {
  let depth = 4;
  await withBus({ capacityOf: () => 4, depthOf: () => depth }, async (service) => {
    const port = service.connect(process);
    const full = { name: "LinkError", kind: "full" };
    await assert.rejects(toPromise(port.publish("topic", message("a"))), full);
    depth = 3;
    await toPromise(port.publish("topic", message("a")));
  });
});
