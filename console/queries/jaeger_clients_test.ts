/**
 * What Jaeger's clients ask, word for word as they ask it: Grafana's Jaeger data source (11 and 12)
 * and Jaeger UI (1.6x and 2), recorded.
 */
import assert from "node:assert/strict";
import { attributeOf, newSpanId, newTraceId, testConsole } from "../test_console.ts";

const nowMs = Date.now();
const ns = (ms: number) => BigInt(Math.round(ms * 1000)) * 1000n;

async function shop() {
  const viewer = await testConsole();
  const [traceId, root, consumer] = [newTraceId(), newSpanId(), newSpanId()];
  await viewer.sendSpans([{
    traceId,
    spanId: root,
    name: "GET /cart",
    kind: 2,
    startTimeUnixNano: ns(nowMs - 5_000),
    endTimeUnixNano: ns(nowMs - 4_000),
    attributes: [attributeOf("http.response.status_code", 200n)],
    events: [{ name: "cache miss", attributes: [attributeOf("cache.key", "cart:7")] }],
  }, {
    traceId,
    parentSpanId: root,
    name: "parse",
    kind: 1,
    startTimeUnixNano: ns(nowMs - 4_900),
    endTimeUnixNano: ns(nowMs - 4_899),
  }], "web");
  await viewer.sendSpans([{
    traceId,
    spanId: consumer,
    parentSpanId: root,
    name: "SELECT",
    kind: 3,
    startTimeUnixNano: ns(nowMs - 4_800),
    endTimeUnixNano: ns(nowMs - 4_700),
  }], "db");
  return Object.assign(viewer, { id: traceId.toHex() });
}

const us = (ms: number) => String(Math.round(ms * 1000));
const window = `start=${us(nowMs - 3_600_000)}&end=${us(nowMs + 1_000)}`;

/** Searches, and whether the trace is found. */
const searches: [client: string, query: string, found: boolean][] = [
  [
    "Jaeger UI, last hour",
    `end=${us(nowMs)}&limit=20&lookback=1h&maxDuration&minDuration&service=web&start=${
      us(nowMs - 3_600_000)
    }`,
    true,
  ],
  [
    "Jaeger UI, custom time",
    `end=${us(nowMs)}&limit=20&lookback=custom&maxDuration&minDuration&service=web&start=${
      us(nowMs - 60_000)
    }`,
    true,
  ],
  [
    "Jaeger UI, custom time before it",
    `end=${us(nowMs - 60_000)}&limit=20&lookback=custom&service=web&start=${us(nowMs - 120_000)}`,
    false,
  ],
  [
    "Jaeger UI, tags",
    `${window}&limit=20&lookback=1h&service=web&tags=${
      encodeURIComponent('{"http.response.status_code":"200","span.kind":"server"}')
    }`,
    true,
  ],
  [
    "Jaeger UI, a tag of an event",
    `${window}&limit=20&service=web&tags=${encodeURIComponent('{"cache.key":"cart:7"}')}`,
    true,
  ],
  [
    "Jaeger UI, operation and duration of one span",
    `${window}&limit=20&operation=parse&service=web&minDuration=500ms`,
    false,
  ],
  [
    "Jaeger UI, operation and duration",
    `${window}&limit=20&operation=GET%20%2Fcart&service=web&minDuration=500ms&maxDuration=1.2s`,
    true,
  ],
  [
    "an old client, two tags",
    `${window}&service=web&tag=http.response.status_code%3A200&tag=span.kind%3Aserver`,
    true,
  ],
  [
    "an old client, two tags of two spans",
    `${window}&service=web&tag=http.response.status_code%3A200&tag=span.kind%3Ainternal`,
    false,
  ],
  [
    "Grafana, search",
    `service=web&operation=GET%20%2Fcart&tags=%7B%22http.response.status_code%22%3A%22200%22%7D&minDuration=1ms&maxDuration=5s&limit=20&${window}&lookback=custom`,
    true,
  ],
];

for (const [client, query, found] of searches) {
  Deno.test(`/api/traces answers ${client}`, async () => {
    await using viewer = await shop();
    const { data, errors } = await viewer.get(`/api/traces?${query}`);
    assert.equal(errors, null);
    assert.deepEqual(
      data.map(({ traceID }: { traceID: string }) => traceID),
      found ? [viewer.id] : [],
    );
  });
}

Deno.test("Grafana's and Jaeger UI's other requests are answered", async () => {
  await using viewer = await shop();
  assert.deepEqual((await viewer.get("/api/services")).data, ["db", "web"]);
  assert.deepEqual((await viewer.get("/api/services/web/operations")).data, ["GET /cart", "parse"]);
  assert.deepEqual((await viewer.get("/api/operations?service=web&spanKind=server")).data, [
    { name: "GET /cart", spanKind: "server" },
  ]);
  // Grafana asks for a trace with the time of its dashboard.
  const from = Math.round((nowMs - 3_600_000) * 1000);
  const one = await viewer.get(`/api/traces/${viewer.id}?start=${from}&end=${us(nowMs)}`);
  assert.equal(one.data[0].spans.length, 3);
  const edges = async (query: string) => (await viewer.get(`/api/dependencies?${query}`)).data;
  const edge = [{ parent: "web", child: "db", callCount: 1, errorCount: 0 }];
  assert.deepEqual(await edges(`endTs=${nowMs}&lookback=604800000`), edge);
  assert.deepEqual(await edges(`endTs=${nowMs}&lookback=1000`), []);
  assert.deepEqual(await edges(`endTs=${nowMs - 60_000}&lookback=604800000`), []);
});
