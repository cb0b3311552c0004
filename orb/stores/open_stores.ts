/**
 * Opens the stores that flags ask for: records in SQLite or PostgreSQL, images in a folder or S3.
 *
 * @module
 */
import type { Command, OptionValues } from "@commander-js/extra-typings";
import { join } from "node:path";
import {
  flag,
  type FlagValues,
  InvalidArgumentError,
  parseHttpUrl,
  withFlags,
} from "../../service/command_line.ts";
import { defaultDataFolder, openDataFolder } from "../../service/data_folder.ts";
import { type ServiceContext, StartError } from "../../service/life_cycle.ts";
import { openImageFolder } from "./image_folder.ts";
import { type ImageStore, ImageStoreError } from "./image_store.ts";
import type { RecordBackend } from "./record_backend.ts";
import { hostUrls } from "./postgres/host_urls.ts";
import { type QueueBusFlags, withQueueBus } from "./bus/open_queue_bus.ts";
import { createRecordStore, type RecordStore } from "./record_store.ts";
import { openSqliteBackend } from "./sqlite/sqlite_backend.ts";
import { StoreError } from "./store_error.ts";
import { watchImages } from "./watched_images.ts";

/** Where records and images are kept. */
export interface StoreOptions {
  /** Folder of the records and images that are kept on disk. @default the data folder of the operating system */
  dataDir?: string;
  /** Keeps the records in PostgreSQL: `postgres://user:password@host/database`. @default SQLite in `dataDir` */
  databaseUrl?: string;
  /** Keeps the images in S3 that is spoken there. @default a folder in `dataDir` */
  s3Endpoint?: string;
  /** The bucket; made if need be. @default "orb" */
  s3Bucket?: string;
  /** The region of the bucket. @default "us-east-1" */
  s3Region?: string;
  /** Who asks S3. */
  s3AccessKeyId?: string;
  /** Its secret; better given by its variable than by the flag, which other users can see. */
  s3SecretAccessKey?: string;
}

/**
 * Adds the flags of {@linkcode StoreOptions}: those of a server, and of the tools for its stores.
 *
 * @example
 * ```ts
 * const command = withStoreFlags(commandLine({ name: "orb-server", summary: "…" }));
 * ```
 */
// deno-lint-ignore no-explicit-any -- a command of any arguments, as commander declares it
export function withStoreFlags<Args extends any[], Options extends OptionValues>(
  command: Command<Args, Options>,
) {
  return withFlags(command, [
    flag(
      "--data-dir <folder>",
      "folder of records and images; default the data folder of this system",
    ),
    flag(
      "--database-url <url>",
      "keep records in PostgreSQL: postgres://user:password@host/database; of hosts with commas between, in the one that takes writes",
    ).argParser(parseDatabaseUrl),
    flag("--s3-endpoint <url>", "keep images in S3 (any that speaks its API), which is there")
      .argParser(parseHttpUrl),
    flag("--s3-bucket <name>", "the bucket of the images").default("orb"),
    flag("--s3-region <name>", "the region of the bucket").default("us-east-1"),
    flag("--s3-access-key-id <id>", "who asks S3"),
    flag("--s3-secret-access-key <secret>", "its secret; give it by its variable"),
  ]) as Command<Args, Options & FlagValues<StoreOptions>>;
}

/** The name of the database in the data folder: v1's, which is taken over. */
export const databaseName = "tokens.sqlite";

/** What it takes to open the stores. */
export interface OpenStoresOptions extends StoreOptions, QueueBusFlags {
  /** True where signups are decided by this server. @default true */
  decides?: boolean;
  /** Commands that may wait for their transaction. @default 512 */
  maxQueuedSignups?: number;
}

/** The stores, open. */
export interface Stores {
  readonly records: RecordStore;
  readonly images: ImageStore;
  /** True where no other server can use them. */
  readonly isAlone: boolean;
  /** Waits for what is queued, and lets go of them. */
  close(): Promise<void>;
}

/**
 * Opens both, and tells health and log how they are.
 *
 * @throws {StartError} one of them cannot be used, with the reason and the flag to change.
 *
 * @example
 * ```ts
 * const stores = await openStores({ dataDir: "./orb-data" }, context);
 * await stores.records.run({ type: "statistics" });
 * await stores.close();
 * ```
 */
export async function openStores(
  options: OpenStoresOptions,
  context: ServiceContext,
): Promise<Stores> {
  const { databaseUrl, s3Endpoint } = options;
  await openDataFolder(dataFolderOf(options));
  const records = await openRecords(options, context);
  try {
    const { images, close } = watchImages(await openImages(options, context), {
      world: context.world,
      onState: (state) => tellImages(state, context),
    });
    context.health.set("images", "ok");
    return {
      records,
      images,
      isAlone: databaseUrl === undefined && s3Endpoint === undefined,
      async close() {
        close();
        await records.close();
      },
    };
  } catch (error) {
    await records.close();
    throw error;
  }
}

