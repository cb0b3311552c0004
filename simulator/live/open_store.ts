/**
 * The store that is asked for: SQLite files in a folder, or a PostgreSQL database.
 *
 * @module
 */
import { join } from "node:path";
import { openPostgresStore } from "./postgres_store.ts";
import type { LiveStore, LiveStoreOptions } from "./live_store.ts";
import { openSqliteStore } from "./sqlite_store.ts";

/** Where stores are; plain JSON, as a part may run in a program of its own. */
export type StorePlace =
  | {
    readonly kind: "sqlite";
    readonly folder: string;
    readonly durability: "power-loss" | "process-end";
  }
  | {
    readonly kind: "postgresql";
    /** With user and password: not for logs. */
    readonly url: string;
    /** What the schemas' names begin with. */
    readonly namespace: string;
    readonly maxSessions: number;
  };

/** Opens a backend's store. @throws {StoreError} `unavailable` */
export async function openLiveStore(
  place: StorePlace,
  backend: 1 | 2,
  options: LiveStoreOptions,
): Promise<LiveStore> {
  if (place.kind === "sqlite") {
    const path = join(place.folder, `backend-${backend}.sqlite`);
    return openSqliteStore({ ...options, path, durability: place.durability });
  }
  const { url, maxSessions } = place;
  const namespace = `${place.namespace}_${backend}`;
  return await openPostgresStore({ ...options, url, namespace, maxSessions });
}
