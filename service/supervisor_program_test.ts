import assert from "node:assert/strict";
import { eventually } from "./testing/eventually.ts";
import { missingPermissions, testWith } from "./testing/permissions.ts";
import { acceptsTcp, answersOk, choosePorts } from "./ports.ts";
import { type ProcessPlan, startProcess } from "./supervisor.ts";

const needed: Deno.PermissionName[] = ["run", "read", "write", "net"];

testWith(
  needed,
  "startProcess() returns when it is ready and stop() leaves nothing",
  async () => {
    const [port] = choosePorts(0);
    await using server = await startProcess(
      program(`Deno.serve({ port: ${port} }, () => new Response())`, {
        ports: { page: port },
        ready: (signal) => answersOk(`http://127.0.0.1:${port}/`, signal),
      }),
    );

    assert.ok(await acceptsTcp(port));
    assert.match(await Deno.readTextFile(server.logFile), /Listening/);

    await server.stop();
    await server.stop();
    assert.equal((await server.exited).signal, "SIGTERM");
    assert.equal(await acceptsTcp(port), false);
    await assert.rejects(Deno.stat(server.logFile), Deno.errors.NotFound);
  },
);

const missing = missingPermissions(needed.map((name) => ({ name })));

Deno.test({
  name: "stop() leaves no pipe, timer or file open" +
    (missing.length > 0 ? ` (ignored: needs --allow-${missing.join(" --allow-")})` : ""),
  ignore: missing.length > 0,
  sanitizeOps: true,
  sanitizeResources: true,
  async fn() {
    const component = await startProcess(program(`setInterval(() => {}, 1000)`, {
      endsWithUs: true,
      ready: () => Promise.resolve(true),
    }));
    await component.stop();
  },
});

/** The text of a file that may not be there yet. */
async function textOf(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

testWith(needed, "startProcess() keeps a run folder that it was given", async () => {
  const runFolder = await Deno.makeTempDir();
  await using component = await startProcess(
    program(`console.log("hello"); setInterval(() => {}, 1000)`, {
      prepare: (folder) => Deno.writeTextFile(`${folder}/config`, "x"),
      ready: async () => (await textOf(`${runFolder}/example.log`)).includes("hello"),
    }),
    { runFolder },
  );
  await component.stop();

  assert.equal(await Deno.readTextFile(`${runFolder}/config`), "x");
  assert.equal(await Deno.readTextFile(component.logFile), "hello\n");
  await Deno.remove(runFolder, { recursive: true });
});

testWith(needed, "startProcess() names the port that is taken", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;

  await assert.rejects(
    startProcess(program("", { ports: { page: port } })),
    new RegExp(`Cannot start example: port ${port} \\(page\\) is in use on 127.0.0.1`),
  );
});

testWith(needed, "startProcess() shows the last lines of a component that ends", async () => {
  await assert.rejects(
    startProcess(
      program(`for (let i = 0; i < 50; i++) console.log("line " + i); Deno.exit(7)`),
    ),
    (error: Error) => {
      assert.match(error.message, /^Cannot start example: it ended with code 7\. Its last lines:/);
      assert.ok(error.message.endsWith("line 48\nline 49"));
      assert.ok(!error.message.includes("line 30\n"));
      return true;
    },
  );
});

testWith(needed, "startProcess() stops a component that is not ready in time", async () => {
  const runFolder = await Deno.makeTempDir();
  const pidFile = `${runFolder}/pid`;
  await assert.rejects(
    startProcess(
      program(
        `Deno.writeTextFileSync(${JSON.stringify(pidFile)}, String(Deno.pid));` +
          `console.log("still thinking"); setInterval(() => {}, 99)`,
      ),
      { readyTimeoutMs: 1_500, runFolder },
    ),
    /^StartError: Cannot start example: it was not ready within 1500 ms\. Its last lines:\nstill thinking$/,
  );
  const pid = Number(await Deno.readTextFile(pidFile));
  assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound);
  await Deno.remove(runFolder, { recursive: true });
});

