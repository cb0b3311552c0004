import assert from "node:assert/strict";
import { choosePorts } from "../service/ports.ts";
import { testWith } from "../service/testing/permissions.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startArguments, startProgram } from "../service/testing/program.ts";
import { startTestServer, testPing, type TestServer } from "./test_server.ts";

const entry = new URL("./client.ts", import.meta.url);

testWith(
  ["read", "write", "run", "env"],
  "--insecure without a TCP port says what to do, and that works",
  async () => {
    await using server = await startTestServer();
    const [closedPort] = choosePorts(0);
    const ports = { port: server.port, websocketPort: closedPort };
    const { exitCode, lines } = await testPing({ ...ports, insecure: true });
    assert.equal(exitCode, 2);
    assert.match(lines.join("\n"), /asked over TCP.*--unsafely-ignore-certificate-errors/);
    const [run, ...more] = await startArguments(entry, [
      ...["--port", String(server.port), "--websocket-port", String(closedPort), "--insecure"],
    ]);
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [run!, "--unsafely-ignore-certificate-errors", ...more],
      env: { OTEL_SDK_DISABLED: "true" },
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stdout));
  },
);

const needs: Deno.PermissionName[] = ["read", "write", "run", "env", "net"];

/** A shell's pipe: stdout is closed, or slow, or full, as it is for users. */
async function shell(
  script: string,
  server: TestServer,
): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-o", "pipefail", "-c", script],
    env: {
      OTEL_SDK_DISABLED: "true",
      NO_COLOR: "1",
      CLIENT: ["deno", ...await startArguments(entry)].join(" "),
      AT: `127.0.0.1:${server.port}`,
      PINGPONG_CLIENT_PIN: server.server.certificateHash().toHex(),
    },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

testWith(needs, "a host as argument is pinged as ping does, with ping's short flags", async () => {
  await using server = await startTestServer();
  const run = await shell("$CLIENT $AT -c 3 -i 0.05 -s 9 -w 10 -W 1 -4 -D", server);
  assert.equal(run.code, 0, run.err);
  assert.match(run.out, /^\[\d{10}\.\d{6}\] Received response data: Pong!Pong seq=2 bytes=113 /m);
  assert.match(run.out, / 9 bytes of data/);
  assert.equal(run.err, "");
  const endless = await shell("$CLIENT $AT -i 0.1 -q -w 3", server);
  assert.match(endless.out, /\n([4-9]|[12]\d|3[01]) sent/, "no end but the deadline");
  const twice = await shell("$CLIENT $AT --host $AT", server);
  assert.equal(twice.code, 2);
  assert.match(twice.err, /give the host once/);
  assert.equal((await shell("$CLIENT $AT -f -i 1", server)).code, 2);
});

testWith(
  needs,
  "stdout is for data: failures are on stderr, a reader may be slow, gone, or full",
  async () => {
    await using server = await startTestServer();
    const failed = await shell("$CLIENT 127.0.0.1:9 -w 0.3s", server);
    assert.equal(failed.code, 2);
    assert.match(failed.out, /^PING .*\n$/);
    assert.match(failed.err, /gave up: no connection/);

    const slow = await shell(
      "$CLIENT $AT -f -c 20000 --concurrency 50 --json | (sleep 1; cat)",
      server,
    );
    assert.equal(slow.code, 0, slow.err);
    const lines = slow.out.trimEnd().split("\n");
    assert.equal(lines.length, 20_003);
    assert.equal(JSON.parse(lines.at(-1)!).received, 20_000);

    const closed = await shell("$CLIENT $AT -f -c 0 --json | head -n 3", server);
    assert.equal(closed.code, 141);
    assert.equal(closed.out.split("\n").length, 4);
    assert.equal(closed.err, "");

    const full = await shell("$CLIENT $AT -f -c 0 > /dev/full", server);
    assert.equal(full.code, 2);
    assert.match(full.err, /Cannot write to stdout: No space left/);
  },
);

testWith(needs, "the histogram is of plain characters where the locale has no others", async () => {
  await using server = await startTestServer();
  const bars = async (locale: string) => {
    const run = await shell(
      `env -u LC_ALL -u LC_CTYPE -u LANG ${locale} $CLIENT $AT -c 30 -i 0.01`,
      server,
    );
    assert.equal(run.code, 0, run.err);
    assert.match(run.out, /ping statistics/);
    return run.out;
  };
  for (const locale of ["LANG=C", "LC_ALL=POSIX LANG=de_DE.UTF-8", "LC_CTYPE=de_DE.ISO-8859-1"]) {
    assert.match(await bars(locale), /^[\n -~]*$/, locale);
  }
  for (const locale of ["LC_ALL=C.UTF-8 LANG=C", "LC_ALL= LANG=de_DE.utf8"]) {
    assert.match(await bars(locale), /█/, locale);
  }
  // The chart's probe may not read the locale.
  const probe = await shell("${CLIENT/LANG,LC_ALL,LC_CTYPE,/} $AT -c 1", server);
  assert.equal(probe.code, 0, probe.err);
});

testWith(needs, "SIGQUIT prints the figures so far, and the pings go on", async () => {
  await using server = await startTestServer();
  await using program = await startProgram(entry, [
    ...[`127.0.0.1:${server.port}`, "-i", "0.02", "-w", "60"],
    ...["--pin", server.server.certificateHash().toHex()],
  ]);
  await program.line(/seq=3 /, 30_000);
  program.kill("SIGQUIT");
  await program.line(/^\d+\/\d+ pings answered, 0% lost, min\/avg\/p99\/max = /, 30_000);
  const seen = program.lines.length;
  await eventually("more pongs", () => program.lines.length > seen + 3 || undefined, 30_000);
  program.kill("SIGINT");
  await program.status;
  assert.match(program.lines.join("\n"), /ping statistics/);
});
