/** compose.yaml with images of the Dockerfile, up: what the containers do, and what they may. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { containerFaults } from "./container_faults_suite.ts";
import { findTraces, isWhole, servicesOf } from "./demo_program.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram } from "../service/testing/program.ts";
import { compose as composeFile } from "../stack/compose_file.ts";
import { runCommand } from "../stack/podman.ts";
import {
  checkedServices,
  openTestProject,
  type TestProject,
  testWithContainers,
} from "../stack/test_containers.ts";

/** What is up without a profile; read by the test, as files may be read only where it runs. */
let services: readonly string[] = [];

testWithContainers("compose.yaml brings every program up, and each does its work", async (t) => {
  const { services: all } = await composeFile();
  services = Object.keys(all).filter((name) => all[name]!.profiles === undefined);
  await using project = await openTestProject({ name: "up" });
  // By the command that a person gives; it asks the health checks itself.
  await using stack = await startProgram(
    new URL("../stack/main.ts", import.meta.url),
    ["up", "containers", "--project", project.compose.project],
    project.portVariables,
  );
  await stack.line(/^containers is up /, 600_000);
  const checked = services.filter((name) => checkedServices.includes(name));
  await t.step("every program with a health check is healthy", () => project.healthy(...checked));
  await t.step("containers are what compose.yaml says", () => assertConfined(project));
  await t.step("ports are open on loopback only", () => assertOnLoopbackOnly(project));
  await t.step("the signer signs", () => sign(project));
  await t.step("an iris signs up, once", () => signUpIris(project, 200));
  await t.step("a ping over WebTransport comes in from outside", () => ping(project));
  await t.step("an order is placed and confirmed", () => placeOrder(project));
  await t.step("the observer is scraped", () => scrapeObserver(project));
  await t.step("the console has whole traces of every program", () => assertTraces(project));
  await t.step("the console has logs of who has no traces", () => assertLogs(project));
  await t.step("memory stays within its limits", () => assertMemory(project));
  await containerFaults(t, project);
  await t.step("a signal takes all down, with 0, within their grace", async () => {
    const since = new Date().toISOString();
    stack.kill("SIGTERM");
    assert.equal((await stack.status).code, 0, stack.lines.join("\n"));
    await assertEndedWell(project, since);
  });
  await t.step("what was acknowledged is there when they are up again", () => upAgain(project));
});

/** What `/proc` says of a process; Deno itself gives it only to who may do everything. */
async function procFile(pid: number, name: string): Promise<string> {
  const { code, stdout, stderr } = await runCommand("cat", [`/proc/${pid}/${name}`]);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** Facts of the kernel about a container's first process, not what a file asks for. */
async function assertConfined(project: TestProject): Promise<void> {
  const { services: said } = await composeFile();
  for (const name of services) {
    const { State, HostConfig } = await project.inspect(name);
    const status = Object.fromEntries(
      (await procFile(State.Pid, "status")).split("\n").map((line) => line.split(":\t")),
    ) as Record<string, string>;
    assert.equal(status["Uid"], "65532\t65532\t65532\t65532", `${name}: user`);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      assert.match(status[set]!, /^0+$/, `${name}: ${set}`);
    }
    assert.equal(status["NoNewPrivs"], "1", `${name}: new privileges`);
    assert.equal(status["Seccomp"], "2", `${name}: system calls are filtered`);
    const mounts = (await procFile(State.Pid, "mountinfo")).split("\n");
    const root = mounts.find((line) => line.split(" ")[4] === "/");
    assert.match(root!.split(" ")[5]!, /^ro\b/, `${name}: root file system`);
    const { memory } = said[name]!.deploy.resources.limits;
    const bytes = Number(/^(\d+)M$/.exec(memory)![1]) * 2 ** 20;
    assert.equal(HostConfig.Memory, bytes, `${name}: memory`);
    assert.ok(HostConfig.NanoCpus > 0, `${name}: processors`);
  }
}

