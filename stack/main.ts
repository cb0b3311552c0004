#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-net=127.0.0.1 --allow-sys=uid --allow-env=HOME,USERPROFILE,LOCALAPPDATA,XDG_CACHE_HOME,PYENV_ROOT,DENO_CERT,SSL_CERT_FILE,ORRERY_STACK_*,HOST_PORT_*
/**
 * Starts the real components that Orrery's embedded defaults stand for, without Docker.
 *
 * ```sh
 * deno task stack            # the telemetry stack on its usual ports, until Ctrl-C
 * deno task stack:build      # only build and keep what the stack needs
 * ```
 *
 * `--allow-run` names no program, as most of them are built first, in a folder the user may choose.
 *
 * @module
 */

import { commandLine, flag, parseHttpUrl, parsePort } from "../service/command_line.ts";
import { runCommand } from "../service/life_cycle.ts";
import { aborted, pause } from "../service/resilience.ts";
import { buildOnce, requireTool, StackError } from "./build_cache.ts";
import {
  buildAllContainers,
  buildContainers,
  removeContainers,
  startContainers,
} from "./containers.ts";
import { DOCKER_COMPOSE_RECIPE, whyNoDocker } from "./docker.ts";
import { whyNoContainers } from "./podman.ts";
import type { RunningProcess } from "../service/supervisor.ts";
import { ACTIONLINT_RECIPE } from "./actionlint.ts";
import { AIOQUIC_RECIPE } from "./aioquic.ts";
import { pywebtransportPeer } from "./pywebtransport.ts";
import { webtransportGoPeer } from "./webtransport_go.ts";
import { DENORT_STAND_INS_RECIPE } from "./denort_stand_ins.ts";
import { HELM_RECIPE } from "./helm.ts";
import { KUBERNETES_VALIDATE_RECIPE } from "./kubernetes_validate.ts";
import { RKT_API_SERVICE_RECIPE } from "./rkt_api_service.ts";
import { SCHEMATHESIS_RECIPE } from "./schemathesis.ts";
import { wtransportPeer } from "./wtransport.ts";
import { KAFKA_RECIPE, startKafka } from "./kafka.ts";
import { JAEGER_RECIPE, startJaeger } from "./jaeger.ts";
import { OTEL_COLLECTOR_RECIPE, startOtelCollector } from "./otel_collector.ts";
import { findPostgresql, type RunningPostgresql, startPostgresql } from "./postgresql.ts";
import { MINIO_RECIPE, startMinio } from "./minio.ts";
import { ALERTMANAGER, startAlertmanager } from "./alertmanager.ts";
import { PROMETHEUS, startPrometheus } from "./prometheus.ts";

/** Ports that nobody types in, so no flag sets them. */
const INTERNAL_PORTS = {
  jaegerQueryGrpc: 16685,
  jaegerOtlpGrpc: 14317,
  jaegerHealth: 13134,
  collectorPrometheus: 8889,
  collectorSelf: 8888,
  collectorHealth: 13133,
  kafkaController: 9093,
};

interface UpOptions {
  otlpHttpPort: number;
  otlpGrpcPort: number;
  jaegerPort: number;
  prometheusPort: number;
  rules?: string;
  kafkaPort: number;
  postgresqlPort: number;
  minioPort: number;
  alertmanagerPort: number;
  alertWebhook?: string;
  project: string;
}

/** What a component is started by: the flags, and the names of all that are started with it. */
interface StartPlan extends UpOptions {
  started: readonly string[];
}

/** What `up` and `build` know of a component. */
interface Component {
  /** Gets it ready to be started at once. */
  build(signal: AbortSignal): Promise<unknown>;
  /** Starts it on its usual ports. */
  start(options: StartPlan, signal: AbortSignal): Promise<RunningProcess>;
  /** What to open or to point a program at, each with its use. */
  links(options: UpOptions, process: RunningProcess): [use: string, where: string][];
}

