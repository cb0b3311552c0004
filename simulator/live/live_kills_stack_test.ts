import { startKafka } from "../../stack/kafka.ts";
import { startPostgresql } from "../../stack/postgresql.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { openBus } from "../../service/bus/open_bus.ts";
import { testContext } from "../../service/testing/context.ts";
import { testKills } from "./test_kills.ts";
import { testLive } from "./test_live.ts";

/** What reaches a broker. */
function busFlags(broker: string) {
  return {
    kafkaBrokers: [broker],
    kafkaStartTimeoutMs: 60_000,
    kafkaOutageLimitMs: 300_000,
    maxMessageBytes: 1_000_000,
  };
}

testWithStack("parts killed -9 mid-order on PostgreSQL: every order is applied once", async () => {
  await using postgresql = await startPostgresql();
  await using test = await testLive({ processes: true, databaseUrl: postgresql.databaseUrl });
  await testKills(test);
});

testWithStack(
  "parts killed -9 mid-order on Kafka and SQLite: every order is applied once",
  async () => {
    await using kafka = await startKafka();
    const flags = busFlags(kafka.bootstrapServer);
    await using test = await testLive({
      processes: true,
      partBus: flags,
      openBus: () => openBus(flags, { clientId: "kill-test" }, testContext()),
    });
    await testKills(test);
  },
);

testWithStack(
  "parts killed -9 mid-order on Kafka and PostgreSQL: every order is applied once",
  async () => {
    await using postgresql = await startPostgresql();
    await using kafka = await startKafka();
    const flags = busFlags(kafka.bootstrapServer);
    await using test = await testLive({
      processes: true,
      databaseUrl: postgresql.databaseUrl,
      partBus: flags,
      openBus: () => openBus(flags, { clientId: "kill-test" }, testContext()),
    });
    await testKills(test);
  },
);
