import assert from "node:assert/strict";
import { startProgram } from "./testing/program.ts";
import { eventually } from "./testing/eventually.ts";
import { testWith } from "./testing/permissions.ts";

const fixture = new URL("./life_cycle_fixture.ts", import.meta.url);
const needs: Deno.PermissionName[] = ["run", "read", "net", "env"];

/** A collector that keeps what it gets as Latin-1, in which protobuf's strings can be found. */
function collector(status = 200) {
  const received: { path: string; body: string; type: string | null }[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      received.push({
        path: new URL(request.url).pathname,
        body: new TextDecoder("latin1").decode(await request.bytes()),
        type: request.headers.get("content-type"),
      });
      return new Response(null, { status });
    },
  );
  return {
    received,
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

const on = (endpoint: string) => ({
  OTEL_SDK_DISABLED: "false",
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  // Nothing is sent before the program ends: what arrives has been flushed.
  OTEL_BSP_SCHEDULE_DELAY: "600000",
  OTEL_BLRP_SCHEDULE_DELAY: "600000",
  OTEL_METRIC_EXPORT_INTERVAL: "600000",
});

testWith(
  needs,
  "startTelemetry() flushes all three signals when the program is stopped",
  async () => {
    await using sink = collector();
    await using program = await startProgram(fixture, [], {
      ...on(sink.endpoint),
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=testing",
    });
    const [, url] = await program.line(/listening at (\S+)/);
    const traceId = await (await fetch(`${url}/work`)).text();
    const line = await program.line(/at work/);
    assert.ok(line.input!.endsWith(`trace_id=${traceId}`), line.input);
    assert.equal(sink.received.length, 0);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);

    assert.deepEqual(
      sink.received.map(({ path }) => path).toSorted(),
      ["/v1/logs", "/v1/metrics", "/v1/traces"],
    );
    for (const { body, type, path } of sink.received) {
      assert.equal(type, "application/x-protobuf", path);
      for (
        const text of ["service.namespace", "orrery", "fixture", "deployment.environment.name"]
      ) {
        assert.ok(body.includes(text), `${path} lacks ${text}`);
      }
    }
    const traceIdBytes = new TextDecoder("latin1").decode(Uint8Array.fromHex(traceId));
    const bodyOf = (path: string) => sink.received.find((one) => one.path === path)!.body;
    assert.ok(bodyOf("/v1/traces").includes(traceIdBytes));
    assert.ok(bodyOf("/v1/logs").includes(traceIdBytes));
    assert.ok(bodyOf("/v1/metrics").includes("fixture.works"));
  },
);

testWith(
  needs,
  "startTelemetry() warns once about a collector that refuses, and counts",
  async () => {
    await using sink = collector(400);
    await using program = await startProgram(fixture, [], {
      ...on(sink.endpoint),
      OTEL_BSP_SCHEDULE_DELAY: "10",
      // It is the time-out, too: what is too slow warns of another reason.
      OTEL_METRIC_EXPORT_INTERVAL: "1000",
    });
    const [, url] = await program.line(/listening at (\S+)/);
    await fetch(`${url}/work`).then((response) => response.text());
    await program.line(/Telemetry cannot be delivered to http:\/\/127/);
    // Two more failing rounds, which stay silent.
    const rounds = sink.received.length + 4;
    while (sink.received.length < rounds) await fetch(`${url}/work`).then((r) => r.text());
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
    const warnings = program.lines.filter((line) => / WARN /.test(line));
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.ok(
      sink.received.some(({ body }) => body.includes("otel.sdk.processor.span.processed")),
      "the SDK's own metrics are sent",
    );
  },
);

