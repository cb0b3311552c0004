import assert from "node:assert/strict";
import type { HistogramValue } from "../stores/histogram.ts";
import { type MetricIdentity, MetricStore, type PointValue } from "../stores/metric_store.ts";
import { metricName, negotiatedEscaping, prometheusText } from "./prometheus_text.ts";
import type { StoredAttributes } from "../intake/values.ts";

const names: [
  name: string,
  unit: string,
  type: MetricIdentity["type"],
  monotonic: boolean,
  expected: string,
][] = [
  ["http.server.request.duration", "s", "histogram", false, "http_server_request_duration_seconds"],
  ["http.server.active_requests", "{request}", "sum", false, "http_server_active_requests"],
  ["requests", "{request}", "sum", true, "requests_total"],
  ["requests.total", "", "sum", true, "requests_total"],
  ["sent", "By", "sum", true, "sent_bytes_total"],
  ["sent_bytes_total", "By", "sum", true, "sent_bytes_total"],
  ["cpu.utilization", "1", "gauge", false, "cpu_utilization_ratio"],
  ["hits", "1", "sum", true, "hits_total"],
  ["speed", "m/s", "gauge", false, "speed_meters_per_second"],
  ["rate", "{packet}/s", "gauge", false, "rate_per_second"],
  ["load", "%", "gauge", false, "load_percent"],
  ["odd..name!", "furlongs", "gauge", false, "odd_name_furlongs"],
  ["näme", "furlongs", "gauge", false, "U__n_e4_me__furlongs"],
  ["nöme", "furlongs", "gauge", false, "U__n_f6_me__furlongs"],
  ["2nd", "", "gauge", false, "_2nd"],
  ["°", "", "gauge", false, "U___b0_"],
  ["...", "", "gauge", false, "unnamed"],
];

for (const [name, unit, type, monotonic, expected] of names) {
  Deno.test(`metricName() makes ${expected} of ${name} in ${JSON.stringify(unit)}`, () => {
    assert.equal(metricName({ name, unit, type, monotonic }), expected);
  });
}

interface Sent {
  metric: Partial<MetricIdentity> & { name: string };
  value: PointValue;
  attributes?: StoredAttributes;
  instance?: string;
  resource?: StoredAttributes;
  atMs?: number;
}

function textOf(sent: Sent[], nowMs = 1_000): string[] {
  const store = new MetricStore({ maxSeries: 100, maxPointsPerSeries: 10, maxBytes: 1e9 });
  for (const { metric, value, attributes = [], instance, resource = [], atMs = 1_000 } of sent) {
    store.add(
      { type: "gauge", monotonic: false, unit: "", description: "", ...metric },
      {
        source: { service: "shop", instance, attributes: resource, key: `${instance}${resource}` },
        scope: { name: "", version: "" },
        attributes,
        timeMs: atMs,
        startMs: 0,
        value,
        delta: false,
      },
      atMs,
    );
  }
  return prometheusText(store.families(), nowMs).split("\n");
}

Deno.test("prometheusText() escapes text and keeps labels apart", () => {
  const lines = textOf([{
    metric: { name: "g", description: "two\nlines \\" },
    value: 1.5,
    attributes: [
      "path",
      'C:\\a "b"\nc',
      "a.b",
      "1",
      "a_b",
      "2",
      "le",
      "x",
      "job",
      "y",
      "__name",
      3,
      "9",
      true,
    ],
  }]);
  assert.deepEqual(lines, [
    "# HELP g two\\nlines \\\\",
    "# TYPE g gauge",
    'g{job="shop",path="C:\\\\a \\"b\\"\\nc",a_b="1;2",exported_le="x",exported_job="y",key__name="3",key_9="true"} 1.5',
    "",
  ]);
});

Deno.test("prometheusText() gives job, instance and target_info of the resource", () => {
  const lines = textOf([{
    metric: { name: "g" },
    value: NaN,
    instance: "i1",
    resource: ["service.namespace", "orrery", "service.instance.id", "i1", "host.name", "eye"],
  }]);
  assert.deepEqual(lines.slice(2), [
    'g{job="orrery/shop",instance="i1"} NaN',
    "# HELP target_info Target metadata",
    "# TYPE target_info gauge",
    'target_info{job="orrery/shop",instance="i1",host_name="eye"} 1',
    "",
  ]);
});

Deno.test("prometheusText() adds buckets up, explicit and exponential ones", () => {
  const explicit: HistogramValue = {
    count: 6,
    sum: 9,
    buckets: { kind: "explicit", bounds: [0.5, 1], counts: [1, 2, 3] },
  };
  assert.deepEqual(
    textOf([{ metric: { name: "h", type: "histogram", unit: "s" }, value: explicit }]).slice(1, -1),
    [
      "# TYPE h_seconds histogram",
      'h_seconds_bucket{job="shop",le="0.5"} 1',
      'h_seconds_bucket{job="shop",le="1"} 3',
      'h_seconds_bucket{job="shop",le="+Inf"} 6',
      'h_seconds_sum{job="shop"} 9',
      'h_seconds_count{job="shop"} 6',
    ],
  );
  const exponential: HistogramValue = {
    count: 10,
    sum: 20,
    buckets: {
      kind: "exponential",
      scale: 1,
      zeroCount: 1,
      zeroThreshold: 0,
      // Indexes 0 to 3 at scale 1 are (1, 2] and (2, 4] at scale 0.
      positive: { offset: 0, counts: [1, 2, 3, 2] },
      negative: { offset: 0, counts: [1] },
    },
  };
  assert.deepEqual(
    textOf([{ metric: { name: "e", type: "exponentialHistogram" }, value: exponential }]).slice(
      2,
      -3,
    ),
    [
      'e_bucket{job="shop",le="-1"} 1',
      'e_bucket{job="shop",le="0"} 2',
      'e_bucket{job="shop",le="2"} 5',
      'e_bucket{job="shop",le="4"} 10',
      'e_bucket{job="shop",le="+Inf"} 10',
    ],
  );
});

