import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { choosePorts } from "../service/ports.ts";
import { programArguments } from "../service/program_file.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startTestServer, testPing } from "./test_server.ts";

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
    const entry = fileURLToPath(new URL("./client.ts", import.meta.url));
    const [run, ...more] = await programArguments(entry, [
      ...["--port", String(server.port), "--websocket-port", String(closedPort), "--insecure"],
    ]);
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [run!, "--unsafely-ignore-certificate-errors", ...more],
      env: { OTEL_SDK_DISABLED: "true" },
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stdout));
  },
);
