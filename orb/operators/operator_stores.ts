/**
 * The stores as an operator's tool opens them: beside a server that is at work.
 *
 * @module
 */
import { join } from "node:path";
import { defaultDataFolder } from "../../service/data_folder.ts";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { realWorld } from "../../service/world/world.ts";
import type { ImageStore } from "../stores/image_store.ts";
import { databaseName, openImages, type StoreOptions } from "../stores/open_stores.ts";
import type { RecordArchive } from "../stores/record_archive.ts";
import type { RecordBackend } from "../stores/record_backend.ts";
import { SqliteRecords } from "../stores/sqlite/sqlite_records.ts";

/** What of a back-end a tool uses. */
export type OperatorRecords = Pick<RecordBackend, "apply" | "close">;

/**
 * The records, to ask and to change them.
 *
 * @throws {StartError} they cannot be opened.
 */
export async function openOperatorRecords(options: StoreOptions): Promise<OperatorRecords> {
  const { databaseUrl } = options;
  return await inWords(async () => {
    if (databaseUrl !== undefined) {
      const { openPostgresBackend } = await import("../stores/postgres/postgres_backend.ts");
      return await openPostgresBackend({ databaseUrl, maxParallel: 1 });
    }
    const records = await openFile(options, { exclusive: false });
    return {
      apply: (commands) =>
        Promise.resolve(records.apply(new Uint8Array(), commands).replies as never),
      close: () => Promise.resolve(records.close()),
    };
  });
}

/**
 * All records and images. `exclusive` where no server may be at work on them.
 *
 * @throws {StartError} they cannot be opened.
 */
export async function openOperatorArchive(
  options: StoreOptions,
  { exclusive }: { exclusive: boolean },
): Promise<{ records: RecordArchive; images: ImageStore }> {
  const { databaseUrl } = options;
  const records = await inWords(
    async () => {
      if (databaseUrl === undefined) return (await openFile(options, { exclusive })).archive();
      const { openPostgresArchive } = await import("../stores/postgres/postgres_backend.ts");
      return await openPostgresArchive(databaseUrl);
    },
    exclusive
      ? "Stop the server that uses them, or give an empty --data-dir or --database-url."
      : undefined,
  );
  return {
    records,
    images: await openImages(options, { world: realWorld }, { cleans: exclusive }),
  };
}

async function openFile(
  { dataDir = defaultDataFolder("orb-server") }: StoreOptions,
  { exclusive }: { exclusive: boolean },
): Promise<SqliteRecords> {
  const path = join(dataDir, databaseName);
  if (exclusive) await Deno.mkdir(dataDir, { recursive: true, mode: 0o700 });
  // A tool that looks makes no database where there is none.
  else await Deno.stat(path);
  return new SqliteRecords({ path, nowMs: () => realWorld.nowMs(), exclusive });
}

async function inWords<Result>(
  open: () => Promise<Result>,
  advice = "Give the server's own --data-dir or --database-url.",
): Promise<Result> {
  try {
    return await open();
  } catch (error) {
    throw new StartError(`Cannot open the records: ${reasonOf(error)}. ${advice}`);
  }
}
