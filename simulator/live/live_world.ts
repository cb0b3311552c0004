/**
 * The live topology put together: stores, bus, parts, frontend, faults, and what is known of them.
 *
 * @module
 */
import type { Bus } from "../../service/bus/bus.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { type ScopedWorld, scopedWorld } from "../../service/world/scoped_world.ts";
import type { TimerId } from "../../service/world/world.ts";
import type { PlacedOrder } from "../topology/backend_one.ts";
import { redrive } from "../topology/janitor.ts";
import type { Surroundings } from "../topology/ports.ts";
import { orderStage, resultStage, type Settings } from "../topology/settings.ts";
import { fromPromise, toPromise, waitFor } from "../topology/step.ts";
import { ChildPart } from "./child_part.ts";
import type { Fault } from "./faults.ts";
import { Frontend, trickleMs } from "./frontend.ts";
import { LiveBoxes } from "./live_boxes.ts";
import { insertedEvent, type LiveEvent } from "./live_event.ts";
import { LiveLinks } from "./live_links.ts";
import { LiveObserver } from "./live_observer.ts";
import { LiveError, type LiveWorldOptions } from "./live_options.ts";
import { LiveParts } from "./live_parts.ts";
import { type LiveProcess, newLiveProcess } from "./live_process.ts";
import { LiveRecorder } from "./live_recorder.ts";
import { timeouts, usualSettings } from "./live_settings.ts";
import { LiveSprites } from "./live_sprites.ts";
import type { LiveState, PartState } from "./live_state.ts";
import type { LiveStore } from "./live_store.ts";
import { LiveTelemetry } from "./live_telemetry.ts";
import { openStores, storePlaceOf } from "./live_resources.ts";
import type { StorePlace } from "./open_store.ts";
import { Mailboxes, PartRuntime } from "./part_runtime.ts";
import { type PartPlan, planParts, topologyEdges } from "./parts.ts";
import { ServiceBus, topicPartitions } from "./service_bus.ts";

export { LiveError, type LiveWorldOptions };

/** How often boxes are counted, and chance is asked for crashes. */
const sampleMs = 1_000;

/**
 * Starts the live topology.
 *
 * @example
 * ```ts
 * const live = await startLiveWorld({ ...options, openBus: async () => memoryBus({ world }) }, context);
 * await live.placeOrder({ key: "k1" });
 * live.kill("relay-1.0");
 * ```
 */
export async function startLiveWorld(
  options: LiveWorldOptions,
  context: ServiceContext,
): Promise<LiveWorld> {
  const world = new LiveWorld(options, context);
  try {
    await world.start();
  } catch (error) {
    await world.stop();
    throw error;
  }
  return world;
}

/** The frontend is in this program, and does not die. */
const frontendState: PartState = {
  ...{ name: "frontend", kind: "frontend", backend: 1, state: "running" },
  ...{ pid: Deno.pid, starts: 1 },
};

/** A running topology. */
export class LiveWorld {
  readonly keys: readonly string[];
  readonly #options: LiveWorldOptions;
  readonly #context: ServiceContext;
  /** What is under way when it stops goes on no further. */
  readonly #world: ScopedWorld;
  readonly #settings: Settings;
  readonly #observer: LiveObserver;
  readonly #telemetry: LiveTelemetry;
  readonly #sprites: LiveSprites | undefined;
  readonly #recorder = new LiveRecorder();
  readonly #links: LiveLinks;
  readonly #mailboxes: Mailboxes;
  readonly #parts: LiveParts;
  readonly #resources = new AsyncDisposableStack();
  readonly #startedAtMs: number;
  readonly #topicPrefix: string;
  #stores: readonly [LiveStore, LiveStore] | undefined;
  #place: StorePlace | undefined;
  #bus: ServiceBus | undefined;
  #busSystem: Bus["system"] = "in_process";
  #faults: readonly Fault[] = [];
  /** Once the stores are open. */
  #frontend: Frontend | undefined;
  #boxes: LiveBoxes | undefined;
  #timers: TimerId[] = [];
  #isStopped = false;

