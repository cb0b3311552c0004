import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { startKafka } from "./kafka.ts";
import { testWithStack } from "./test_with_stack.ts";

// Imported in the tests, as the client reads the whole environment when it is loaded.
const loadClient = () => import("@platformatic/kafka");

testWithStack("kafka takes a message and gives it back, and leaves no process behind", async () => {
  const { Admin, Consumer, Producer, stringDeserializers, stringSerializers } = await loadClient();
  await using kafka = await startKafka();
  const client = { clientId: "stack-test", bootstrapBrokers: [kafka.bootstrapServer] };

  const admin = new Admin(client);
  await admin.createTopics({ topics: ["greetings"], partitions: 1, replicas: 1 });
  await admin.close();

  const producer = new Producer({ ...client, serializers: stringSerializers });
  const headers = new Map([[
    "traceparent",
    "00-11111111111111111111111111111111-2222222222222222-01",
  ]]);
  await producer.send({ messages: [{ topic: "greetings", key: "k", value: "hello", headers }] });
  await producer.close();

  const consumer = new Consumer({
    ...client,
    groupId: "readers",
    deserializers: stringDeserializers,
  });
  const stream = await consumer.consume({
    topics: ["greetings"],
    mode: "earliest",
    autocommit: false,
  });
  for await (const message of stream) {
    assert.equal(message.key, "k");
    assert.equal(message.value, "hello");
    assert.deepEqual(new Map(message.headers), headers);
    break;
  }
  await consumer.close(true);

  await kafka.stop();
  assert.notEqual((await kafka.exited).signal, "SIGKILL");
  assert.throws(() => Deno.kill(kafka.pid, "SIGCONT"), Deno.errors.NotFound);
});

testWithStack("kafka makes no topic because it is named", async () => {
  const { Admin, Producer, stringSerializers } = await loadClient();
  await using kafka = await startKafka();
  const client = { clientId: "stack-test", bootstrapBrokers: [kafka.bootstrapServer] };
  const producer = new Producer({
    ...client,
    serializers: stringSerializers,
    retries: 0,
  });
  await assert.rejects(producer.send({
    messages: [{ topic: "nowhere", key: "k", value: "v" }],
    // The client asks for it: that the broker refuses is what counts.
    autocreateTopics: true,
  }));
  await producer.close();

  // Topics come into being in order: had the first been made, it would be there before this one.
  const admin = new Admin(client);
  await admin.createTopics({ topics: ["made"], partitions: 1, replicas: 1 });
  const topics = await eventually("the topic that was made", async () => {
    const found = await admin.listTopics();
    return found.includes("made") ? found : undefined;
  });
  assert.deepEqual(topics, ["made"]);
  await admin.close();
});
