import type { Bus } from "../../service/bus/bus.ts";
import { type RunningKafka, startKafka } from "../../stack/kafka.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { busSuite } from "../simulation/bus_suite.ts";
import { serviceBusUnderTest, testLeaseMs } from "./test_service_bus.ts";

/** One broker for the whole suite, from the first test that wants it to the end of the file. */
let kafka: RunningKafka | undefined;
let tests = 0;

async function newBus(): Promise<Bus> {
  // Imported when it is needed: the client library reads the whole environment when it is loaded.
  const { kafkaBus } = await import("../../service/bus/kafka_bus.ts");
  kafka ??= await startKafka();
  return kafkaBus({ connection: { brokers: [kafka.bootstrapServer], clientId: "suite" } });
}

busSuite({
  name: "kafka",
  leaseMs: testLeaseMs,
  test: testWithStack,
  open: async () => serviceBusUnderTest(await newBus(), `simulator.suite-${++tests}`),
});

Deno.test.afterAll(async () => await kafka?.stop());
