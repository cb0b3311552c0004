// No Docker engine is needed here: what is tested is that compose.yaml, the Dockerfile, the
// configuration files and the programs agree with one another.

import assert from "node:assert/strict";
import { join } from "node:path";
import { load as parseYaml } from "js-yaml";
import { programNamed } from "../programs.ts";
import { testWith } from "../service/testing/permissions.ts";
import { JAEGER_MODULE_VERSION } from "./jaeger.ts";
import { OTEL_COLLECTOR_VERSION } from "./otel_collector.ts";
import { compose, root } from "./compose_file.ts";
import {
  dockerStages,
  entrypoint,
  jsonInstruction,
  programStages,
  variables,
} from "./test_compose.ts";

testWith(["read"], "compose.yaml pins every image to one version", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(join(root, "deno.json"))) as {
    version: string;
  };
  for (const [name, { image, build }] of Object.entries((await compose()).services)) {
    // What is built here is named as a release is, whose version is that of deno.json.
    if (build) assert.equal(image, `orrery/${build.target}:\${ORRERY_VERSION:-${version}}`);
    else {assert.match(
        image!,
        /^[\w./-]+:(v?\d+(\.\d+)+|RELEASE\.[\dTZ-]+)$/,
        `${name} runs ${image}`,
      );}
  }
});

testWith(["read"], "compose.yaml runs the versions that stack/ builds", async () => {
  const { services } = await compose();
  assert.ok(services["otel-collector"]!.image!.endsWith(`:${OTEL_COLLECTOR_VERSION.slice(1)}`));
  // Jaeger numbers one release twice: module v1.76.0 is program 2.13.0.
  assert.equal(JAEGER_MODULE_VERSION, "v1.76.0");
  assert.ok(services["jaeger"]!.image!.endsWith(":2.13.0"));
});

testWith(["read"], ".env names every variable of compose.yaml, with its default", async () => {
  const file = await Deno.readTextFile(join(root, ".env"));
  const text = await Deno.readTextFile(join(root, "compose.yaml"));
  const withDefaults = [...text.matchAll(/\$\{(\w+):-([^}]*)\}/g)]
    .map(([, name, value]) => `#${name}=${value}`);
  // A variable without a value is passed into the container where it is set.
  const { services } = await compose();
  const passed = Object.values(services).flatMap(({ environment = {} }) =>
    Object.entries(environment).filter(([, value]) => value === null).map(([name]) => `#${name}=`)
  );
  const lines = file.split("\n").filter((line) => /^#\w+=/.test(line));
  assert.deepEqual(
    lines.sort(),
    [...new Set([...withDefaults, ...passed, "#COMPOSE_PROFILES="])].sort(),
  );
});

testWith(["read"], "compose.yaml limits every service and mounts only what exists", async () => {
  for (const [name, service] of Object.entries((await compose()).services)) {
    const { cpus, memory } = service.deploy.resources.limits;
    assert.match(`${cpus} ${memory}`, /^[\d.]+ \d+M$/, `${name} has limits`);
    assert.ok(service.logging.options["max-size"], `${name} has a bounded log`);
    for (const port of service.ports ?? []) {
      assert.match(port, /^127\.0\.0\.1:/, `${name} publishes on loopback only`);
    }
    for (const volume of service.volumes ?? []) {
      const [source] = volume.replaceAll(/\$\{\w+:-([^}]*)\}/g, "$1").split(":");
      if (source!.startsWith(".")) await Deno.stat(join(root, source!));
      else assert.ok(source! in (await compose()).volumes, `${name} uses volume ${source}`);
    }
  }
});

testWith(["read"], "compose.yaml waits for health only where health is checked", async () => {
  const { services } = await compose();
  const stages = await dockerStages();
  for (const [name, service] of Object.entries(services)) {
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      assert.ok(services[other], `${name} depends on ${other}, which is not there`);
      if (condition !== "service_healthy") continue;
      const checked = services[other].healthcheck !== undefined ||
        /^HEALTHCHECK .*\\\n +CMD \[.*readyz/m.test(
          stages.get(services[other].build?.target ?? "") ?? "",
        );
      assert.ok(checked, `${name} waits for the health of ${other}, which has no check`);
    }
  }
});

testWith(
  ["read"],
  "an image whose program may write /data has one that is the program's",
  async () => {
    for (const [name, stage] of await programStages()) {
      if (!entrypoint(stage).some((word) => /^--allow-write=(.*,)?\/data\b/.test(word))) continue;
      // A volume takes owner and mode from what the image has there, and is root's where it has nothing.
      assert.match(stage, /^COPY --from=bundle --chown=65532:65532 \/data \/data$/m, name);
      const keepsThere = Object.values(variables(stage)).some((value) => value.startsWith("/data"));
      if (keepsThere) assert.match(stage, /^VOLUME \/data$/m, name);
    }
  },
);

testWith(
  ["read"],
  "an image's own settings can be changed by a variable, none is a CMD",
  async () => {
    // A flag of a CMD wins over its variable, and is lost with the CMD when an argument is given.
    const { services } = await compose();
    for (const [name, stage] of await programStages()) {
      assert.deepEqual(jsonInstruction(stage, "CMD"), [], name);
      // Nor does compose.yaml say again what the image says.
      const prefix = new RegExp(`^(${programNamed(name).envPrefix}|SIMPLE_TELEMETRY)_`);
      const flags = Object.keys(variables(stage)).map((one) =>
        "--" + one.replace(prefix, "").toLowerCase().replaceAll("_", "-")
      );
      const command = services[name]?.command?.map((word) => word.split("=")[0]!) ?? [];
      assert.deepEqual(command.filter((flag) => flags.includes(flag)), [], name);
    }
  },
);

