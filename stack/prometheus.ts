/**
 * Starts an installed Prometheus with stack/prometheus.yaml, without Docker.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { requireTool, StackError, type Tool } from "./build_cache.ts";
import { answersOk, choosePorts } from "../service/ports.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** Prometheus is taken as the system has it; its query API has been the same for years. */
export const PROMETHEUS: Tool = {
  command: "prometheus",
  install: "apt-get install prometheus (Debian, Ubuntu), brew install prometheus (macOS)",
};

/** The addresses in stack/prometheus.yaml, which a start replaces by its own. */
const COMPOSE_TARGETS = {
  programs: "otel-collector:8889",
  collector: "otel-collector:8888",
  alertmanager: "alertmanager:9093",
};

/** Options of {@link startPrometheus}. */
export interface PrometheusOptions extends StartOptions {
  /** The collector's metrics of programs and spans, as `host:port`. */
  programsAddress: string;
  /** The collector's metrics about itself, as `host:port`. */
  collectorAddress: string;
  /**
   * Page and query API.
   * @default a free port
   */
  port?: number;
  /**
   * How often everything is scraped and rules are evaluated, in milliseconds.
   * @default 5_000
   */
  scrapeIntervalMs?: number;
  /**
   * A folder whose `*.yaml` files are recording and alerting rules.
   * @default none
   */
  rulesFolder?: string;
  /**
   * Where alerts go, as `host:port`: {@link RunningAlertmanager.address}.
   * @default nowhere: the page and the API show them
   */
  alertmanagerAddress?: string;
}

/** A Prometheus that is up. */
export interface RunningPrometheus extends RunningProcess {
  /** The page, and before `/api/v1/…` the query API. */
  readonly url: string;
}

/**
 * Starts Prometheus with its data in the run folder.
 *
 * @throws {ToolMissingError} when it is not installed
 * @throws {StackError} when it cannot be started
 */
export async function startPrometheus(options: PrometheusOptions): Promise<RunningPrometheus> {
  await requireTool(PROMETHEUS, "the telemetry stack");
  const [port] = choosePorts(options.port);
  const component = await startProcess({
    name: "prometheus",
    command: PROMETHEUS.command,
    args: (runFolder) => [
      `--config.file=${join(runFolder, "prometheus.yaml")}`,
      `--storage.tsdb.path=${join(runFolder, "data")}`,
      "--storage.tsdb.retention.time=2h",
      `--web.listen-address=127.0.0.1:${port}`,
      // It hears of Alertmanager 5 s after its start only; what fired before is sent again.
      "--rules.alert.resend-delay=10s",
    ],
    prepare: async (runFolder) => {
      const template = await Deno.readTextFile(join(import.meta.dirname!, "prometheus.yaml"));
      await Deno.writeTextFile(
        join(runFolder, "prometheus.yaml"),
        prometheusConfig(template, options),
      );
    },
    ports: { page: port },
    ready: (signal) => answersOk(`http://127.0.0.1:${port}/-/ready`, signal),
  }, options);
  return { ...component, url: `http://127.0.0.1:${port}` };
}

/**
 * Makes a configuration for this machine from stack/prometheus.yaml.
 *
 * @throws {StackError} when the file no longer has what is to be replaced
 */
export function prometheusConfig(template: string, options: PrometheusOptions): string {
  const { scrapeIntervalMs = 5_000 } = options;
  const replacements: [found: RegExp, by: string][] = [
    [targetPattern(COMPOSE_TARGETS.programs), `["${options.programsAddress}"]`],
    [targetPattern(COMPOSE_TARGETS.collector), `["${options.collectorAddress}"]`],
    options.alertmanagerAddress === undefined
      ? [/^alerting:\n(?: .*\n)+/gm, ""]
      : [targetPattern(COMPOSE_TARGETS.alertmanager), `["${options.alertmanagerAddress}"]`],
    [/(?<=scrape_interval: )\S+/g, `${scrapeIntervalMs}ms`],
    // A scrape may not take longer than the time to the next one.
    [/(?<=scrape_timeout: )\S+/g, `${Math.ceil(scrapeIntervalMs * 0.8)}ms`],
    [/(?<=evaluation_interval: )\S+/g, `${scrapeIntervalMs}ms`],
  ];
  if (options.rulesFolder !== undefined) {
    // JSON's strings are YAML's, whatever the folder is called.
    replacements.push([
      /(?<=- )rules\/\*\.yaml/g,
      JSON.stringify(resolve(options.rulesFolder, "*.yaml")),
    ]);
  }
  return replacements.reduce((text, [found, by]) => {
    const result = text.replaceAll(found, () => by);
    if (result !== text || found.test(text)) return result;
    throw new StackError(`Cannot start prometheus: its prometheus.yaml has no ${found.source}`);
  }, template);
}

function targetPattern(address: string): RegExp {
  return new RegExp(`\\["${address.replaceAll(".", "\\.")}"\\]`, "g");
}
