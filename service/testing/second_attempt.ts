#!/usr/bin/env -S deno run --no-config --allow-read --allow-run
/**
 * A second attempt for tests that this machine was too busy for, each in a process of its own with
 * nothing beside it, so that nothing the first has left behind counts:
 *   second_attempt.ts REPORT
 * reads the runner's JUnit report, names each test that it runs again, and writes what comes of them
 * to `REPORT.1`, `REPORT.2`, ... Ends with 0 only where all passed; where there are none, or so many
 * that no busy machine explains them, nothing is run and it ends with 1.
 *
 * @module
 */
import { reportTotals } from "./test_reports.ts";

const maxTests = 5;

async function main(report: string): Promise<number> {
  const { failed } = reportTotals([await Deno.readTextFile(report)]);
  // A test fails with its steps: it is in the report itself.
  const tests = failed.filter(({ names }) => names.length === 1);
  if (tests.length === 0 || tests.length > maxTests) return 1;
  let code = 0;
  for (const [index, { file, names: [name] }] of tests.entries()) {
    print(`::: needed a second attempt: ${file} => ${name}`);
    const again = new Deno.Command(Deno.execPath(), {
      args: [
        ...["test", "--preload=./service/testing/time_limits.ts", "--no-check"],
        ...["net", "read", "write", "env", "run", "sys"].map((one) => `--allow-${one}`),
        ...[`--filter=/^${RegExp.escape(name)}$/`, `--junit-path=${report}.${index + 1}`, file],
      ],
      stdin: "null",
    }).spawn();
    if (!(await again.status).success) code = 1;
  }
  return code;
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

Deno.exit(await main(Deno.args[0]!));
