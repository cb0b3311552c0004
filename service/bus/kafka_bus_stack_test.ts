import { type RunningKafka, startKafka } from "../../stack/kafka.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { busSuite } from "./bus_suite.ts";
import type { Bus } from "./bus.ts";

// Imported when it is needed: the client library reads the whole environment when it is loaded.
const load = () => import("./kafka_bus.ts");

/** One broker for the whole suite, from the first test that wants it to the end of the file. */
let kafka: RunningKafka | undefined;
let makeBus: (() => Bus) | undefined;

async function prepare(): Promise<void> {
  if (kafka) return;
  const { kafkaBus } = await load();
  kafka = await startKafka();
  const brokers = [kafka.bootstrapServer];
  makeBus = () => kafkaBus({ connection: { brokers, clientId: "suite" } });
}

busSuite({
  name: "kafka",
  sharesBy: "partition",
  connect: () => makeBus!(),
  test: (name, run) =>
    testWithStack(name, async () => {
      await prepare();
      await run();
    }),
});

Deno.test.afterAll(async () => await kafka?.stop());