/** In the order of their start: who is sent to comes first. */
const COMPONENTS: Readonly<Record<string, Component>> = {
  "jaeger": {
    build: (signal) => buildOnce(JAEGER_RECIPE, { signal }),
    start: ({ jaegerPort }, signal) =>
      startJaeger({
        signal,
        queryPort: jaegerPort,
        queryGrpcPort: INTERNAL_PORTS.jaegerQueryGrpc,
        otlpGrpcPort: INTERNAL_PORTS.jaegerOtlpGrpc,
        healthPort: INTERNAL_PORTS.jaegerHealth,
      }),
    links: ({ jaegerPort }) => [
      ["traces (query API)", `http://127.0.0.1:${jaegerPort}/api/services`],
    ],
  },
  "otel-collector": {
    build: (signal) => buildOnce(OTEL_COLLECTOR_RECIPE, { signal }),
    start: ({ otlpHttpPort, otlpGrpcPort }, signal) =>
      startOtelCollector({
        signal,
        httpPort: otlpHttpPort,
        grpcPort: otlpGrpcPort,
        prometheusPort: INTERNAL_PORTS.collectorPrometheus,
        selfPort: INTERNAL_PORTS.collectorSelf,
        healthPort: INTERNAL_PORTS.collectorHealth,
        jaegerOtlpGrpcAddress: `127.0.0.1:${INTERNAL_PORTS.jaegerOtlpGrpc}`,
      }),
    links: ({ otlpHttpPort, otlpGrpcPort }) => [
      ["OTEL_EXPORTER_OTLP_ENDPOINT", `http://127.0.0.1:${otlpHttpPort}`],
      ["OTLP over gRPC", `127.0.0.1:${otlpGrpcPort}`],
    ],
  },
  "prometheus": {
    build: () => requireTool(PROMETHEUS, "the telemetry stack"),
    start: ({ prometheusPort, alertmanagerPort, started, rules }, signal) =>
      startPrometheus({
        signal,
        port: prometheusPort,
        ...(started.includes("alertmanager") &&
          { alertmanagerAddress: `127.0.0.1:${alertmanagerPort}` }),
        programsAddress: `127.0.0.1:${INTERNAL_PORTS.collectorPrometheus}`,
        collectorAddress: `127.0.0.1:${INTERNAL_PORTS.collectorSelf}`,
        ...(rules === undefined ? {} : { rulesFolder: rules }),
      }),
    links: ({ prometheusPort }) => [["metrics", `http://127.0.0.1:${prometheusPort}`]],
  },
  "kafka": {
    build: (signal) => buildOnce(KAFKA_RECIPE, { signal }),
    start: ({ kafkaPort }, signal) =>
      startKafka({ signal, port: kafkaPort, controllerPort: INTERNAL_PORTS.kafkaController }),
    links: ({ kafkaPort }) => [["brokers", `127.0.0.1:${kafkaPort}`]],
  },
  "postgresql": {
    build: () => findPostgresql(),
    start: ({ postgresqlPort }, signal) => startPostgresql({ signal, port: postgresqlPort }),
    links: (_, process) => {
      const { publicUrl, passwordFile } = process as RunningPostgresql;
      return [["database", publicUrl], ["its password", passwordFile]];
    },
  },
  "alertmanager": {
    build: () => requireTool(ALERTMANAGER, "alerts"),
    start: ({ alertmanagerPort: port, alertWebhook: webhookUrl }, signal) =>
      startAlertmanager({ signal, port, ...(webhookUrl !== undefined && { webhookUrl }) }),
    links: ({ alertmanagerPort }) => [["alerts", `http://127.0.0.1:${alertmanagerPort}`]],
  },
  "minio": {
    build: (signal) => buildOnce(MINIO_RECIPE, { signal }),
    start: ({ minioPort }, signal) => startMinio({ signal, port: minioPort, ...MINIO_USER }),
    links: ({ minioPort }) => [
      ["S3", `http://127.0.0.1:${minioPort}`],
      ["AWS_ACCESS_KEY_ID", MINIO_USER.accessKeyId],
      ["AWS_SECRET_ACCESS_KEY", MINIO_USER.secretAccessKey],
    ],
  },
  "containers": {
    build: buildContainers,
    start: ({ project }, signal) => startContainers({ signal, project }),
    links: () => [[
      "everything of compose.yaml",
      `http://127.0.0.1:${Deno.env.get("HOST_PORT_CONSOLE") || "8080"}`,
    ]],
  },
};

