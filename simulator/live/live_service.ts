/**
 * The live topology as a part of the server: its flags become a running world and its routes.
 *
 * @module
 */
import type { Hono } from "hono";
import { type BusFlagValues, openBus } from "../../service/bus/open_bus.ts";
import { type ServiceContext, StartError } from "../../service/life_cycle.ts";
import type { Recorder } from "../events/recorder.ts";
import { StoreError } from "../topology/ports.ts";
import type { Pattern } from "../topology/settings.ts";
import { checkTogether, type Fault, FaultsError, parseFaults } from "./faults.ts";
import { LiveApi } from "./live_api.ts";
import { liveRecord } from "./live_record.ts";
import { type LiveWorld, startLiveWorld } from "./live_world.ts";

/** What the live topology is to be. */
export interface LiveOptions extends Partial<BusFlagValues> {
  /** What chance follows from. @default drawn */
  seed?: number | undefined;
  /** How messages get to the bus. @default "outbox" */
  pattern?: Pattern | undefined;
  /** Instances of each relay, lambda and processor, and of backend 1's side to its clients, 1 to 3. @default 2 */
  instances?: number | undefined;
  /** Keys that orders can have, 1 to 64. @default 8 */
  keys?: number | undefined;
  /** Orders a second that come by themselves. @default 0 */
  orderRate?: number | undefined;
  /** Where the SQLite files are. @default a temporary folder, removed at the end */
  dataFolder?: string | undefined;
  /** A PostgreSQL database in place of SQLite files: `postgres://user:password@host:port/database`. @default none */
  databaseUrl?: string | undefined;
  /** A file with the database's password and nothing else. @default it is in the URL */
  databasePasswordFile?: string | undefined;
  /** Runs each part in a program of its own, so that it can be killed from outside. @default false */
  processes?: boolean | undefined;
  /** What a commit to SQLite survives. @default "power-loss" */
  durability?: "power-loss" | "process-end" | undefined;
  /** What goes wrong from the beginning. @default nothing does */
  fault?: readonly Fault[] | undefined;
  /** A file with more of it, as `PUT /api/faults` takes it. @default none */
  faults?: string | undefined;
  /** A file that the run's decisions are written to at the end, for `simulate replay`. @default none */
  record?: string | undefined;
}

/** The live topology, running. */
export interface LiveService {
  readonly world: LiveWorld;
  /** Adds its routes to the server's. */
  addTo(app: Hono): void;
  /** Ends it. */
  stop(deadline?: AbortSignal): Promise<void>;
}

/**
 * Starts it.
 *
 * @param recorder where its parts are shown
 * @throws {StartError} the faults' file, the folder or the bus cannot be used
 */
export async function startLive(
  options: LiveOptions,
  recorder: Recorder,
  context: ServiceContext,
): Promise<LiveService> {
  const { pattern = "outbox", instances = 2, keys = 8, orderRate = 0, dataFolder } = options;
  const seed = options.seed ?? Math.floor(context.world.random() * 2 ** 31);
  const faults = await faultsOf(options);
  if (options.record !== undefined) await requireNew(options.record);
  if (options.processes) await requireRun();
  const databaseUrl = await databaseUrlOf(options);
  const busFlags = busFlagsOf(options);
  const running: { world?: LiveWorld } = {};
  const api = new LiveApi(() => running.world!, context);
  const starting = startLiveWorld({
    ...{ seed, pattern, keys, orderRate, dataFolder, databaseUrl, recorder },
    processes: options.processes,
    // A bus inside this program is for all of them; Kafka each reaches by itself.
    partBus: options.kafkaBrokers === undefined ? undefined : busFlags,
    durability: options.durability,
    instances: {
      ...{ apis: instances, relays: instances, lambdas: instances, processors: instances },
    },
    faults,
    openBus: () => openBus(busFlags, { clientId: "simulator" }, context),
    onSteps: api.onSteps,
    onState: api.onState,
  }, context);
  const world = await starting.catch((error) => {
    throw startError(error, options);
  });
  running.world = world;
  return {
    world,
    addTo: (app) => api.addTo(app),
    async stop(deadline) {
      const { recording, settings } = world.recording();
      const record = liveRecord(world.state(), settings, recording);
      await world.stop(deadline);
      if (options.record === undefined) return;
      await Deno.writeTextFile(options.record, `${JSON.stringify(record)}\n`);
      context.log.info("The run is recorded", {
        file: options.record,
        replay: `deno task simulate replay ${options.record}`,
        ...(recording.isCut && { cut: "there was more than the limits let in" }),
      });
    },
  };
}