async function openRecords(
  options: OpenStoresOptions,
  context: ServiceContext,
): Promise<RecordStore> {
  const { telemetry: { tracer, meter }, world } = context;
  const backend = await openBackend(options, context);
  const { decides: takes = true } = options;
  return createRecordStore(await withQueueBus(backend, { ...options, takes }, context), {
    ...{ tracer, meter, world },
    ...(options.maxQueuedSignups !== undefined && { maxQueued: options.maxQueuedSignups }),
    onState: (state) => tellRecords(state, options, context),
  });
}

async function openBackend(
  options: StoreOptions,
  { world, log }: Pick<ServiceContext, "world" | "log">,
): Promise<RecordBackend> {
  const { databaseUrl } = options;
  const path = join(dataFolderOf(options), databaseName);
  try {
    if (databaseUrl === undefined) return await openSqliteBackend({ path });
    // Only now: its library reads the environment.
    const { openPostgresBackend } = await import("./postgres/postgres_backend.ts");
    return await openPostgresBackend({
      databaseUrl,
      world,
      onListen: () => log.debug("Hears what other servers do"),
    });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new StartError(
      databaseUrl === undefined
        ? `Cannot open the tokens in ${path}: ${error.message}. Mend or move that file, free space, or give another folder with --data-dir.`
        : `Cannot use the database ${
          withoutPassword(databaseUrl)
        }: ${error.message}. Start or mend it, or correct --database-url.`,
    );
  }
}

/**
 * Opens the images alone.
 *
 * @param cleans removes what a crash left half written; only for who is alone with them
 * @throws {StartError} they cannot be used.
 *
 * @example
 * ```ts
 * const images = await openImages({ dataDir: "./orb-data" }, { world: realWorld }, { cleans: false });
 * ```
 */
export async function openImages(
  options: StoreOptions,
  { world }: Pick<ServiceContext, "world">,
  { cleans = true }: { cleans?: boolean } = {},
): Promise<ImageStore> {
  const { s3Endpoint: endpoint } = options;
  const path = dataFolderOf(options);
  try {
    if (endpoint === undefined) return await openImageFolder({ path, world, cleans });
    const { s3Bucket: bucket = "orb", s3Region, s3AccessKeyId, s3SecretAccessKey } = options;
    if (s3AccessKeyId === undefined || s3SecretAccessKey === undefined) {
      throw new StartError(
        "Cannot keep images in S3: --s3-endpoint goes with --s3-access-key-id and --s3-secret-access-key, or their variables.",
      );
    }
    // Only who keeps images there needs what signs requests.
    const { openImageBucket } = await import("./image_bucket.ts");
    return await openImageBucket({
      ...{ endpoint, bucket, world },
      ...{ accessKeyId: s3AccessKeyId, secretAccessKey: s3SecretAccessKey },
      ...(s3Region !== undefined && { region: s3Region }),
    });
  } catch (error) {
    if (!(error instanceof ImageStoreError)) throw error;
    throw new StartError(
      endpoint === undefined
        ? `Cannot keep images in ${path}: ${error.message}. Mend that folder, free space, or give another one with --data-dir.`
        : `Cannot keep images in ${endpoint}: ${error.message}. Start or mend it, or correct --s3-endpoint, --s3-bucket and the keys.`,
    );
  }
}

function dataFolderOf({ dataDir }: StoreOptions): string {
  return dataDir ?? defaultDataFolder("orb-server");
}

function tellRecords(
  state: "ok" | StoreError,
  { databaseUrl, ...options }: StoreOptions,
  { health, log }: ServiceContext,
): void {
  const where = databaseUrl === undefined
    ? { path: join(dataFolderOf(options), databaseName) }
    : { database: withoutPassword(databaseUrl) };
  if (state === "ok") {
    health.set("tokens", "ok");
    log.info("Tokens can be written again", where);
    return;
  }
  health.set("tokens", { reason: state.message });
  log.error(
    "Tokens cannot be written; new images are refused with 503 until it works again. Free space or mend the store",
    { ...where, reason: state.message, code: state.code },
  );
}

function tellImages(state: "ok" | ImageStoreError, { health, log }: ServiceContext): void {
  if (state === "ok") {
    health.set("images", "ok");
    log.info("Images can be written again");
    return;
  }
  health.set("images", { reason: state.message });
  log.error("Images cannot be written; signups of v2 are refused with 503 until it works again", {
    reason: state.message,
  });
}

/** For messages and logs. */
function withoutPassword(databaseUrl: string): string {
  return databaseUrl.replace(/^(\w+:\/\/[^:@/]*)(:[^@/]*)?@/, "$1@").replace(/[?#].*$/, "");
}

function parseDatabaseUrl(text: string): string {
  if (hostUrls(text).length > 0) return text;
  throw new InvalidArgumentError(
    "Give it as postgres://user:password@host:port/database; several hosts have commas between them.",
  );
}
