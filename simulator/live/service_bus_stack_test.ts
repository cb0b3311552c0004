import type { Bus } from "../../service/bus/bus.ts";
import { startKafka } from "../../stack/kafka.ts";
import { sharedComponent } from "../../stack/test_with_stack.ts";
import { busSuite } from "../simulation/bus_suite.ts";
import { serviceBusUnderTest, testLeaseMs } from "./test_service_bus.ts";

const kafka = sharedComponent(startKafka);
let tests = 0;

async function newBus(): Promise<Bus> {
  // Imported when it is needed: the client library reads the whole environment when it is loaded.
  const { kafkaBus } = await import("../../service/bus/kafka_bus.ts");
  const { bootstrapServer } = await kafka.get();
  return kafkaBus({ connection: { brokers: [bootstrapServer], clientId: "suite" } });
}

busSuite({
  name: "kafka",
  leaseMs: testLeaseMs,
  test: kafka.test,
  open: async () => serviceBusUnderTest(await newBus(), `simulator.suite-${++tests}`),
});
