/** OTLP/gRPC, byte for byte as clients frame it. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { ExportTraceServiceResponseSchema } from "../../service/otlp/proto/gen/trace_service_pb.ts";
import { call, framed } from "../test_grpc.ts";
import { logsRequest, newTraceId, testConsole, tracesRequest } from "../test_console.ts";

const traces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const logs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

Deno.test("OTLP/gRPC takes calls, plain and with gzip, several on one console", async () => {
  await using viewer = await testConsole();
  const [a, b] = [newTraceId(), newTraceId()];
  const plain = await call(
    viewer.grpcAddress,
    traces,
    framed(tracesRequest([{ traceId: a }])),
  );
  assert.deepEqual([plain.status, plain.body.length], ["0", 0]);
  const zipped = await call(
    viewer.grpcAddress,
    traces,
    framed(gzipSync(tracesRequest([{ traceId: b }])), 1),
    { "grpc-encoding": "gzip" },
  );
  assert.equal(zipped.status, "0");
  assert.equal((await call(viewer.grpcAddress, logs, framed(logsRequest([{}])))).status, "0");
  for (const id of [a, b]) {
    assert.equal((await viewer.get(`/api/traces/${id.toHex()}`)).data.length, 1);
  }
  const { requests, logs: held } = await viewer.get("/api/stats");
  assert.deepEqual([requests.accepted, held.held], [3, 1]);
});

Deno.test("OTLP/gRPC answers partial success as OTLP/HTTP does", async () => {
  await using viewer = await testConsole();
  const body = framed(tracesRequest([{}, { traceId: new Uint8Array(3), name: "GET /" }]));
  const answer = await call(viewer.grpcAddress, traces, body);
  assert.equal(answer.status, "0");
  const { partialSuccess } = fromBinary(ExportTraceServiceResponseSchema, answer.body);
  assert.equal(partialSuccess?.rejectedSpans, 1n);
  assert.match(partialSuccess.errorMessage, /invalid_trace_id.*"GET \/" of shop/);
});

const refused: [
  name: string,
  path: string,
  body: Uint8Array,
  headers: Record<string, string>,
  status: string,
  says: RegExp,
][] = [
  ["an unknown method", "/a.b/C", framed(tracesRequest([{}])), {}, "12", /There is no \/a.b\/C/],
  ["bytes that are no message", traces, framed(new Uint8Array([0xff, 0xff, 1])), {}, "3", /Export/],
  ["half a frame", traces, new Uint8Array([0, 0, 0]), {}, "3", /not one whole message/],
  [
    "an unknown compression",
    traces,
    framed(new Uint8Array(3), 1),
    {
      "grpc-encoding": "snappy",
    },
    "12",
    /snappy/,
  ],
  ["too large a message", traces, framed(new Uint8Array(20_000)), {}, "8", /at most 10000/],
  [
    "what unfolds to too much",
    traces,
    framed(gzipSync(new Uint8Array(1_000_000)), 1),
    { "grpc-encoding": "gzip" },
    "8",
    /decompressed body may have at most 30000/,
  ],
  [
    "a name that it is not known by",
    traces,
    framed(tracesRequest([{}])),
    {
      ":authority": "evil.example",
    },
    "7",
    /--allowed-host/,
  ],
  [
    "another content type",
    traces,
    framed(tracesRequest([{}])),
    {
      "content-type": "text/plain",
    },
    "3",
    /application\/grpc/,
  ],
];

for (const [name, path, body, headers, status, says] of refused) {
  Deno.test(`OTLP/gRPC answers ${status} to ${name}, and lives`, async () => {
    await using viewer = await testConsole({ maxBodyBytes: 10_000, maxDecompressedBytes: 30_000 });
    const answer = await call(viewer.grpcAddress, path, body, headers);
    assert.equal(answer.status, status, answer.message);
    assert.match(answer.message, says);
    const { notices } = await viewer.get("/api/notices");
    assert.equal(notices[0].sender, "test-grpc/1");
    const good = await call(viewer.grpcAddress, traces, framed(tracesRequest([{}])));
    assert.equal(good.status, "0");
  });
}

Deno.test("a gRPC exporter at the door of OTLP/HTTP is seen, with the address that it should have", async () => {
  await using viewer = await testConsole();
  const { host } = new URL(viewer.otlpUrl);
  await assert.rejects(call(host, traces, framed(tracesRequest([{}]))));
  const [{ reason, detail }] = (await viewer.get("/api/notices")).notices;
  assert.equal(reason, "grpc_at_http_port");
  assert.ok(detail.includes(viewer.grpcAddress), detail);
});
