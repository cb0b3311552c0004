#!/usr/bin/env -S deno run --allow-net --allow-env --allow-read
/**
 * A bare round trip over two topics of Kafka with the signer's client and nothing else: what any
 * request-reply over that broker costs at least. Echo and asker are two processes, as the signer's
 * are.
 *
 * `signer_bare_kafka.ts <broker> echo` answers until it is killed; `signer_bare_kafka.ts <broker>
 * ask <count>` prints one line of JSON.
 *
 * @module
 */
import { Admin, Consumer, Producer } from "@platformatic/kafka";

const [broker = "", role = "", count = "1000"] = Deno.args;
const client = { clientId: "bare", bootstrapBrokers: [broker], metadataMaxAge: 60_000 };
const topics = ["bare.requests", "bare.answers"] as const;

async function reader(topic: string) {
  const consumer = new Consumer({
    ...client,
    groupId: `bare.${topic}.${crypto.randomUUID()}`,
    autocommit: false,
    minBytes: 1,
    maxWaitTime: 500,
  });
  const [end = 0n] = (await consumer.listOffsets({ topics: [topic] })).get(topic) ?? [];
  return await consumer.consume({
    topics: [topic],
    mode: "manual",
    autocommit: false,
    offsets: [{ topic, partition: 0, offset: end }],
  });
}

const admin = new Admin(client);
for (const topic of topics) {
  await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 }).catch(() => {});
}
await admin.close();
const producer = new Producer({ ...client, acks: -1 });
const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));

if (role === "echo") {
  const requests = await reader(topics[0]);
  requests.on("data", ({ value, headers }) => {
    producer.send({ acks: -1, messages: [{ topic: topics[1], value, headers, partition: 0 }] });
  });
  say("ready");
} else {
  const answers = await reader(topics[1]);
  let onAnswer = () => {};
  answers.on("data", () => onAnswer());
  const latenciesMs: number[] = [];
  const encoder = new TextEncoder();
  const headers = () =>
    new Map(
      [["msg_id", crypto.randomUUID()], ["resp_topic", topics[1]]].map((pair) =>
        pair.map((text) => encoder.encode(text)) as [Uint8Array, Uint8Array]
      ),
    );
  for (let i = 0; i < Number(count); i++) {
    const startMs = performance.now();
    const answered = new Promise<void>((resolve) => onAnswer = resolve);
    const value = encoder.encode(`message ${i} of the load`);
    await producer.send({
      acks: -1,
      // deno-lint-ignore no-explicit-any -- the library asks for Buffers and takes any bytes
      messages: [{ topic: topics[0], value, headers: headers(), partition: 0 } as any],
    });
    await answered;
    // The first ones warm the connections and the compiler.
    if (i >= Number(count) / 5) latenciesMs.push(performance.now() - startMs);
  }
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)];
  say(JSON.stringify({ p50Ms: at(0.5), p99Ms: at(0.99) }));
  Deno.exit(0);
}
