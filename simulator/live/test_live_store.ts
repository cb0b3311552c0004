/**
 * For tests: a live store as the suite of stores wants it.
 *
 * @module
 */
import type { StoreUnderTest } from "../simulation/store_suite.ts";
import type { Store } from "../topology/ports.ts";
import { drive } from "../topology/step.ts";
import { type LiveProcess, newLiveProcess } from "./live_process.ts";
import type { LiveStore } from "./live_store.ts";

/** The suite's table. */
export const jobsSchema = {
  jobs: {
    columns: { name: "text", queue: "text", count: "number", by: "number" },
    unique: [["name"]],
    index: "queue",
  },
} as const;

/** The longest that work of the suite may take, in milliseconds. */
const settleTimeoutMs = 20_000;

/** @param remove called when the store has been closed */
export function liveStoreUnderTest(
  store: LiveStore,
  remove: () => Promise<void> = () => Promise.resolve(),
): StoreUnderTest {
  const processes = new Map<Store, LiveProcess>();
  const pending = new Set<Promise<unknown>>();
  return {
    connect() {
      const process = newLiveProcess(`process-${processes.size}`);
      const connection = store.connect(process);
      processes.set(connection, process);
      return connection;
    },
    crash(connection) {
      const process = processes.get(connection)!;
      process.isLive = false;
      store.abandon(process);
    },
    begin(work) {
      const ended = new Promise((done, failed) =>
        drive(work, { isLive: () => true, done, failed })
      );
      ended.catch(() => {});
      pending.add(ended);
    },
    async settle() {
      const timeout = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => timeout.reject(new Error(`It has not ended within ${settleTimeoutMs} ms`)),
        settleTimeoutMs,
      );
      try {
        await Promise.race([Promise.all(pending), timeout.promise]);
      } finally {
        clearTimeout(timer);
        pending.clear();
      }
    },
    async close() {
      await store.close();
      await remove();
    },
  };
}
