/**
 * Steps of a start that may take for ever: what a broker refuses is tried again and again, as
 * whoever may grant it may do so any minute.
 *
 * @module
 */
import { BusError } from "../../service/bus/bus.ts";
import { StartError } from "../../service/life_cycle.ts";

/**
 * Waits for a step, but no longer than until the program is asked to stop.
 *
 * @throws {StartError} the stop came first, or the bus failed for longer than a start may wait; and
 * what else the step rejects with
 *
 * @example
 * ```ts
 * await unlessStopped("its keys were published", publisher.published, context.stopping);
 * ```
 */
export async function unlessStopped<Result>(
  what: string,
  step: Promise<Result>,
  stopping: AbortSignal,
): Promise<Result> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const onStop = () => reject(new StartError(`It was asked to stop before ${what}.`));
  if (stopping.aborted) onStop();
  else stopping.addEventListener("abort", onStop, { once: true });
  try {
    return await Promise.race([step, stopped]);
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    throw new StartError(
      `Cannot start, before ${what}: ${error.message}. Start it again when the broker answers.`,
    );
  } finally {
    stopping.removeEventListener("abort", onStop);
  }
}
