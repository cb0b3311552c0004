/**
 * The topics of answers that REST APIs make for themselves, and what becomes of those whose REST
 * API is gone.
 *
 * @module
 */
import type { Bus } from "../../service/bus/bus.ts";
import { realWorld, type TimerId, type World } from "../../service/world/world.ts";

/**
 * A name for an instance's own topic of answers, after {@linkcode responsePrefix}. When it was made
 * comes first, so that a person sees which topic is old.
 *
 * @example
 * ```ts
 * instanceName(realWorld); // "mwqbz535-abaab331"
 * ```
 */
export function instanceName(world: Pick<World, "nowMs" | "randomUuid">): string {
  return `${world.nowMs().toString(36)}-${world.randomUuid().slice(0, 8)}`;
}

/** What {@linkcode instanceName} makes: a topic that a person named by hand is theirs. */
const instancePattern = /^[0-9a-z]{8,10}-[0-9a-f]{8}$/;

/** Options of {@linkcode sweepResponseTopics}. */
export interface SweepOptions {
  /** The bus that is used; it stays open. */
  bus: Bus;
  /** What the topics' names begin with. */
  prefix: string;
  /** Time between two polls, in milliseconds. */
  intervalMs: number;
  /** Notified of each topic that was removed. */
  onRemoved: (topic: string) => void;
  /** Time and chance. @default realWorld */
  world?: World;
}

/** A sweep that goes on until it is stopped. */
export interface Sweep {
  stop(): void;
}

/**
 * Removes topics whose reader is gone: a topic goes only when nobody reads it at two polls in a
 * row, a whole interval apart, so that one whose reader is just coming back stays.
 */
export function sweepResponseTopics(options: SweepOptions): Sweep {
  return new ResponseTopicSweep(options);
}

class ResponseTopicSweep implements Sweep {
  readonly #options: SweepOptions;
  readonly #world: World;
  readonly #timer: TimerId;
  /** Topics that nobody read at the last poll. */
  #suspects: ReadonlySet<string> = new Set();
  #polling = false;

  constructor(options: SweepOptions) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
    this.#timer = this.#world.setInterval(() => this.#poll(), options.intervalMs);
  }

  stop(): void {
    this.#world.clearInterval(this.#timer);
  }

  async #poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    try {
      this.#suspects = await this.#removeSuspects(await this.#unreadTopics());
    } catch {
      // The broker is away, or does not let us: what could not be swept costs an empty topic.
      this.#suspects = new Set();
    }
    this.#polling = false;
  }

  async #unreadTopics(): Promise<Set<string>> {
    const { bus, prefix } = this.#options;
    const topics = await bus.unfollowedTopics(prefix);
    return new Set(topics.filter((topic) => instancePattern.test(topic.slice(prefix.length))));
  }

  /** Removes what was suspect before and is unread again; gives what is suspect from now on. */
  async #removeSuspects(unread: Set<string>): Promise<Set<string>> {
    for (const topic of unread) {
      if (!this.#suspects.has(topic)) continue;
      await this.#options.bus.deleteTopic(topic);
      this.#options.onRemoved(topic);
    }
    return unread;
  }
}
