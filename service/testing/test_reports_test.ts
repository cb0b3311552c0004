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

Deno.test("a report's tests and steps are counted, failed and skipped ones too", () => {
  assert.deepEqual(
    reportTotals([
      report([ok("one"), failed("two"), failed("two &gt; step"), skipped("three")].join("\n")),
      report(ok("one")),
    ]),
    {
      tests: 5,
      failed: ["./a_test.ts => two", "./a_test.ts => two > step"],
      skipped: 1,
    },
  );
});

Deno.test("what failed in the first attempt only is no failure, and counts once", () => {
  assert.deepEqual(
    reportTotals([report(
      [
        ok("outer"),
        failed("outer &gt; inner"),
        failed("outer &gt; named by its attempt 1"),
        ok("outer &gt; other"),
        ok("outer &gt; inner"),
        ok("outer &gt; other"),
      ].join("\n"),
    )]),
    { tests: 4, failed: [], skipped: 0 },
  );
});

Deno.test("a step that failed in both attempts has failed once", () => {
  const { tests, failed: names } = reportTotals([report(
    [failed("outer"), failed("outer &gt; inner"), failed("outer &gt; inner")].join("\n"),
  )]);
  assert.deepEqual([tests, names.length], [2, 2]);
});

Deno.test("a test whose name only begins like that of one which passed is not taken for its step", () => {
  assert.deepEqual(
    reportTotals([report([ok("outer"), failed("outer and more")].join("\n"))]).failed,
    ["./a_test.ts => outer and more"],
  );
});

Deno.test("what is no report is refused", () => {
  assert.throws(() => reportTotals(["killed"]), /no <testsuites>/);
});
