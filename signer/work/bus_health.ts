/**
 * What the bus's state means for the program's health and log.
 *
 * @module
 */
import type { ReaderState } from "../../service/bus/bus.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";

/**
 * Makes the `onState` of a reader or publisher: the part of the health that depends on it is on or
 * off, and an outage is in the log.
 *
 * @example
 * ```ts
 * await bus.follow({ topic, from: "end", handle, onState: busHealth("answers", context) });
 * ```
 */
export function busHealth(
  part: string,
  { health, log }: Pick<ServiceContext, "health" | "log">,
): (state: ReaderState) => void {
  return function setHealth(state) {
    // The broker's own words are for the log, not for whoever may ask for the health.
    health.set(part, state === "ok" ? "ok" : { reason: "the bus is not reachable" });
    if (state === "ok") log.debug("The bus works", { part });
    else log.warn("The bus does not work; trying again", { part, reason: state.reason });
  };
}
