import { strict as assert } from "node:assert";
import { reportTotals } from "./test_reports.ts";

const report = (cases: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="9" failures="9" errors="0" time="0.010">
    <testsuite name="./a_test.ts" tests="9" disabled="0" errors="0" failures="9">
${cases}
    </testsuite>
</testsuites>`;
const ok = (name: string) =>
  `        <testcase name="${name}" classname="./a_test.ts" time="0.003" line="2" col="6">
        </testcase>`;
const failed = (name: string) =>
  `        <testcase name="${name}" classname="./a_test.ts" time="0.000" line="2" col="48">
            <failure message="Uncaught Error: &lt;x&gt;">Error: x
    at file:///a_test.ts:2:84</failure>
        </testcase>`;
const skipped = (name: string) =>
  `        <testcase name="${name}" classname="./a_test.ts" time="0.000" line="3" col="6">
            <skipped/>
        </testcase>`;

const failedNames = (reports: string[]) =>
  reportTotals(reports).failed.map(({ file, names }) => [file, ...names]);

Deno.test("a report's tests and steps are counted, failed and skipped ones too", () => {
  const reports = [
    report([ok("one"), failed("&quot;two&quot;"), failed("&quot;two&quot; &gt; step")].join("\n")),
    report([ok("four"), skipped("three")].join("\n")),
  ];
  const { tests, skipped: ignored } = reportTotals(reports);
  assert.deepEqual([tests, ignored], [5, 1]);
  assert.deepEqual(failedNames(reports), [
    ["./a_test.ts", '"two"'],
    ["./a_test.ts", '"two"', "step"],
  ]);
});

Deno.test("a second attempt takes the place of the first, with all of its steps", () => {
  const reports = [
    report(
      [
        failed("outer"),
        failed("outer &gt; inner"),
        failed("outer &gt; named by its attempt 1"),
        ok("other"),
        failed("outer and more"),
      ].join("\n"),
    ),
    report([ok("outer"), ok("outer &gt; inner"), skipped("other")].join("\n")),
  ];
  assert.deepEqual([reportTotals(reports).tests, reportTotals(reports).skipped], [4, 0]);
  assert.deepEqual(failedNames(reports), [["./a_test.ts", "outer and more"]]);
});

Deno.test("what fails in the second attempt as well has failed once", () => {
  const both = report([failed("outer"), failed("outer &gt; inner")].join("\n"));
  assert.deepEqual(reportTotals([both, both]).tests, 2);
  assert.equal(failedNames([both, both]).length, 2);
});

Deno.test("what is no report is refused", () => {
  assert.throws(() => reportTotals(["killed"]), /no <testsuites>/);
});
