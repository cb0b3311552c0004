/** compose.yaml's profiles, all at once: our images beside those of the real components. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parseEnv } from "node:util";
import { answersOk } from "../service/ports.ts";
import { eventually } from "../service/testing/eventually.ts";
import { assembledServices, componentImages } from "../stack/component_images.ts";
import { isHealthy } from "../stack/compose.ts";
import { openPodman } from "../stack/podman.ts";
import { promtool } from "../stack/promtool.ts";
import { openTestProject, type TestProject, testWithContainers } from "../stack/test_containers.ts";
import { findTraces, isWhole, type JaegerTrace, servicesOf } from "./demo_program.ts";

/** Those whose environment file is part of what is proved; oauth needs none. */
const profiles = ["observability", "kafka", "databases"];

/** How long the collector is away, at least. */
const outageMs = 60_000;

/** The longest that something may take on a machine with other work. */
const longMs = 180_000;

const fileOf = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** A project with what the profiles' own files say, its components' images there. */
async function openProfiles(folder: string): Promise<TestProject> {
  const all: Record<string, string> = {};
  for (const name of profiles) {
    const text = await Deno.readTextFile(fileOf(`stack/${name}.env`));
    const { COMPOSE_PROFILES, ...env } = parseEnv(text) as Record<string, string>;
    assert.equal(COMPOSE_PROFILES, name);
    Object.assign(all, env);
  }
  // One program sends to the collector itself, not by way of the console.
  const direct = `${folder}/direct.yaml`;
  await Deno.writeTextFile(
    direct,
    "services:\n  issuer:\n    environment:\n" +
      "      OTEL_EXPORTER_OTLP_ENDPOINT: http://otel-collector:4318\n",
  );
  await componentImages(await openPodman(), assembledServices);
  return await openTestProject({
    name: "profiles",
    profiles: [...profiles, "oauth"],
    env: all,
    files: [direct],
  });
}

