import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram } from "../service/testing/program.ts";
import { tracesRequest } from "./test_console.ts";

const entry = new URL("./server.ts", import.meta.url);
const anyPorts = ["--otlp-port", "0", "--page-port", "0"];
const needs: Deno.PermissionName[] = ["run", "read", "net"];

testWith(
  needs,
  "console runs with the permissions of its shebang, shows a trace, and stops with 0",
  async () => {
    await using program = await startProgram(entry, anyPorts);
    const [, page, otlp] = await program.line(/ready page=(\S+) otlp=(\S+)/);
    assert.equal((await fetch(`${page}/readyz`).then((answer) => answer.text())).trim(), "ok");
    const sent = await fetch(`${otlp}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: tracesRequest([{ name: "across processes" }]),
    });
    await sent.body?.cancel();
    assert.equal(sent.status, 200);
    const { data } = await (await fetch(`${page}/api/traces?service=shop`)).json();
    assert.equal(data[0].spans[0].operationName, "across processes");
    const stream = await fetch(`${page}/api/stream`);
    // An open stream does not hold a stop up.
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0, program.lines.join("\n"));
    await stream.body?.cancel();
  },
);

testWith(
  needs,
  "console says which flag to change when a port is taken, and exits with 1",
  async () => {
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    try {
      for (const flag of ["--otlp-port", "--page-port"]) {
        const free = flag === "--otlp-port" ? "--page-port" : "--otlp-port";
        await using program = await startProgram(entry, [flag, `${taken.addr.port}`, free, "0"]);
        assert.equal((await program.status).code, 1);
        assert.match(program.lines.join("\n"), new RegExp(`port is in use.*${flag}`));
      }
    } finally {
      taken.close();
    }
  },
);

testWith(
  needs,
  "console refuses wrong flags with 2",
  async () => {
    for (
      const [args, code, says] of [
        [["--max-spans", "none"], 2, /whole number/],
        [["--forward", "collector"], 2, /absolute URL/],
        [["--max-held-bytes", "1 parsec"], 2, /number of bytes/],
        [["--base-path", "orrery"], 2, /Give a path such as \/orrery/],
      ] as const
    ) {
      await using program = await startProgram(entry, args);
      assert.equal((await program.status).code, code, program.lines.join("\n"));
      assert.match(program.lines.join("\n"), says);
    }
  },
);

testWith(needs, "console takes its flags from the environment too", async () => {
  await using program = await startProgram(entry, anyPorts, { CONSOLE_MAX_SPANS: "7" });
  const [, page] = await program.line(/ready page=(\S+)/);
  const stats = await (await fetch(`${page}/api/stats`)).json();
  assert.equal(stats.traces.capacity, 7);
});
