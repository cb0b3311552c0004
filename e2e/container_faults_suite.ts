/**
 * Containers that are killed, filled, set up wrongly, or begin before the others are there: steps of
 * the one test that has compose.yaml up.
 *
 * @module
 */
import assert from "node:assert/strict";
import { findTraces, servicesOf } from "./demo_program.ts";
import { choosePorts } from "../service/ports.ts";
import { eventually } from "../service/testing/eventually.ts";
import { compose as composeFile } from "../stack/compose_file.ts";
import { imageName, isHealthy } from "../stack/compose.ts";
import type { TestProject } from "../stack/test_containers.ts";

/** Runs them one after the other; each leaves the project up and healthy. */
export async function containerFaults(t: Deno.TestContext, project: TestProject): Promise<void> {
  await t.step("killed with -9, it comes back, and so do its callers", () => killed(project));
  await t.step("the console is restarted under load, and nobody minds", () => restarted(project));
  await t.step("a second instance on one volume says why it does not start", () => second(project));
  await t.step("a name that is known only later is waited for", () => knownLater(project));
  await t.step("a wrong variable is named, and ends the container", () => wrongVariable(project));
  await t.step("a full volume refuses, and then no more", () => fullVolume(project));
}

/** When the newest whole trace of caller and called one began, in microseconds. */
async function newestTrace(
  { url }: TestProject,
  [caller, called]: [string, string],
  afterUs: number,
): Promise<number | undefined> {
  const traces = await findTraces(url("CONSOLE"), `?service=${caller}&limit=50`);
  const starts = traces.filter((trace) => servicesOf(trace).includes(called))
    .map(({ spans }) => Math.min(...spans.map(({ startTime }) => startTime)));
  return starts.find((start) => start > afterUs);
}

async function killed(project: TestProject): Promise<void> {
  const before = await project.inspect("orb-server");
  Deno.kill(before.State.Pid, "SIGKILL");
  await eventually("another process of orb-server", async () => {
    const { State } = await project.inspect("orb-server");
    return State.Status === "running" && State.Pid !== before.State.Pid || undefined;
  });
  await project.healthy("orb-server");
  const since = Date.now() * 1_000;
  await eventually(
    "a signup after it came back",
    () => newestTrace(project, ["orb-client", "orb-server"], since),
  );
}

async function restarted(project: TestProject): Promise<void> {
  const others = ["orb-client", "orb-server", "signer-api", "signer-load"];
  const pids = async () =>
    await Promise.all(others.map(async (name) => (await project.inspect(name)).State.Pid));
  const before = await pids();
  await project.podman.run(["restart", project.compose.container("console")]);
  await project.healthy("console");
  const since = Date.now() * 1_000;
  for (const pair of [["orb-client", "orb-server"], ["signer-load", "signer-api"]] as const) {
    await eventually(
      `a trace of ${pair.join(" and ")}`,
      () => newestTrace(project, [...pair], since),
    );
  }
  assert.deepEqual(await pids(), before);
}