testWith(needs, "startTelemetry() warns once of a collector that never answers", async () => {
  // It takes connections and says nothing.
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const taken: Deno.Conn[] = [];
  const taking = (async () => {
    for await (const connection of silent) taken.push(connection);
  })();
  await using program = await startProgram(fixture, [], {
    ...on(`http://127.0.0.1:${silent.addr.port}`),
    OTEL_BSP_EXPORT_TIMEOUT: "200",
    OTEL_METRIC_EXPORT_INTERVAL: "200",
    OTEL_EXPORTER_OTLP_TIMEOUT: "500",
  });
  const [, url] = await program.line(/listening at (\S+)/);
  await fetch(`${url}/work`).then((response) => response.text());
  await program.line(/does not answer in time/);
  // More rounds, of which nothing is said.
  const rounds = taken.length + 4;
  await eventually("more attempts", () => taken.length >= rounds || undefined, 20_000);
  program.kill("SIGTERM");
  await program.status;
  silent.close();
  await taking;
  for (const connection of taken) connection.close();
  const warnings = program.lines.filter((line) => / WARN /.test(line));
  assert.equal(warnings.length, 1, warnings.join("\n"));
});

testWith(needs, "startTelemetry() is off with OTEL_SDK_DISABLED", async () => {
  await using sink = collector();
  await using program = await startProgram(fixture, [], {
    ...on(sink.endpoint),
    OTEL_SDK_DISABLED: "true",
  });
  const [, url] = await program.line(/listening at (\S+)/);
  await fetch(`${url}/work`).then((response) => response.text());
  program.kill("SIGTERM");
  await program.status;
  assert.equal(sink.received.length, 0);
});

testWith(
  needs,
  "startTelemetry() speaks JSON when OTEL_EXPORTER_OTLP_PROTOCOL says so",
  async () => {
    await using sink = collector();
    await using program = await startProgram(fixture, [], {
      ...on(sink.endpoint),
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    });
    const [, url] = await program.line(/listening at (\S+)/);
    const traceId = await (await fetch(`${url}/work`)).text();
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);

    assert.deepEqual(
      sink.received.map(({ path, type }) => [path, type]).toSorted(),
      [
        ["/v1/logs", "application/json"],
        ["/v1/metrics", "application/json"],
        ["/v1/traces", "application/json"],
      ],
    );
    const bodyOf = (path: string) =>
      JSON.parse(sink.received.find((one) => one.path === path)!.body);
    const [span] = bodyOf("/v1/traces").resourceSpans[0].scopeSpans[0].spans;
    assert.deepEqual([span.name, span.traceId], ["work", traceId]);
    const { logRecords } = bodyOf("/v1/logs").resourceLogs[0].scopeLogs[0];
    const record = logRecords.find(({ body }: { body: object }) =>
      JSON.stringify(body) === '{"stringValue":"at work"}'
    );
    assert.equal(record.traceId, traceId);
  },
);

testWith(needs, "startTelemetry() takes a protocol for one signal alone", async () => {
  await using sink = collector();
  await using program = await startProgram(fixture, [], {
    ...on(sink.endpoint),
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
  });
  const [, url] = await program.line(/listening at (\S+)/);
  await (await fetch(`${url}/work`)).text();
  program.kill("SIGTERM");
  await program.status;
  assert.deepEqual(
    sink.received.map(({ path, type }) => [path, type]).toSorted(),
    [
      ["/v1/logs", "application/json"],
      ["/v1/metrics", "application/json"],
      ["/v1/traces", "application/x-protobuf"],
    ],
  );
});

testWith(needs, "startTelemetry() refuses a protocol that it does not speak", async () => {
  for (
    const [name, value] of [
      ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"],
      ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "HTTP/JSON"],
    ] as const
  ) {
    await using program = await startProgram(fixture, [], {
      OTEL_SDK_DISABLED: "false",
      [name]: value,
    });
    assert.equal((await program.status).code, 2);
    assert.deepEqual(program.lines, [
      `fixture: Environment variable ${name} is '${value}', which is not supported: set it to 'http/protobuf' or 'http/json', or unset it for 'http/protobuf'.`,
    ]);
  }
});

testWith(
  needs,
  "Telemetry.shutdown() does not wait for a collector that was never there",
  async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    await using program = await startProgram(fixture, [], {
      ...on(`http://127.0.0.1:${port}`),
      // Within the 3 s that it waits for its telemetry the export is given up, which is said.
      OTEL_EXPORTER_OTLP_TIMEOUT: "2000",
    });
    const [, url] = await program.line(/listening at (\S+)/);
    await (await fetch(`${url}/work`)).text();
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
    assert.doesNotMatch(program.lines.join("\n"), /cannot be delivered/, "it has waited for it");
  },
);
