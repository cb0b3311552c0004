/**
 * The frontend: it places orders with backend 1, whoever asks for them, and those that come by themselves.
 *
 * @module
 */
import type { Log } from "../../service/log.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import { findOrder, type Order, type PlacedOrder, submitOrder } from "../topology/backend_one.ts";
import { LinkError, type Surroundings } from "../topology/ports.ts";
import type { Settings } from "../topology/settings.ts";
import { drive, fromPromise, type Step, toPromise } from "../topology/step.ts";
import type { ChildPart } from "./child_part.ts";
import type { LiveLinks } from "./live_links.ts";
import { LiveError } from "./live_options.ts";
import { type LiveProcess, newLiveProcess } from "./live_process.ts";
import type { LiveRecorder } from "./live_recorder.ts";
import { timeouts } from "./live_settings.ts";
import type { PartState } from "./live_state.ts";
import type { LiveStore } from "./live_store.ts";
import type { PartRuntime } from "./part_runtime.ts";

/** An instance of backend 1's side to its clients. */
export interface Api {
  readonly runtime: PartRuntime | ChildPart;
  readonly state: PartState["state"];
}

/** What the frontend works with. */
export interface FrontendSources {
  readonly keys: readonly string[];
  readonly settings: Settings;
  /** Backend 1's. */
  readonly store: LiveStore;
  readonly links: LiveLinks;
  readonly recorder: LiveRecorder;
  readonly apis: () => readonly Api[];
  /** The world of a process whose calls do not fail by themselves. */
  readonly surround: (process: LiveProcess) => Surroundings;
  readonly world: World;
  readonly log: Log;
}

/** The most orders on their way from the frontend at once. */
const maxSubmitting = 1_000;

/** How often it is looked which orders are due, in milliseconds. */
export const trickleMs = 50;

/** Orders that were due for longer than this are not made up for, in milliseconds. */
const maxLateMs = 1_000;

/** Places orders. */
export class Frontend {
  readonly process = newLiveProcess("frontend");
  readonly #sources: FrontendSources;
  /** Who crashes when the call about that order does. */
  readonly #asked = new Map<string, LiveProcess>();
  #nextOrder = 1;
  #turn = 0;
  #submitting = 0;
  #rate = 0;
  #dueOrders = 0;
  #trickledAtMs = 0;

  constructor(sources: FrontendSources) {
    this.#sources = sources;
  }

  /** Goes on behind the orders that are in the store. */
  async start(): Promise<void> {
    const newest = await this.#sources.store.newest("orders", 1_000);
    const numbers = newest.map((row) => Number(String(row["orderId"]).slice(1)))
      .filter(Number.isSafeInteger);
    this.#nextOrder = Math.max(0, ...numbers) + 1;
  }

  /** Ends what is on its way. */
  stop(): void {
    this.process.isLive = false;
  }

  /** Orders a second that come by themselves. */
  get rate(): number {
    return this.#rate;
  }

  set rate(ordersPerSecond: number) {
    this.#rate = ordersPerSecond;
    this.#dueOrders = 0;
    this.#trickledAtMs = this.#sources.world.monotonicMs();
  }

  /** Whether orders are on their way to backend 1. */
  get isSubmitting(): boolean {
    return this.#submitting > 0;
  }

  /** Which instance has been asked for an order. */
  askedFor(orderId: string): LiveProcess | undefined {
    return this.#asked.get(orderId);
  }

