/**
 * The contract, held by the real program: started by nothing but its environment, with the
 * permissions of its first line.
 *
 * @module
 */
import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { eventLine, rawClient, readEventSource, readSocket } from "./test_simulator.ts";

const entry = new URL("./server.ts", import.meta.url);
const example = new URL("./example_process.ts", import.meta.url);
const needs: Deno.PermissionName[] = ["run", "read", "write", "env", "net"];

interface Started {
  program: TestProgram;
  port: number;
  url: string;
}

/** Starts it by the original's variables; the ports are free ones, which the log names. */
async function start(
  env: Record<string, string> = {},
  args: readonly string[] = [],
): Promise<Started> {
  const program = await startProgram(entry, args, {
    SIMPLE_TELEMETRY_HOST: "localhost",
    SIMPLE_TELEMETRY_PORT: "0",
    SIMPLE_TELEMETRY_WEB_PORT: "0",
    ...env,
  });
  const [ready] = await program.line(/The simulator is ready.*/);
  return {
    program,
    port: Number(/telemetry=tcp:\/\/\S*:(\d+)/.exec(ready)?.[1]),
    url: /page=(\S+)/.exec(ready)?.[1] ?? "",
  };
}

const printed = ({ program }: Started, line: string) =>
  program.lines.filter((one) => one === line).length;

testWith(
  needs,
  "the server prints the contract's lines, and its health each second and on SIGUSR1",
  async () => {
    const server = await start({ SIMPLE_TELEMETRY_WEB_SERVER: "true" });
    await using program = server.program;
    assert.equal(program.lines[0], "SIMPLE TELEMETRY: starting");
    await eventually(
      "two healthchecks",
      () => printed(server, "SIMPLE TELEMETRY: healthcheck") >= 2 || undefined,
      10_000,
    );
    assert.ok(printed(server, "SIMPLE TELEMETRY: server run") >= 1);
    const before = printed(server, "SIMPLE TELEMETRY: healthcheck");
    for (let i = 0; i < 3; i++) {
      program.kill("SIGUSR1");
      await eventually(
        "one more",
        () => printed(server, "SIMPLE TELEMETRY: healthcheck") > before + i || undefined,
        10_000,
      );
    }
    await using client = await rawClient(server.port);
    await client.send("this is no JSON\n" + eventLine("hello"));
    await program.line(/^RECEIVED: this is no JSON$/);
    await program.line(/^RECEIVED: \{"traceId":"t",.*"event":"hello"/);
  },
);

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  testWith(needs, `the server says that it stops on ${signal}, and ends with 0`, async () => {
    const { program } = await start();
    await using _ = program;
    program.kill(signal);
    assert.equal((await program.status).code, 0, program.lines.join("\n"));
    assert.ok(program.lines.includes("SIMPLE TELEMETRY: stopping"));
  });
}

