import { startKafka } from "../../stack/kafka.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { openBus } from "../../service/bus/open_bus.ts";
import { testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { testLive } from "./test_live.ts";

testWithStack(
  "parts of their own programs on Kafka: what lies in the topics is among the boxes, and a topic can be full",
  async () => {
    await using kafka = await startKafka();
    const flags = {
      kafkaBrokers: [kafka.bootstrapServer],
      kafkaStartTimeoutMs: 60_000,
      kafkaOutageLimitMs: 300_000,
      maxMessageBytes: 1_000_000,
    };
    await using test = await testLive({
      processes: true,
      partBus: flags,
      openBus: () => openBus(flags, { clientId: "depths-test" }, testContext()),
      // Lambdas get the orders and cannot hand them on.
      faults: [{ point: 4, kind: "refuse", probability: 1 }],
    });
    const { live } = test;
    const depth = () => live.state().boxes.find(({ name }) => name === "orders")?.depth;
    live.submitOrders(10);
    await eventually("ten orders in the topic", () => depth() === 10 || undefined, 180_000);
    live.setFaults([]);
    await test.confirmed(10, 180_000);
    await eventually("an empty topic", () => depth() === 0 || undefined, 60_000);

    // Full, it takes no more than it has room for, although who publishes cannot see into it.
    live.setFaults([
      { point: 4, kind: "refuse", probability: 1 },
      { kind: "full-queue", topic: "orders", capacity: 4 },
    ]);
    // Many more than it has room for: on a busy machine relays publish by a depth that is seconds old.
    live.submitOrders(80);
    const isFull = () =>
      test.steps.some(({ event, detail }) => event === "not-sent" && detail === "full");
    await eventually("a relay that is refused", () => isFull() || undefined, 60_000);
    const held = () => live.state().boxes.find(({ name }) => name === "outbox-1")!.depth;
    await eventually("orders in both", () => depth()! >= 4 && held() >= 8 || undefined, 60_000);
    live.setFaults([]);
    await test.confirmed(90, 180_000);
  },
);
