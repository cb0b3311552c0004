/**
 * A flag's variable is obeyed as it reads, in every program: `…_ALLOW_REMOTE_WITHOUT_AUTH=false`
 * must not open a server to the network, whatever the command-line library makes of it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram } from "../service/testing/program.ts";

const needs: Deno.PermissionName[] = ["run", "read", "write", "net", "env"];

interface Case {
  entry: string;
  /** A flag's variable. */
  variable: string;
  args: (folder: string) => string[];
  /** What the program says when the flag is off: it exits with 1. */
  refusal?: RegExp;
  /** Or it goes on when the flag is off, with a token that it demands: the address that it says, without the token. */
  guarded?: RegExp;
}

const remote = ["--host", "0.0.0.0"];
const refusesToListen = /Refuses to (listen|serve).*/;

const cases: readonly Case[] = [
  {
    entry: "orb/server.ts",
    variable: "ORB_SERVER_ALLOW_REMOTE_WITHOUT_AUTH",
    args: (folder) => [...remote, "--orb-api-port", "0", "--data-dir", folder],
    refusal: refusesToListen,
  },
  {
    entry: "signer/rest_api.ts",
    variable: "SIGNER_REST_API_ALLOW_REMOTE_WITHOUT_AUTH",
    args: (folder) => [...remote, "--port", "0", "--data-dir", folder],
    refusal: refusesToListen,
  },
  {
    entry: "observer/observer.ts",
    variable: "OBSERVER_ALLOW_REMOTE_WITHOUT_AUTH",
    args: () => ["--metrics-address", "0.0.0.0:0", "--endpoint", "rkt=127.0.0.1:9"],
    refusal: refusesToListen,
  },
  {
    entry: "observer/image_service.ts",
    variable: "IMAGE_SERVICE_ALLOW_REMOTE_WITHOUT_AUTH",
    args: () => [...remote, "--rkt-port", "0", "--cri-port", "0"],
    refusal: refusesToListen,
  },
  {
    entry: "pingpong/server.ts",
    variable: "PINGPONG_SERVER_ALLOW_REMOTE_WITHOUT_AUTH",
    args: (folder) => [
      ...remote,
      ...["--port", "0", "--page-port", "0", "--https-port", "0", "--generate-certificate"],
      ...["--certificate-path", `${folder}/cert.pem`, "--key-path", `${folder}/key.pem`],
    ],
    refusal: refusesToListen,
  },
  {
    entry: "console/server.ts",
    variable: "CONSOLE_ALLOW_REMOTE_WITHOUT_AUTH",
    args: () => [...remote, "--page-port", "0", "--otlp-port", "0", "--grpc-port", "0"],
    guarded: / page=(http:\S+)\/login\/[0-9a-f]{48} /,
  },
  {
    entry: "simulator/server.ts",
    variable: "SIMULATOR_ALLOW_REMOTE_WITHOUT_AUTH",
    args: () => [...remote, "--port", "0", "--web-port", "0"],
    refusal: refusesToListen,
  },
  { entry: "orb/client.ts", variable: "ORB_CLIENT_STOP_WITH_STDIN", args: () => [] },
  {
    // Without --insecure the pin counts, and this one cannot be read.
    entry: "pingpong/client.ts",
    variable: "PINGPONG_CLIENT_INSECURE",
    args: () => ["--pin", "no-such-file", "--ping-count", "1"],
    refusal: /Cannot take the pin no-such-file/,
  },
  { entry: "signer/load.ts", variable: "SIGNER_LOAD_STOP_WITH_STDIN", args: () => [] },
  // Of a sub-command.
  { entry: "observer/observer.ts", variable: "OBSERVER_JSON", args: () => ["list"] },
  { entry: "signer/service.ts", variable: "SIGNER_SERVICE_AUDIT_SYNC", args: () => [] },
  // Of a flag that begins with `--no-`.
  { entry: "observer/image_service.ts", variable: "IMAGE_SERVICE_STREAMING", args: () => [] },
];

for (const { entry, variable, args, refusal, guarded } of cases) {
  const url = new URL(`../${entry}`, import.meta.url);

  testWith(needs, `${entry} takes ${variable} for what it says`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "orrery_test_" });
    try {
      // That every spelling is known is tested where they are parsed; here, that it reaches them.
      await using wrong = await startProgram(url, args(folder), { [variable]: "maybe" });
      const [line] = await wrong.line(/.* is invalid\..*/);
      assert.ok(line.includes(`value 'maybe' from env '${variable}' is invalid`), line);
      assert.match(line, /true, false, 1, 0, yes or no: current value is/);
      assert.equal((await wrong.status).code, 2);
      if (!refusal && !guarded) return;
      await using off = await startProgram(url, args(folder), { [variable]: "false" });
      if (guarded) {
        const [, address] = await off.line(guarded);
        const answer = await fetch(`${address}/api/services`);
        assert.equal(answer.status, 401, await answer.text());
        return;
      }
      const [refused] = await off.line(refusal!);
      assert.notEqual((await off.status).code, 0, refused);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
