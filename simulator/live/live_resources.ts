/**
 * The stores of the live topology: where they are, opened, with the rows that each begins with.
 *
 * @module
 */
import {
  backendSchema,
  initialRows,
  orderStage,
  resultStage,
  type Settings,
} from "../topology/settings.ts";
import { join } from "node:path";
import { lockForThisProcess } from "../../service/data_folder.ts";
import type { LiveWorldOptions } from "./live_options.ts";
import type { LiveStore, LiveStoreOptions } from "./live_store.ts";
import { openLiveStore, type StorePlace } from "./open_store.ts";

/** Opens backend 1's store and backend 2's, which close with `resources`. */
export async function openStores(
  place: StorePlace,
  keys: readonly string[],
  { settings, ...options }: Omit<LiveStoreOptions, "schema"> & { readonly settings: Settings },
  resources: AsyncDisposableStack,
): Promise<[LiveStore, LiveStore]> {
  const open = async (number: 1 | 2) => {
    const store = await openLiveStore(place, number, {
      ...options,
      schema: backendSchema(settings),
    });
    resources.defer(() => store.close());
    const { consumers } = number === 1 ? resultStage : orderStage;
    await store.load(initialRows(settings, keys, consumers));
    return store;
  };
  return [await open(1), await open(2)];
}

/** Where the stores are; a folder of their own goes with `resources`. */
export async function storePlaceOf(
  { dataFolder, databaseUrl, durability = "power-loss", processes }: LiveWorldOptions,
  resources: AsyncDisposableStack,
): Promise<StorePlace> {
  if (databaseUrl !== undefined) {
    // Each part of its own program has few things to do at once; here all of them share.
    const maxSessions = processes ? 3 : 20;
    return { kind: "postgresql", url: databaseUrl, namespace: "orrery_backend", maxSessions };
  }
  const folder = dataFolder ?? await Deno.makeTempDir({ prefix: "simulator-live-" });
  if (dataFolder === undefined) {
    resources.defer(() => Deno.remove(folder, { recursive: true }));
  } else {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    // Two would deliver each other's orders. The programs of the parts are this one's own.
    resources.use(await lockForThisProcess(join(folder, ".lock"), "--data-folder"));
  }
  return { kind: "sqlite", folder, durability };
}
