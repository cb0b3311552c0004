/**
 * Starts an installed Alertmanager, which gets alerts from Prometheus and sends them on, without Docker.
 *
 * @module
 */

import { join } from "node:path";
import { requireTool, type Tool } from "./build_cache.ts";
import { answersOk, choosePorts } from "../service/ports.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** Alertmanager is taken as the system has it; its second API has been the same for years. */
export const ALERTMANAGER: Tool = {
  // Debian's name, as that of the project itself is taken there.
  command: "prometheus-alertmanager",
  install:
    "apt-get install prometheus-alertmanager (Debian, Ubuntu), or put an alertmanager under this name on the PATH",
};

/** Options of {@link startAlertmanager}. */
export interface AlertmanagerOptions extends StartOptions {
  /**
   * Page and API.
   * @default a free port
   */
  port?: number;
  /**
   * Where alerts are posted, as Alertmanager's webhooks are.
   * @default nowhere: the page and the API show them
   */
  webhookUrl?: string;
  /**
   * How long alerts that begin together are waited for, in milliseconds, so that they leave as one.
   * @default 1_000
   */
  groupWaitMs?: number;
}

/** An Alertmanager that is up. */
export interface RunningAlertmanager extends RunningProcess {
  /** The page, and before `/api/v2/…` the API. */
  readonly url: string;
  /** For Prometheus, `host:port`. */
  readonly address: string;
}

/**
 * Starts Alertmanager with its data in the run folder, alone: it looks for no others of its kind.
 *
 * @throws {ToolMissingError} when it is not installed
 * @throws {StackError} when it cannot be started
 */
export async function startAlertmanager(
  options: AlertmanagerOptions = {},
): Promise<RunningAlertmanager> {
  await requireTool(ALERTMANAGER, "alerts");
  const [port] = choosePorts(options.port);
  const address = `127.0.0.1:${port}`;
  const component = await startProcess({
    name: "alertmanager",
    command: ALERTMANAGER.command,
    args: (runFolder) => [
      `--config.file=${join(runFolder, "alertmanager.yaml")}`,
      `--storage.path=${join(runFolder, "data")}`,
      `--web.listen-address=${address}`,
      "--cluster.listen-address=",
    ],
    prepare: (runFolder) =>
      Deno.writeTextFile(join(runFolder, "alertmanager.yaml"), alertmanagerConfig(options)),
    ports: { page: port },
    ready: (signal) => answersOk(`http://${address}/-/ready`, signal),
  }, options);
  return { ...component, url: `http://${address}`, address };
}

/** One receiver for all; JSON's strings are YAML's, whatever is in the URL. */
function alertmanagerConfig({ webhookUrl, groupWaitMs = 1_000 }: AlertmanagerOptions): string {
  const receiver = webhookUrl === undefined
    ? ""
    : `\n    webhook_configs: [{ url: ${JSON.stringify(webhookUrl)}, send_resolved: true }]`;
  return `route:
  receiver: all
  group_by: [alertname, job]
  group_wait: ${groupWaitMs}ms
  group_interval: 5s
  repeat_interval: 1h
receivers:
  - name: all${receiver}
`;
}
