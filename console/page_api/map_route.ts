/**
 * `/api/map`: who calls whom, and `/api/rates`: how each works over time. Both go through all spans.
 *
 * @module
 */
import type { Hono } from "hono";
import type { World } from "../../service/world/world.ts";
import { durationParameter } from "../queries/query.ts";
import { serviceMap } from "../queries/service_map.ts";
import { serviceRates } from "../queries/service_rates.ts";
import { apiPaths, type MapAnswer, type RatesAnswer } from "./api.ts";
import type { PageApiOptions } from "./page_api.ts";

/** Adds both. */
export function addMapRoutes(
  app: Hono,
  { store, programs, world }: Pick<PageApiOptions, "store" | "programs" | "world">,
): void {
  const map = keptAnswer<MapAnswer>(world);
  app.get(apiPaths.map, async (c) => {
    const listed = await programs();
    const lookbackUs = durationParameter((name) => c.req.query(name), "lookback") ?? 300_000_000;
    // What was cleared is gone at once, and a program that has died is seen at once.
    const key = JSON.stringify([lookbackUs, store.traces.traces === 0, listed]);
    return c.json(map(key, () => {
      const toMs = world.nowMs();
      return serviceMap({
        traces: store.traces.newestFirst(),
        traceOf: (traceId) => store.traces.get(traceId),
        serviceOf: (name) => store.services.get(name),
        fromMs: toMs - lookbackUs / 1000,
        toMs,
        programs: listed,
      });
    }));
  });

  const rates = keptAnswer<RatesAnswer>(world);
  app.get(apiPaths.rates, (c) => {
    const lookbackUs = durationParameter((name) => c.req.query(name), "lookback") ?? 900_000_000;
    return c.json(rates(JSON.stringify([lookbackUs, store.traces.traces === 0]), () => {
      const nowMs = world.nowMs();
      return serviceRates({
        traces: store.traces.newestFirst(),
        fromMs: nowMs - lookbackUs / 1000,
        nowMs,
      });
    }));
  });
}

/**
 * An answer kept for five times as long as it took to make: it costs a sixth of a core at most, however
 * many ask for it.
 */
function keptAnswer<Answer>(world: World): (key: string, make: () => Answer) => Answer {
  let last: { key: string; untilMs: number; answer: Answer } | undefined;
  return (key, make) => {
    const beganMs = world.monotonicMs();
    if (last?.key !== key || beganMs >= last.untilMs) {
      const answer = make();
      const endedMs = world.monotonicMs();
      last = { key, untilMs: endedMs + 5 * (endedMs - beganMs), answer };
    }
    return last.answer;
  };
}
