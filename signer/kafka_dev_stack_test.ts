import { busSuite } from "./bus_suite.ts";
import { kafkaBus } from "./kafka_bus.ts";
busSuite({
  name: "kafka",
  connect: () => kafkaBus({ connection: { brokers: ["127.0.0.1:29092"], clientId: "suite" } }),
  test: Deno.test,
});
