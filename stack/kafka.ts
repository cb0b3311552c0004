/**
 * Starts a real Apache Kafka without Docker: one node that is broker and controller (KRaft), and further
 * brokers that join it.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { buildOnce, type BuildRecipe, StackError, type Tool } from "./build_cache.ts";
import { exists } from "../service/found_files.ts";
import { acceptsTcp, choosePorts } from "../service/ports.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** Apache Kafka's version. */
export const KAFKA_VERSION = "4.1.0";

/** Kafka 4 logs by slf4j 1.7, which this binds to Log4j 2. */
const LOG4J_VERSION = "2.24.3";

const JAVA: Tool = {
  command: "java",
  install: "apt-get install default-jre-headless (17 or newer)",
};
const MAVEN: Tool = { command: "mvn", install: "apt-get install maven" };

/** Kafka's libraries are its distribution: Maven copies them, with all that they need, to `lib`. */
export const KAFKA_RECIPE: BuildRecipe = {
  name: "kafka",
  version: KAFKA_VERSION,
  tools: [JAVA, MAVEN],
  firstBuildTakes: "about 10 seconds, downloads 43 MB",
  steps: [
    {
      write: "pom.xml",
      text: `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>orrery.stack</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    ${mavenDependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION)}
    ${mavenDependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION)}
  </dependencies>
</project>
`,
    },
    { run: ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"] },
  ],
  keep: ["lib"],
};

/** Options of {@link startKafka}. Ports that are not given are free ones. */
export interface KafkaOptions extends StartOptions {
  /** Where clients connect. */
  port?: number;
  /** Where the node's controller listens. */
  controllerPort?: number;
  /**
   * The most memory of the Java heap, in MiB.
   * @default 512
   */
  maxHeapMiB?: number;
  /**
   * The node's id in its cluster, from 1; in a run folder that it was in before it must be the same.
   * @default 1
   */
  nodeId?: number;
  /**
   * Makes the node a mere broker of this cluster, whose controller another node is, and which must have
   * another {@linkcode KafkaOptions.nodeId}.
   *
   * @default a cluster of its own
   */
  joins?: KafkaCluster;
  /**
   * Copies of the cluster's own topics, such as that of the groups' positions: as many brokers must be
   * there when the first group comes.
   *
   * @default 1
   */
  replicas?: number;
  /**
   * Demands TLS, a name and a password of every client (SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512),
   * and refuses what no ACL allows.
   *
   * @default anybody may do anything
   */
  secured?: KafkaSecurity;
}

/** What a broker must know to join a cluster. */
export interface KafkaCluster {
  /** The cluster's own id. */
  id: string;
  /** Its controller, `id@host:port`. */
  controller: string;
}

/** Who is let in, and by which certificate the broker is known. */
export interface KafkaSecurity {
  /** The broker's certificate for 127.0.0.1, PEM; itself the authority that it is trusted by. */
  cert: string;
  /** Its private key, PEM (PKCS #8). */
  key: string;
  /** Passwords by name: letters, digits and hyphens. */
  users: Readonly<Record<string, string>>;
  /** One of the users, who may do all. */
  superUser: string;
}

/** A Kafka that is up. Topics are made by its clients: none comes into being by being named. */
export interface RunningKafka extends RunningProcess {
  /** For a client's list of brokers, `host:port`. */
  readonly bootstrapServer: string;
  /** What further brokers join. */
  readonly cluster: KafkaCluster;
}

/**
 * Starts Kafka with its data in the run folder, getting it first when the cache has none. In a
 * run folder that it was in before it goes on with what is there; its ports must be the same.
 *
 * @throws {ToolMissingError} when Java or Maven is not installed
 * @throws {StackError} when it cannot be had or started
 */
export async function startKafka(options: KafkaOptions = {}): Promise<RunningKafka> {
  const lib = join(await buildOnce(KAFKA_RECIPE, options), "lib", "*");
  const [port, controllerPort] = choosePorts(options.port, options.controllerPort);
  const { secured, joins, nodeId = 1, replicas = 1 } = options;
  const controller = joins?.controller ?? `${nodeId}@127.0.0.1:${controllerPort}`;
  let clusterId = joins?.id ?? randomBytes(16).toString("base64url");
  const component = await startProcess({
    name: "kafka",
    command: JAVA.command,
    args: (runFolder) => [
      `-Xmx${options.maxHeapMiB ?? 512}m`,
      // It lives for minutes and shares the machine: a quick start counts, not peak speed.
      "-XX:+UseSerialGC",
      "-XX:TieredStopAtLevel=1",
      `-Dlog4j2.configurationFile=${join(runFolder, "log4j2.properties")}`,
      "-cp",
      lib,
      "kafka.Kafka",
      join(runFolder, "server.properties"),
    ],
    prepare: async (runFolder) => {
      const properties = join(runFolder, "server.properties");
      await Deno.writeTextFile(join(runFolder, "log4j2.properties"), LOG_PROPERTIES);
      const node = { port, controllerPort: joins ? undefined : controllerPort, nodeId, controller };
      const text = serverProperties({ ...node, runFolder, replicas, secured });
      // It may hold passwords and a key.
      await Deno.writeTextFile(properties, text, { mode: 0o600 });
      const earlier = await formattedFor(runFolder);
      if (earlier !== undefined) clusterId = earlier;
      else await formatStorage(lib, { properties, clusterId, secured, aborted: options.signal });
    },
    ports: { clients: port, ...(!joins && { controller: controllerPort }) },
    // It opens this port only once it is registered with its controller.
    ready: () => acceptsTcp(port),
  }, options);
  const cluster = { id: clusterId, controller };
  return { ...component, bootstrapServer: `127.0.0.1:${port}`, cluster };
}

/** It takes a second; a minute means that something is wrong. */
const FORMAT_TIMEOUT_MS = 60_000;

const LOG_PROPERTIES = `rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
`;

/** A node's own: what is replicated elsewhere has one copy here, or as many as are asked for. */
function serverProperties(
  { port, controllerPort, controller, runFolder, nodeId, replicas, secured }: {
    port: number;
    /** `undefined` for a mere broker. */
    controllerPort: number | undefined;
    controller: string;
    runFolder: string;
    nodeId: number;
    replicas: number;
    secured: KafkaSecurity | undefined;
  },
): string {
  const listener = secured ? "SASL_SSL" : "PLAINTEXT";
  const clients = `${listener}://127.0.0.1:${port}`;
  const isController = controllerPort !== undefined;
  const properties: Record<string, string | number> = {
    "process.roles": isController ? "broker,controller" : "broker",
    "node.id": nodeId,
    "controller.quorum.voters": controller,
    "listeners": isController ? `${clients},CONTROLLER://127.0.0.1:${controllerPort}` : clients,
    "advertised.listeners": clients,
    "inter.broker.listener.name": listener,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": `${listener}:${listener},CONTROLLER:PLAINTEXT`,
    "log.dirs": join(runFolder, "data"),
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": replicas,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": 1,
    // A consumer group need not wait for more members to come.
    "group.initial.rebalance.delay.ms": 0,
    ...(secured && securityProperties(secured)),
  };
  return Object.entries(properties).map(([name, value]) => `${name}=${value}\n`).join("");
}

const SCRAM_MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

/** TLS by PEM, names and passwords of PLAIN in the file itself, and nothing that no ACL allows. */
function securityProperties(
  { cert, key, users, superUser }: KafkaSecurity,
): Record<string, string> {
  const oneLine = (pem: string) => pem.trim().replaceAll("\n", "\\n");
  const known = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`);
  const login = `username="${superUser}" password="${users[superUser]}"`;
  return {
    "sasl.enabled.mechanisms": ["PLAIN", ...SCRAM_MECHANISMS].join(","),
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.sasl_ssl.plain.sasl.jaas.config":
      `org.apache.kafka.common.security.plain.PlainLoginModule required ${login} ${
        known.join(" ")
      };`,
    // What a password has to fit is in the storage, from its formatting on.
    ...Object.fromEntries(SCRAM_MECHANISMS.map((mechanism) => [
      `listener.name.sasl_ssl.${mechanism.toLowerCase()}.sasl.jaas.config`,
      "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    ])),
    "ssl.keystore.type": "PEM",
    "ssl.keystore.certificate.chain": oneLine(cert),
    "ssl.keystore.key": oneLine(key),
    "ssl.truststore.type": "PEM",
    "ssl.truststore.certificates": oneLine(cert),
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    // The controller's listener has no names: only this node itself is there.
    "super.users": `User:${superUser};User:ANONYMOUS`,
  };
}

/** The id of the cluster whose node ran in this folder before, if one did: it goes on with its data then. */
async function formattedFor(runFolder: string): Promise<string | undefined> {
  const file = join(runFolder, "data", "meta.properties");
  if (!await exists(file)) return undefined;
  return /^cluster\.id=(\S+)/m.exec(await Deno.readTextFile(file))?.[1];
}

/**
 * KRaft refuses to start on a folder that was not given a cluster's id. SCRAM's credentials are part of
 * the cluster's metadata, so they are given with it.
 */
async function formatStorage(
  lib: string,
  { properties, clusterId, secured, aborted }: {
    properties: string;
    clusterId: string;
    secured: KafkaSecurity | undefined;
    aborted: AbortSignal | undefined;
  },
): Promise<void> {
  const scram = Object.entries(secured?.users ?? {}).flatMap(([name, password]) =>
    SCRAM_MECHANISMS.map((one) => `--add-scram=${one}=[name=${name},password=${password}]`)
  );
  const timeout = AbortSignal.timeout(FORMAT_TIMEOUT_MS);
  const output = await new Deno.Command(JAVA.command, {
    args: ["-cp", lib, "kafka.tools.StorageTool", "format", "-c", properties]
      .concat(`--cluster-id=${clusterId}`, scram),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: aborted ? AbortSignal.any([aborted, timeout]) : timeout,
  }).output();
  if (output.success) return;
  aborted?.throwIfAborted();
  const decoder = new TextDecoder();
  const printed = decoder.decode(output.stdout) + decoder.decode(output.stderr);
  throw new StackError(`Cannot start kafka: its storage cannot be formatted: ${printed.trim()}`);
}

/** A dependency as a `pom.xml` has it. */
export function mavenDependency(groupId: string, artifactId: string, version: string): string {
  return `<dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId>` +
    `<version>${version}</version></dependency>`;
}