testWith(
  needs,
  "started by the original's variables there is a web side only where one is asked for",
  async () => {
    const without = await start();
    await using first = without.program;
    assert.equal(without.url, "");
    assert.ok(!first.lines.some((line) => line.includes("server run")));
    const denied = await start({ SIMPLE_TELEMETRY_WEB_SERVER: "false" });
    await using second = denied.program;
    assert.equal(denied.url, "");
    const asked = await start({ SIMPLE_TELEMETRY_WEB_SERVER: "1" });
    await using third = asked.program;
    assert.match(asked.url, /^http:\/\//);
    assert.ok(second.pid !== third.pid);
  },
);

testWith(
  needs,
  "single-threaded: the server says so, serves one process, and ends with 0 after it",
  async () => {
    const server = await start({ SIMPLE_TELEMETRY_SINGLE_THREADED: "1" });
    await using program = server.program;
    assert.equal(program.lines[1], "SIMPLE TELEMETRY: single threaded mode");
    await using process = await startProgram(example, ["7", "--interval-ms", "10"], {
      SIMPLE_TELEMETRY_PORT: String(server.port),
    });
    assert.equal((await process.status).code, 0, process.lines.join("\n"));
    assert.equal((await program.status).code, 0);
    assert.ok(!program.lines.includes("SIMPLE TELEMETRY: stopping"));
  },
);

testWith(
  needs,
  "ten example processes of their own: each lifecycle whole and in order, on both streams",
  async () => {
    const server = await start({ SIMPLE_TELEMETRY_WEB_SERVER: "true" });
    await using program = server.program;
    await using socket = await readSocket(server.url);
    await using source = await readEventSource(server.url);
    const env = { SIMPLE_TELEMETRY_PORT: String(server.port) };
    const processes = await Promise.all(
      Array.from(
        { length: 10 },
        (_, i) => startProgram(example, [`${i}`, "--interval-ms", "20"], env),
      ),
    );
    for (const process of processes) {
      assert.equal((await process.status).code, 0, process.lines.join("\n"));
    }
    const byClient = new Map<number, string[]>();
    for (const { client, data } of await socket.reach(50)) {
      byClient.set(client, [...byClient.get(client) ?? [], (data as { event: string }).event]);
    }
    await source.reach(50);
    assert.equal(byClient.size, 10);
    for (const events of byClient.values()) {
      assert.deepEqual(events, [
        "processStarted",
        ...Array(3).fill("processingPerformed"),
        "processStopped",
      ]);
    }
    assert.ok(program.pid > 0);
  },
);

testWith(
  needs,
  "a process that is killed is lost, and one whose server is away says so and ends with 1",
  async () => {
    const server = await start({ SIMPLE_TELEMETRY_WEB_SERVER: "true" });
    await using program = server.program;
    await using socket = await readSocket(server.url);
    const env = { SIMPLE_TELEMETRY_PORT: String(server.port) };
    await using process = await startProgram(example, ["1", "--interval-ms", "60000"], env);
    await eventually("its start", () => socket.events.length >= 2 || undefined, 20_000);
    process.kill("SIGKILL");
    await eventually(
      "the loss",
      () =>
        socket.events.some(({ data }) => (data as { event: string }).event === "clientLost") ||
        undefined,
      20_000,
    );
    program.kill("SIGKILL");
    await program.status;
    await using late = await startProgram(example, ["2", "--interval-ms", "1"], env);
    assert.equal((await late.status).code, 1);
    assert.match(late.lines.join("\n"), /5 events were not delivered: nothing listens on/);
  },
);

testWith(needs, "a capture is saved to a file and played again, ten times as fast", async () => {
  const file = await Deno.makeTempFile({ suffix: ".ndjson" });
  try {
    const recorded = await start({ SIMPLE_TELEMETRY_WEB_SERVER: "true" }, ["--capture", file]);
    {
      await using program = recorded.program;
      const env = { SIMPLE_TELEMETRY_PORT: String(recorded.port) };
      await using process = await startProgram(example, ["tape", "--interval-ms", "300"], env);
      assert.equal((await process.status).code, 0);
      program.kill("SIGTERM");
      assert.equal((await program.status).code, 0);
    }
    const player = await start({}, ["replay", file, "--speed", "10"]);
    await using program = player.program;
    await using socket = await readSocket(player.url, "?after=");
    await program.line(/The capture has been played.*events=5/);
    const otlp = await fetch(new URL("/v1/traces", player.url), { method: "POST", body: "{}" });
    assert.equal(otlp.status, 404, "what is live does not mix with what is played");
    assert.match(await otlp.text(), /plays a capture/);
    const kinds = (await socket.reach(5)).map(({ data }) => (data as { event: string }).event);
    assert.deepEqual([kinds[0], kinds.at(-1)], ["processStarted", "processStopped"]);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  } finally {
    await Deno.remove(file);
  }
});

testWith(needs, "wrong use ends with 2, a taken port with 1, each with what to do", async () => {
  const server = await start();
  await using _ = server.program;
  const cases: [args: string[], env: Record<string, string>, code: number, says: RegExp][] = [
    [["--port", "70000"], {}, 2, /whole number from 0 to 65535/],
    [["replay"], {}, 2, /missing required argument 'file'/],
    [["replay", "x", "--speed", "1000"], {}, 2, /from 0.1 to 100/],
    [[], { SIMPLE_TELEMETRY_WEB_SERVER: "maybe" }, 2, /SIMPLE_TELEMETRY_WEB_SERVER/],
    [[], { SIMPLE_TELEMETRY_PORT: String(server.port) }, 1, /--port/],
    [["replay", "/nowhere"], {}, 1, /^(?!.*is ready)[^]*Cannot read the capture/],
    [["replay", "."], {}, 1, /^(?!.*is ready)[^]*Cannot read the capture \.: Is a directory/],
    [["--capture", import.meta.filename!], {}, 1, /Will not write the capture over/],
  ];
  for (const [args, env, code, says] of cases) {
    await using wrong = await startProgram(entry, args, {
      SIMPLE_TELEMETRY_PORT: "0",
      SIMPLE_TELEMETRY_WEB_PORT: "0",
      ...env,
    });
    const text = () => wrong.lines.join("\n");
    assert.equal((await wrong.status).code, code, text());
    assert.match(text(), says);
  }
});
