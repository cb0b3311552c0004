/**
 * One trace from a WebSocket message through both topics of Kafka, the signature, and back, as the
 * console has it from two real programs; and the figures beside it.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram, startReadyProgram } from "../service/testing/program.ts";
import type { ReceivedRecord } from "../service/bus/bus.ts";
import { assertRecord, type MessageName } from "../signer/document_check.ts";
import { jsonProtocol } from "../signer/api/sign_socket.ts";
import { startKafka } from "../stack/kafka.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

interface JaegerSpan {
  spanID: string;
  operationName: string;
  processID: string;
  references: { refType: string; traceID: string; spanID: string }[];
  tags: { key: string; value: unknown }[];
}

interface JaegerTrace {
  spans: JaegerSpan[];
  processes: Record<string, { serviceName: string }>;
}

const entry = (name: string) => new URL(`../signer/${name}.ts`, import.meta.url);

testWithStack(
  "signer: one trace goes from the socket through Kafka to the service and back",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      await using kafka = await startKafka();
      await using console = await startReadyProgram("console/server.ts", [
        ...["--otlp-port", "0", "--page-port", "0"],
      ]);
      const env = {
        OTEL_SDK_DISABLED: "false",
        OTEL_EXPORTER_OTLP_ENDPOINT: console.fields.otlp!,
        OTEL_METRIC_EXPORT_INTERVAL: "500",
        OTEL_METRIC_EXPORT_TIMEOUT: "500",
      };
      const bus = ["--port", "0", "--kafka-brokers", kafka.bootstrapServer];
      await using service = await startProgram(
        entry("service"),
        [...bus, "--data-dir", join(folder, "service")],
        env,
      );
      await service.line(/Listening/);
      await using api = await startProgram(entry("rest_api"), bus, env);
      const [, url] = await api.line(/Listening url=(http:\/\/[^/]+)/);

      // The browser began a trace of its own: it goes on.
      const traceId = "0af7651916cd43dd8448eb211c80319c";
      const answer = await signOnSocket(url!, `00-${traceId}-b7ad6b7169203331-01`);
      assert.equal(answer.traceId, traceId);

      const trace = await eventually("the whole trace", async () => {
        const response = await fetch(`${console.fields.page}/api/traces/${traceId}`);
        if (!response.ok) return void await response.body?.cancel();
        const { data } = await response.json() as { data: JaegerTrace[] };
        return data[0] && data[0].spans.length >= 6 ? data[0] : undefined;
      });
      assertChain(trace, "b7ad6b7169203331", answer.ok.keyId);
      const topic = assertMessaging(trace);

      await checkRecords(kafka.bootstrapServer, topic);
      await assertFigures(console.fields.page!);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** The one span of that name. */
function spanNamed(trace: JaegerTrace, name: string): JaegerSpan {
  const found = trace.spans.filter((span) => span.operationName === name);
  assert.equal(found.length, 1, `${name}: ${trace.spans.map((s) => s.operationName)}`);
  return found[0]!;
}

/** The spans of a signature, each the child of the one before. */
const chain = [
  ["message /sign/ws", "signer-api", "server"],
  ["send signer.v1", "signer-api", "producer"],
  ["process signer.v1", "signer-service", "consumer"],
  ["send signer.v1.resp.{instance}", "signer-service", "producer"],
  ["process signer.v1.resp.{instance}", "signer-api", "consumer"],
] as const;

/** One span follows from the other, from the one that the browser began to the signature. */
function assertChain(trace: JaegerTrace, begin: string, keyId: string): void {
  let parent = begin;
  for (const [name, program, kind] of chain) {
    const span = spanNamed(trace, name);
    assert.equal(trace.processes[span.processID]!.serviceName, program, name);
    assert.equal(tag(span, "span.kind"), kind, name);
    assert.equal(parentOf(span), parent, `${name} is the child of the one before`);
    if (kind === "consumer") {
      const links = span.references.filter(({ refType }) => refType === "FOLLOWS_FROM");
      assert.deepEqual(
        links.map(({ spanID }) => spanID),
        [parent],
        `${name} links to its sender`,
      );
    }
    parent = span.spanID;
  }
  assert.equal(parentOf(spanNamed(trace, "sign")), spanNamed(trace, "process signer.v1").spanID);
  assert.equal(tag(spanNamed(trace, "sign"), "signer.key.id"), keyId);
}

