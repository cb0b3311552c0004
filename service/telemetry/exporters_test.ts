import { createNoopMeter, diag, DiagLogLevel } from "@opentelemetry/api";
import { ExportResultCode } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { ResourceMetrics } from "@opentelemetry/sdk-metrics";
import assert from "node:assert/strict";
import { testWith } from "../testing/permissions.ts";
import { logExporter, metricExporter, spanExporter } from "./exporters.ts";
import { withVariables } from "./test_environment.ts";

const meters = { getMeter: () => createNoopMeter() };

testWith(
  ["net", "env", "sys"],
  "exporters send each signal to its own path, in the type of its protocol",
  async () => {
    const asked: [path: string, type: string | null, body: string][] = [];
    await using collector = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        const { pathname } = new URL(request.url);
        const body = pathname === "/v1/metrics" ? "" : await request.text();
        if (pathname === "/v1/metrics") await request.bytes();
        asked.push([pathname, request.headers.get("content-type"), body]);
        return new Response();
      },
    );
    const url = `http://127.0.0.1:${collector.addr.port}`;
    const request = { bytes: new TextEncoder().encode("as it is"), count: 3 };
    const none: ResourceMetrics = { resource: resourceFromAttributes({}), scopeMetrics: [] };
    await withVariables({ OTEL_EXPORTER_OTLP_ENDPOINT: url }, async () => {
      for (
        const [protocol, type] of [["http/json", "json"], ["http/protobuf", "x-protobuf"]] as const
      ) {
        const exporters = [
          spanExporter(protocol, meters),
          logExporter(protocol, meters),
          spanExporter(protocol, meters, `${url}/elsewhere`),
        ];
        for (const exporter of exporters) {
          const { code } = await new Promise<{ code: ExportResultCode }>((resolve) =>
            exporter.export(request, resolve)
          );
          assert.equal(code, ExportResultCode.SUCCESS);
          await exporter.shutdown();
        }
        const metrics = metricExporter(protocol);
        await new Promise((resolve) => metrics.export(none, resolve));
        await metrics.shutdown();
        const contentType = `application/${type}`;
        assert.deepEqual(asked.splice(0), [
          ["/v1/traces", contentType, "as it is"],
          ["/v1/logs", contentType, "as it is"],
          ["/elsewhere", contentType, "as it is"],
          ["/v1/metrics", contentType, ""],
        ]);
      }
    });
  },
);

testWith(
  ["net", "env", "sys"],
  "an exporter goes where its signal's variable says, and tells of what was refused in part",
  async () => {
    const said: string[] = [];
    const silent = () => {};
    diag.setLogger({
      ...{ verbose: silent, debug: silent, info: silent, error: silent },
      warn: (...all) => said.push(all.join(" ")),
    }, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
    // Field 1, the partial success: one record is refused, and why.
    const protobuf = Uint8Array.from([0x0a, 0x06, 0x08, 0x01, 0x12, 0x02, 0x6e, 0x6f]);
    const json = {
      partialSuccess: { rejectedSpans: 1, rejectedLogRecords: 1, errorMessage: "no" },
    };
    const asked: string[] = [];
    await using collector = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        await request.bytes();
        asked.push(new URL(request.url).pathname);
        return request.headers.get("content-type") === "application/json"
          ? Response.json(json)
          : new Response(protobuf, { headers: { "content-type": "application/x-protobuf" } });
      },
    );
    const url = `http://127.0.0.1:${collector.addr.port}`;
    const variables = {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/own/traces`,
      OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: `${url}/own/logs`,
    };
    await withVariables(variables, async () => {
      for (const protocol of ["http/json", "http/protobuf"] as const) {
        for (const exporter of [spanExporter(protocol, meters), logExporter(protocol, meters)]) {
          await new Promise((resolve) =>
            exporter.export({ bytes: new Uint8Array(1), count: 1 }, resolve)
          );
          await exporter.shutdown();
        }
      }
    });
    diag.disable();
    assert.deepEqual(asked, ["/own/traces", "/own/logs", "/own/traces", "/own/logs"]);
    assert.equal(said.length, 4);
    for (const line of said) assert.match(line, /Partial Success response: .*"no"/);
  },
);