  /**
   * Places an order once, as the resolver of `placeOrder` does: whatever goes wrong is the caller's.
   *
   * @param order without `id` it is given one; without `key` one of the keys, in turn
   * @param traceparent of the request; without one the order has a trace of its own
   * @throws {LiveError} `invalid`: the id or the key cannot be
   * @throws {LinkError} backend 1 could not be reached, or did not answer in time
   */
  async place(
    order: { id?: string | undefined; key?: string | undefined },
    traceparent?: string,
  ): Promise<PlacedOrder> {
    const whole = this.#wholeOrder(order, traceparent);
    await toPromise(
      this.#sources.links.connect(this.process).call(
        1,
        whole.id,
        () => this.#ask(whole),
        whole.trace,
      ),
    );
    const placed = await this.findOrder(whole.id);
    if (placed === undefined) throw new LinkError("refused", "The order is not stored");
    return placed;
  }

  /**
   * Lets the frontend place orders: it asks again until backend 1 has them.
   *
   * @throws {LiveError} `busy`: too many are on their way; `invalid`: there is no such key
   */
  submit(count: number, key?: string): string[] {
    if (this.#submitting + count > maxSubmitting) {
      throw new LiveError(
        "busy",
        `The frontend has ${this.#submitting} orders on their way already`,
      );
    }
    return Array.from({ length: count }, () => {
      const order = this.#wholeOrder({ key });
      this.#drive(order);
      return order.id;
    });
  }

  /** An order, as backend 1 knows it. */
  async findOrder(id: string): Promise<PlacedOrder | undefined> {
    const store = this.#sources.store.connect(this.process);
    return await toPromise(findOrder({ store }, id));
  }

  /** The newest orders, newest first. */
  async newestOrders(limit: number): Promise<PlacedOrder[]> {
    const rows = await this.#sources.store.newest("orders", limit);
    const found = await Promise.all(rows.map((row) => this.findOrder(row["orderId"] as string)));
    return found.filter((order) => order !== undefined);
  }

  #wholeOrder(
    { id, key }: { id?: string | undefined; key?: string | undefined },
    traceparent?: string,
  ): Required<Order> {
    if (key !== undefined && !this.#sources.keys.includes(key)) {
      throw new LiveError(
        "invalid",
        `There is no key '${key}': there are ${this.#sources.keys.join(", ")}`,
      );
    }
    if (id !== undefined && !this.#canBeId(id)) {
      throw new LiveError(
        "invalid",
        "An id is 'o-' and 1 to 60 letters, digits, '-' or '_', or the 'o17' of an order that is there",
      );
    }
    const number = this.#nextOrder;
    const whole = {
      id: id ?? `o${this.#nextOrder++}`,
      key: key ?? this.#sources.keys[number % this.#sources.keys.length]!,
      trace: traceparent ?? this.#newTraceparent(),
    };
    this.#sources.recorder.ordered(whole.id, whole.key, this.#sources.world.nowMs());
    return whole;
  }

  /** Names of our own are for orders that were given them. */
  #canBeId(id: string): boolean {
    if (/^o-[A-Za-z0-9_-]{1,60}$/.test(id)) return true;
    return /^o[1-9]\d{0,14}$/.test(id) && Number(id.slice(1)) < this.#nextOrder;
  }

  #newTraceparent(): string {
    const hex = (length: number) =>
      [...this.#sources.world.randomBytes(length)].map((one) => one.toString(16).padStart(2, "0"))
        .join("");
    return `00-${hex(16)}-${hex(8)}-01`;
  }

  /** Asks one of backend 1's instances, each time another. */
  *#ask(order: Order): Step<void> {
    const apis = this.#sources.apis();
    const api = apis[this.#turn++ % apis.length]!;
    if (api.state !== "running") throw new LinkError("refused", `${api.runtime.plan.name} is down`);
    this.#asked.set(order.id, api.runtime.process);
    const timeout = Promise.withResolvers<never>();
    const timer = this.#sources.world.setTimeout(
      () => timeout.reject(new LinkError("timeout", "Backend 1 does not answer")),
      timeouts.callMs,
    );
    try {
      yield* fromPromise(() => Promise.race([api.runtime.place(order), timeout.promise]));
    } finally {
      this.#sources.world.clearTimeout(timer);
      this.#asked.delete(order.id);
    }
  }

  #drive(order: Required<Order>): void {
    this.#submitting++;
    const ended = () => this.#submitting--;
    const frontend: Surroundings = {
      ...this.#sources.surround(this.process),
      link: this.#sources.links.connect(this.process),
    };
    drive(submitOrder(frontend, this.#sources.settings, order, (one) => this.#ask(one)), {
      isLive: () => this.process.isLive,
      done: ended,
      failed: (error) => {
        ended();
        this.#sources.log.error("An order cannot be placed", {
          order: order.id,
          reason: reasonOf(error),
        });
      },
    });
  }

  /** The orders that are due by the rate. */
  trickle(): void {
    if (this.#rate === 0) return;
    const nowMs = this.#sources.world.monotonicMs();
    // A timer that is late must not make the rate lower; one that has not come for long, as of a program that was
    // stopped, must not make it a flood.
    this.#dueOrders += this.#rate * Math.min(nowMs - this.#trickledAtMs, maxLateMs) / 1_000;
    this.#trickledAtMs = nowMs;
    const due = Math.floor(this.#dueOrders);
    this.#dueOrders -= due;
    // Behind a backend that is down orders do not pile up: customers go away.
    const count = Math.min(due, maxSubmitting - this.#submitting);
    if (count > 0) this.submit(count);
  }
}
