/**
 * What the test runner's JUnit reports say, taken together:
 *   deno run --allow-read test_reports.ts REPORT...
 * prints a line for each test that failed, then `N M K`: tests, failed ones and skipped ones.
 *
 * The counts in a report's head are not what they seem where tests may have a second attempt
 * (`--retry`): there, Deno 2.9.6 keeps the steps of the first attempt, also failed ones, beside
 * those of the second, and counts both.
 */

export interface ReportTotals {
  /** Tests and their steps, each once, whatever attempts it had. */
  tests: number;
  /** The names of tests and steps that failed at last, with their files. */
  failed: string[];
  skipped: number;
}

interface TestCase {
  file: string;
  name: string;
  failed: boolean;
  skipped: boolean;
}

const testCaseElement =
  /<testcase name="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs;

function testCases(report: string): TestCase[] {
  const found = new Map<string, TestCase>();
  for (const [, name = "", file = "", content = ""] of report.matchAll(testCaseElement)) {
    // The attempts of a step follow each other: the last is what counts.
    found.set(`${file} ${name}`, {
      file,
      name,
      failed: /<(failure|error)\b/.test(content),
      skipped: content.includes("<skipped"),
    });
  }
  return [...found.values()];
}

/** Whether a test that passed at last contains this step: Deno fails a test with its steps. */
function belongsToPassed(step: TestCase, passed: Set<string>): boolean {
  const parts = step.name.split(stepSeparator);
  return parts.some((_, index) =>
    index > 0 && passed.has(`${step.file} ${parts.slice(0, index).join(stepSeparator)}`)
  );
}

// " > " as Deno joins the names of tests and steps, escaped for XML.
const stepSeparator = " &gt; ";

/** @throws {Error} where a text is no report of `deno test --junit-path`. */
export function reportTotals(reports: string[]): ReportTotals {
  const totals: ReportTotals = { tests: 0, failed: [], skipped: 0 };
  for (const report of reports) {
    if (!report.includes("<testsuites")) throw new Error("not a JUnit report: no <testsuites>");
    const cases = testCases(report);
    const passed = new Set(
      cases.filter(({ failed }) => !failed).map(({ file, name }) => `${file} ${name}`),
    );
    totals.tests += cases.length;
    totals.skipped += cases.filter(({ skipped }) => skipped).length;
    for (const each of cases) {
      if (!each.failed || belongsToPassed(each, passed)) continue;
      totals.failed.push(`${each.file} => ${each.name.replaceAll(stepSeparator, " > ")}`);
    }
  }
  return totals;
}

if (import.meta.main) {
  const totals = reportTotals(Deno.args.map((path) => Deno.readTextFileSync(path)));
  const lines = totals.failed.map((failed) => `::: failed: ${failed}`);
  lines.push(`${totals.tests} ${totals.failed.length} ${totals.skipped}`, "");
  Deno.stdout.writeSync(new TextEncoder().encode(lines.join("\n")));
}
