import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { programArguments } from "./program_file.ts";
import { settledWithin } from "./resilience.ts";
import { startProgram, type TestProgram } from "./testing/program.ts";
import { testWith } from "./testing/permissions.ts";

const fixture = new URL("./life_cycle_fixture.ts", import.meta.url);
const start = (...args: string[]) => startProgram(fixture, args);
const needs = ["run", "read", "net", "env"] as const;
const test = (name: string, run: () => Promise<void>) => testWith([...needs], name, run);

test("runService() drains on SIGTERM: not ready, the request under way answered, exit 0", async () => {
  await using program = await start();
  const [, url] = await program.line(/listening at (\S+)/);
  assert.equal(await (await fetch(`${url}/readyz`)).text(), "ok\n");
  const slow = fetch(`${url}/slow`);
  await program.line(/slow began/);
  program.kill("SIGTERM");
  assert.equal(await (await slow).text(), "finished while draining");
  assert.equal((await program.status).code, 0);
});

test("runService() exits 0 on SIGINT", async () => {
  await using program = await start();
  await program.line(/listening/);
  program.kill("SIGINT");
  assert.equal((await program.status).code, 0);
});

test("runService() exits 130 on a second SIGINT", async () => {
  await using program = await start("--misbehave", "hangs-on-stop");
  await program.line(/listening/);
  program.kill("SIGINT");
  // Those of the first second count as one press.
  const timer = setInterval(() => program.kill("SIGINT"), 50);
  const code = await exitCode(program).finally(() => clearInterval(timer));
  assert.equal(code, 130);
});

test("runService() takes a SIGINT that comes several times at once for one, and drains", async () => {
  await using program = await start("--misbehave", "hangs-on-stop", "--drain-timeout-ms", "300");
  await program.line(/listening/);
  program.kill("SIGINT");
  // As `deno task` passes it on: often once the first has been handled.
  await program.line(/asked to stop/);
  program.kill("SIGINT");
  assert.equal(await exitCode(program), 0);
});

test("runService() cuts what hangs when the drain deadline has passed", async () => {
  await using program = await start("--misbehave", "hangs-on-stop", "--drain-timeout-ms", "10");
  await program.line(/listening/);
  program.kill("SIGTERM");
  await program.line(/drain deadline has passed/);
  assert.equal((await program.status).code, 0);
});

/** The exit code; a program that lives on is a failure, not a test without end. */
async function exitCode(program: TestProgram, timeoutMs = 20_000): Promise<number> {
  assert.ok(await settledWithin(program.status, timeoutMs), `lives on after ${timeoutMs} ms`);
  return (await program.status).code;
}

test("runService() ends with 0 on SIGTERM while a start hangs", async () => {
  await using program = await start("--misbehave", "hangs-on-start");
  await program.line(/waiting for what never comes/);
  program.kill("SIGTERM");
  assert.equal(await exitCode(program), 0);
  assert.match(program.lines.join("\n"), /WARN .*The start has not ended/);
});

test("runService() ends with 0 when a start gives up because it was asked to stop", async () => {
  await using program = await start("--misbehave", "gives-up-start");
  await program.line(/waiting for what never comes/);
  program.kill("SIGINT");
  assert.equal(await exitCode(program), 0);
  assert.match(program.lines.join("\n"), /INFO .*before it had started.*The wait was cut short/);
});

test("runService() ends with 1 when the service fails while it stops", async () => {
  await using program = await start("--misbehave", "fails-on-stop");
  await program.line(/listening/);
  program.kill("SIGTERM");
  await program.line(/ERROR .*failed while stopping.*the disk is full/);
  assert.equal(await exitCode(program), 1);
});

test("runService() with --shutdown-delay serves on, not ready, until asked a second time", async () => {
  await using program = await start("--shutdown-delay", "10m");
  const [, url] = await program.line(/listening at (\S+)/);
  program.kill("SIGTERM");
  await program.line(/Not ready any more/);
  for (let request = 0; request < 5; request++) {
    const ready = await fetch(`${url}/readyz`);
    assert.deepEqual([ready.status, await ready.text()], [503, "not ok\n"]);
    const work = await fetch(`${url}/work`);
    assert.match(await work.text(), /^[0-9a-f]{32}$/);
  }
  const slow = fetch(`${url}/slow`);
  await program.line(/slow began/);
  program.kill("SIGTERM");
  assert.equal(await (await slow).text(), "finished while draining");
  assert.equal(await exitCode(program), 0);
});

test("runService() tells why it cannot start, without a stack, and exits 1", async () => {
  await using program = await start("--misbehave", "cannot-start");
  assert.equal((await program.status).code, 1);
  assert.deepEqual(program.lines, ["fixture: The key is unreadable."]);
});

test("runService() exits 2 on a bad flag and names the help", async () => {
  await using program = await start("--port", "http");
  assert.equal((await program.status).code, 2);
  assert.match(program.lines.join("\n"), /'--port <port>' argument 'http' is invalid.*--help/s);
});

test("runService() ends the process with 1 when an error is caught by nobody", async () => {
  await using program = await start();
  const [, url] = await program.line(/listening at (\S+)/);
  await fetch(`${url}/throw`).then((response) => response.body?.cancel(), () => {});
  assert.equal((await program.status).code, 1);
  assert.match(program.lines.join("\n"), /ERROR .*nobody catches this/);
});

test("runService() ends with the code of a service that finishes by itself", async () => {
  await using program = await start("--misbehave", "finishes");
  assert.equal((await program.status).code, 3);
});

test("runService() ends with 1 when the service's own work rejects", async () => {
  await using program = await start("--misbehave", "rejects");
  assert.equal((await program.status).code, 1);
  assert.match(program.lines.join("\n"), /the task died/);
});

test("runService() with --stop-with-stdin ends when its parent's pipe does", async () => {
  await using program = await start("--stop-with-stdin");
  await program.line(/listening/);
  await program.endStdin();
  assert.equal((await program.status).code, 0);
});

test("runService() prints its help with shared flags and exits 0", async () => {
  await using program = await start("--help");
  assert.equal((await program.status).code, 0);
  assert.match(program.lines.join("\n"), /--log-format.*FIXTURE_LOG_FORMAT.*Examples:/s);
});

test("runService() of a program that prints data keeps stdout for it, whatever goes wrong", async () => {
  const run = async (...args: string[]) => {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: await programArguments(fileURLToPath(fixture), args),
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", NO_COLOR: "1" },
      signal: AbortSignal.timeout(20_000),
    }).output();
    return [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  };
  const [data, said] = await run("--data", "--misbehave", "rejects");
  assert.equal(data, "a,b,c\n");
  assert.match(said!, /INFO \[fixture\] listening/);
  assert.match(said!, /ERROR .*the task died/);

  const [lines, reason] = await run("--misbehave", "rejects");
  assert.match(lines!, /INFO \[fixture\] listening.*ERROR .*the task died/s);
  assert.equal(reason, "");
});