testWith(needed, "startProcess() gives up when its signal is aborted", async () => {
  const stop = new AbortController();
  await assert.rejects(
    startProcess(
      program(`setInterval(() => {}, 1000)`, {
        ready: () => {
          stop.abort();
          return Promise.resolve(false);
        },
      }),
      { signal: stop.signal },
    ),
    { name: "AbortError" },
  );
});

testWith(needed, "stop() kills a component that ignores SIGTERM", async () => {
  const runFolder = await Deno.makeTempDir();
  await using component = await startProcess(
    program(
      `Deno.addSignalListener("SIGTERM", () => {}); console.log("deaf"); setInterval(() => {}, 99)`,
      {
        ready: async () => (await textOf(`${runFolder}/example.log`)).includes("deaf"),
      },
    ),
    { runFolder, stopTimeoutMs: 50 },
  );
  await component.stop();

  assert.equal((await component.exited).signal, "SIGKILL");
  await Deno.remove(runFolder, { recursive: true });
});

testWith(needed, "a component that ends with us ends even when we are killed", async () => {
  const runFolder = await Deno.makeTempDir();
  const pidFile = `${runFolder}/pid`;
  // The component writes its pid and reads stdin to its end; its starter is then killed.
  const component = `Deno.writeTextFileSync(${JSON.stringify(pidFile)}, String(Deno.pid));` +
    `while (await Deno.stdin.read(new Uint8Array(9)) !== null);`;
  const starter = `
    import { startProcess } from ${JSON.stringify(import.meta.resolve("./supervisor.ts"))};
    await startProcess({
      name: "example", command: "deno", args: () => ["eval", ${JSON.stringify(component)}],
      ports: {}, endsWithUs: true,
      ready: () => Deno.stat(${JSON.stringify(pidFile)}).then(() => true, () => false),
    }, { runFolder: ${JSON.stringify(runFolder)} });
    console.log("started");
    setInterval(() => {}, 1000);`;
  const child = new Deno.Command("deno", {
    args: ["eval", "--no-lock", starter],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = child.stdout.getReader();
  const { value } = await output.read();
  assert.equal(new TextDecoder().decode(value), "started\n");

  child.kill("SIGKILL");
  await child.status;
  await output.cancel();

  const pid = Number(await Deno.readTextFile(pidFile));
  await eventually("the end of the component", () => isAlive(pid) ? undefined : true);
  await Deno.remove(runFolder, { recursive: true });
});

testWith(needed, "startProcess() cuts a log that grows too long and reads on", async () => {
  const runFolder = await Deno.makeTempDir();
  await using component = await startProcess(
    program(
      `for (let i = 0; i < 1000; i++) console.log("x".repeat(999));` +
        `Deno.writeTextFileSync(${
          JSON.stringify(`${runFolder}/done`)
        }, ""); setInterval(() => {}, 99)`,
      { ready: () => Deno.stat(`${runFolder}/done`).then(() => true, () => false) },
    ),
    { runFolder, maxLogBytes: 5_000 },
  );
  await component.stop();

  const log = await Deno.readTextFile(component.logFile);
  assert.ok(log.endsWith("\n[log cut here: more than 5000 bytes]\n"));
  assert.equal(log.length, 5_000 + "\n[log cut here: more than 5000 bytes]\n".length);
  await Deno.remove(runFolder, { recursive: true });
});

function isAlive(pid: number): boolean {
  try {
    Deno.kill(pid, "SIGCONT");
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function program(script: string, rest: Partial<ProcessPlan> = {}): ProcessPlan {
  return {
    name: "example",
    command: "deno",
    args: () => ["eval", "--no-lock", script],
    env: { NO_COLOR: "1" },
    ports: {},
    ready: () => Promise.resolve(false),
    ...rest,
  };
}
