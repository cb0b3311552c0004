/**
 * The live topology put together: stores, bus, parts, frontend, faults, and what is known of them.
 *
 * @module
 */
import type { Bus } from "../../service/bus/bus.ts";
import type { BusFlagValues } from "../../service/bus/open_bus.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import { findOrder, type Order, type PlacedOrder, submitOrder } from "../topology/backend_one.ts";
import { redrive } from "../topology/janitor.ts";
import { LinkError, type Surroundings } from "../topology/ports.ts";
import {
  backendSchema,
  initialRows,
  orderStage,
  type Pattern,
  resultStage,
  type Settings,
} from "../topology/settings.ts";
import { drive, fromPromise, type Step, toPromise, waitFor } from "../topology/step.ts";
import type { Recorder } from "../events/recorder.ts";
import { ChildPart } from "./child_part.ts";
import { type Fault, isPart } from "./faults.ts";
import { insertedEvent, type LiveEvent } from "./live_event.ts";
import { LiveLinks } from "./live_links.ts";
import { LiveObserver } from "./live_observer.ts";
import { type LiveProcess, newLiveProcess } from "./live_process.ts";
import { LiveRecorder } from "./live_recorder.ts";
import { timeouts, usualSettings } from "./live_settings.ts";
import { LiveSprites } from "./live_sprites.ts";
import type { BoxState, LiveState, LiveStep, LiveSteps, PartState } from "./live_state.ts";
import type { LiveStore, StoreStatus } from "./live_store.ts";
import { LiveTelemetry } from "./live_telemetry.ts";
import { openLiveStore, type StorePlace } from "./open_store.ts";
import { type Box, Mailboxes, PartRuntime } from "./part_runtime.ts";
import { type Instances, type PartPlan, planParts, topologyEdges } from "./parts.ts";
import { ServiceBus, topicPartitions } from "./service_bus.ts";

/** Options of {@linkcode startLiveWorld}. */
export interface LiveWorldOptions {
  /** What chance follows from, as far as live it can. */
  readonly seed: number;
  readonly pattern: Pattern;
  readonly instances: Instances;
  /** How many keys there are; orders of one key keep their order. */
  readonly keys: number;
  /** Where the stores' files are. @default a temporary folder, removed at the end */
  readonly dataFolder?: string | undefined;
  /** A PostgreSQL database that has the stores instead, with user and password. @default SQLite has them */
  readonly databaseUrl?: string | undefined;
  /** Runs each part in a program of its own; needs the permission to run Deno. @default false */
  readonly processes?: boolean | undefined;
  /** With `processes`, what each part opens its own bus by. @default they share that of this program */
  readonly partBus?: BusFlagValues | undefined;
  /** What a commit survives. @default "power-loss" */
  readonly durability?: "power-loss" | "process-end" | undefined;
  /** Orders a second that come by themselves. */
  readonly orderRate: number;
  readonly faults: readonly Fault[];
  /** Opens the bus; called once. */
  readonly openBus: () => Promise<Bus>;
  /** Shows the parts as clients. @default nobody does */
  readonly recorder?: Recorder | undefined;
  /** Takes what happens, at most ten times a second. @default nobody does */
  readonly onSteps?: (steps: LiveSteps) => void;
  /** Notified when the state is another. @default nobody is */
  readonly onState?: (state: LiveState) => void;
}

/** How often boxes are counted, and chance is asked for crashes. */
const sampleMs = 1_000;

/** The most orders on their way from the frontend at once. */
const maxSubmitting = 1_000;

/** How long a part that has crashed is down at least, unless its fault says so. */
const usualDownMs = 500;

/** After so long without a change, what is in no box is lost. */
const settledMs = 3_000;

/** Something the caller asked for cannot be. */
export class LiveError extends Error {
  override name = "LiveError";
  /** `unknown`: there is no such thing; `invalid`: it cannot be so; `busy`: too much of it. */
  readonly kind: "unknown" | "invalid" | "busy";