/** What compose.yaml publishes answers on loopback, and on no other address of this machine. */
async function assertOnLoopbackOnly({ ports, inspect }: TestProject): Promise<void> {
  const { services: said } = await composeFile();
  for (const name of services) {
    const { HostConfig: { PortBindings } } = await inspect(name);
    const meant = (said[name]!.ports ?? []).map((port) => {
      const inside = port.split(":").at(-1)!;
      return inside.includes("/") ? inside : `${inside}/tcp`;
    });
    // A port that the image exposes and nobody publishes is there, too, bound to nothing.
    const published = Object.entries(PortBindings)
      .flatMap(([port, bindings]) => bindings?.length ? [port] : []);
    assert.deepEqual(published.sort(), meant.sort(), `${name}: ports`);
    for (const [port, bindings] of Object.entries(PortBindings)) {
      for (const { HostIp } of bindings ?? []) assert.equal(HostIp, "127.0.0.1", `${name} ${port}`);
    }
  }
  const others = Deno.networkInterfaces()
    .filter(({ family, address, name }) =>
      family === "IPv4" && !address.startsWith("127.") && !/^(podman|veth)/.test(name)
    );
  for (const { address } of others) {
    for (const name of ["CONSOLE", "OTLP", "ORB", "SIGNER", "OBSERVER", "SIMULATOR"]) {
      const connecting = Deno.connect({ hostname: address, port: ports[name]! })
        .then((connection) => connection.close());
      await assert.rejects(connecting, `${name} answers on ${address}`);
    }
  }
}

/** What the signer has signed: to be verified again later. */
const signed = { message: "what was signed before", signature: "", keyId: "" };

async function sign({ url }: TestProject): Promise<void> {
  const answer = await post(`${url("SIGNER")}/sign`, { message: signed.message });
  const { signature, algorithm, keyId } = await answer.json() as Record<string, string>;
  assert.equal(algorithm, "ed25519");
  Object.assign(signed, { signature, keyId });
  await assertSignature(url("SIGNER"), true);
}

async function assertSignature(url: string, valid: boolean): Promise<void> {
  const answer = await post(`${url}/verify`, signed);
  assert.equal((await answer.json() as { valid: boolean }).valid, valid);
}

async function signUpIris({ url }: TestProject, status: number): Promise<void> {
  const image_base64 = btoa("an iris from outside");
  const answer = await post(`${url("ORB")}/api/signup`, { id: "outside", image_base64 });
  assert.equal(answer.status, status);
  await answer.body?.cancel();
}

/** With the client's own sources on this machine, and the pin from the server's volume. */
async function ping({ compose, podman, ports }: TestProject): Promise<void> {
  const volume = `${compose.project}_pingpong-data`;
  const folder = (await podman.run(["volume", "inspect", "--format", "{{.Mountpoint}}", volume]))
    .trim();
  await using client = await startProgram(new URL("../pingpong/client.ts", import.meta.url), [
    ...["--port", String(ports["PINGPONG"]), "--pin", join(folder, "cert.sha256")],
    ...["--ping-count", "3", "--interval", "0.1", "--mode", "all"],
  ]);
  assert.equal((await client.status).code, 0, client.lines.join("\n"));
  assert.match(client.lines.join("\n"), /Pong!/);
}

async function placeOrder({ url }: TestProject): Promise<void> {
  const query = `mutation { placeOrder(key: "k1") { id } }`;
  const placed = await post(`${url("SIMULATOR")}/graphql`, { query });
  const { data } = await placed.json() as { data: { placeOrder: { id: string } } };
  orderId = data.placeOrder.id;
  await confirmed(url("SIMULATOR"));
}

let orderId = "";

