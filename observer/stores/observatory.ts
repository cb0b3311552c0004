/**
 * All watched stores together: triggers go to each, the page and the metrics read from here.
 *
 * @module
 */
import type { Attributes, Meter, Tracer } from "@opentelemetry/api";
import type { Log } from "../../service/log.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { version } from "../../service/version.ts";
import { type StoresAnswer, storeView } from "../api.ts";
import { CriStore } from "./cri_store.ts";
import type { Endpoint } from "../grpc/endpoint.ts";
import { ObserverMetrics } from "../metrics/metrics.ts";
import { rktStore } from "./rkt_store.ts";
import { type RpcTracing, rpcTracing } from "../grpc/rpc_span.ts";
import { type Observation, type StoreState, StoreWatch, type Trigger } from "./store_watch.ts";

/** Options of {@linkcode Observatory}. */
export interface ObservatoryOptions {
  tracer: Tracer;
  meter: Meter;
  log: Log;
  /** How long one observation may take, in milliseconds. @default 10_000 */
  timeoutMs?: number;
  /** Larger gRPC messages fail their observation, in bytes. @default 67_108_864 */
  maxMessageBytes?: number;
  /** Time between two observations, in milliseconds, for the page to show; 0 for none. @default 0 */
  intervalMs?: number;
  /** The most series of single images; 0 for none. @default 0 */
  perImageLimit?: number;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Watches stores. */
export class Observatory {
  /** What has been counted and seen. */
  readonly metrics: ObserverMetrics;
  readonly #options: ObservatoryOptions;
  readonly #tracing: RpcTracing;
  readonly #watches = new Map<string, StoreWatch>();
  readonly #subscribers = new Set<() => void>();

  constructor(options: ObservatoryOptions) {
    this.#options = options;
    this.#tracing = rpcTracing(options.tracer, options.meter, options.world);
    this.metrics = new ObserverMetrics({
      states: () => this.states(),
      version,
      meter: options.meter,
      perImageLimit: options.perImageLimit ?? 0,
    });
  }

  /** Watches a store from now on; one that is watched already is left as it is. */
  add(endpoint: Endpoint): void {
    const id = `${endpoint.kind}=${endpoint.address}`;
    if (this.#watches.has(id)) return;
    const { tracer, log, timeoutMs = 10_000, maxMessageBytes = 67_108_864, world = realWorld } =
      this.#options;
    const storeOptions = {
      ...{ endpoint, maxMessageBytes, tracing: this.#tracing, world },
      partTimeoutMs: Math.ceil(timeoutMs / 2),
    };
    const watch = new StoreWatch({
      endpoint,
      makeStore: (onLost) =>
        endpoint.kind === "rkt"
          ? rktStore(storeOptions)
          : new CriStore({ ...storeOptions, onLost }),
      timeoutMs,
      tracer,
      log,
      onOutcome: (_, trigger, outcome, observation) =>
        this.metrics.count(endpoint, trigger, outcome, observation),
      onChange: () => this.#subscribers.forEach((notify) => notify()),
      world,
    });
    this.#watches.set(id, watch);
    this.metrics.addStore(endpoint);
  }

  /** Observes every store; resolves when all have been, well or not. */
  async trigger(trigger: Trigger): Promise<(Observation & { store: string })[]> {
    const attributes: Attributes = {};
    if (trigger === "sigquit") {
      this.metrics.countSignal();
      attributes["observer.signals"] = this.metrics.signals;
    }
    return await Promise.all(
      [...this.#watches].map(async ([store, watch]) => ({
        ...await watch.trigger(trigger, attributes),
        store,
      })),
    );
  }

  /** The stores as they are now. */
  states(): StoreState[] {
    return [...this.#watches.values()].map(({ state }) => state);
  }

  /** All of it without the images, for the page. */
  view(): StoresAnswer {
    return {
      pid: Deno.pid,
      signals: this.metrics.signals,
      intervalMs: this.#options.intervalMs ?? 0,
      atMs: (this.#options.world ?? realWorld).nowMs(),
      stores: this.states().map(storeView),
    };
  }

  /** Calls `notify` at every change, until what it returns is called. */
  subscribe(notify: () => void): () => void {
    this.#subscribers.add(notify);
    return () => this.#subscribers.delete(notify);
  }

  /** Waits for what is under way, until the deadline. */
  async stop(deadline: AbortSignal): Promise<void> {
    await Promise.all(this.#watches.values().map((watch) => watch.stop(deadline)));
  }
}
