import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import type { ProgramsAnswer } from "../service/program_list.ts";
import { acceptsTcp } from "../service/ports.ts";
import {
  type DemoProgram,
  findTraces,
  type JaegerTrace,
  servicesOf,
  startDemo,
} from "./demo_program.ts";

const needs: Deno.PermissionName[] = ["run", "read", "write", "net", "env"];

/** None of the demo's programs listens any more. */
async function assertNothingListens({ consoleUrl, orbUrl }: DemoProgram): Promise<void> {
  for (const url of [consoleUrl, orbUrl]) {
    await eventually(
      `the end of ${url}`,
      async () => await acceptsTcp(Number(new URL(url).port)) ? undefined : true,
    );
  }
}

/** The server's span of a signup. */
function signupSpan(trace: JaegerTrace) {
  return trace.spans.find(({ operationName }) => operationName.startsWith("PUT /v2/signups/"));
}

testWith(
  needs,
  "demo shows a trace that crosses client and server, and leaves nothing behind",
  async () => {
    await using demo = await startDemo("--orbs", "2");
    const { program, consoleUrl, folder } = demo;
    const trace = await eventually("a trace of client and server", async () => {
      const traces = await findTraces(consoleUrl, "?service=orb-server&limit=50");
      return traces.find((one) => servicesOf(one).includes("orb-client") && signupSpan(one));
    });
    const serverSpan = signupSpan(trace);
    assert.ok(serverSpan, "the server's span");
    assert.equal(trace.processes[serverSpan.processID]?.serviceName, "orb-server");
    const parent = trace.spans.find((span) => span.spanID === serverSpan.references[0]?.spanID);
    assert.ok(parent, "its parent");
    assert.equal(trace.processes[parent.processID]?.serviceName, "orb-client");

    await eventually("logs of both programs", async () => {
      const { services } = await (await fetch(`${consoleUrl}/api/services`)).json() as {
        services: { name: string; logs: number }[];
      };
      const logsOf = (name: string) => services.find((one) => one.name === name)?.logs ?? 0;
      return logsOf("orb-server") > 0 && logsOf("orb-client") > 0 || undefined;
    });
    await eventually("the server's request count at /metrics", async () => {
      const metrics = await (await fetch(`${consoleUrl}/metrics`)).text();
      return /^http_server_request_duration_seconds_count\{.*orb-server.*\} [1-9]/m.test(metrics) ||
        undefined;
    });

    program.kill("SIGINT");
    assert.equal((await program.status).code, 0);
    assert.match(program.lines.join("\n"), /nothing is left behind/);
    await assertNothingListens(demo);
    await assert.rejects(Deno.stat(folder), Deno.errors.NotFound);
  },
);

testWith(needs, "demo killed with SIGKILL takes its programs along", async () => {
  await using demo = await startDemo("--only", "orb");
  demo.program.kill("SIGKILL");
  await demo.program.status;
  await assertNothingListens(demo);
  // Nobody was left to remove it.
  await Deno.remove(demo.folder, { recursive: true });
});

testWith(needs, "demo names a port in use and takes the next free one", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  await using demo = await startDemo("--only", "orb", "--orb-api-port", String(port));
  const [, chosen] = await demo.program.line(
    new RegExp(`Port ${port} is in use.* takes (\\d+) instead`),
  );
  assert.equal(new URL(demo.orbUrl).port, chosen);
  assert.notEqual(chosen, String(port));
  demo.program.kill("SIGTERM");
  assert.equal((await demo.program.status).code, 0);
});

/** The process of the orb server, as its newest telemetry tells. */
async function orbServerPid(demo: DemoProgram): Promise<number | undefined> {
  const [trace] = await findTraces(demo.consoleUrl, "?service=orb-server&limit=1");
  const process = Object.values(trace?.processes ?? {})
    .find(({ serviceName }) => serviceName === "orb-server");
  return process?.tags.find(({ key }) => key === "process.pid")?.value as number | undefined;
}

testWith(needs, "demo survives the death of a program, says so, and starts it again", async () => {
  await using demo = await startDemo("--only", "orb");
  const pid = await eventually("the server's pid in its telemetry", () => orbServerPid(demo));
  Deno.kill(pid, "SIGKILL");
  await demo.program.line(/orb-server has ended unasked \(by SIGKILL\)/, 20_000);
  await demo.program.line(/orb-server is up again/, 60_000);
  await eventually("the console's word of it", async () => {
    const { programs } = await (await fetch(`${demo.consoleUrl}/api/programs`))
      .json() as ProgramsAnswer;
    const server = programs.find(({ name }) => name === "orb-server");
    return server?.state === "up" && server.ended === "by SIGKILL" || undefined;
  }, 30_000);
  await eventually("signups at the new server", async () => {
    const now = await orbServerPid(demo);
    return now !== undefined && now !== pid || undefined;
  }, 30_000);
  demo.program.kill("SIGTERM");
  assert.equal((await demo.program.status).code, 0);
  await assertNothingListens(demo);
  await assert.rejects(Deno.stat(demo.folder), Deno.errors.NotFound);
});
