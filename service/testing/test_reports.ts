/**
 * What the test runner's JUnit reports say, taken together:
 *   deno run --allow-read test_reports.ts REPORT...
 * prints a line for each test that failed, then `N M K`: tests, failed ones and skipped ones. A
 * later report's tests are a second attempt: they take the place of those in earlier ones.
 *
 * @module
 */

/** What some reports say, taken together. */
export interface ReportTotals {
  /** Tests and their steps, each once, whatever attempts it had. */
  tests: number;
  /** Tests and steps that failed at last. */
  failed: TestCase[];
  skipped: number;
}

/** A test or one of its steps. */
export interface TestCase {
  /** As the runner was told it. */
  file: string;
  /** The test, then its steps: the outermost first. */
  names: [string, ...string[]];
  failed: boolean;
  skipped: boolean;
}

const testCaseElement =
  /<testcase name="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs;
const entities: Record<string, string> = {
  ...{ "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#39;": "'", "&amp;": "&" },
};

function unescaped(text: string): string {
  return text.replaceAll(/&(?:lt|gt|quot|apos|#39|amp);/g, (entity) => entities[entity]!);
}

function testCases(report: string): TestCase[] {
  if (!report.includes("<testsuites")) throw new Error("not a JUnit report: no <testsuites>");
  return [...report.matchAll(testCaseElement)].map(([, name = "", file = "", content = ""]) => ({
    file: unescaped(file),
    // " > " is how Deno joins the names of a test and its steps.
    names: unescaped(name).split(" > ") as TestCase["names"],
    failed: /<(failure|error)\b/.test(content),
    skipped: content.includes("<skipped"),
  }));
}

/** @throws {Error} where a text is no report of `deno test --junit-path` */
export function reportTotals(reports: string[]): ReportTotals {
  const tests = new Map<string, TestCase[]>();
  for (const report of reports) {
    const attempt = Map.groupBy(testCases(report), ({ file, names }) => `${file} ${names[0]}`);
    for (const [test, cases] of attempt) {
      // All tests but the one that is attempted again are filtered out, which are reported as skipped.
      if (!tests.has(test) || cases.some(({ skipped }) => !skipped)) tests.set(test, cases);
    }
  }
  const cases = [...tests.values()].flat();
  return {
    tests: cases.length,
    failed: cases.filter(({ failed }) => failed),
    skipped: cases.filter(({ skipped }) => skipped).length,
  };
}

if (import.meta.main) {
  const totals = reportTotals(Deno.args.map((path) => Deno.readTextFileSync(path)));
  const lines = totals.failed.map(({ file, names }) =>
    `::: failed: ${file} => ${names.join(" > ")}`
  );
  lines.push(`${totals.tests} ${totals.failed.length} ${totals.skipped}`, "");
  Deno.stdout.writeSync(new TextEncoder().encode(lines.join("\n")));
}