testWithContainers(
  "compose.yaml's profiles do with real components what they promise",
  async (t) => {
    const folder = await Deno.makeTempDir();
    try {
      await using project = await openProfiles(folder);
      const ours = ["console", "orb-server", "signer-api", "signer-service", "issuer"];
      await project.compose.up([...assembledServices, ...ours]);
      await project.healthy(...ours, "kafka", "postgresql", "jaeger", "alertmanager");
      // Not by its image's check: Debian's promtool is older than the image that is stood for.
      await eventually("Prometheus, ready", async () => {
        const ready = await answersOk(`${project.url("PROMETHEUS")}/-/ready`, timeout());
        return ready || undefined;
      });
      await t.step("oauth: the issuer keeps its keys, and gives tokens", async () => {
        assert.equal(await getToken(project), "orb:admin");
      });
      await t.step("observability: console and Jaeger have the same trace", async () => {
        assert.equal(await signUp(project, "one"), 200);
        await sameTrace(project, 1);
      });
      await t.step("the collector is away for a minute", () => collectorAway(project));
      await t.step("observability: Prometheus has counted the same", async () => {
        await eventually("both requests in Prometheus", async () => {
          const query = 'sum(http_server_request_duration_seconds_count{http_route="/api/signup"})';
          return await valueOf(project, query) === 2 || undefined;
        }, longMs);
      });
      await t.step("kafka: messages are signed by way of a real Kafka", () => signByKafka(project));
      await t.step("databases: what an orb server knows outlives its own volume", async () => {
        const { compose, podman } = project;
        const server = compose.container("orb-server");
        // A machine that is busy may not see it end in time.
        await eventually(
          "it is removed",
          async () =>
            (await podman.attempt(["rm", "--force", "--ignore", server])).code === 0 || undefined,
          longMs,
        );
        await podman.run(["volume", "rm", "--force", `${compose.project}_orb-data`]);
        await compose.up(["orb-server"]);
        await eventually(
          "another server",
          async () => await isHealthy(podman, compose.container("orb-server")) || undefined,
          longMs,
        );
        assert.equal(await signUp(project, "one"), 409);
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testWithContainers("the alerts on telemetry's way pass promtool", async () => {
  const rules = fileOf("deploy/prometheus/rules/telemetry.yaml");
  assert.match(await promtool(["check", "rules", "--lint=all", rules]), /SUCCESS: 2 rules/);
  const tests = fileOf("deploy/prometheus/tests/telemetry.yaml");
  assert.match(await promtool(["test", "rules", tests]), /SUCCESS/);
});

/**
 * A whole minute without the collector: nobody is unready, who has nowhere to send says so once,
 * an alert fires, and afterwards what the console has kept is there.
 */
async function collectorAway(project: TestProject): Promise<void> {
  const { podman, compose } = project;
  const collector = compose.container("otel-collector");
  await podman.run(["stop", "--time=2", collector]);
  const awaySince = performance.now();
  assert.equal(await signUp(project, "two"), 200);
  const unready: string[] = [];
  let firing = false;
  // Each second somebody works and somebody asks; it ends when the time is over and the alert is out.
  while (performance.now() - awaySince < outageMs || !firing) {
    assert.ok(performance.now() - awaySince < outageMs + longMs, "no alert has come");
    const second = new Promise((resolve) => setTimeout(resolve, 1_000));
    for (const name of ["CONSOLE", "ORB", "SIGNER", "ISSUER"]) {
      if (!await answersOk(`${project.url(name)}/readyz`, timeout())) unready.push(name);
    }
    assert.equal(await getToken(project), "orb:admin");
    firing ||= (await alerts(project)).includes("TelemetryCollectorDown");
    await second;
  }
  assert.deepEqual(unready, []);
  await eventually(
    "the second trace in the console",
    async () => (await signupTraces(project.url("CONSOLE"))).length === 2 || undefined,
  );
  assert.match(await project.logs("console"), /Telemetry cannot be forwarded; it waits/);
  assert.match(
    await project.logs("issuer"),
    /Telemetry cannot be delivered to .*otel-collector/,
  );
  await podman.run(["start", collector]);
  await sameTrace(project, 2);
  for (const [name, said] of [["console", "forwarded again"], ["issuer", "delivered again"]]) {
    await eventually(
      `${name} says that it is over`,
      async () => (await project.logs(name!)).includes(`Telemetry is ${said}`) || undefined,
      longMs,
    );
  }
  await eventually(
    "the alert is over",
    async () => !(await alerts(project)).includes("TelemetryCollectorDown") || undefined,
    longMs,
  );
}

/** Has a message signed; gives the algorithm, or nothing where it took too long. */
async function sign({ url }: TestProject): Promise<string | undefined> {
  const answer = await fetch(`${url("SIGNER")}/sign`, {
    method: "POST",
    body: JSON.stringify({ message: "by way of Kafka" }),
  });
  return (await answer.json() as { algorithm?: string }).algorithm;
}

async function signByKafka(project: TestProject): Promise<void> {
  await eventually(
    "a signature",
    async () => await sign(project) === "ed25519" || undefined,
    longMs,
  );
  await eventually("one trace of both", async () => {
    const traces = await findTraces(project.url("CONSOLE"), "?service=signer-api&limit=50");
    return traces.find((trace) => servicesOf(trace).includes("signer-service") && isWhole(trace));
  }, longMs);
}

/** The issuer's secret, once it was read from its volume. */
let secret: Promise<string> | undefined;

/** A token for the administrator; gives its scope. */
async function getToken({ podman, compose, url }: TestProject): Promise<string> {
  secret ??= podman.run(["exec", compose.container("issuer"), "/bin/deno", "eval"]
    .concat(`console.log(await Deno.readTextFile("/data/admin.secret"))`));
  const answer = await fetch(`${url("ISSUER")}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`admin:${(await secret).trim()}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope: "orb:admin" }),
  });
  return (await answer.json() as { scope: string }).scope;
}

/** Names of the alerts that Alertmanager has as firing. */
async function alerts({ url }: TestProject): Promise<string[]> {
  const answer = await fetch(`${url("ALERTMANAGER")}/api/v2/alerts?active=true`);
  const all = await answer.json() as { labels: { alertname: string } }[];
  return all.map(({ labels }) => labels.alertname);
}

/** The one value of a query to Prometheus; undefined while there is none. */
async function valueOf({ url }: TestProject, query: string): Promise<number | undefined> {
  const answer = await fetch(
    `${url("PROMETHEUS")}/api/v1/query?query=${encodeURIComponent(query)}`,
  );
  const { data } = await answer.json() as { data: { result: { value: [number, string] }[] } };
  const value = data.result[0]?.value[1];
  return value === undefined ? undefined : Number(value);
}

const timeout = () => AbortSignal.timeout(30_000);

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
  }, longMs);
}
