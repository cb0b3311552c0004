/** What a program of this house sends by itself comes out of the console, whatever its protocol. */
import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram } from "../service/testing/program.ts";
import { testConsole } from "./test_console.ts";

const fixture = new URL("../service/life_cycle_fixture.ts", import.meta.url);

testWith(
  ["run", "read", "net", "env"],
  "console shows the same of a program that speaks protobuf and one that speaks JSON",
  async () => {
    await using viewer = await testConsole();
    const seen = [];
    for (const protocol of ["http/protobuf", "http/json"]) {
      await using program = await startProgram(fixture, [], {
        OTEL_SDK_DISABLED: "false",
        OTEL_EXPORTER_OTLP_ENDPOINT: viewer.otlpUrl,
        OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
        OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=testing",
      });
      const [, url] = await program.line(/listening at (\S+)/);
      const traceId = await (await fetch(`${url}/work`)).text();
      program.kill("SIGTERM");
      assert.equal((await program.status).code, 0);

      const { data: [trace] } = await viewer.get(`/api/traces/${traceId}`);
      const { logs } = await viewer.get(`/api/logs?traceId=${traceId}`);
      const [span] = trace.spans;
      seen.push({
        spans: trace.spans.length,
        name: span.operationName,
        traceId: span.traceID === traceId,
        microseconds: Number.isInteger(span.startTime) && span.duration >= 0,
        tags: span.tags,
        process: trace.processes.p1.tags.filter(({ key }: { key: string }) =>
          key.startsWith("deployment") || key === "service.namespace"
        ),
        logs: logs.map((record: { body: string; severity: string; attributes: object }) => [
          record.body,
          record.severity,
          record.attributes,
        ]),
      });
    }
    assert.equal(seen[0]!.name, "work");
    assert.equal(seen[0]!.logs.length, 1);
    assert.deepEqual(seen[1], seen[0]);
  },
);