/** Runs a program's image beside the project, to its end or for ever. */
async function run(
  { podman, compose }: TestProject,
  program: string,
  { args = [], flags = [] }: { args?: readonly string[]; flags?: readonly string[] },
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await podman.attempt([
    ...["run", "--rm", "--pull=never", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"],
    // One that goes on instead of refusing is ended, and fails the test.
    ...["--timeout=60", "--network", `${compose.project}_default`, ...flags],
    ...[await imageName(program), ...args],
  ]);
  return { code, text: stdout + stderr };
}

async function second(project: TestProject): Promise<void> {
  const { services } = await composeFile();
  for (const program of ["orb-server", "signer-api", "simulator", "pingpong-server"]) {
    const { command = [], volumes = [], environment = {} } = services[program]!;
    const [volume] = volumes.map((one) => one.split(":")[0]);
    const own = Object.entries(environment).filter(([, value]) => value?.startsWith("/data/"));
    const flags = ["--volume", `${project.compose.project}_${volume}:/data`]
      .concat(own.flatMap(([name, value]) => ["--env", `${name}=${value}`]));
    const args = command.filter((one) => !one.startsWith("--console-url="));
    const { code, text } = await run(project, program, { args, flags });
    assert.equal(code, 1, text);
    assert.match(text, /another process|already|in use|locked/i);
    assert.equal((await project.inspect(program)).State.Status, "running");
  }
}

async function knownLater(project: TestProject): Promise<void> {
  const { podman, compose } = project;
  const network = `${compose.project}_default`;
  const container = (name: string) => `${compose.project}-${name}`;
  const remove = () =>
    podman.run(["rm", "--force", "--ignore", "--volumes", container("early"), container("late")]);
  await remove();
  try {
    await podman.run([
      ...["run", "--detach", "--name", container("early"), "--network", network],
      ...["--env", "OTEL_SDK_DISABLED=true", await imageName("signer-load")],
      "--url=http://late-signer:8090",
    ]);
    const early = (pattern: RegExp) => async () =>
      pattern.test(await logsOf(podman, container("early"))) || undefined;
    await eventually("a complaint that there is no such name", early(/was not signed.*lookup/));
    await podman.run([
      ...["run", "--detach", "--name", container("late"), "--network", network],
      ...["--network-alias", "late-signer", "--env", "OTEL_SDK_DISABLED=true"],
      ...["--env", "SIGNER_REST_API_ALLOWED_HOST=late-signer"],
      await imageName("signer-api"),
    ]);
    await eventually("signatures by the late one", early(/Messages are signed again/));
  } finally {
    await remove();
  }
}

async function logsOf(podman: TestProject["podman"], name: string): Promise<string> {
  const { stdout, stderr } = await podman.attempt(["logs", name]);
  return stdout + stderr;
}

async function wrongVariable(project: TestProject): Promise<void> {
  const cases: [program: string, variable: string, message: RegExp][] = [
    ["orb-server", "ORB_SERVER_ORB_API_PORT=99999", /ORB_SERVER_ORB_API_PORT|--orb-api-port/],
    ["signer-api", "SIGNER_REST_API_ALGORITHM=rot13", /SIGNER_REST_API_ALGORITHM|--algorithm/],
    ["console", "CONSOLE_FORWARD=not a url", /CONSOLE_FORWARD|--forward/],
    ["observer", "OBSERVER_TIMEOUT=soon", /OBSERVER_TIMEOUT|--timeout/],
    // Nothing that is set wrongly, but something that has to be set.
    ["orb-client", "OTEL_SDK_DISABLED=true", /--telemetry-url/],
  ];
  for (const [program, variable, message] of cases) {
    const { code, text } = await run(project, program, { flags: ["--env", variable] });
    // 1 cannot start, 2 wrong use; what is killed for its time has another.
    assert.ok(code === 1 || code === 2, `${program} with ${variable}: ${code}\n${text}`);
    assert.match(text, message);
  }
}

/** A volume of 8 MB that somebody else fills, and empties again. */
async function fullVolume(project: TestProject): Promise<void> {
  const { podman, compose } = project;
  const [port] = choosePorts(undefined);
  const name = `${compose.project}-full`;
  const signUp = async (image: string): Promise<number> => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/signup`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: "full", image_base64: btoa(image) }),
    });
    await answer.body?.cancel();
    return answer.status;
  };
  const inside = (code: string) => podman.run(["exec", name, "/bin/deno", "eval", code]);
  const remove = async () => {
    await podman.run(["rm", "--force", "--ignore", name]);
    await podman.attempt(["volume", "rm", "--force", name]);
  };
  await remove();
  // 2,048 pages; by "size" Podman would ask the host's file system for a quota.
  const options = "nr_blocks=2048,uid=65532,gid=65532,mode=0700";
  await podman.run(
    ["volume", "create", "--opt=type=tmpfs", "--opt=device=tmpfs", `--opt=o=${options}`, name],
  );
  try {
    await podman.run([
      ...["run", "--detach", "--pull=never", "--name", name, "--read-only", "--tmpfs", "/tmp"],
      ...["--volume", `${name}:/data`, "--publish", `127.0.0.1:${port}:4242`],
      ...["--env", "OTEL_SDK_DISABLED=true", await imageName("orb-server")],
    ]);
    await eventually("it is up", async () => await isHealthy(podman, name) || undefined);
    assert.equal(await signUp("before"), 200);
    await inside(`
      using file = await Deno.open("/data/filler", { create: true, append: true });
      try {
        for (;;) await file.write(new Uint8Array(4_096));
      } catch { /* It is full. */ }`);
    assert.equal(await signUp("an image that finds no room".repeat(1_000)), 503);
    await inside(`await Deno.remove("/data/filler")`);
    await eventually("room again", async () => await signUp("after") === 200 || undefined);
    assert.equal(await signUp("before"), 409);
  } finally {
    await remove();
  }
}
