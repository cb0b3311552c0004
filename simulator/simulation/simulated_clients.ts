/**
 * The frontend and its calls: orders that arrive over a time, each asked for until it is placed, each
 * attempt at another instance of backend 1.
 *
 * @module
 */
import { type Order, placeOrder, submitOrder } from "../topology/backend_one.ts";
import { LinkError, type Surroundings } from "../topology/ports.ts";
import type { Settings } from "../topology/settings.ts";
import type { Step } from "../topology/step.ts";
import type { EventLoop, Process } from "./event_loop.ts";
import type { RunOptions } from "./options.ts";

/** Options of {@linkcode SimulatedClients}. */
export interface SimulatedClientsOptions {
  readonly options: RunOptions;
  readonly settings: Settings;
  readonly frontend: Process;
  /** Instances of backend 1. */
  readonly apis: readonly Process[];
  readonly surroundingsOf: (process: Process) => Surroundings;
}

/** Made once: an error's stack would cost more than the call. */
const backendDown = new LinkError("refused", "Backend 1 is down");
const noAnswer = new LinkError("timeout", "Backend 1 does not answer");

/** Everybody who places orders. */
export class SimulatedClients {
  readonly #loop: EventLoop;
  readonly #options: SimulatedClientsOptions;
  /** How often each order has been asked for. */
  readonly #asked = new Map<string, number>();

  constructor(loop: EventLoop, options: SimulatedClientsOptions) {
    this.#loop = loop;
    this.#options = options;
  }

  /** The order of that number, the first being 1. */
  orderOf(number: number): Order {
    const { orderKeys, keys } = this.#options.options;
    return { id: `o${number}`, key: orderKeys?.[number - 1] ?? `k${1 + number % keys}` };
  }

  /** Plans when each order is asked for. */
  placeOrders(): void {
    const { options, settings, frontend, surroundingsOf } = this.#options;
    const { orders, burst, arrivalMs, idleMs } = options;
    const draw = frontend.draw ?? (() => 0.5);
    const part = surroundingsOf(frontend);
    const place = (order: Order) => this.#callBackend(order);
    for (let number = 1; number <= orders; number++) {
      const order = this.orderOf(number);
      const first = number - (number - 1) % burst;
      // Half of the orders come after a time in which nothing happens.
      const idle = number > orders / 2 ? idleMs : 0;
      const atMs = arrivalMs * first / orders + idle + draw() * 3;
      const submit = () => this.#loop.spawn(frontend, submitOrder(part, settings, order, place));
      this.#loop.after(atMs, submit);
    }
  }

  /** An order is asked for. */
  called(orderId: string): void {
    this.#asked.set(orderId, (this.#asked.get(orderId) ?? 0) + 1);
  }

  /** Who is asked: each attempt goes to another instance. */
  apiFor(orderId: string): Process {
    const { apis } = this.#options;
    const turn = Number(orderId.slice(1)) + (this.#asked.get(orderId) ?? 0);
    return apis[turn % apis.length]!;
  }

  *#callBackend(order: Order): Step<void> {
    const { options: { timeoutMs }, settings, surroundingsOf } = this.#options;
    const api = this.apiFor(order.id);
    if (!api.isLive) throw backendDown;
    const work = placeOrder(surroundingsOf(api), settings, order);
    yield* this.#loop.race(api, work, timeoutMs, () => noAnswer);
  }
}
