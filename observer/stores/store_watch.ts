/**
 * Watches one image store: turns triggers into observations, one at a time, and holds what the last
 * good one saw.
 *
 * A trigger while an observation runs asks for another one after it, as that one may have missed
 * what the trigger is about; all triggers until then share it. Each is counted and has its trace.
 *
 * @module
 */
import {
  type Attributes,
  context,
  type Span,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { Log } from "../../service/log.ts";
import { timeoutSignal } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import type { Endpoint } from "../grpc/endpoint.ts";
import { type FailureKind, ObservationError, timedOut } from "../grpc/failure.ts";
import type { OnMoment } from "../grpc/grpc_connection.ts";
import type {
  FilesystemUse,
  ImageStore,
  RuntimeInfo,
  StoreImage,
  StoreSnapshot,
} from "./image_store.ts";
import { uniqueSnapshot } from "./unique_snapshot.ts";

/** What asks for an observation: the signal, the interval, a `POST /observe`. */
export const triggers = ["sigquit", "interval", "http"] as const;
/** One of {@linkcode triggers}. */
export type Trigger = typeof triggers[number];

/** How a trigger ended: an observation of its own, good or failed, or it shared another's. */
export type Outcome = "success" | FailureKind | "coalesced";

/** An observation that is over. */
export interface Observation {
  /** When it began, in milliseconds since the epoch. */
  readonly atMs: number;
  readonly durationMs: number;
  readonly trigger: Trigger;
  readonly outcome: Exclude<Outcome, "coalesced">;
  /** Images seen; `undefined` when it failed. */
  readonly imageCount: number | undefined;
  /** Images that came and went since the good observation before; `undefined` at the first, or when it failed. */
  readonly changed: { readonly added: number; readonly removed: number } | undefined;
  /** Why it failed. */
  readonly reason: string | undefined;
  /** Its trace and span, when it is sampled. */
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
}

/** What the last good observation saw; each image and each mount point once. */
export interface Inventory {
  /** When, in milliseconds since the epoch. */
  readonly atMs: number;
  readonly images: readonly StoreImage[];
  /** Names and images that came and could not be read. */
  readonly unreadable: number;
  /** As they were when they could be read last. */
  readonly filesystems: readonly FilesystemUse[];
  /** Whether that was this time; `undefined` where the store never says. */
  readonly filesystemsUp: boolean | undefined;
  /** What was amiss with the parts, a sentence each. */
  readonly problems: readonly string[];
  readonly runtime: RuntimeInfo | undefined;
  /** When each image, by its id, was seen first by this process. */
  readonly firstSeenMs: ReadonlyMap<string, number>;
  /** Images that came and went since the good observation before, whose time it names. */
  readonly changes:
    | {
      readonly sinceMs: number;
      readonly added: readonly StoreImage[];
      readonly removed: readonly StoreImage[];
    }
    | undefined;
}

/** All that is known of a store. */
export interface StoreState {
  readonly endpoint: Endpoint;
  /**
   * Whether the inventory can be taken as current: the last observation was good, and the kept
   * connection, where there is one, has not been lost since.
   */
  readonly up: boolean;
  /** Why it is not up. `undefined` also before the first observation. */
  readonly reason: string | undefined;
  readonly inventory: Inventory | undefined;
  /** Newest last. */
  readonly history: readonly Observation[];
}

/** Options of {@linkcode StoreWatch}. */
export interface StoreWatchOptions {
  endpoint: Endpoint;
  /** Makes the store; it calls `onLost` when a kept connection is gone. */
  makeStore: (onLost: (reason: Error) => void) => ImageStore;
  /** How long an observation may take, in milliseconds. */
  timeoutMs: number;
  tracer: Tracer;
  log: Log;
  /** Called for each trigger that is over, before those who wait for it are woken. */
  onOutcome: (
    watch: StoreWatch,
    trigger: Trigger,
    outcome: Outcome,
    observation?: Observation,
  ) => void;
  /** Called when the state is another. */
  onChange: (watch: StoreWatch) => void;
  /** Observations remembered. @default 1_000 */
  maxHistory?: number;
  /** Time and chance. */
  world: World;
}

/** A trigger that has its observation, running or next. */
interface Job {
  readonly trigger: Trigger;
  readonly span: Span;
  readonly done: PromiseWithResolvers<Observation>;
  coalesced: number;
}

/** What is known of an observation when it begins. */
type Begun = Pick<Observation, "atMs" | "trigger" | "traceId" | "spanId">;

/** More links than this are not kept by a span; all are counted in its attribute. */
const maxLinks = 128;

/** Watches one store. */
export class StoreWatch {
  readonly #options: StoreWatchOptions;
  readonly #store: ImageStore;
  readonly #stopping = new AbortController();
  #state: StoreState;
  #running: Job | undefined;
  #next: Job | undefined;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
    const { endpoint } = options;
    this.#state = { endpoint, up: false, reason: undefined, inventory: undefined, history: [] };
    this.#store = options.makeStore((reason) => this.#lost(reason));
  }

  /** What is known now; a new object at each change. */
  get state(): StoreState {
    return this.#state;
  }

  /** Asks for an observation; resolves with the one that serves this trigger, good or failed. */
  trigger(trigger: Trigger, attributes: Attributes = {}): Promise<Observation> {
    const { endpoint, tracer } = this.#options;
    const span = tracer.startSpan(`${endpoint.kind}-count-images`, {
      attributes: {
        "observer.trigger": trigger,
        "observer.runtime": endpoint.kind,
        "observer.endpoint": endpoint.address,
      },
    });
    span.addEvent("signal counter", attributes);
    if (this.#next) return this.#coalesce(this.#next, trigger, span);

    const job = { trigger, span, done: Promise.withResolvers<Observation>(), coalesced: 0 };
    if (this.#running) this.#next = job;
    else this.#run(job);
    return job.done.promise;
  }

  /** Waits for what runs, until the deadline; then cuts it. */
  async stop(deadline: AbortSignal): Promise<void> {
    const cut = () =>
      this.#stopping.abort(new ObservationError("unreachable", "CANCELLED", "The observer stops."));
    if (deadline.aborted) cut();
    else deadline.addEventListener("abort", cut, { once: true });
    while (this.#running) await this.#running.done.promise;
    deadline.removeEventListener("abort", cut);
    this.#store.stop();
  }

  #coalesce(next: Job, trigger: Trigger, span: Span): Promise<Observation> {
    next.coalesced++;
    if (next.coalesced <= maxLinks) next.span.addLink({ context: span.spanContext() });
    span.addLink({ context: next.span.spanContext() });
    span.setAttribute("observer.outcome", "coalesced");
    span.end();
    this.#options.onOutcome(this, trigger, "coalesced");
    return next.done.promise;
  }

  async #run(job: Job): Promise<void> {
    this.#running = job;
    const { trigger, span } = job;
    const observation = await context.with(
      trace.setSpan(context.active(), span),
      () => this.#observe(job),
    );
    span.setAttributes({
      "observer.outcome": observation.outcome,
      "observer.coalesced_triggers": job.coalesced,
    });
    span.end();
    this.#options.onOutcome(this, trigger, observation.outcome, observation);
    this.#running = undefined;
    const next = this.#next;
    this.#next = undefined;
    if (next) this.#run(next);
    job.done.resolve(observation);
  }

  /** One poll, and what it means for the state. It never rejects: a failure is an observation too. */
  async #observe({ trigger, span }: Job): Promise<Observation> {
    const { world } = this.#options;
    const startMs = world.monotonicMs();
    const { traceId, spanId, traceFlags } = span.spanContext();
    const begun: Begun = {
      atMs: world.nowMs(),
      trigger,
      ...(traceFlags & 1 ? { traceId, spanId } : { traceId: undefined, spanId: undefined }),
    };
    try {
      const snapshot = uniqueSnapshot(await this.#poll(span));
      return this.#succeed(begun, span, world.monotonicMs() - startMs, snapshot);
    } catch (error) {
      const failure = error instanceof ObservationError
        ? error
        : new ObservationError("protocol", "UNKNOWN", String(error), error);
      return this.#fail(begun, span, world.monotonicMs() - startMs, failure);
    }
  }

  #succeed(begun: Begun, span: Span, durationMs: number, snapshot: StoreSnapshot): Observation {
    const inventory = nextInventory(this.#state.inventory, snapshot, begun.atMs);
    const { changes } = inventory;
    const observation: Observation = {
      ...begun,
      durationMs,
      outcome: "success",
      imageCount: snapshot.images.length,
      changed: changes && { added: changes.added.length, removed: changes.removed.length },
      reason: undefined,
    };
    this.#noteProblems(inventory.problems);
    this.#setState({ up: true, reason: undefined, inventory }, observation);
    span.setAttribute("observer.images", snapshot.images.length);
    return observation;
  }

  /** Each state of the parts is said once. */
  #noteProblems(problems: readonly string[]): void {
    const before = this.#state.inventory?.problems ?? [];
    if (problems.join() === before.join()) return;
    const { endpoint, log } = this.#options;
    const store = { runtime: endpoint.kind, endpoint: endpoint.address };
    if (problems.length === 0) return log.info("All of an image store can be read again", store);
    log.warn("Parts of an image store cannot be used", { ...store, reason: problems.join(" ") });
  }

  #fail(begun: Begun, span: Span, durationMs: number, failure: ObservationError): Observation {
    const observation: Observation = {
      ...begun,
      durationMs,
      outcome: failure.kind,
      imageCount: undefined,
      changed: undefined,
      reason: failure.message,
    };
    span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message });
    span.setAttribute("error.type", failure.status);
    const wasUp = this.#state.up || this.#state.history.length === 0;
    this.#setState({ up: false, reason: failure.message }, observation);
    // Each failure is in metrics and traces; the log has the first in a row.
    this.#options.log[wasUp ? "warn" : "debug"]("An observation failed", {
      runtime: this.#options.endpoint.kind,
      endpoint: this.#options.endpoint.address,
      reason: failure.message,
    });
    return observation;
  }

  async #poll(span: Span): Promise<StoreSnapshot> {
    const { endpoint, timeoutMs, world } = this.#options;
    const reported = new Set<string>();
    let last = "connecting";
    const onMoment: OnMoment = (moment, attributes) => {
      last = `the last step was: ${moment}`;
      // A call may be made again another way; the first stream is the connection's proof.
      if (reported.has(moment)) return;
      reported.add(moment);
      span.addEvent(moment, attributes);
    };
    using deadline = timeoutSignal(
      timeoutMs,
      { world, signal: this.#stopping.signal },
      () => timedOut(endpoint, last, timeoutMs),
    );
    return await this.#store.poll({ signal: deadline.signal, onMoment });
  }

  #lost(reason: Error): void {
    if (!this.#state.up) return;
    this.#options.log.warn(
      "The connection to an image store is lost, what is known of it is stale",
      {
        runtime: this.#options.endpoint.kind,
        endpoint: this.#options.endpoint.address,
        reason: reason.message,
      },
    );
    this.#setState({ up: false, reason: reason.message });
  }

  #setState(change: Partial<StoreState>, observation?: Observation): void {
    const { maxHistory = 1_000 } = this.#options;
    const history = observation
      ? [...this.#state.history.slice(-(maxHistory - 1)), observation]
      : this.#state.history;
    this.#state = { ...this.#state, ...change, history };
    this.#options.onChange(this);
  }
}

function nextInventory(
  before: Inventory | undefined,
  snapshot: StoreSnapshot,
  atMs: number,
): Inventory {
  const firstSeenMs = new Map(
    snapshot.images.map(({ id }) => [id, before?.firstSeenMs.get(id) ?? atMs]),
  );
  const changes = before && {
    sinceMs: before.atMs,
    added: snapshot.images.filter(({ id }) => !before.firstSeenMs.has(id)),
    removed: before.images.filter(({ id }) => !firstSeenMs.has(id)),
  };
  const filesystems = snapshot.filesystemsUp === false && snapshot.filesystems.length === 0
    ? before?.filesystems ?? []
    : snapshot.filesystems;
  return { ...snapshot, filesystems, atMs, firstSeenMs, changes };
}