/** What the operator can do about stores that cannot be used. */
function startError(error: unknown, { databaseUrl, dataFolder }: LiveOptions): unknown {
  const isFile = Object.values(Deno.errors).some((kind) => error instanceof kind) ||
    (error as { code?: string }).code === "ERR_SQLITE_ERROR";
  if (databaseUrl !== undefined && error instanceof StoreError) {
    // Its password is nobody's to read.
    const { host } = new URL(databaseUrl);
    return new StartError(
      `Cannot use the database at ${host}: ${error.message}. Start it, or name another with --database-url`,
      { cause: error },
    );
  }
  if (!isFile) return error;
  const folder = dataFolder ?? "a temporary folder";
  return new StartError(
    `Cannot keep the stores in ${folder}: ${
      (error as Error).message
    }. Name another with --data-folder`,
    { cause: error },
  );
}

function busFlagsOf(options: LiveOptions): BusFlagValues {
  const { kafkaStartTimeoutMs = 30_000, kafkaOutageLimitMs = 300_000 } = options;
  const { maxMessageBytes = 1_000_000, kafkaBrokers, kafkaTls, kafkaTlsCa } = options;
  const { kafkaSaslMechanism, kafkaSaslUsername, kafkaSaslPasswordFile } = options;
  return {
    ...{ kafkaStartTimeoutMs, kafkaOutageLimitMs, maxMessageBytes },
    ...(kafkaBrokers !== undefined && { kafkaBrokers }),
    ...(kafkaTls !== undefined && { kafkaTls }),
    ...(kafkaTlsCa !== undefined && { kafkaTlsCa }),
    ...(kafkaSaslMechanism !== undefined && { kafkaSaslMechanism }),
    ...(kafkaSaslUsername !== undefined && { kafkaSaslUsername }),
    ...(kafkaSaslPasswordFile !== undefined && { kafkaSaslPasswordFile }),
  };
}

async function databaseUrlOf(
  { databaseUrl, databasePasswordFile }: LiveOptions,
): Promise<string | undefined> {
  if (databaseUrl === undefined) return undefined;
  let url: URL;
  try {
    url = new URL(databaseUrl);
  } catch {
    // What was given may have a password in it.
    throw new StartError("--database-url is no URL: give postgres://user@host:port/database");
  }
  if (!/^postgres(ql)?:$/.test(url.protocol)) {
    throw new StartError(
      "--database-url is not PostgreSQL's: give postgres://user@host:port/database",
    );
  }
  if (databasePasswordFile === undefined) return url.href;
  try {
    url.password = (await Deno.readTextFile(databasePasswordFile)).trim();
  } catch (error) {
    throw new StartError(
      `Cannot read --database-password-file ${databasePasswordFile}: ${(error as Error).message}`,
    );
  }
  return url.href;
}

/** The server itself may not start programs: that is granted where it is wanted. */
async function requireRun(): Promise<void> {
  const { state } = await Deno.permissions.query({ name: "run", command: Deno.execPath() });
  if (state === "granted") return;
  throw new StartError(
    "--processes needs the permission to run Deno: start it as 'deno run -A simulator/server.ts --live --processes'",
  );
}

/** Those of the file, and those of the flags on top. */
async function faultsOf({ faults: path, fault = [] }: LiveOptions): Promise<readonly Fault[]> {
  if (path === undefined) return fault;
  const faults = [...await readFaults(path), ...fault];
  try {
    checkTogether(faults);
  } catch (error) {
    if (!(error instanceof FaultsError)) throw error;
    throw new StartError(
      `Cannot use --fault together with the faults of --faults ${path}: ${error.message}`,
    );
  }
  return faults;
}

async function readFaults(path: string): Promise<readonly Fault[]> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new StartError(
      `Cannot read the faults of --faults ${path}: ${(error as Error).message}`,
    );
  }
  try {
    return parseFaults(text);
  } catch (error) {
    if (!(error instanceof FaultsError)) throw error;
    throw new StartError(`Cannot use the faults of --faults ${path}: ${error.message}`);
  }
}

/** A recording is never written over, and one that cannot be written is no surprise at the end. */
async function requireNew(path: string): Promise<void> {
  try {
    (await Deno.open(path, { createNew: true, write: true })).close();
    await Deno.remove(path);
  } catch (error) {
    const why = error instanceof Deno.errors.AlreadyExists
      ? "it is there already; name another file"
      : (error as Error).message;
    throw new StartError(`Cannot record to --record ${path}: ${why}`);
  }
}