async function confirmed(simulator: string): Promise<void> {
  await eventually("the order, confirmed", async () => {
    const query = `{ order(id: "${orderId}") { state } }`;
    const answer = await post(`${simulator}/graphql`, { query });
    const { data } = await answer.json() as { data: { order: { state: string } | null } };
    return data.order?.state.toLowerCase() === "confirmed" || undefined;
  });
}

async function scrapeObserver({ url }: TestProject): Promise<void> {
  await eventually("images of both runtimes in the observer's metrics", async () => {
    const metrics = await (await fetch(`${url("OBSERVER")}/metrics`)).text();
    return /^rkt_images_total [1-9]/m.test(metrics) && /cri.*[1-9]$/m.test(metrics) || undefined;
  });
}

/** Callers with whom they call: one trace has both. */
const across: readonly (readonly string[])[] = [
  ["orb-client", "orb-server"],
  ["signer-load", "signer-api"],
  ["observer", "image-service"],
  ["pingpong-client", "pingpong-server"],
];

/** The console sends none of its own; the fleet is a source of the simulator's events, and logs. */
const withoutTraces = ["console", "simulator-fleet"];

async function assertTraces({ url }: TestProject): Promise<void> {
  const sending = services.filter((name) => !withoutTraces.includes(name)).map((name) => [name]);
  for (const names of [...sending, ...across]) {
    await eventually(`a whole trace of ${names.join(" and ")}`, async () => {
      const traces = await findTraces(url("CONSOLE"), `?service=${names[0]}&limit=50`);
      return traces.find((trace) =>
        names.every((name) => servicesOf(trace).includes(name)) && isWhole(trace)
      );
    });
  }
}

async function assertLogs({ url }: TestProject): Promise<void> {
  await eventually("a log record of simulator-fleet", async () => {
    const answer = await fetch(`${url("CONSOLE")}/api/logs?service=simulator-fleet&limit=1`);
    const { logs } = await answer.json() as { logs: unknown[] };
    return logs.length > 0 || undefined;
  });
}

async function assertMemory(project: TestProject): Promise<void> {
  for (const name of services) {
    const { State, Id } = await project.inspect(name);
    assert.equal(State.OOMKilled, false, name);
    const [usage] = JSON.parse(
      await project.podman.run(["stats", "--no-stream", "--format", "json", Id]),
    ) as [{ mem_percent: string }];
    assert.ok(Number.parseFloat(usage.mem_percent) < 90, `${name} uses ${usage.mem_percent}`);
  }
}

/** No container is left, and the last that was heard of each is a 0. */
async function assertEndedWell({ compose, podman }: TestProject, since: string): Promise<void> {
  assert.deepEqual([...(await compose.services()).keys()], []);
  const events = (await podman.run(
    ["events", "--stream=false", "--since", since, "--filter", "event=died", "--format", "json"],
  )).split("\n").filter((line) => line !== "").map((line) =>
    // The code is left out where it is 0.
    JSON.parse(line) as { Name: string; ContainerExitCode?: number }
  );
  for (const name of services) {
    const ended = events.find(({ Name }) => Name === compose.container(name));
    assert.ok(ended !== undefined, `${name} has not ended`);
    // 137 is what is killed when its grace is over.
    assert.equal(ended.ContainerExitCode ?? 0, 0, name);
  }
}

async function upAgain(project: TestProject): Promise<void> {
  const { compose, podman, url } = project;
  const keepers = ["orb-server", "signer-api", "pingpong-server", "simulator"];
  await compose.up(["console", ...keepers]);
  await project.healthy(...keepers);
  await signUpIris(project, 409);
  await assertSignature(url("SIGNER"), true);
  await confirmed(url("SIMULATOR"));
  const mailbox = await podman.run(["volume", "inspect", "--format", "{{.Mountpoint}}"]
    .concat(`${compose.project}_pingpong-data`));
  assert.ok((await Deno.stat(join(mailbox.trim(), "mailbox.sqlite"))).isFile);
}

function post(url: string, body: unknown): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}