  constructor(kind: LiveError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

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

/** A part, in this program or in one of its own, and how it is doing. */
interface RunningPart {
  readonly runtime: PartRuntime | ChildPart;
  state: PartState["state"];
  starts: number;
  /** Brings it back after a crash, or ends its pause. */
  timer: TimerId | undefined;
}

/** A running topology. */
export class LiveWorld {
  readonly keys: readonly string[];
  readonly #options: LiveWorldOptions;
  readonly #context: ServiceContext;
  readonly #world: World;
  readonly #settings: Settings;
  readonly #observer: LiveObserver;
  readonly #telemetry: LiveTelemetry;
  readonly #sprites: LiveSprites | undefined;
  readonly #recorder = new LiveRecorder();
  readonly #links: LiveLinks;
  readonly #mailboxes: Mailboxes;
  readonly #parts = new Map<string, RunningPart>();
  readonly #frontend = newLiveProcess("frontend");
  readonly #resources = new AsyncDisposableStack();
  readonly #startedAtMs: number;
  /** Who crashes when the call about that order does. */
  readonly #asked = new Map<string, LiveProcess>();
  readonly #topicPrefix: string;
  #stores: readonly [LiveStore, LiveStore] | undefined;
  #place: StorePlace | undefined;
  #bus: ServiceBus | undefined;
  #busSystem: Bus["system"] = "in_process";
  #faults: readonly Fault[] = [];
  #orderRate: number;
  #boxes: readonly BoxState[] = [];
  #settledSinceMs: number | undefined;
  #lastCount = "";
  #nextOrder = 1;
  #turn = 0;
  #submitting = 0;
  #dueOrders = 0;
  #timers: TimerId[] = [];
  #isStopped = false;

  constructor(options: LiveWorldOptions, context: ServiceContext) {
    const { telemetry: { tracer, meter }, world, log } = context;
    this.#options = options;
    this.#context = context;
    this.#world = world;
    this.#settings = { ...usualSettings, pattern: options.pattern };
    this.#orderRate = options.orderRate;
    this.#startedAtMs = world.nowMs();
    this.#topicPrefix = `simulator.v1.${world.randomUuid()}`;
    this.keys = Array.from({ length: options.keys }, (_, index) => `k${index + 1}`);
    this.#observer = new LiveObserver({ world, onSteps: (steps) => options.onSteps?.(steps) });
    this.#telemetry = new LiveTelemetry({ tracer, meter, state: () => this.state() });
    this.#sprites = options.recorder && new LiveSprites(options.recorder, world);
    this.#mailboxes = new Mailboxes(world);
    this.#links = new LiveLinks({
      seed: options.seed,
      timeoutMs: timeouts.callMs,
      crash: (process, minDownMs) => this.#crash(process.name, minDownMs),
      onDoom: ({ name }) => {
        const runtime = this.#parts.get(name)?.runtime;
        if (runtime instanceof ChildPart) runtime.doom();
      },
      victimOf: (point, caller, subject) =>
        point === 1 ? this.#asked.get(subject) ?? caller : caller,
      emit: this.#emit,
      world,
      log,
    });
  }

