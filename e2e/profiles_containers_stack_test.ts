/** compose.yaml's profiles: our images beside those of the real components. */
import assert from "node:assert/strict";
import { parseEnv } from "node:util";
import { answersOk } from "../service/ports.ts";
import { eventually } from "../service/testing/eventually.ts";
import { componentImages } from "../stack/component_images.ts";
import { isHealthy } from "../stack/compose.ts";
import { openPodman } from "../stack/podman.ts";
import { openTestProject, type TestProject, testWithContainers } from "../stack/test_containers.ts";
import { findTraces, isWhole, type JaegerTrace, servicesOf } from "./demo_program.ts";

/** A project with what a profile's own file says, its components' images there. */
async function profile(name: string, components: string[], programs: string[]) {
  const text = await Deno.readTextFile(new URL(`../stack/${name}.env`, import.meta.url));
  const { COMPOSE_PROFILES, ...env } = parseEnv(text) as Record<string, string>;
  assert.equal(COMPOSE_PROFILES, name);
  await componentImages(await openPodman(), components);
  const project = await openTestProject({ name, profiles: [name], env });
  await project.compose.up([...components, ...programs]);
  return project;
}

testWithContainers(
  "profile observability: console, Jaeger and Prometheus have seen the same",
  async () => {
    await using project = await profile(
      "observability",
      ["jaeger", "otel-collector", "prometheus"],
      ["console", "orb-server"],
    );
    const { url, compose, podman } = project;
    await project.healthy("console", "orb-server");
    await project.healthy("jaeger");
    // Not by its image's check: Debian's promtool is older than the image that is stood for.
    await eventually("Prometheus, ready", async () => {
      const ready = await answersOk(`${url("PROMETHEUS")}/-/ready`, AbortSignal.timeout(10_000));
      return ready || undefined;
    });
    assert.equal(await signUp(project, "one"), 200);
    await sameTrace(project, 1);
    // While the collector is away the console keeps what it could not pass on.
    await podman.run(["stop", "--time=2", compose.container("otel-collector")]);
    assert.equal(await signUp(project, "two"), 200);
    await eventually(
      "the second trace in the console",
      async () => (await signupTraces(url("CONSOLE"))).length === 2 || undefined,
    );
    await podman.run(["start", compose.container("otel-collector")]);
    await sameTrace(project, 2);
    const query = encodeURIComponent(
      'sum(http_server_request_duration_seconds_count{http_route="/api/signup"})',
    );
    await eventually("both requests in Prometheus", async () => {
      const answer = await fetch(`${url("PROMETHEUS")}/api/v1/query?query=${query}`);
      const { data } = await answer.json() as { data: { result: { value: [number, string] }[] } };
      return data.result[0]?.value[1] === "2" || undefined;
    }, 120_000);
  },
);

testWithContainers("profile kafka: messages are signed by way of a real Kafka", async () => {
  await using project = await profile(
    "kafka",
    ["kafka"],
    ["console", "signer-service", "signer-api"],
  );
  const { url } = project;
  await project.healthy("kafka", "signer-service", "signer-api");
  const answer = await fetch(`${url("SIGNER")}/sign`, {
    method: "POST",
    body: JSON.stringify({ message: "by way of Kafka" }),
  });
  assert.equal((await answer.json() as { algorithm: string }).algorithm, "ed25519");
  await eventually("one trace of both", async () => {
    const traces = await findTraces(url("CONSOLE"), "?service=signer-api&limit=50");
    return traces.find((trace) => servicesOf(trace).includes("signer-service") && isWhole(trace));
  });
});

testWithContainers(
  "profile databases: what an orb server knows outlives its own volume",
  async () => {
    await using project = await profile(
      "databases",
      ["postgresql", "minio"],
      ["console", "orb-server"],
    );
    const { compose, podman } = project;
    await project.healthy("postgresql", "orb-server");
    assert.equal(await signUp(project, "an iris"), 200);
    await podman.run(["rm", "--force", compose.container("orb-server")]);
    await podman.run(["volume", "rm", "--force", `${compose.project}_orb-data`]);
    await compose.up(["orb-server"]);
    await eventually(
      "another server",
      async () => await isHealthy(podman, compose.container("orb-server")) || undefined,
    );
    assert.equal(await signUp(project, "an iris"), 409);
  },
);

testWithContainers("profile oauth: the issuer keeps its keys, and gives tokens", async () => {
  await using project = await openTestProject({ name: "oauth", profiles: ["oauth"] });
  const { compose, podman, url } = project;
  await compose.up(["console", "issuer"]);
  await project.healthy("issuer");
  const secret = await podman.run(["exec", compose.container("issuer"), "/bin/deno", "eval"]
    .concat(`console.log(await Deno.readTextFile("/data/admin.secret"))`));
  const answer = await fetch(`${url("ISSUER")}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`admin:${secret.trim()}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope: "orb:admin" }),
  });
  assert.equal((await answer.json() as { scope: string }).scope, "orb:admin");
});

async function signUp({ url }: TestProject, image: string): Promise<number> {
  const answer = await fetch(`${url("ORB")}/api/signup`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: "1", image_base64: btoa(image) }),
  });
  await answer.body?.cancel();
  return answer.status;
}

async function signupTraces(queryUrl: string): Promise<JaegerTrace[]> {
  const traces = await findTraces(queryUrl, "?service=orb-server&limit=50");
  return traces.filter(({ spans }) =>
    spans.some(({ operationName }) => operationName === "POST /api/signup")
  );
}

/** As many signups as that, each with the same spans in the console and in Jaeger. */
async function sameTrace({ url }: TestProject, count: number): Promise<void> {
  await eventually(`${count} whole traces, the same in both`, async () => {
    const ours = await signupTraces(url("CONSOLE"));
    if (ours.length !== count || !ours.every(isWhole)) return undefined;
    for (const { traceID, spans } of ours) {
      const [theirs] = await findTraces(url("JAEGER"), `/${traceID}`);
      const ids = (all: JaegerTrace["spans"]) => all.map(({ spanID }) => spanID).sort().join();
      if (theirs === undefined || ids(theirs.spans) !== ids(spans)) return undefined;
    }
    return true;
  }, 120_000);
}
