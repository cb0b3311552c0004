// No Docker engine is needed here: what is tested is that compose.yaml, the Dockerfile, the
// configuration files and the programs agree with one another.

import assert from "node:assert/strict";
import { join } from "node:path";
import { CORE_SCHEMA, load as parseYaml, mergeTag } from "js-yaml";
import { programNamed } from "../programs.ts";
import { testWith } from "../service/testing/permissions.ts";
import { JAEGER_MODULE_VERSION } from "./jaeger.ts";
import { OTEL_COLLECTOR_VERSION } from "./otel_collector.ts";

const root = join(import.meta.dirname!, "..");

testWith(["read"], "compose.yaml pins every image to one version", async () => {
  for (const [name, { image, build }] of Object.entries((await compose()).services)) {
    assert.ok((image === undefined) !== (build === undefined), `${name} has an image or a build`);
    if (image) assert.match(image, /^[\w./-]+:v?\d+\.\d+\.\d+$/, `${name} runs ${image}`);
  }
});

testWith(["read"], "compose.yaml runs the versions that stack/ builds", async () => {
  const { services } = await compose();
  assert.ok(services["otel-collector"]!.image!.endsWith(`:${OTEL_COLLECTOR_VERSION.slice(1)}`));
  // Jaeger numbers one release twice: module v1.76.0 is program 2.13.0.
  assert.equal(JAEGER_MODULE_VERSION, "v1.76.0");
  assert.ok(services["jaeger"]!.image!.endsWith(":2.13.0"));
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
      const [source] = volume.split(":");
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

testWith(["read", "run"], "programs know the flags that containers give them", async () => {
  const { services } = await compose();
  for (const [name, stage] of await programStages()) {
    const help = await helpOf(name, entrypoint(stage));
    const command = services[name]?.command ?? jsonInstruction(stage, "CMD");
    for (const flag of command.filter((word) => word.startsWith("--"))) {
      const bare = flag.split("=")[0]!;
      assert.match(help, new RegExp(`^  ${bare}[ \\n]`, "m"), `${name} does not know ${bare}`);
    }
  }
});

testWith(["read", "run"], "programs read the variables that containers give them", async () => {
  const { services } = await compose();
  for (const [name, stage] of await programStages()) {
    const help = await helpOf(name, entrypoint(stage));
    for (const variable of Object.keys(services[name]?.environment ?? {})) {
      if (variable.startsWith("OTEL_")) continue;
      assert.match(help, new RegExp(`env:\\s+${variable}\\)`), `${name} has no ${variable}`);
    }
  }
});

interface ComposeFile {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
}

interface ComposeService {
  image?: string;
  build?: { context: string; target: string };
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: unknown;
  logging: { options: Record<string, string> };
  deploy: { resources: { limits: { cpus: string; memory: string } } };
}

async function compose(): Promise<ComposeFile> {
  const text = await Deno.readTextFile(join(root, "compose.yaml"));
  return parseYaml(text, { schema: CORE_SCHEMA.withTags(mergeTag) }) as ComposeFile;
}

/** The text of each build stage by its name. */
async function dockerStages(): Promise<Map<string, string>> {
  const text = await Deno.readTextFile(join(root, "Dockerfile"));
  const stages = new Map<string, string>();
  for (const part of text.split(/^(?=FROM )/m)) {
    const name = /^FROM \S+ AS (\S+)/.exec(part)?.[1];
    if (name) stages.set(name, part);
  }
  return stages;
}

/** The stages that are a program's image. */
async function programStages(): Promise<Map<string, string>> {
  const stages = [...await dockerStages()].filter(([, text]) => text.startsWith("FROM program AS"));
  assert.ok(stages.length > 0);
  return new Map(stages);
}

/** The words of an instruction in JSON form, or none when the stage lacks it. */
function jsonInstruction(stage: string, instruction: string): string[] {
  const found = new RegExp(`^${instruction} (\\[[^\\]]*\\])`, "m").exec(stage);
  return found ? JSON.parse(found[1]!.replaceAll("\\\n", "\n")) as string[] : [];
}

function entrypoint(stage: string): string[] {
  return jsonInstruction(stage, "ENTRYPOINT");
}

/** What programs print for --help with the permissions that their containers give them. */
const helps = new Map<string, Promise<string>>();

function helpOf(name: string, command: readonly string[]): Promise<string> {
  const help = helps.get(name) ?? printHelp(name, command);
  helps.set(name, help);
  return help;
}

async function printHelp(name: string, command: readonly string[]): Promise<string> {
  const output = await new Deno.Command("deno", {
    args: ["run", "--no-prompt"].concat(
      command.filter((word) => word.startsWith("--allow-")),
      programNamed(name).entry,
      "--help",
    ),
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  assert.ok(output.success, new TextDecoder().decode(output.stderr));
  return new TextDecoder().decode(output.stdout);
}