  /** Opens stores and bus, and starts every part. */
  async start(): Promise<void> {
    const { openBus, instances, faults, seed } = this.#options;
    const { log } = this.#context;
    this.#stores = await this.#openStores();
    const bus = await openBus();
    this.#resources.defer(() => bus.close());
    this.#busSystem = bus.system;
    this.#bus = await this.#openBus(bus);
    for (const plan of planParts(this.#settings, instances)) {
      this.#parts.set(plan.name, this.#newPart(plan));
    }
    this.#sprites?.started("frontend", Deno.pid);
    this.setFaults(faults);
    const newest = await this.#stores[0].newest("orders", 1_000);
    const numbers = newest.map((row) => Number(String(row["orderId"]).slice(1)))
      .filter(Number.isSafeInteger);
    this.#nextOrder = Math.max(0, ...numbers) + 1;
    await this.#sample();
    for (const name of this.#parts.keys()) this.startPart(name);
    this.#timers.push(
      this.#world.setInterval(() => this.#everySecond(), sampleMs),
      this.#world.setInterval(() => this.#trickle(), trickleMs),
    );
    log.info("The live topology runs", {
      store: this.#stores[0].system,
      bus: this.#busSystem,
      parts: this.#parts.size,
      seed,
    });
  }

  /** Everything that is known, as it is now. */
  state(): LiveState {
    const { seed, pattern } = this.#options;
    const open = this.#settledSinceMs !== undefined &&
        this.#world.monotonicMs() - this.#settledSinceMs >= settledMs
      ? 0
      : Infinity;
    return {
      ...{ seed, pattern, store: this.#stores?.[0].system ?? "sqlite", bus: this.#busSystem },
      ...{
        processes: this.#options.processes === true,
        startedAtMs: this.#startedAtMs,
        atMs: this.#world.nowMs(),
      },
      ...{ orderRate: this.#orderRate, keys: this.keys, topology: topologyEdges },
      parts: [this.#frontendState(), ...[...this.#parts.values()].map(partState)],
      boxes: this.#boxes,
      counters: this.#observer.counters(open),
      faults: this.#faults,
    };
  }

  /** What goes wrong from now on. */
  setFaults(faults: readonly Fault[]): void {
    this.#faults = faults;
    this.#links.faults = faults;
    for (const { runtime } of this.#parts.values()) runtime.faults = faults;
    this.#changed();
  }

  get faults(): readonly Fault[] {
    return this.#faults;
  }

  /** Orders a second that come by themselves. */
  set orderRate(ordersPerSecond: number) {
    this.#orderRate = ordersPerSecond;
    this.#dueOrders = 0;
    this.#changed();
  }

  /**
   * Places an order once, as the resolver of `placeOrder` does: whatever goes wrong is the caller's.
   *
   * @param order without `id` it is given one; without `key` one of the keys, in turn
   * @param traceparent of the request; without one the order has a trace of its own
   * @throws {LiveError} `invalid`: the id or the key cannot be
   * @throws {LinkError} backend 1 could not be reached, or did not answer in time
   */
  async placeOrder(
    order: { id?: string | undefined; key?: string | undefined },
    traceparent?: string,
  ): Promise<PlacedOrder> {
    const whole = this.#wholeOrder(order, traceparent);
    await toPromise(
      this.#links.connect(this.#frontend).call(1, whole.id, () => this.#ask(whole), whole.trace),
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
  submitOrders(count: number, key?: string): string[] {
    if (this.#submitting + count > maxSubmitting) {
      throw new LiveError(
        "busy",
        `The frontend has ${this.#submitting} orders on their way already`,
      );
    }
    return Array.from({ length: count }, () => {
      const order = this.#wholeOrder({ key });
      this.#submit(order);
      return order.id;
    });
  }

  /** An order, as backend 1 knows it. */
  async findOrder(id: string): Promise<PlacedOrder | undefined> {
    const store = this.#stores![0].connect(this.#frontend);
    return await toPromise(findOrder({ store }, id));
  }

  /** The newest orders, newest first. */
  async newestOrders(limit: number): Promise<PlacedOrder[]> {
    const rows = await this.#stores![0].newest("orders", limit);
    const found = await Promise.all(rows.map((row) => this.findOrder(row["orderId"] as string)));
    return found.filter((order) => order !== undefined);
  }

  /** Kills a part as `kill -9` does. It stays down until it is started. @throws {LiveError} `unknown` */
  kill(name: string): void {
    const part = this.#part(name);
    this.#world.clearTimeout(part.timer);
    part.runtime.kill();
    part.state = "killed";
    // In virtual time it does not wait for somebody to start it.
    this.#recorder.intervened("crash", name, usualDownMs, this.#world.nowMs());
    this.#ended(name, "kill", "");
  }

  /** Starts a part that is down. @throws {LiveError} `unknown` */
  startPart(name: string): void {
    const part = this.#part(name);
    this.#world.clearTimeout(part.timer);
    const { state } = part;
    if (state === "running") return;
    // It may crash in its first step: it is up before that.
    part.state = "running";
    this.#step({ part: name, event: "start", subject: name });
    if (state === "paused") part.runtime.pause(0);
    else {
      part.starts++;
      part.runtime.faults = this.#faults;
      part.runtime.start();
      this.#sprites?.started(name, part.runtime.pid ?? Deno.pid);
    }
    this.#changed();
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
    await this.#sample();
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
    this.#frontend.isLive = false;
    for (const { runtime, timer } of this.#parts.values()) {
      this.#world.clearTimeout(timer);
      runtime.kill();
    }
    for (const { runtime } of this.#parts.values()) {
      if (runtime instanceof ChildPart) await runtime.ended();
    }
    await this.#bus?.close(deadline);
    await this.#resources.disposeAsync();
  }

  async #openStores(): Promise<[LiveStore, LiveStore]> {
    this.#place = await this.#storePlace();
    const stores: LiveStore[] = [];
    for (const number of [1, 2] as const) {
      const store = await openLiveStore(this.#place, number, {
        schema: backendSchema(this.#settings),
        world: this.#world,
        crash: (process) => this.#links.crashAtCommit(process),
        onInserted: (table, row, process) =>
          this.#emit(insertedEvent(table, row, process, this.#world.nowMs())),
      });
      this.#resources.defer(() => store.close());
      const { consumers } = number === 1 ? resultStage : orderStage;
      await store.load(initialRows(this.#settings, this.keys, consumers));
      stores.push(store);
    }
    return [stores[0]!, stores[1]!];
  }

  async #storePlace(): Promise<StorePlace> {
    const { dataFolder, databaseUrl, durability = "power-loss", processes } = this.#options;
    if (databaseUrl !== undefined) {
      // Each part of its own program has few things to do at once; here all of them share.
      const maxSessions = processes ? 3 : 20;
      return { kind: "postgresql", url: databaseUrl, namespace: "orrery_backend", maxSessions };
    }
    const folder = dataFolder ?? await Deno.makeTempDir({ prefix: "simulator-live-" });
    if (dataFolder === undefined) {
      this.#resources.defer(() => Deno.remove(folder, { recursive: true }));
    } else await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    return { kind: "sqlite", folder, durability };
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

  #capacityOf(topic: string): number | undefined {
    const full = this.#faults.find((one) => one.kind === "full-queue" && one.topic === topic);
    return full?.kind === "full-queue" ? full.capacity : undefined;
  }

  /** Whether parts have a bus of their own to receive by. */
  #hasOwnBuses(): boolean {
    return this.#options.processes === true && this.#options.partBus !== undefined;
  }

  #newPart(plan: PartPlan): RunningPart {
    const { seed, processes, partBus } = this.#options;
    const { log } = this.#context;
    const common = {
      ...{ settings: this.#settings, seed, emit: this.#emit, world: this.#world, log },
      bus: (process: LiveProcess) => this.#bus!.connect(process),
    };
    const runtime = processes
      ? new ChildPart(plan, {
        ...common,
        start: {
          ...{ settings: this.#settings, seed, store: this.#place!, bus: partBus },
          topicPrefix: this.#topicPrefix,
        },
        onWake: (backend, box, subject) => this.#wakeChildren(backend, box, subject),
        onReorder: (process, delayMs) => this.#links.reorder(process, delayMs),
        onCrash: (minDownMs) => this.#crash(plan.name, minDownMs),
      })
      : new PartRuntime(plan, {
        ...common,
        store: this.#stores![plan.backend - 1]!,
        links: this.#links,
        mailboxes: this.#mailboxes,
        workMs: 0,
      });
    return { runtime, state: "killed", starts: 0, timer: undefined };
  }

  #wakeChildren(backend: 1 | 2, box: Box, subject: string): void {
    const kind = box === "outbox" ? "relay" : "processor";
    for (const { runtime } of this.#parts.values()) {
      const isMeant = runtime.plan.kind === kind && runtime.plan.backend === backend;
      if (isMeant && runtime instanceof ChildPart) runtime.wake(box, subject);
    }
  }

  #part(name: string): RunningPart {
    const part = this.#parts.get(name);
    if (part === undefined) {
      throw new LiveError(
        "unknown",
        `There is no part '${name}': there are ${[...this.#parts.keys()].join(", ")}`,
      );
    }
    return part;
  }

  #frontendState(): PartState {
    return {
      ...{ name: "frontend", kind: "frontend", backend: 1, state: "running" },
      ...{ pid: Deno.pid, starts: 1 },
    };
  }

  #wholeOrder(
    { id, key }: { id?: string | undefined; key?: string | undefined },
    traceparent?: string,
  ): Required<Order> {
    if (key !== undefined && !this.keys.includes(key)) {
      throw new LiveError("invalid", `There is no key '${key}': there are ${this.keys.join(", ")}`);
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
      key: key ?? this.keys[number % this.keys.length]!,
      trace: traceparent ?? this.#newTraceparent(),
    };
    this.#recorder.ordered(whole.id, whole.key, this.#world.nowMs());
    return whole;
  }

  /** Names of our own are for orders that were given them. */
  #canBeId(id: string): boolean {
    if (/^o-[A-Za-z0-9_-]{1,60}$/.test(id)) return true;
    return /^o[1-9]\d{0,14}$/.test(id) && Number(id.slice(1)) < this.#nextOrder;
  }

  #newTraceparent(): string {
    const hex = (length: number) =>
      [...this.#world.randomBytes(length)].map((one) => one.toString(16).padStart(2, "0")).join("");
    return `00-${hex(16)}-${hex(8)}-01`;
  }

  /** Asks one of backend 1's instances, each time another. */
  *#ask(order: Order): Step<void> {
    const apis = [...this.#parts.values()].filter(({ runtime }) => runtime.plan.kind === "backend");
    const api = apis[this.#turn++ % apis.length]!;
    if (api.state !== "running") throw new LinkError("refused", `${api.runtime.plan.name} is down`);
    this.#asked.set(order.id, api.runtime.process);
    const timeout = Promise.withResolvers<never>();
    const timer = this.#world.setTimeout(
      () => timeout.reject(new LinkError("timeout", "Backend 1 does not answer")),
      timeouts.callMs,
    );
    try {
      yield* fromPromise(() => Promise.race([api.runtime.place(order), timeout.promise]));
    } finally {
      this.#world.clearTimeout(timer);
      this.#asked.delete(order.id);
    }
  }

  #submit(order: Required<Order>): void {
    this.#submitting++;
    const ended = () => this.#submitting--;
    const frontend: Surroundings = {
      ...this.#surroundOperator(this.#frontend, this.#stores![0]),
      link: this.#links.connect(this.#frontend),
    };
    drive(submitOrder(frontend, this.#settings, order, (one) => this.#ask(one)), {
      isLive: () => this.#frontend.isLive,
      done: ended,
      failed: (error) => {
        ended();
        this.#context.log.error("An order cannot be placed", {
          order: order.id,
          reason: reasonOf(error),
        });
      },
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

  /** A fault kills a part; it comes back by itself. */
  #crash(name: string, minDownMs: number): void {
    const part = this.#parts.get(name);
    if (part === undefined || part.state === "killed" || part.state === "crashed") return;
    part.runtime.kill();
    part.state = "crashed";
    const downMs = Math.max(minDownMs, usualDownMs) * (1 + this.#world.random() / 2);
    this.#recorder.intervened("crash", name, downMs, this.#world.nowMs());
    this.#ended(name, "crash", `down for ${Math.round(downMs)} ms`);
    this.#world.clearTimeout(part.timer);
    part.timer = this.#world.setTimeout(() => this.startPart(name), downMs);
  }

  #ended(name: string, event: string, detail: string): void {
    this.#sprites?.lost(name);
    this.#step({ part: name, event, subject: name, detail });
    this.#changed();
  }

  #step(step: Omit<LiveStep, "atMs">): void {
    this.#observer.step({ ...step, atMs: this.#world.nowMs() });
  }