  constructor(options: LiveWorldOptions, context: ServiceContext) {
    const { telemetry: { tracer, meter }, log } = context;
    const world = scopedWorld(context.world);
    this.#options = options;
    this.#context = context;
    this.#world = world;
    this.#settings = { ...usualSettings, pattern: options.pattern };
    this.#startedAtMs = world.nowMs();
    this.#topicPrefix = `simulator.v1.${world.randomUuid()}`;
    this.keys = Array.from({ length: options.keys }, (_, index) => `k${index + 1}`);
    this.#observer = new LiveObserver({ world, onSteps: (steps) => options.onSteps?.(steps) });
    this.#telemetry = new LiveTelemetry({ tracer, meter, state: () => this.state() });
    this.#sprites = options.recorder && new LiveSprites(options.recorder, world);
    this.#mailboxes = new Mailboxes(world);
    this.#parts = new LiveParts({
      ...{ recorder: this.#recorder, sprites: this.#sprites, emit: this.#emit, world },
      step: (step) => this.#observer.step({ ...step, atMs: world.nowMs() }),
      changed: () => this.#changed(),
    });
    this.#links = new LiveLinks({
      seed: options.seed,
      timeoutMs: timeouts.callMs,
      crash: (process, minDownMs) => this.#parts.crash(process.name, minDownMs),
      onDoom: ({ name }) => this.#parts.doom(name),
      victimOf: (point, caller, subject) =>
        point === 1 ? this.#frontend?.askedFor(subject) ?? caller : caller,
      emit: this.#emit,
      world,
      log,
    });
  }

  /** Opens stores and bus, and starts every part. */
  async start(): Promise<void> {
    const { openBus, instances, faults, seed } = this.#options;
    const { log } = this.#context;
    this.#place = await storePlaceOf(this.#options, this.#resources);
    this.#stores = await openStores(this.#place, this.keys, {
      settings: this.#settings,
      world: this.#world,
      crash: (process) => this.#links.crashAtCommit(process),
      onInserted: (table, row, process) =>
        this.#emit(insertedEvent(table, row, process, this.#world.nowMs())),
    }, this.#resources);
    const bus = await openBus();
    this.#resources.defer(() => bus.close());
    this.#busSystem = bus.system;
    this.#bus = await this.#openBus(bus);
    for (const plan of planParts(this.#settings, instances)) {
      this.#parts.add(this.#newPart(plan));
    }
    this.#sprites?.started("frontend", Deno.pid);
    this.#frontend = this.#newFrontend(this.#stores[0]);
    this.#boxes = this.#newBoxes(this.#stores, this.#frontend);
    this.setFaults(faults);
    await this.#frontend.start();
    this.#frontend.rate = this.#options.orderRate;
    await this.#boxes.sample();
    this.#parts.startAll();
    this.#timers.push(
      this.#world.setInterval(() => this.#everySecond(), sampleMs),
      this.#world.setInterval(() => this.#frontend?.trickle(), trickleMs),
    );
    log.info("The live topology runs", {
      store: this.#stores[0].system,
      bus: this.#busSystem,
      parts: this.#parts.count,
      seed,
    });
  }

  /** Everything that is known, as it is now. */
  state(): LiveState {
    const { seed, pattern } = this.#options;
    return {
      ...{ seed, pattern, store: this.#stores?.[0].system ?? "sqlite", bus: this.#busSystem },
      ...{
        processes: this.#options.processes === true,
        startedAtMs: this.#startedAtMs,
        atMs: this.#world.nowMs(),
      },
      ...{ orderRate: this.#frontend?.rate ?? 0, keys: this.keys, topology: topologyEdges },
      parts: [frontendState, ...this.#parts.states()],
      boxes: this.#boxes?.boxes ?? [],
      counters: this.#observer.counters(this.#boxes?.isSettled ? 0 : Infinity),
      faults: this.#faults,
    };
  }

  /** What goes wrong from now on. */
  setFaults(faults: readonly Fault[]): void {
    this.#faults = faults;
    this.#links.faults = faults;
    this.#parts.faults = faults;
    this.#changed();
  }

  get faults(): readonly Fault[] {
    return this.#faults;
  }

  /** Orders a second that come by themselves. */
  set orderRate(ordersPerSecond: number) {
    this.#frontend!.rate = ordersPerSecond;
    this.#changed();
  }

  /** Places an order once, as {@linkcode Frontend.place} does. */
  placeOrder(...order: Parameters<Frontend["place"]>): Promise<PlacedOrder> {
    return this.#frontend!.place(...order);
  }

  /** Lets the frontend place orders, as {@linkcode Frontend.submit} does. */
  submitOrders(count: number, key?: string): string[] {
    return this.#frontend!.submit(count, key);
  }

  /** An order, as backend 1 knows it. */
  findOrder(id: string): Promise<PlacedOrder | undefined> {
    return this.#frontend!.findOrder(id);
  }

  /** The newest orders, newest first. */
  newestOrders(limit: number): Promise<PlacedOrder[]> {
    return this.#frontend!.newestOrders(limit);
  }

  /** Kills a part, as {@linkcode LiveParts.kill} does. */
  kill(name: string): void {
    this.#parts.kill(name);
  }

  /** Starts a part that is down, as {@linkcode LiveParts.start} does. */
  startPart(name: string): void {
    this.#parts.start(name);
  }

  /** Gives what is parked another chance; gives how much that is. */
  async redrive(): Promise<number> {
    let parked = 0;
    for (const [index, store] of this.#stores!.entries()) {
      const { boxes } = await store.status();
      parked += boxes.reduce((sum, one) => sum + one.parked, 0);
      const operator = newLiveProcess(`operator-${index + 1}`);
      await toPromise(redrive(this.#surroundOperator(operator, store), this.#settings));
    }
    await this.#boxes!.sample();
    return parked;
  }

  /** What a replay in virtual time needs. */
  recording() {
    return { recording: this.#recorder.recording(), settings: this.#settings };
  }

  /** Ends everything; what is in the boxes stays there. */
  async stop(deadline?: AbortSignal): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    for (const timer of this.#timers) this.#world.clearInterval(timer);
    this.#observer.stop();
    this.#frontend?.stop();
    await this.#parts.stop();
    await this.#bus?.close(deadline);
    await this.#resources.disposeAsync();
    this.#world.clearTimers();
  }

  async #openBus(bus: Bus): Promise<ServiceBus> {
    const prefix = this.#topicPrefix;
    for (const { topic } of [orderStage, resultStage]) {
      await bus.createTopic(`${prefix}.${topic}`, { partitions: topicPartitions });
      if (bus.system === "kafka") {
        this.#resources.defer(() => bus.deleteTopic(`${prefix}.${topic}`));
      }
    }
    const service = new ServiceBus({
      bus,
      topicPrefix: prefix,
      leaseMs: timeouts.busLeaseMs,
      pollMs: timeouts.receiveMs,
      timeoutMs: timeouts.callMs,
      world: this.#world,
      log: this.#context.log,
      takeReorderMs: (process) => this.#links.takeReorderMs(process),
      capacityOf: (topic) => this.#capacityOf(topic),
      onDelivered: (topic, { message, attempt }, to) =>
        this.#emit({
          ...{ type: "delivered", part: to.name, topic, messageId: message.id, attempt },
          ...{ trace: message.trace, atMs: this.#world.nowMs() },
        }),
    });
    // Who receives by itself shares nothing with this program.
    if (!this.#hasOwnBuses()) {
      for (const { topic } of [orderStage, resultStage]) await service.join(topic, "backend");
    }
    return service;
  }

  #newFrontend(store: LiveStore): Frontend {
    return new Frontend({
      ...{ keys: this.keys, settings: this.#settings, store, links: this.#links },
      ...{ recorder: this.#recorder, world: this.#world, log: this.#context.log },
      apis: () => this.#parts.ofKind("backend"),
      surround: (process) => ({
        ...this.#surroundOperator(process, store),
        link: this.#links.connect(process),
      }),
    });
  }

  #newBoxes(stores: readonly [LiveStore, LiveStore], frontend: Frontend): LiveBoxes {
    return new LiveBoxes({
      ...{ stores, observer: this.#observer, world: this.#world },
      depths: () =>
        this.#hasOwnBuses() ? Promise.resolve(this.#parts.depths()) : this.#bus!.depths(),
      isSubmitting: () => frontend.isSubmitting,
    });
  }

  #capacityOf(topic: string): number | undefined {
    const full = this.#faults.find((one) => one.kind === "full-queue" && one.topic === topic);
    return full?.kind === "full-queue" ? full.capacity : undefined;
  }

  /** Whether parts have a bus of their own to receive by. */
  #hasOwnBuses(): boolean {
    return this.#options.processes === true && this.#options.partBus !== undefined;
  }

  #newPart(plan: PartPlan): PartRuntime | ChildPart {
    const { seed, processes, partBus } = this.#options;
    const { log } = this.#context;
    const common = {
      ...{ settings: this.#settings, seed, emit: this.#emit, world: this.#world, log },
      bus: (process: LiveProcess) => this.#bus!.connect(process),
    };
    return processes
      ? new ChildPart(plan, {
        ...common,
        start: {
          ...{ settings: this.#settings, seed, store: this.#place!, bus: partBus },
          topicPrefix: this.#topicPrefix,
        },
        onWake: (backend, box, subject) => this.#parts.wake(backend, box, subject),
        onDepths: () => this.#parts.tellDepths(),
        onReorder: (process, delayMs) => this.#links.reorder(process, delayMs),
        onCrash: (minDownMs) => this.#parts.crash(plan.name, minDownMs),
      })
      : new PartRuntime(plan, {
        ...common,
        store: this.#stores![plan.backend - 1]!,
        links: this.#links,
        mailboxes: this.#mailboxes,
        workMs: 0,
      });
  }

  /** The world of whoever acts beside the parts: its calls do not fail by themselves. */
  #surroundOperator(process: LiveProcess, store: LiveStore): Surroundings {
    return {
      name: process.name,
      session: process.name,
      clock: {
        nowMs: () => this.#world.nowMs(),
        sleep: (delayMs) =>
          waitFor<void>((resume) => this.#world.setTimeout(() => resume(), delayMs)),
      },
      chance: { random: () => this.#world.random() },
      store: store.connect(process),
      bus: this.#bus!.connect(process),
      link: { call: (_point, _subject, perform) => perform() },
      sleepUntilWoken: () => fromPromise(() => Promise.resolve([])),
      wake: () => {},
      note: (event, subject, detail = "") =>
        this.#emit({
          ...{ type: "note", part: process.name, event, subject, detail },
          atMs: this.#world.nowMs(),
        }),
    };
  }

  readonly #emit = (event: LiveEvent): void => {
    this.#observer.take(event);
    this.#telemetry.take(event);
    this.#sprites?.take(event);
    this.#recorder.take(event);
  };

  #changed(): void {
    if (this.#stores !== undefined) this.#options.onState?.(this.state());
  }

  #everySecond(): void {
    this.#parts.strike(this.#faults);
    this.#boxes!.sample().then(
      () => this.#changed(),
      (error) => this.#context.log.warn("Cannot count the boxes", { reason: reasonOf(error) }),
    );
  }
}
