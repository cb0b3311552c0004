/**
 * Counts what happens, and hands it on in small steps to whoever watches.
 *
 * @module
 */
import type { TimerId, World } from "../../service/world/world.ts";
import { orderStage, resultStage } from "../topology/settings.ts";
import type { LiveEvent } from "./live_event.ts";
import type { LiveCounters, LiveStep, LiveSteps } from "./live_state.ts";
import type { StoreStatus } from "./live_store.ts";

/** Options of {@linkcode LiveObserver}. */
export interface LiveObserverOptions {
  readonly world: World;
  /** Takes what has happened, at most ten times a second. */
  readonly onSteps: (steps: LiveSteps) => void;
}

const batchMs = 100;
const maxSteps = 500;

/** Notes after which something is tried again. */
const retries = new Set(["place-again", "not-sent", "not-taken-in", "failed"]);

/** Watches the live topology. */
export class LiveObserver {
  readonly #options: LiveObserverOptions;
  readonly #events: Omit<LiveCounters, "placed" | "applied" | "confirmed" | "inFlight" | "lost"> = {
    deadLettered: 0,
    retried: 0,
    duplicatesDropped: 0,
    redelivered: 0,
    faults: {},
  };
  #orders = 0;
  #effects: Record<string, number> = {};
  #steps: LiveStep[] = [];
  #leftOut = 0;
  #timer: TimerId | undefined;

  constructor(options: LiveObserverOptions) {
    this.#options = options;
  }

  /** What the stores have. */
  sampled([first, second]: readonly [StoreStatus, StoreStatus]): void {
    this.#orders = first.orders;
    this.#effects = { ...first.effects, ...second.effects };
    this.#events.deadLettered = [...first.boxes, ...second.boxes]
      .reduce((sum, { parked }) => sum + parked, 0);
  }

  /** Takes an event in. */
  take(event: LiveEvent): void {
    switch (event.type) {
      case "placed":
        this.#orders++;
        return this.step({ ...event, event: "placed", subject: event.orderId });
      case "effect":
        this.#effects[event.consumer] = (this.#effects[event.consumer] ?? 0) + 1;
        return this.step({
          ...{ ...event, event: "effect", subject: event.messageId },
          detail: event.consumer,
        });
      case "delivered":
        if (event.attempt > 1) this.#events.redelivered++;
        return this.step({
          ...{ ...event, event: "delivered", subject: event.messageId },
          detail: `${event.topic}, attempt ${event.attempt}`,
        });
      case "fault": {
        const name = event.point === undefined ? event.kind : `${event.point}:${event.kind}`;
        const { faults } = this.#events;
        faults[name] = (faults[name] ?? 0) + 1;
        const detail = [event.kind, event.detail].filter((one) => one !== "").join(", ");
        return this.step({ ...event, event: "fault", detail });
      }
      case "note":
        if (retries.has(event.event)) this.#events.retried++;
        if (event.event.endsWith("dup") || event.event === "duplicate") {
          this.#events.duplicatesDropped++;
        }
        return this.step(event);
      case "call":
        // Polls that find nothing are no news.
        if (event.trace === undefined && event.error === undefined) return;
        return this.step({
          ...{ ...event, event: "call", atMs: event.endMs },
          detail: event.error,
        });
    }
  }

  /** Adds a step. */
  step({ atMs, part, event, subject, point, detail, trace }: LiveStep): void {
    if (this.#steps.length >= maxSteps) this.#leftOut++;
    else {
      this.#steps.push({
        ...{ atMs, part, event, subject },
        ...(point !== undefined && { point }),
        ...(detail !== undefined && detail !== "" && { detail }),
        ...(trace !== undefined && { trace: traceIdOf(trace) }),
      });
    }
    this.#timer ??= this.#options.world.setTimeout(() => this.#send(), batchMs);
  }

  /** @param open what lies in all boxes together */
  counters(open: number): LiveCounters {
    const count = (consumer: string) => this.#effects[consumer] ?? 0;
    const applied = Math.min(...orderStage.consumers.map(count));
    const confirmed = Math.min(...resultStage.consumers.map(count));
    const missing = Math.max(0, this.#orders - confirmed);
    const lost = open === 0 ? missing : 0;
    return {
      ...{ placed: this.#orders, applied, confirmed },
      ...{ inFlight: missing - lost, lost },
      ...this.#events,
      faults: { ...this.#events.faults },
    };
  }

  /** Nothing is sent any more. */
  stop(): void {
    this.#options.world.clearTimeout(this.#timer);
  }

  #send(): void {
    this.#timer = undefined;
    const [steps, leftOut] = [this.#steps, this.#leftOut];
    this.#steps = [];
    this.#leftOut = 0;
    this.#options.onSteps({ steps, leftOut });
  }
}

/** The trace's id of a `traceparent`. */
export function traceIdOf(traceparent: string): string {
  return traceparent.split("-")[1] ?? traceparent;
}