/** The spans say what the conventions for messaging ask; gives the topic of the answers. */
function assertMessaging(trace: JaegerTrace): string {
  const messageIds = chain.slice(1).map(([name]) =>
    tag(spanNamed(trace, name), "messaging.message.conversation_id")
  );
  assert.match(String(messageIds[0]), /^[0-9a-f-]{36}$/);
  assert.equal(new Set(messageIds).size, 1, "the correlation is the same all the way");
  const sent = spanNamed(trace, "send signer.v1.resp.{instance}");
  assert.equal(tag(sent, "messaging.system"), "kafka");
  assert.equal(tag(sent, "messaging.operation.type"), "send");
  assert.equal(tag(sent, "messaging.destination.template"), "signer.v1.resp.{instance}");
  assert.match(String(tag(sent, "messaging.destination.name")), /^signer\.v1\.resp\.\w+-\w+$/);
  const processed = spanNamed(trace, "process signer.v1");
  assert.equal(tag(processed, "messaging.destination.name"), "signer.v1");
  assert.equal(tag(processed, "messaging.consumer.group.name"), "signer.v1.service");
  assert.match(String(tag(processed, "messaging.destination.partition.id")), /^\d+$/);
  return String(tag(sent, "messaging.destination.name"));
}

async function assertFigures(page: string): Promise<void> {
  const wanted = [
    ...["signer.request.duration", "signer.requests.in_flight", "signer.signatures"],
    ...["signer.consumer.lag", "messaging.client.operation.duration"],
    ...["messaging.client.sent.messages", "messaging.client.consumed.messages"],
    "messaging.process.duration",
  ];
  await eventually("the figures", async () => {
    const text = await (await fetch(`${page}/metrics`)).text();
    return wanted.every((name) => text.includes(name.replaceAll(".", "_"))) || undefined;
  });
}

/** What lies in the topics of the real broker is what asyncapi.json says, trace headers and all. */
async function checkRecords(broker: string, responses: string): Promise<void> {
  const { kafkaBus } = await import("../service/bus/kafka_bus.ts");
  const bus = kafkaBus({ connection: { brokers: [broker], clientId: "check" } });
  const topics: [string, MessageName][] = [
    ["signer.v1", "request"],
    [responses, "answer"],
    ["signer.v1.keys", "publicKey"],
  ];
  for (const [topic, message] of topics) {
    const records: ReceivedRecord[] = [];
    const follower = await bus.follow({
      topic,
      from: "beginning",
      handle: (record) => records.push(record),
    });
    await follower.caughtUp;
    await follower.close();
    assert.equal(records.length, 1, topic);
    assertRecord(message, records[0]!);
    const names = records[0]!.headers.map(([name]) => name);
    if (message !== "publicKey") assert.ok(names.includes("traceparent"), names.join());
  }
  await bus.close();
}

async function signOnSocket(url: string, traceparent: string) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/sign/ws`, jsonProtocol);
  await new Promise<void>((resolve) => socket.onopen = () => resolve());
  const answer = new Promise<string>((resolve) => socket.onmessage = ({ data }) => resolve(data));
  socket.send(JSON.stringify({ id: 1, message: "hello", traceparent }));
  const result = JSON.parse(await answer) as { traceId: string; ok: { keyId: string } };
  socket.close();
  return result;
}

function tag(span: JaegerSpan, key: string): unknown {
  return span.tags.find((tag) => tag.key === key)?.value;
}

function parentOf(span: JaegerSpan): string | undefined {
  return span.references.find(({ refType }) => refType === "CHILD_OF")?.spanID;
}
