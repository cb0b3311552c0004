import { startKafka } from "../../stack/kafka.ts";
import { sharedComponent } from "../../stack/test_with_stack.ts";
import { busSuite } from "./bus_suite.ts";
import type { Bus } from "./bus.ts";

// Imported when it is needed: the client library reads the whole environment when it is loaded.
const load = () => import("./kafka_bus.ts");

const kafka = sharedComponent(startKafka);
let makeBus: (() => Bus) | undefined;

async function prepare(): Promise<void> {
  const { kafkaBus } = await load();
  const brokers = [(await kafka.get()).bootstrapServer];
  makeBus = () => kafkaBus({ connection: { brokers, clientId: "suite" } });
}

busSuite({
  name: "kafka",
  sharesBy: "partition",
  connect: () => makeBus!(),
  test: (name, run) =>
    kafka.test(name, async () => {
      await prepare();
      await run();
    }),
});