  #changed(): void {
    if (this.#stores !== undefined) this.#options.onState?.(this.state());
  }

  #everySecond(): void {
    for (const fault of this.#faults) {
      if (fault.kind !== "crash" && fault.kind !== "pause") continue;
      for (const [name, part] of this.#parts) {
        if (part.state !== "running" || !isPart(fault.part, name)) continue;
        if (this.#world.random() >= fault.probability) continue;
        const durationMs = fault.minDurationMs ?? usualDownMs;
        this.#emit({
          ...{ type: "fault", part: name, kind: fault.kind, point: undefined, subject: name },
          ...{ trace: undefined, atMs: this.#world.nowMs(), detail: `${durationMs} ms` },
        });
        if (fault.kind === "crash") this.#crash(name, durationMs);
        else this.#pause(name, part, durationMs);
      }
    }
    this.#sample().then(
      () => this.#changed(),
      (error) => this.#context.log.warn("Cannot count the boxes", { reason: reasonOf(error) }),
    );
  }

  #pause(name: string, part: RunningPart, durationMs: number): void {
    part.runtime.pause(durationMs);
    this.#recorder.intervened("pause", name, durationMs, this.#world.nowMs());
    part.state = "paused";
    part.timer = this.#world.setTimeout(() => this.startPart(name), durationMs);
  }

  /** Counts what is in the boxes. */
  async #sample(): Promise<void> {
    if (this.#isStopped) return;
    const [first, second] = await Promise.all(this.#stores!.map((store) => store.status())) as [
      StoreStatus,
      StoreStatus,
    ];
    const topics = await this.#bus!.depths();
    this.#observer.sampled([first, second]);
    const box = (number: 1 | 2, { nowMs, boxes }: StoreStatus) =>
      boxes.map(({ box, depth, parked, oldestAtMs }) => ({
        ...{ name: `${box}-${number}`, depth, parked },
        oldestMs: oldestAtMs === undefined ? undefined : Math.max(0, nowMs - oldestAtMs),
      }));
    this.#boxes = [
      ...box(1, first),
      ...box(2, second),
      ...topics.map(({ topic, depth }) => ({
        ...{ name: topic, depth, parked: 0, oldestMs: undefined },
      })),
    ];
    this.#settle();
  }

  /** Since when nothing has changed and nothing lies in a box. */
  #settle(): void {
    const { placed, confirmed } = this.#observer.counters(Infinity);
    const isEmpty = this.#boxes.every(({ depth }) => depth === 0);
    const count = `${placed} ${confirmed}`;
    if (!isEmpty || count !== this.#lastCount || this.#submitting > 0) {
      this.#settledSinceMs = isEmpty ? this.#world.monotonicMs() : undefined;
    }
    this.#lastCount = count;
  }

  /** The orders that are due by the rate. */
  #trickle(): void {
    if (this.#orderRate === 0) return;
    this.#dueOrders += this.#orderRate * trickleMs / 1_000;
    const due = Math.floor(this.#dueOrders);
    this.#dueOrders -= due;
    // Behind a backend that is down orders do not pile up: customers go away.
    const count = Math.min(due, maxSubmitting - this.#submitting);
    if (count > 0) this.submitOrders(count);
  }
}

const trickleMs = 50;

function partState({ runtime: { plan, pid }, state, starts }: RunningPart): PartState {
  const isUp = state === "running" || state === "paused";
  return { ...plan, state, starts, pid: isUp ? pid : undefined };
}
