/** Prometheus's own checker reads what the console exports. Needs `promtool` (Debian: apt install prometheus). */
import assert from "node:assert/strict";
import { testWith } from "../../service/testing/permissions.ts";
import { attributeOf, metricsRequest, testConsole } from "../test_console.ts";

const at = { timeUnixNano: BigInt(Date.now()) * 1_000_000n };

testWith(
  ["run", "net"],
  "promtool accepts the console's metrics, its own and all kinds that it re-exports",
  async () => {
    await using viewer = await testConsole();
    const cumulative = { aggregationTemporality: 2 as const };
    const sent = await viewer.send(
      "metrics",
      metricsRequest([
        {
          name: "a.gauge",
          unit: "1",
          description: "A gauge",
          data: {
            case: "gauge",
            value: { dataPoints: [{ ...at, value: { case: "asDouble", value: 0.5 } }] },
          },
        },
        {
          name: "a.counter",
          unit: "By",
          description: 'Odd "text" \\ here',
          data: {
            case: "sum",
            value: {
              ...cumulative,
              isMonotonic: true,
              dataPoints: [{
                ...at,
                attributes: [attributeOf("weird.key", 'a"b\nc\\')],
                value: { case: "asInt", value: 3n },
              }],
            },
          },
        },
        {
          name: "a.histogram",
          unit: "s",
          description: "Explicit",
          data: {
            case: "histogram",
            value: {
              ...cumulative,
              dataPoints: [{
                ...at,
                count: 3n,
                sum: 2,
                explicitBounds: [1],
                bucketCounts: [2n, 1n],
              }],
            },
          },
        },
        {
          name: "an.exponential",
          unit: "ms",
          description: "Exponential",
          data: {
            case: "exponentialHistogram",
            value: {
              ...cumulative,
              dataPoints: [{
                ...at,
                count: 4n,
                sum: 2,
                scale: 3,
                zeroCount: 1n,
                positive: { offset: -5, bucketCounts: [1n, 2n] },
              }],
            },
          },
        },
        {
          name: "a.summary",
          description: "Old",
          data: {
            case: "summary",
            value: {
              dataPoints: [{
                ...at,
                count: 1n,
                sum: 2,
                quantileValues: [{ quantile: 0.5, value: 2 }],
              }],
            },
          },
        },
      ]),
    );
    assert.equal((await sent.bytes()).length, 0);
    const text = await (await fetch(`${viewer.pageUrl}/metrics`)).text();
    for (
      const name of [
        "a_gauge_ratio",
        "a_counter_bytes_total",
        "a_histogram_seconds_count",
        "an_exponential_milliseconds_sum",
        "a_summary",
        "orrery_console_items_received_total",
      ]
    ) {
      assert.match(text, new RegExp(`^${name}[{ ]`, "m"));
    }
    const child = new Deno.Command("promtool", {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    const { code, stderr, stdout } = await child.output();
    const said = new TextDecoder().decode(stderr) + new TextDecoder().decode(stdout);
    // What promtool calls an error makes the text unreadable; 3 is its linter's word on names, which senders chose.
    assert.ok(code === 0 || code === 3, said);
    assert.doesNotMatch(said, /error while linting|parsing error/);
    const ownNames = said.split("\n").filter((line) => line.startsWith("orrery_"));
    assert.deepEqual(ownNames, []);
  },
);