Deno.test("prometheusText() shows summaries with their quantiles", () => {
  const value = {
    count: 4,
    sum: 10,
    quantiles: [[0.5, 2], [0.99, Infinity]] as [number, number][],
  };
  assert.deepEqual(textOf([{ metric: { name: "s", type: "summary" }, value }]).slice(1, -1), [
    "# TYPE s summary",
    's{job="shop",quantile="0.5"} 2',
    's{job="shop",quantile="0.99"} +Inf',
    's_sum{job="shop"} 10',
    's_count{job="shop"} 4',
  ]);
});

Deno.test("prometheusText() never says one thing twice", () => {
  const lines = textOf([
    { metric: { name: "a.b" }, value: 1, instance: "i", resource: ["process.pid", 1] },
    // The same labels, later: a sender that started again.
    {
      metric: { name: "a.b" },
      value: 2,
      instance: "i",
      resource: ["process.pid", 2],
      atMs: 2_000,
    },
    // The same name, another type.
    {
      metric: { name: "a_b", type: "histogram" },
      value: { count: 0, sum: 0, buckets: { kind: "explicit", bounds: [], counts: [0] } },
    },
    // The same name and type, another spelling.
    { metric: { name: "a_b" }, value: 3, attributes: ["k", "v"] },
  ], 2_000);
  assert.deepEqual(lines.filter((line) => line.startsWith("# TYPE a_b")), ["# TYPE a_b gauge"]);
  assert.deepEqual(lines.filter((line) => line.startsWith("a_b")), [
    'a_b{job="shop",instance="i"} 2',
    'a_b{job="shop",k="v"} 3',
  ]);
});

Deno.test("prometheusText() leaves out series that were silent for five minutes", () => {
  const sent = [{ metric: { name: "g" }, value: 1 }];
  assert.equal(textOf(sent, 300_000).length, 4);
  assert.deepEqual(textOf(sent, 302_000), [""]);
});

Deno.test("prometheusText() gives no sample twice, though two names become one", () => {
  const lines = textOf([
    { metric: { name: "queue.size" }, value: 1, atMs: 900 },
    { metric: { name: "queue_size" }, value: 2 },
    { metric: { name: "queue_size" }, value: 3, attributes: ["a", "b"] },
    { metric: { name: "lat", unit: "s" }, value: 4 },
    { metric: { name: "lat", unit: "ms" }, value: 5 },
  ]);
  assert.deepEqual(
    lines.filter((line) => !line.startsWith("#") && line !== ""),
    [
      'queue_size{job="shop"} 1',
      'queue_size{job="shop",a="b"} 3',
      'lat_seconds{job="shop"} 4',
      'lat_milliseconds{job="shop"} 5',
    ],
  );
});

Deno.test("prometheusText() tells replicas without an instance id apart by what differs", () => {
  const metric = { name: "up" };
  const lines = textOf([
    { metric, value: 1, resource: ["os.type", "linux", "host.name", "a", "process.pid", 7] },
    { metric, value: 2, resource: ["os.type", "linux", "host.name", "b", "process.pid", 7] },
    { metric, value: 3, resource: ["os.type", "linux", "host.name", "b", "process.pid", 8] },
  ]);
  assert.deepEqual(lines.filter((line) => line.startsWith("up")).sort(), [
    'up{job="shop",instance="a;7"} 1',
    'up{job="shop",instance="b;7"} 2',
    'up{job="shop",instance="b;8"} 3',
  ]);
  assert.equal(lines.filter((line) => line.startsWith("target_info{")).length, 3);
});

Deno.test("prometheusText() writes UTF-8 names to a scraper that takes them, and only to that", () => {
  assert.equal(negotiatedEscaping(undefined), "underscores");
  assert.equal(negotiatedEscaping("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), "underscores");
  assert.equal(
    negotiatedEscaping(
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4",
    ),
    "allow-utf-8",
  );
  assert.equal(
    negotiatedEscaping("text/plain;version=1.0.0;escaping=underscores;q=0.4"),
    "underscores",
  );
  const store = new MetricStore({ maxSeries: 100, maxPointsPerSeries: 10, maxBytes: 1e9 });
  store.add(
    { name: "größe", type: "gauge", monotonic: false, unit: "", description: "" },
    {
      source: { service: "shop", instance: undefined, attributes: [], key: "shop" },
      scope: { name: "", version: "" },
      attributes: [],
      timeMs: 1,
      startMs: 0,
      value: 4,
      delta: false,
    },
    1,
  );
  const [, type, sample] = prometheusText(store.families(), 1, "allow-utf-8").split("\n");
  assert.equal(type, '# TYPE "größe" gauge');
  assert.equal(sample, '{"größe",job="shop"} 4');
});
