/**
 * The trace of a ping crosses from our client to our server, and both send their figures: seen by
 * the console as it came over the wire.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { generateCertificates } from "../pingpong/gen_certs.ts";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram, startReadyProgram } from "../service/testing/program.ts";

interface JaegerTrace {
  traceID: string;
  spans: {
    operationName: string;
    processID: string;
    spanID: string;
    references: { spanID: string }[];
  }[];
  processes: Record<string, { serviceName: string }>;
}

for (const mode of ["bidi", "uni", "datagram", "websocket"] as const) {
  testWith(
    ["read", "write", "run", "env"],
    `a ping over ${mode} is one trace in client and server, and metrics tell its time`,
    async () => {
      const folder = await Deno.makeTempDir({ prefix: "pingpong-telemetry-" });
      const [certificatePath, keyPath, pinPath] = ["cert.pem", "key.pem", "pin"]
        .map((name) => join(folder, name)) as [string, string, string];
      await generateCertificates({ certificatePath, keyPath, pinPath });
      try {
        await using collector = await startReadyProgram("console/server.ts", [
          ...["--page-port", "0", "--otlp-port", "0"],
        ]);
        const page = collector.fields.page!;
        const env = {
          OTEL_SDK_DISABLED: "false",
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.fields.otlp!,
          // The server goes on: what it has is not to wait for its usual times.
          OTEL_BSP_SCHEDULE_DELAY: "100",
          OTEL_METRIC_EXPORT_INTERVAL: "200",
          OTEL_METRIC_EXPORT_TIMEOUT: "200",
        };
        await using server = await startProgram(
          new URL("../pingpong/server.ts", import.meta.url),
          [
            ...["--port", "0", "--page-port", "0", "--https-port", "0"],
            ...["--certificate-path", certificatePath, "--key-path", keyPath],
          ],
          env,
        );
        const port = (await server.line(/WebTransport at https:\/\/127\.0\.0\.1:(\d+)/))[1]!;
        const tcp = (await server.line(/and https:\/\/127\.0\.0\.1:(\d+)/))[1]!;
        await using client = await startProgram(
          new URL("../pingpong/client.ts", import.meta.url),
          [
            ...["--port", port, "--websocket-port", tcp, "--pin", pinPath, "--mode", mode],
            ...["--ping-count", "2", "--timeout", "60"],
          ],
          env,
        );
        assert.equal((await client.status).code, 0, client.lines.join("\n"));

        await assertPingTrace(page);
        await assertSessionTrace(page);
        await assertMetrics(page, mode);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  );
}

/** A ping and its pong are one trace of both programs. */
async function assertPingTrace(page: string): Promise<void> {
  const trace = await eventually("a trace of both programs", async () => {
    const { data } = await json<{ data: JaegerTrace[] }>(
      `${page}/api/traces?service=pingpong-client&operation=ping&limit=20`,
    );
    return data.find(({ processes }) => Object.keys(processes).length === 2);
  });
  const span = (name: string) => trace.spans.find((one) => one.operationName === name)!;
  assert.equal(trace.processes[span("ping").processID]!.serviceName, "pingpong-client");
  assert.equal(trace.processes[span("pong").processID]!.serviceName, "pingpong-server");
  assert.equal(span("pong").references[0]?.spanID, span("ping").spanID);
}

/** The session's trace is the one that the client began. */
async function assertSessionTrace(page: string): Promise<void> {
  const session = await eventually(
    "the session's trace, which the client began",
    async () => {
      const { data } = await json<{ data: JaegerTrace[] }>(
        `${page}/api/traces?service=pingpong-server&operation=pingpong%20session&limit=20`,
      );
      return data.find(({ spans }) => spans.length > 1);
    },
  );
  const connect = session.spans.find((one) => one.operationName === "pingpong connect")!;
  const served = session.spans.find((one) => one.operationName === "pingpong session")!;
  assert.equal(served.references[0]?.spanID, connect.spanID);
}

/** Both programs send their figures. */
async function assertMetrics(page: string, mode: string): Promise<void> {
  await eventually("the metrics of both", async () => {
    const metrics = await (await fetch(`${page}/metrics`)).text();
    const wanted = [
      new RegExp(`pingpong_client_rtt\\w*_count{[^}]*mode="${mode}"[^}]*} 2`),
      new RegExp(`pingpong_server_pings\\w*{[^}]*mode="${mode}"[^}]*} 2`),
      /pingpong_server_sessions/,
      /pingpong_server_mailbox_answers/,
    ];
    return wanted.every((one) => one.test(metrics)) || undefined;
  });
}

async function json<Answer>(url: string): Promise<Answer> {
  return await (await fetch(url)).json() as Answer;
}
