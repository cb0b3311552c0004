/**
 * The topics that a program cannot do without, compared with those that there are, again and again:
 * what is missing is made again, and said in the readiness until it is there.
 *
 * @module
 */
import type { Bus } from "../../service/bus/bus.ts";
import type { NeededTopic } from "../../service/bus/open_bus.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";

/** Options of {@linkcode watchTopics}. */
export interface WatchTopicsOptions {
  /** The bus that is asked; it stays open. */
  bus: Bus;
  /** What has to be there. */
  topics: readonly NeededTopic[];
  /** Time between two looks, in milliseconds. @default 10_000 */
  intervalMs?: number;
}

/**
 * Looks after the topics until the function that it gives is called.
 *
 * @example
 * ```ts
 * const unwatch = watchTopics({ bus, topics: [requestTopicOf(options)] }, context);
 * ```
 */
export function watchTopics(
  { bus, topics, intervalMs = 10_000 }: WatchTopicsOptions,
  { health, log, world }: Pick<ServiceContext, "health" | "log" | "world">,
): () => void {
  let looking = false;
  /** What was said of each last, so that each is said once. */
  const said = new Map<string, string>();

  async function look(): Promise<void> {
    if (looking) return;
    looking = true;
    const missing: string[] = [];
    for (const topic of topics) {
      try {
        if (!await bus.describeTopic(topic.name)) {
          missing.push(topic.name);
          health.set("topics", { reason: `missing: ${missing.join(", ")}` });
          await bus.createTopic(topic.name, topic);
          log.warn("A topic was missing, it is made again", { topic: topic.name });
          missing.pop();
        }
        said.delete(topic.name);
      } catch (error) {
        const reason = reasonOf(error);
        if (said.get(topic.name) !== reason) {
          log.warn("A topic cannot be looked after", { topic: topic.name, reason });
        }
        said.set(topic.name, reason);
      }
    }
    if (missing.length === 0) health.set("topics", "ok");
    looking = false;
  }

  health.set("topics", "ok");
  const timer = world.setInterval(() => void look(), intervalMs);
  return () => world.clearInterval(timer);
}
