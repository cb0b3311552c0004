import assert from "node:assert/strict";
import { expositionText, type Family, negotiate } from "./exposition.ts";

const counter: Family = {
  name: "signals_total",
  help: 'Signals "heard",\nand \\ counted.',
  type: "counter",
  samples: [{
    labels: { place: 'a"b\\c\nd' },
    value: 3,
    exemplar: { traceId: "0af7", spanId: "b7ad", value: 1, atMs: 1_500 },
  }],
};

Deno.test("expositionText() escapes labels and help by each format's rules", () => {
  assert.equal(
    expositionText([counter], "prometheus"),
    '# HELP signals_total Signals "heard",\\nand \\\\ counted.\n' +
      "# TYPE signals_total counter\n" +
      'signals_total{place="a\\"b\\\\c\\nd"} 3\n',
  );
  assert.equal(
    expositionText([counter], "openMetrics"),
    '# HELP signals Signals \\"heard\\",\\nand \\\\ counted.\n' +
      "# TYPE signals counter\n" +
      'signals_total{place="a\\"b\\\\c\\nd"} 3 # {trace_id="0af7",span_id="b7ad"} 1 1.5\n' +
      "# EOF\n",
  );
});

Deno.test("expositionText() sums a histogram's buckets up", () => {
  const family: Family = {
    name: "duration_seconds",
    help: "Durations.",
    type: "histogram",
    bounds: [0.5, 1],
    samples: [{ labels: {}, counts: [2, 1, 4], exemplars: [], sum: 12.5 }],
  };
  const lines = expositionText([family], "openMetrics").split("\n").slice(2, -2);
  assert.deepEqual(lines, [
    'duration_seconds_bucket{le="0.5"} 2',
    'duration_seconds_bucket{le="1.0"} 3',
    'duration_seconds_bucket{le="+Inf"} 7',
    "duration_seconds_sum 12.5",
    "duration_seconds_count 7",
  ]);
});

Deno.test("negotiate() gives OpenMetrics only to those who ask for it", () => {
  const prometheus =
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
  assert.equal(negotiate(prometheus), "openMetrics");
  for (
    const accept of [
      undefined,
      "",
      "*/*",
      "text/plain",
      "application/openmetrics-text;q=0",
      "application/openmetrics-text;q=0.1, text/plain",
    ]
  ) {
    assert.equal(negotiate(accept), "prometheus", accept);
  }
});
