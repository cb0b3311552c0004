/**
 * `/api/map`: who calls whom.
 *
 * @module
 */
import type { Hono } from "hono";
import { durationParameter } from "../queries/query.ts";
import { serviceMap } from "../queries/service_map.ts";
import { apiPaths, type MapAnswer } from "./api.ts";
import type { PageApiOptions } from "./page_api.ts";

/**
 * It goes through all spans: kept for five times as long as it took to make, it costs a sixth of a core
 * at most, however many look at it.
 */
export function addMapRoute(
  app: Hono,
  { store, programs, world }: Pick<PageApiOptions, "store" | "programs" | "world">,
): void {
  let last: { key: string; untilMs: number; answer: MapAnswer } | undefined;
  app.get(apiPaths.map, async (c) => {
    const listed = await programs();
    const lookbackUs = durationParameter((name) => c.req.query(name), "lookback") ?? 300_000_000;
    // What was cleared is gone at once, and a program that has died is seen at once.
    const key = JSON.stringify([lookbackUs, store.traces.traces === 0, listed]);
    const beganMs = world.monotonicMs();
    if (last?.key !== key || beganMs >= last.untilMs) {
      const toMs = world.nowMs();
      const answer = serviceMap({
        traces: store.traces.newestFirst(),
        traceOf: (traceId) => store.traces.get(traceId),
        serviceOf: (name) => store.services.get(name),
        fromMs: toMs - lookbackUs / 1000,
        toMs,
        programs: listed,
      });
      const endedMs = world.monotonicMs();
      last = { key, untilMs: endedMs + 5 * (endedMs - beganMs), answer };
    }
    return c.json(last.answer);
  });
}
