/** compose.yaml by Docker's own engine, builder and compose: what Podman stands for elsewhere. */
import assert from "node:assert/strict";
import { choosePorts } from "../service/ports.ts";
import { eventually } from "../service/testing/eventually.ts";
import { compose as composeFile } from "../stack/compose_file.ts";
import {
  buildByDocker,
  moveBaseImages,
  type RunningDocker,
  startDocker,
  writeForOldEngine,
} from "../stack/docker.ts";
import { openPodman } from "../stack/podman.ts";
import { checkedServices, portNames, testWithDocker } from "../stack/test_containers.ts";
import { findTraces, isWhole, servicesOf } from "./demo_program.ts";

/** The longest that something may take on a machine with other work. */
const longMs = 300_000;

await testWithDocker(
  "docker compose builds everything, brings it up and takes it down",
  async (t) => {
    const names = await portNames();
    const ports = choosePorts(...names.map(() => undefined));
    const folder = await Deno.makeTempDir();
    try {
      await using docker = await startDocker({
        project: "orrery-docker",
        env: Object.fromEntries(names.map((name, at) => [`HOST_PORT_${name}`, String(ports[at])])),
        files: [await writeForOldEngine(folder)],
      });
      await docker.compose(["down", "--volumes"], { timeoutMs: longMs });
      await using _down = {
        [Symbol.asyncDispose]: async () => {
          await docker.compose(["down", "--volumes", "--timeout", "2"], { timeoutMs: longMs });
        },
      };
      await t.step("BuildKit builds every image of the Dockerfile", async () => {
        await moveBaseImages(await openPodman(), docker);
        await buildByDocker(docker);
      });
      await t.step("all are up, and healthy by the engine's own checks", async () => {
        await docker.compose(["up", "--detach", "--no-build", "--wait", "--wait-timeout", "300"], {
          timeoutMs: longMs + 10_000,
        });
        const services = await states(docker);
        const { services: all } = await composeFile();
        const wanted = Object.keys(all).filter((name) => all[name]!.profiles === undefined);
        assert.deepEqual([...services.keys()].sort(), wanted.sort());
        for (const [name, { State, Health }] of services) {
          assert.equal(State, "running", name);
          assert.equal(Health, checkedServices.includes(name) ? "healthy" : "", name);
        }
      });
      const consoleUrl = `http://127.0.0.1:${ports[names.indexOf("CONSOLE")]}`;
      await t.step("a whole trace crosses two containers", () => crossing(consoleUrl));
      await t.step("killed with -9, the engine starts it again", async () => {
        const { ID } = (await states(docker)).get("orb-server")!;
        const pid = async () =>
          Number(await docker.docker(["inspect", "--format", "{{.State.Pid}}", ID]));
        const before = await pid();
        Deno.kill(before, "SIGKILL");
        await eventually("another process", async () => {
          const now = await pid();
          return now !== 0 && now !== before || undefined;
        }, longMs);
        const since = Date.now() * 1_000;
        await crossing(consoleUrl, since);
      });
      await t.step("all end with 0 within their grace", async () => {
        await docker.compose(["stop"], { timeoutMs: longMs });
        for (const [name, { State, ExitCode }] of await states(docker)) {
          assert.equal(State, "exited", name);
          assert.equal(ExitCode, 0, name);
        }
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** What `docker compose ps` says of a service's container. */
interface ServiceState {
  ID: string;
  Service: string;
  State: string;
  Health: string;
  ExitCode: number;
}

async function states(docker: RunningDocker): Promise<Map<string, ServiceState>> {
  const text = await docker.compose(["ps", "--all", "--no-trunc", "--format", "json"]);
  const all = text.split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line) as ServiceState);
  return new Map(all.map((one) => [one.Service, one]));
}

async function crossing(consoleUrl: string, afterUs = 0): Promise<void> {
  await eventually("a trace of orb-client and orb-server", async () => {
    const traces = await findTraces(consoleUrl, "?service=orb-client&limit=50");
    return traces.find((trace) =>
      servicesOf(trace).includes("orb-server") && isWhole(trace) &&
      trace.spans.every(({ startTime }) => startTime > afterUs)
    );
  }, longMs);
}
