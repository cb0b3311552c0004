import { startKafka } from "../../../stack/kafka.ts";
import { startPostgresql } from "../../../stack/postgresql.ts";
import { sharedComponent } from "../../../stack/test_with_stack.ts";
import { testContext } from "../../../service/testing/context.ts";
import type { RecordBackend } from "../record_backend.ts";
import { recordSuite } from "../record_suite.ts";
import { openBusQueue } from "./bus_queue.ts";

const stack = sharedComponent(async () => {
  await using starting = new AsyncDisposableStack();
  const kafka = starting.adopt(await startKafka(), (one) => one.stop());
  const postgresql = starting.adopt(await startPostgresql(), (one) => one.stop());
  const running = starting.move();
  return { kafka, postgresql, stop: () => running.disposeAsync() };
});
let queues = 0;

/** A queue with a topic and a database of its own; both libraries read the environment when loaded. */
async function newQueue(): Promise<() => Promise<RecordBackend>> {
  const { kafka, postgresql } = await stack.get();
  // @ts-types="../postgres/pg.d.ts"
  const { default: pg } = await import("pg");
  const { kafkaBus } = await import("../../../service/bus/kafka_bus.ts");
  const { openPostgresBackend } = await import("../postgres/postgres_backend.ts");
  const name = `orb_queue_${++queues}`;
  const admin = new pg.Client(postgresql.databaseUrl);
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.end();
  const databaseUrl = postgresql.databaseUrl.replace(/[^/]*$/, name);
  return async () => {
    const { log, world } = testContext();
    const bus = kafkaBus({
      connection: { brokers: [kafka.bootstrapServer], clientId: "queue-suite" },
    });
    await bus.createTopic(name);
    const backend = await openPostgresBackend({ databaseUrl });
    return openBusQueue({
      ...{ backend, bus, topic: name, takes: true, log, world },
      // The suite lets leases end at once; who waits for Kafka's first assignment is overdue.
      ...{ sweepIntervalMs: 50, overdueMs: 2_000 },
    });
  };
}

recordSuite({
  name: "kafka over postgresql",
  isShared: true,
  async open() {
    const again = await newQueue();
    return { backend: await again(), again };
  },
  test: stack.test,
});
