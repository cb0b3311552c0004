/**
 * A part in a program of its own: it has its own store and, with Kafka, its own bus; it hears from
 * its main program over stdin, answers on stdout, and ends with it.
 *
 * @module
 */
import { openBus } from "../../service/bus/open_bus.ts";
import type { Service, ServiceContext } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { type BusPort, LinkError } from "../topology/ports.ts";
import { backendSchema } from "../topology/settings.ts";
import { fromPromise, type Step } from "../topology/step.ts";
import type { Fault } from "./faults.ts";
import { JsonLines } from "./json_lines.ts";
import { insertedEvent, type LiveEvent } from "./live_event.ts";
import { LiveLinks } from "./live_links.ts";
import type { LiveProcess } from "./live_process.ts";
import { timeouts } from "./live_settings.ts";
import { openLiveStore } from "./open_store.ts";
import { Mailboxes, PartRuntime } from "./part_runtime.ts";
import {
  type BusCall,
  type FromPart,
  fromWire,
  type PartStart,
  type ToPart,
  toWire,
} from "./part_wire.ts";
import { ServiceBus } from "./service_bus.ts";

/** Runs the part that the main program asks for; ends when stdin does. */
export function startPartProgram(context: ServiceContext): Promise<Service> {
  const program = new PartProgram(context);
  return Promise.resolve(program);
}

/** How often it says what lies in its topics, in milliseconds. */
const depthsMs = 1_000;

class PartProgram implements Service {
  readonly finished: Promise<void>;
  readonly #context: ServiceContext;
  readonly #wire: JsonLines<ToPart, FromPart>;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #resources = new AsyncDisposableStack();
  #lastCall = 0;
  #runtime: PartRuntime | undefined;
  #links: LiveLinks | undefined;
  #mailboxes: Mailboxes | undefined;
  #faults: readonly Fault[] = [];
  /** What lies in the topics: as it was told last, and what this part has published since. */
  #depths = new Map<string, number>();

