import assert from "node:assert/strict";
import fc from "fast-check";
import { PingStatistics } from "./statistics.ts";
import { summaryLines } from "./summary_lines.ts";

function measured(times: readonly number[]): PingStatistics {
  const statistics = new PingStatistics();
  times.forEach((time, seq) => {
    statistics.sent();
    statistics.answered(seq, time);
  });
  return statistics;
}

Deno.test("PingStatistics gives ping's figures", () => {
  const { rttMs } = measured([1, 2, 3, 4]).summary();
  assert.equal(rttMs?.min, 1);
  assert.equal(rttMs?.max, 4);
  assert.equal(rttMs?.avg, 2.5);
  assert.ok(Math.abs(rttMs!.mdev - Math.sqrt(1.25)) < 1e-12);
  // RFC 3550: J += (|D| - J) / 16, three times with |D| = 1.
  assert.ok(Math.abs(rttMs!.jitter - (1 - (15 / 16) ** 3)) < 1e-12);
});

Deno.test("percentiles are those of the sorted times, to within 1 %", () => {
  const times = fc.array(fc.double({ min: 0.001, max: 60_000, noNaN: true }), {
    minLength: 1,
    maxLength: 300,
  });
  fc.assert(fc.property(times, (all) => {
    const { rttMs } = measured(all).summary();
    const sorted = all.toSorted((a, b) => a - b);
    for (const [name, part] of [["p50", 0.5], ["p90", 0.9], ["p99", 0.99]] as const) {
      const exact = sorted[Math.ceil(part * sorted.length) - 1]!;
      assert.ok(Math.abs(rttMs![name] - exact) <= exact * 0.01, `${name} ${rttMs![name]} ${exact}`);
    }
  }));
});

Deno.test("every ping sent is answered or lost, and counted once", () => {
  const statistics = new PingStatistics();
  for (let seq = 0; seq < 5; seq++) statistics.sent();
  statistics.answered(0, 1);
  statistics.answered(2, 1);
  statistics.answered(1, 1);
  statistics.duplicated();
  statistics.answered(3, undefined);
  statistics.lost();
  statistics.late();
  statistics.outage(1_200);
  statistics.outage(300);
  const { rttMs: _, ...counts } = statistics.summary();
  assert.deepEqual(counts, {
    sent: 5,
    received: 4,
    lost: 1,
    lossRatio: 0.2,
    duplicated: 1,
    reordered: 1,
    late: 1,
    recovered: 1,
    outages: 2,
    outageMs: 1_500,
  });
});

Deno.test("summaryLines() tell the figures and draw every measured ping into a row", () => {
  const statistics = measured([0.1, 0.1, 0.1, 0.2, 0.4, 12]);
  const lines = summaryLines("bidi", statistics, 1234.4, { histogram: true });
  assert.equal(
    lines[1],
    "6 sent, 6 received, 0 lost (0.0%), 0 duplicated, 0 reordered, 0 late, 0 recovered, time 1234 ms",
  );
  assert.match(lines[2]!, /^rtt min\/avg\/max\/mdev = 0\.100\/2\.150\/12\.000\/4\.4\d\d ms$/);
  const counts = lines.slice(4).map((line) => Number(/ms +(\d+)/.exec(line)?.[1]));
  assert.equal(counts.reduce((sum, count) => sum + count), 6);
  assert.equal(lines.length, 12);
  assert.ok(lines.at(-1)!.endsWith(" 1 █████████████"));
});

Deno.test("summaryLines() draws for many pings unasked, as wide as fits, in ASCII if need be", () => {
  const few = measured([1, 2, 3]);
  assert.equal(summaryLines("bidi", few, 5).length, 4);
  const many = measured(Array.from({ length: 40 }, (_, index) => 1 + index / 10));
  assert.equal(summaryLines("bidi", many, 5, { histogram: false }).length, 4);
  const lines = summaryLines("bidi", many, 5, { columns: 60, plain: true });
  assert.equal(lines.length, 12);
  for (const line of lines.slice(4)) {
    assert.ok(line.length <= 60, line);
    assert.match(line, /^[ -~]*#*$/);
  }
});

Deno.test("summaryLines() counts outages and their time, where there were any", () => {
  const statistics = measured([1]);
  statistics.outage(1_499.6);
  assert.match(summaryLines("bidi", statistics, 5)[1]!, / 0 recovered, 1 outage of 1500 ms, time/);
});

Deno.test("summaryLines() of a run without an answer has no times", () => {
  const statistics = new PingStatistics();
  statistics.sent();
  statistics.lost();
  assert.equal(summaryLines("uni", statistics, 5).length, 2);
});