/** It listens on loopback only and ends with Ctrl-C, so that a secret that can be typed in is enough. */
const MINIO_USER = { accessKeyId: "orrery", secretAccessKey: "orrery-on-loopback" };

/** What the tests put on the other side, and what checks the charts: built, never started here. */
const TEST_PEERS: Readonly<Record<string, (signal: AbortSignal) => Promise<unknown>>> = {
  "actionlint": (signal) => buildOnce(ACTIONLINT_RECIPE, { signal }),
  "aioquic": (signal) => buildOnce(AIOQUIC_RECIPE, { signal }),
  "containers": async (signal) => {
    const reason = await whyNoContainers();
    if (reason === undefined) await buildAllContainers(signal);
    else print(`containers are left out: ${reason}`);
  },
  "docker-compose": async (signal) => {
    const reason = await whyNoDocker();
    if (reason === undefined) await buildOnce(DOCKER_COMPOSE_RECIPE, { signal });
    else print(`Docker is left out: ${reason}`);
  },
  "denort-stand-ins": (signal) => buildOnce(DENORT_STAND_INS_RECIPE, { signal }),
  "helm": (signal) => buildOnce(HELM_RECIPE, { signal }),
  "kubernetes-validate": (signal) => buildOnce(KUBERNETES_VALIDATE_RECIPE, { signal }),
  "pywebtransport": (signal) => pywebtransportPeer({ signal }),
  "rkt-api-service": (signal) => buildOnce(RKT_API_SERVICE_RECIPE, { signal }),
  "webtransport-go": (signal) => webtransportGoPeer({ signal }),
  "schemathesis": (signal) => buildOnce(SCHEMATHESIS_RECIPE, { signal }),
  "wtransport": (signal) => wtransportPeer({ signal }),
};

/** What `up` starts and `build` builds when nothing is named. */
const TELEMETRY = ["jaeger", "otel-collector", "prometheus"];

/** Builds each component, one after the other as each uses all cores. */
async function build(names: readonly string[], all: boolean, signal: AbortSignal): Promise<void> {
  // Where containers cannot run the rest is built all the same.
  const everything = Object.keys(COMPONENTS).filter((name) => name !== "containers");
  for (const [name, component] of componentsOf(all ? everything : names)) {
    await component.build(signal);
    print(`${name} is ready to be started`);
  }
  for (const [name, buildPeer] of Object.entries(all ? TEST_PEERS : {})) {
    await buildPeer(signal);
    print(`${name} is ready for the tests`);
  }
}

/** Starts the components and stays until a signal comes or one of them ends. */
async function up(names: readonly string[], options: UpOptions, signal: AbortSignal) {
  await using running = new AsyncDisposableStack();
  const ended: Promise<string>[] = [];
  const components = componentsOf(names);
  const plan = { ...options, started: components.map(([name]) => name) };
  for (const [name, component] of components) {
    const process = running.use(await component.start(plan, signal));
    const { logFile, pid, exited } = process;
    ended.push(exited.then(() => name));
    print(`${name} is up (pid ${pid}, log ${logFile})`);
    for (const [use, where] of component.links(options, process)) {
      print(`  ${use.padEnd(28)} ${where}`);
    }
  }
  print("Ctrl-C stops all");

  const first = await Promise.race([...ended, aborted(signal)]);
  // Ctrl-C reaches the whole process group: a component may have ended before we hear of it.
  await pause(500, { signal });
  if (!signal.aborted) throw new StackError(`${first} ended by itself, so all were stopped`);
  print("stopping");
}