testWith(["read"], "health checks begin at once, in a form that every builder takes", async () => {
  const { services } = await compose();
  for (const [name, stage] of await programStages()) {
    // Debian 12's Buildah refuses it; compose.yaml says it instead.
    assert.doesNotMatch(stage, /--start-interval/, name);
    if (!stage.includes("HEALTHCHECK") || services[name] === undefined) continue;
    assert.equal(services[name].healthcheck?.start_interval, "1s", name);
  }
});

testWith(["read"], "compose.yaml sets variables that the configuration files read", async () => {
  const { services } = await compose();
  for (
    const [service, file] of [
      ["otel-collector", "otel-collector.yaml"],
      ["jaeger", "stack/jaeger.yaml"],
    ] as const
  ) {
    const config = await Deno.readTextFile(join(root, file));
    for (const name of Object.keys(services[service]!.environment!)) {
      assert.ok(config.includes(`\${env:${name}:-`), `${file} does not read ${name}`);
    }
  }
});

testWith(
  ["read"],
  "prometheus.yaml scrapes what compose.yaml makes the collector serve",
  async () => {
    const { environment } = (await compose()).services["otel-collector"]!;
    const prometheus = parseYaml(
      await Deno.readTextFile(join(root, "stack", "prometheus.yaml")),
    ) as { scrape_configs: { static_configs: { targets: string[] }[] }[] };
    const targets = prometheus.scrape_configs.flatMap((job) => job.static_configs[0]!.targets);

    const served = environment!["ORRERY_COLLECTOR_PROMETHEUS_ENDPOINT"]!.split(":")[1];
    assert.deepEqual(targets, [`otel-collector:${served}`, "otel-collector:8888"]);
  },
);

testWith(["read"], "prometheus.yaml sends alerts where compose.yaml has Alertmanager", async () => {
  const { alerting } = parseYaml(
    await Deno.readTextFile(join(root, "stack", "prometheus.yaml")),
  ) as { alerting: { alertmanagers: { static_configs: { targets: string[] }[] }[] } };
  const targets = alerting.alertmanagers.flatMap((one) => one.static_configs[0]!.targets);
  assert.deepEqual(targets, ["alertmanager:9093"]);
  assert.match((await compose()).services["alertmanager"]!.ports![0]!, /:9093$/);
});

testWith(
  ["read"],
  "Grafana is given sources that compose.yaml has, and every dashboard",
  async () => {
    const { services } = await compose();
    const provisioning = join(root, "deploy", "grafana", "provisioning");
    const load = async (path: string) =>
      parseYaml(await Deno.readTextFile(join(provisioning, path, "orrery.yaml")));
    const { apiVersion, datasources } = await load("datasources") as {
      apiVersion: number;
      datasources: Record<string, unknown>[];
    };
    assert.equal(apiVersion, 1);
    assert.equal(datasources.filter(({ isDefault }) => isDefault === true).length, 1);
    const known = ["name", "uid", "type", "access", "url", "isDefault", "jsonData"];
    for (const source of datasources) {
      assert.deepEqual(Object.keys(source).filter((key) => !known.includes(key)), []);
      assert.equal(source["access"], "proxy");
      const { hostname, port } = new URL(source["url"] as string);
      const inside = services[hostname]?.ports?.map((one) => one.split(":").at(-1));
      assert.ok(
        inside?.includes(port),
        `${source["name"]}: compose.yaml has no ${hostname}:${port}`,
      );
    }
    assert.deepEqual(
      datasources.map(({ type }) => type),
      ["prometheus", "jaeger", "jaeger", "alertmanager"],
    );
    // The console answers by the names that it is told only.
    assert.equal(services["console"]!.environment!["CONSOLE_ALLOWED_HOST"], "console");
    const { providers } = await load("dashboards") as {
      providers: { type: string; options: { path: string } }[];
    };
    const mounted = services["grafana"]!.volumes!.map((one) => one.split(":"));
    assert.deepEqual(providers.map(({ type }) => type), ["file"]);
    assert.deepEqual(
      mounted.filter(([source]) => source!.startsWith(".")).map((
        [source, target],
      ) => [source, target]),
      [
        ["./deploy/grafana/provisioning", "/etc/grafana/provisioning"],
        ["./deploy/grafana/dashboards", providers[0]!.options.path],
      ],
    );
    for await (const { name } of Deno.readDir(join(root, "deploy", "grafana", "dashboards"))) {
      const text = await Deno.readTextFile(join(root, "deploy", "grafana", "dashboards", name));
      const { uid, title } = JSON.parse(text) as { uid: string; title: string };
      assert.ok(uid !== "" && title !== "", name);
    }
  },
);

testWith(
  ["read"],
  "Dockerfile pins Deno, runs as a number other than root, grants no all",
  async () => {
    const text = await Deno.readTextFile(join(root, "Dockerfile"));
    assert.match(text, /^ARG DENO_VERSION=\d+\.\d+\.\d+$/m);
    for (const [, image] of text.matchAll(/^FROM (\S+)/gm)) {
      const stage = [...(await dockerStages()).keys()].includes(image!);
      assert.ok(stage || image!.endsWith("${DENO_VERSION}"), `${image} is not pinned`);
    }
    assert.match((await dockerStages()).get("program")!, /^USER [1-9]\d*:[1-9]\d*$/m);
    for (const [name, stage] of await programStages()) {
      assert.doesNotMatch(stage, /--allow-all|"-A"/, `${name} grants everything`);
      assert.doesNotMatch(stage, /^USER/m, `${name} changes its user`);
      assert.match(stage, new RegExp(`COPY --from=bundle /app/dist/${name}\\.js `));
    }
  },
);
