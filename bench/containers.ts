#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-env --allow-net=127.0.0.1 --allow-sys=uid
/**
 * What a program's image weighs beyond its base, how long a container takes until it is ready, and
 * how long compose.yaml takes, its images there, until the console has a whole trace across programs.
 *
 * By Podman with runc, whose compose makes and starts one container after the other; and, where there is
 * one, by a Docker engine that is up already and its compose, which does so at once.
 *
 * @module
 */
import { findTraces, isWhole, servicesOf } from "../e2e/demo_program.ts";
import { programs } from "../programs.ts";
import { answersOk, choosePorts } from "../service/ports.ts";
import { imageName, openCompose } from "../stack/compose.ts";
import {
  buildByDocker,
  moveBaseImages,
  startDocker,
  whyNoDocker,
  writeForOldEngine,
} from "../stack/docker.ts";
import { openPodman, type Podman } from "../stack/podman.ts";
import { median, report } from "./report.ts";

const runs = 3;
const waitMs = 120_000;

const podman = await openPodman();
const names = ["CONSOLE", "OTLP", "OTLP_GRPC", "ORB", "SIGNER", "OBSERVER", "ISSUER"]
  .concat("PINGPONG", "PINGPONG_PAGE", "SIMULATOR", "SIMULATOR_TCP");
const ports = choosePorts(...names.map(() => undefined));
const project = "orrery-bench";
const env = Object.fromEntries(names.map((name, at) => [`HOST_PORT_${name}`, String(ports[at])]));
const compose = await openCompose(podman, { project, env });
await compose.down({ volumes: true });
await compose.build();
await reportWeights(podman);
await reportStarts(podman);
await reportUp("podman-compose", () => compose.up(), () => compose.down({ volumes: true }));
if (await whyNoDocker() === undefined) await reportDocker();

/** The largest of the images over the base that all of them share, in MB. */
async function reportWeights(podman: Podman): Promise<void> {
  const [, deno] = /^ARG DENO_VERSION=(\S+)$/m.exec(
    await Deno.readTextFile(new URL("../Dockerfile", import.meta.url)),
  )!;
  const size = async (image: string) =>
    Number(await podman.run(["image", "inspect", "--format", "{{.Size}}", image]));
  const base = await size(`docker.io/denoland/deno:distroless-${deno}`);
  for (const { name } of programs) {
    report({
      name: `containers: image of ${name} over its base, MB`,
      measured: (await size(await imageName(name)) - base) / 1e6,
      target: { atMost: 3 },
    });
  }
}

/** `podman run` to `/readyz`, of each program that has it and needs nobody else. */
async function reportStarts(podman: Podman): Promise<void> {
  const alone = programs.filter(({ name, health }) =>
    health !== undefined && name !== "signer-service"
  );
  for (const { name, ports: own = {}, health } of alone) {
    const timesMs: number[] = [];
    for (let run = 0; run < runs; run++) {
      timesMs.push(await startMs(podman, name, own[health!]!.usual));
    }
    report({
      name: `containers: ${name}, podman run to ready, median of ${runs}, s`,
      measured: median(timesMs) / 1_000,
      target: { atMost: 2 },
    });
  }
}

async function startMs(podman: Podman, program: string, inside: number): Promise<number> {
  const [port] = choosePorts(undefined);
  const name = `orrery-bench-${program}`;
  await podman.run(["rm", "--force", "--ignore", "--volumes", name]);
  const beginMs = performance.now();
  await podman.run([
    ...["run", "--detach", "--pull=never", "--name", name, "--read-only", "--tmpfs", "/tmp"],
    ...["--publish", `127.0.0.1:${port}:${inside}`, "--env", "OTEL_SDK_DISABLED=true"],
    await imageName(program),
  ]);
  await until(async () =>
    await answersOk(`http://127.0.0.1:${port}/readyz`, AbortSignal.timeout(5_000))
  );
  const tookMs = performance.now() - beginMs;
  await podman.run(["rm", "--force", "--volumes", "--time=1", name]);
  return tookMs;
}

/** Images by Docker's own builder, then the same. */
async function reportDocker(): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const files = [await writeForOldEngine(folder)];
    await using docker = await startDocker({ project, env, files });
    const down = async () => {
      await docker.compose(["down", "--volumes", "--timeout", "2"], { timeoutMs: waitMs });
    };
    await down();
    await moveBaseImages(podman, docker);
    await buildByDocker(docker);
    const up = () => docker.compose(["up", "--detach", "--no-build"], { timeoutMs: waitMs });
    await reportUp("docker compose", up, down);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The command to a trace of the orb's client and server, every parent of which is there. */
async function reportUp(
  by: string,
  start: () => Promise<unknown>,
  down: () => Promise<void>,
): Promise<void> {
  const url = `http://127.0.0.1:${ports[0]}`;
  const beginMs = performance.now();
  const up = start();
  await until(async () => {
    try {
      const traces = await findTraces(url, "?service=orb-client&limit=20");
      return traces.some((trace) => servicesOf(trace).includes("orb-server") && isWhole(trace));
    } catch (error) {
      // The console does not listen yet.
      if (error instanceof TypeError) return false;
      throw error;
    }
  });
  const tookMs = performance.now() - beginMs;
  await up;
  await down();
  report({
    name: `containers: ${by} up to the first whole trace across programs, s`,
    measured: tookMs / 1_000,
    target: { atMost: 10 },
  });
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(waitMs);
  while (!await isTrue()) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