function componentsOf(names: readonly string[]): [name: string, component: Component][] {
  const wanted = names.length === 0 ? TELEMETRY : names;
  const unknown = wanted.find((name) => !Object.hasOwn(COMPONENTS, name));
  if (unknown !== undefined) {
    throw new StackError(
      `Cannot find a component '${unknown}': there are ${Object.keys(COMPONENTS).join(", ")}`,
    );
  }
  return Object.entries(COMPONENTS).filter(([name]) => wanted.includes(name));
}

/** Runs until done or until SIGINT, SIGTERM or SIGHUP, which abort the signal that it is given. */
async function untilSignal(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) Deno.exit(130);
    stop.abort();
  };
  const signals: Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT"]
    : ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const name of signals) Deno.addSignalListener(name, onSignal);
  try {
    await run(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    for (const name of signals) Deno.removeSignalListener(name, onSignal);
  }
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "stack",
    envPrefix: "ORRERY_STACK",
    summary:
      "Starts the real OpenTelemetry Collector, Jaeger, Prometheus, Kafka, PostgreSQL, MinIO and Alertmanager on this machine, without Docker.",
    examples: [
      ["deno task stack", "the telemetry stack on its usual ports, until Ctrl-C"],
      ["deno task stack --otlp-http-port 14318", "beside a console that has 4318"],
      ["deno task stack kafka", "Kafka alone"],
      ["deno task stack:build", "only build and keep what the telemetry stack needs"],
      ["deno task stack:build --all", "all that test:stack needs"],
    ],
  });
  const components = Object.keys(COMPONENTS).join(", ");
  command.command("up", { isDefault: true }).description("start components and stay until Ctrl-C")
    .argument("[components...]", `which: ${components} (default: ${TELEMETRY.join(", ")})`)
    .addOption(portFlag("--otlp-http-port <port>", "the collector's OTLP over HTTP", 4318))
    .addOption(portFlag("--otlp-grpc-port <port>", "the collector's OTLP over gRPC", 4317))
    .addOption(portFlag("--jaeger-port <port>", "Jaeger's page and query API", 16686))
    .addOption(portFlag("--prometheus-port <port>", "Prometheus' page and query API", 9090))
    .addOption(portFlag("--kafka-port <port>", "Kafka", 9092))
    .addOption(portFlag("--postgresql-port <port>", "PostgreSQL", 5432))
    .addOption(portFlag("--minio-port <port>", "MinIO's S3", 9000))
    .addOption(portFlag("--alertmanager-port <port>", "Alertmanager", 9094))
    .addOption(
      flag("--alert-webhook <url>", "where Alertmanager posts alerts").argParser(parseHttpUrl),
    )
    .addOption(flag("--rules <folder>", "a folder with *.yaml files of Prometheus rules"))
    .addOption(projectFlag())
    .action((names, options) => untilSignal((signal) => up(names, options, signal)));
  command.command("build").description("build components and keep them, start nothing")
    .argument("[components...]", `which: ${components} (default: ${TELEMETRY.join(", ")})`)
    .addOption(flag("--all", "every component, and all that test:stack needs beside"))
    .action((names, { all = false }) => untilSignal((signal) => build(names, all, signal)));
  command.command("down").description("remove what 'up containers' has left, after a kill")
    .addOption(flag("--volumes", "and what the containers have kept"))
    .addOption(projectFlag())
    .action(({ volumes = false, project }: { volumes?: boolean; project: string }) =>
      removeContainers({ volumes, project })
    );
  await runCommand(command);
}

function projectFlag() {
  return flag("--project <name>", "what names of containers, networks and volumes begin with")
    .default("orrery");
}

function portFlag<Usage extends string>(usage: Usage, description: string, port: number) {
  return flag(usage, description).argParser(parsePort).default(port);
}

if (import.meta.main) await main();