  constructor(context: ServiceContext) {
    this.#context = context;
    const failed = Promise.withResolvers<never>();
    this.#wire = new JsonLines<ToPart, FromPart>({
      readable: Deno.stdin.readable,
      writable: Deno.stdout.writable,
      onMessage: (message) => this.#take(message).catch(failed.reject),
    });
    this.finished = Promise.race([this.#wire.ended, failed.promise]);
    // Who waits for `finished` gets it; a rejection before that is no error of its own.
    this.finished.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#runtime?.kill();
    await this.#resources.disposeAsync();
    await this.#wire.close();
  }

  async #take(message: ToPart): Promise<void> {
    switch (message.type) {
      case "start":
        return await this.#start(message.start);
      case "faults":
        return this.#setFaults(message.faults);
      case "doom":
        if (this.#runtime !== undefined) this.#runtime.process.doom = message.doom;
        return;
      case "wake": {
        const backend = this.#runtime?.plan.backend;
        if (backend !== undefined) this.#mailboxes?.wake(backend, message.box, message.subject);
        return;
      }
      case "depths":
        this.#depths = new Map(message.depths.map(({ topic, depth }) => [topic, depth]));
        return;
      case "answer": {
        const { call, value, error } = message;
        const waiting = this.#calls.get(call);
        this.#calls.delete(call);
        if (error === undefined) waiting?.resolve(value);
        else waiting?.reject(fromWire(error));
        return;
      }
      case "place": {
        const { call, order } = message;
        try {
          if (this.#runtime === undefined) throw new LinkError("refused", "It is not up yet");
          await this.#runtime.place(order);
          this.#wire.send({ type: "placed", call });
        } catch (error) {
          this.#wire.send({ type: "placed", call, error: toWire(error) });
        }
      }
    }
  }

  async #start(start: PartStart): Promise<void> {
    const { plan, settings, seed, store: place } = start;
    const { world, log } = this.#context;
    const emit = (event: LiveEvent) => this.#wire.send({ type: "event", event });
    const links = new LiveLinks({
      seed,
      timeoutMs: timeouts.callMs,
      // Only from outside a process can be killed as by `kill -9`.
      crash: (process, minDownMs) => {
        process.isLive = false;
        this.#wire.send({ type: "crash", minDownMs });
      },
      emit,
      world,
      log,
    });
    const store = await openLiveStore(place, plan.backend, {
      schema: backendSchema(settings),
      world,
      crash: (process) => links.crashAtCommit(process),
      onInserted: (table, row, process) => emit(insertedEvent(table, row, process, world.nowMs())),
    });
    this.#resources.defer(() => store.close());
    const bus = start.bus === undefined ? this.#busOfMain(links) : this.#ownBus(start, links, emit);
    const mailboxes = new Mailboxes(world, (backend, box, subject) => {
      if (backend === plan.backend) this.#wire.send({ type: "wake", box, subject });
    });
    const runtime = new PartRuntime(plan, {
      ...{ settings, seed, store, bus, links, mailboxes, workMs: 0, emit, world, log },
    });
    this.#links = links;
    this.#mailboxes = mailboxes;
    this.#runtime = runtime;
    this.#setFaults(start.faults);
    this.#wire.send({ type: "ready" });
    runtime.start();
  }

  #setFaults(faults: readonly Fault[]): void {
    this.#faults = faults;
    if (this.#links !== undefined) this.#links.faults = faults;
    if (this.#runtime !== undefined) this.#runtime.faults = faults;
  }

  /** A bus of its own, opened when it is used first: most parts never do. */
  #ownBus(
    start: PartStart,
    links: LiveLinks,
    emit: (event: LiveEvent) => void,
  ): (process: LiveProcess) => BusPort {
    let opened: Promise<ServiceBus> | undefined;
    const open = () => fromPromise(() => opened ??= this.#openBus(start, links, emit));
    const published = (topic: string) =>
      void this.#depths.set(topic, (this.#depths.get(topic) ?? 0) + 1);
    return (process) => ({
      publish: function* (topic, message) {
        yield* (yield* open()).connect(process).publish(topic, message);
        published(topic);
      },
      receive: function* (topic, group, limit) {
        return yield* (yield* open()).connect(process).receive(topic, group, limit);
      },
      acknowledge: function* (delivery) {
        yield* (yield* open()).connect(process).acknowledge(delivery);
      },
      release: function* (delivery, delayMs) {
        yield* (yield* open()).connect(process).release(delivery, delayMs);
      },
    });
  }

  async #openBus(
    { bus: flags, topicPrefix }: PartStart,
    links: LiveLinks,
    emit: (event: LiveEvent) => void,
  ): Promise<ServiceBus> {
    const { world, log } = this.#context;
    const bus = await openBus(flags!, { clientId: "simulator-part" }, this.#context);
    this.#resources.defer(() => bus.close());
    const service = new ServiceBus({
      ...{ bus, topicPrefix, world, log },
      leaseMs: timeouts.busLeaseMs,
      pollMs: timeouts.receiveMs,
      timeoutMs: timeouts.callMs,
      takeReorderMs: (process) => links.takeReorderMs(process),
      capacityOf: (topic) => {
        const full = this.#faults.find((one) => one.kind === "full-queue" && one.topic === topic);
        return full?.kind === "full-queue" ? full.capacity : undefined;
      },
      depthOf: (topic) => this.#depths.get(topic) ?? 0,
      onDelivered: (topic, { message, attempt }, { name }) =>
        emit({
          ...{ type: "delivered", part: name, topic, messageId: message.id, attempt },
          ...{ trace: message.trace, atMs: world.nowMs() },
        }),
    });
    this.#resources.defer(() => service.close());
    const timer = world.setInterval(() => {
      service.depths().then(
        (depths) => this.#wire.send({ type: "depths", depths }),
        (error) => log.warn("Cannot count the topics", { reason: reasonOf(error) }),
      );
    }, depthsMs);
    this.#resources.defer(() => world.clearInterval(timer));
    return service;
  }

  /** The main program's bus, asked for each thing. */
  #busOfMain(links: LiveLinks): (process: LiveProcess) => BusPort {
    const ask = <T>(process: LiveProcess, ask: BusCall): Step<T> =>
      fromPromise(() => {
        const delayMs = links.takeReorderMs(process);
        if (delayMs > 0) this.#wire.send({ type: "reorder", delayMs });
        const call = ++this.#lastCall;
        const answer = Promise.withResolvers<unknown>();
        this.#calls.set(call, answer);
        this.#wire.send({ type: "bus", call, ask });
        return answer.promise as Promise<T>;
      });
    return (process) => ({
      publish: (topic, message) => ask(process, { op: "publish", topic, message }),
      receive: (topic, group, limit) => ask(process, { op: "receive", topic, group, limit }),
      acknowledge: (delivery) => ask(process, { op: "acknowledge", delivery }),
      release: (delivery, delayMs) => ask(process, { op: "release", delivery, delayMs }),
    });
  }
}
