/** What is taken along comes back the same. */
import assert from "node:assert/strict";
import { logsRequest, metricsRequest, testConsole } from "../test_console.ts";

const nowNs = () => BigInt(Date.now()) * 1_000_000n;

Deno.test("everything held is exported, a request a line, and imported the same", async () => {
  await using viewer = await testConsole();
  await viewer.sendSpans([{ name: "GET /cart", status: { code: 2, message: "no" } }], "web");
  const time = { startTimeUnixNano: nowNs() - 1_000_000_000n, timeUnixNano: nowNs() };
  const sent = [
    await viewer.send(
      "logs",
      logsRequest(["one", "two"].map((value) => ({
        timeUnixNano: nowNs(),
        severityNumber: 17,
        body: { value: { case: "stringValue" as const, value } },
        eventName: "e",
      }))),
    ),
    await viewer.send(
      "metrics",
      metricsRequest([
        {
          name: "requests",
          unit: "1",
          data: {
            case: "sum",
            value: {
              aggregationTemporality: 2,
              isMonotonic: true,
              dataPoints: [{ ...time, value: { case: "asInt", value: 3n } }],
            },
          },
        },
        {
          name: "latency",
          unit: "s",
          data: {
            case: "histogram",
            value: {
              aggregationTemporality: 2,
              dataPoints: [{
                ...time,
                count: 3n,
                sum: 1.5,
                explicitBounds: [0.1, 1],
                bucketCounts: [1n, 1n, 1n],
              }],
            },
          },
        },
        {
          name: "exponential",
          data: {
            case: "exponentialHistogram",
            value: {
              aggregationTemporality: 2,
              dataPoints: [{
                ...time,
                count: 2n,
                scale: 1,
                zeroCount: 1n,
                positive: { offset: -3, bucketCounts: [1n] },
              }],
            },
          },
        },
        {
          name: "summary",
          data: {
            case: "summary",
            value: {
              dataPoints: [{
                ...time,
                count: 2n,
                sum: 3,
                quantileValues: [{ quantile: 0.5, value: NaN }],
              }],
            },
          },
        },
      ]),
    ),
  ];
  for (const response of sent) {
    assert.equal(response.status, 200);
    await response.body?.cancel();
  }
  const names = ["requests", "latency", "exponential", "summary"];
  const read = async () => {
    const metrics = names.map((name) => viewer.get(`/api/metrics?name=${name}`));
    const [traces, logs, ...rest] = await Promise.all([
      viewer.get("/api/traces"),
      viewer.get("/api/logs"),
      ...metrics,
    ]);
    for (const log of logs.logs) delete log.seq;
    for (const metric of rest) delete metric.lastSeenMs;
    return { traces, logs, rest };
  };
  const before = await read();
  assert.equal(before.rest[1].data[0].points[0].count, 3);
  const exported = await fetch(`${viewer.pageUrl}/api/export?what=all`);
  const text = await exported.text();
  assert.equal(text.trimEnd().split("\n").length, 2 + names.length);
  const cleared = await fetch(`${viewer.pageUrl}/api/data`, { method: "DELETE" });
  await cleared.body?.cancel();
  const imported = await fetch(`${viewer.pageUrl}/api/import`, { method: "POST", body: text });
  assert.deepEqual(await imported.json(), { requests: 2 + names.length, refused: 0, reasons: [] });
  assert.deepEqual(await read(), before);
});

Deno.test("an import names the line that is none, and what of it was refused", async () => {
  await using viewer = await testConsole();
  const send = async (body: string) => {
    const response = await fetch(`${viewer.pageUrl}/api/import`, { method: "POST", body });
    return [response.status, await response.json()];
  };
  const span = (traceId: string) => ({
    resourceSpans: [{
      scopeSpans: [{
        spans: [{
          traceId,
          spanId: "b".repeat(16),
          name: "a",
          startTimeUnixNano: "1795000000000000000",
        }],
      }],
    }],
  });
  const good = JSON.stringify(span("a".repeat(32)));
  const [status, { detail }] = await send(`${good}\n\n{"other":1}\n`);
  assert.equal(status, 400);
  assert.match(detail, /in line 3\. 1 requests before it were taken in/);
  const [, answer] = await send(JSON.stringify(span("a")));
  assert.deepEqual([answer.requests, answer.refused], [1, 1]);
  assert.match(answer.reasons[0], /invalid_trace_id|malformed|trace/i);
  assert.equal((await send("nonsense"))[0], 400);
});
