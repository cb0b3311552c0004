/**
 * The whole topology in virtual time: processes, stores, bus, links, and what goes wrong with them.
 *
 * @module
 */
import { janitor, redrive } from "../topology/janitor.ts";
import { lambda } from "../topology/lambda.ts";
import type { Surroundings } from "../topology/ports.ts";
import { processor } from "../topology/processor.ts";
import { relay } from "../topology/relay.ts";
import {
  backendSchema,
  initialRows,
  orderStage,
  resultIdOf,
  resultStage,
  type Settings,
  type Stage,
} from "../topology/settings.ts";
import type { Step } from "../topology/step.ts";
import { type Decisions, type Draw, logUniform } from "./decisions.ts";
import { EventLoop, jittered, type LogEntry, newProcess, type Process } from "./event_loop.ts";
import { FaultyLinks } from "./faulty_link.ts";
import { outageEffects } from "./outages.ts";
import { HandlerFaults } from "./handler_faults.ts";
import { type Intervention, ratesInWords } from "./interventions.ts";
import { Invariants } from "./invariants.ts";
import { type Box, Mailboxes } from "./mailboxes.ts";
import { allowedRates, callsPerSecondOf, type RunOptions } from "./options.ts";
import { RunLog } from "./run_log.ts";
import type { RunWatch } from "./run_watch.ts";
import { SimulatedBus } from "./simulated_bus.ts";
import { SimulatedClients } from "./simulated_clients.ts";
import { SimulatedStore } from "./simulated_store.ts";
import { planTrouble, type Troubled } from "./trouble.ts";

/** Options of {@linkcode SimulatedWorld}. */
export interface WorldOptions {
  readonly options: RunOptions;
  readonly plant: number;
  readonly decisions: Decisions;
  /** Each part's chance, of how long things take too; `undefined` is none of it: all take the usual time. */
  readonly jitterOf: ((part: string) => Draw) | undefined;
  readonly interventions: readonly Intervention[];
  /** Keeps what is under way, for {@linkcode SimulatedWorld.flights}. */
  readonly isObserved: boolean;
  readonly isHashed: boolean;
  /** Takes what the log does not have, if the world is observed. @default nobody does */
  readonly onWatched?: RunWatch;
  /** Takes each line of the log. @default they are hashed only */
  readonly onLine?: (line: string) => void;
  /** Takes each line of the log, taken apart. @default they are hashed only */
  readonly onEntry?: (entry: LogEntry) => void;
}

/** What a process does while it lives. */
type Main = (part: Surroundings) => Step<unknown>;

/** One of the two backends. */
interface Backend {
  readonly store: SimulatedStore;
  /** How its relays and processors are woken. */
  readonly mailboxes: Mailboxes;
}

/** One run's world. */
export class SimulatedWorld {
  readonly loop: EventLoop;
  readonly invariants: Invariants;
  readonly #log: RunLog;
  readonly #options: RunOptions;
  readonly #settings: Settings;
  readonly #decisions: Decisions;
  readonly #jitterOf: ((part: string) => Draw) | undefined;
  readonly #links: FaultyLinks;
  readonly #bus: SimulatedBus;
  readonly #backends: readonly [Backend, Backend];
  readonly #mains = new Map<Process, Main>();
  readonly #surroundings = new Map<Process, Surroundings>();
  readonly #frontend: Process;
  readonly #clients: SimulatedClients;
  readonly #handlers: HandlerFaults;
  readonly #onWatched: RunWatch | undefined;
  #hasChanged = true;
  #isHealed = false;

  constructor(world: WorldOptions) {
    const { options, plant, decisions, jitterOf, interventions } = world;
    this.loop = new EventLoop(world);
    this.#log = new RunLog(this.loop, world.isObserved);
    this.#onWatched = world.onWatched;
    this.#options = options;
    this.#settings = { ...options, plant };
    this.#decisions = decisions;
    this.#jitterOf = jitterOf;
    this.invariants = new Invariants(this.#observed(), {
      deduplicates: options.pattern === "outbox",
      orders: options.orders,
      retryMs: 4 * options.backoffCapMs,
      keys: options.keys,
      callsPerSecond: callsPerSecondOf(options),
    });
    this.#backends = [
      this.#newBackend(1, ["confirmation"]),
      this.#newBackend(2, orderStage.consumers),
    ];
    this.#bus = this.#newBus();
    this.#links = this.#newLinks(world.isObserved);
    this.#handlers = this.#newHandlers();
    this.#frontend = this.#add("frontend", this.#backends[0], undefined);
    const apis = Array.from(
      { length: options.apis },
      (_, index) => this.#add(`backend-1.${index}`, this.#backends[0], undefined),
    );
    this.#clients = new SimulatedClients(this.loop, {
      options,
      settings: this.#settings,
      frontend: this.#frontend,
      apis,
      surroundingsOf: (process) => this.#surroundings.get(process)!,
    });
    this.#addParts();
    for (let number = 1; number <= options.orders; number++) {
      const { id } = this.#clients.orderOf(number);
      for (const message of [id, resultIdOf(id)]) this.#handlers.plan(message);
    }
    this.#clients.placeOrders();
    planTrouble(this.#troubled());
    for (const intervention of interventions) this.#planIntervention(intervention);
  }

  /** Whether anything that matters to the end of a phase has changed since this was asked last. */
  takeChange(): boolean {
    const hasChanged = this.#hasChanged;
    this.#hasChanged = false;
    return hasChanged;
  }

  /** Whether every effect has come and nothing is left to do. */
  isAtRest(): boolean {
    return this.invariants.isAtRest() && this.#bus.isEmpty();
  }

  /** Whether nothing goes on by itself any more: all that is left is parked, or waits for what is. */
  isStuck(): boolean {
    // Patterns without an outbox carry messages in calls, where no box shows them.
    return this.#options.pattern === "outbox" && this.#bus.isEmpty() && this.invariants.isStuck();
  }

  /** All processes, the frontend first. */
  processes(): readonly Process[] {
    return [...this.#surroundings.keys()];
  }

  get backends(): readonly [SimulatedStore, SimulatedStore] {
    return [this.#backends[0].store, this.#backends[1].store];
  }

  get bus(): SimulatedBus {
    return this.#bus;
  }

  /** How often each event has been logged or, if it is rare, has happened. */
  get reached(): ReadonlyMap<string, number> {
    return this.#log.reached;
  }

  /** In which event each has happened for the first time; empty unless the world is observed. */
  get firstReached(): ReadonlyMap<string, number> {
    return this.#log.firstReached;
  }

  get links(): FaultyLinks {
    return this.#links;
  }

  /** Messages that lambdas fail at, until they are mended. */
  get poisonedAtLambdas(): number {
    return this.#handlers.poisonedAtLambdas;
  }

  /** No faults from now on; who is down comes up. Poison stays. */
  heal(): void {
    this.#isHealed = true;
    this.#links.heal();
    this.#handlers.heal();
    for (const store of this.backends) store.heal();
    this.#log.noteOfWorld("heal", "", "");
    for (const process of this.#surroundings.keys()) {
      process.pausedUntilUs = 0;
      process.doom = "none";
      if (!process.isLive) this.#start(process);
    }
  }

  /** The handlers are mended, and what was parked gets another chance. */
  mend(): void {
    this.#handlers.mend();
    this.#log.noteOfWorld("mend", "", "");
    for (const [index, { store }] of this.#backends.entries()) {
      const operator = this.#newProcess(`operator-${index + 1}`);
      const part = this.#surround(operator, { store, mailboxes: new Mailboxes(this.loop) });
      this.loop.spawn(operator, redrive(part, this.#settings));
    }
  }

  #newBackend(number: 1 | 2, consumers: readonly string[]): Backend {
    const { profile, statementMs, commitMs, timeoutMs, keys } = this.#options;
    const store: SimulatedStore = new SimulatedStore(this.loop, {
      name: `store-${number}`,
      profile,
      schema: backendSchema(this.#settings),
      statementMs: (process) => jittered(process, statementMs),
      commitMs: (process) => jittered(process, commitMs) + this.#stallMs(process),
      // Who has given up must not be served first.
      busyMs: timeoutMs,
      crash: (process) => this.#crash(process),
      onCommit: (changes, process) => {
        this.#log.commit(store.name, changes, process);
        this.invariants.committed(store, changes);
        this.#hasChanged = true;
      },
      onContention: (what, process) => this.#log.note(what, process, process.name, ""),
    });
    const keyNames = Array.from({ length: keys }, (_, index) => `k${index + 1}`);
    for (const [table, row] of initialRows(this.#settings, keyNames, consumers)) {
      store.load(table, row);
    }
    return { store, mailboxes: new Mailboxes(this.loop) };
  }

  /** How much longer a commit takes; whoever has begun later passes it. */
  #stallMs(process: Process): number {
    const { stalls, profile, timeoutMs } = this.#options;
    if (stalls === 0 || profile !== "mvcc" || this.#isHealed) return 0;
    const stallMs = this.#decisions.decide(
      "stall-ms",
      process.name,
      (draw) => draw() < stalls ? Math.round(logUniform(draw, 5, timeoutMs / 2)) : 0,
    );
    if (stallMs > 0) this.#log.note("stall", process, process.name, `${stallMs} ms`);
    return stallMs;
  }

  #newBus(): SimulatedBus {
    const { ordering, busLeaseMs, capacity } = this.#options;
    return new SimulatedBus(this.loop, {
      groups: { orders: ["backend"], results: ["backend"] },
      ordering,
      leaseMs: busLeaseMs,
      capacity,
      pollMs: 2_000,
      takeReorderMs: (process) => this.#links.takeReorderMs(process),
      listener: {
        accepted: (topic, message, from) => {
          this.#log.write("publish", from, message.id, topic);
          this.#log.reach("publish");
          this.invariants.accepted(message);
        },
        delivered: (topic, _group, { message, attempt }, to) => {
          const detail = this.loop.isLogged ? `${topic} attempt ${attempt}` : "";
          this.#log.write("deliver", to, message.id, detail);
          if (attempt > 1) this.#log.reach("redelivered");
        },
        acknowledged: (topic, _group, message, by) => {
          this.#log.write("acknowledge", by, message.id, topic);
          this.invariants.acknowledged(message);
          this.#hasChanged = true;
        },
      },
    });
  }

  #newLinks(isObserved: boolean): FaultyLinks {
    const { faults, faultKnobs, faultMaxMs, timeoutMs, linkMs } = this.#options;
    return new FaultyLinks(this.loop, this.#decisions, {
      rates: faults,
      knobs: faultKnobs,
      faultMaxMs,
      timeoutMs,
      isObserved,
      ...(this.#onWatched && { onCallEnd: this.#onWatched }),
      linkMs: (process) => jittered(process, linkMs),
      crash: (process) => this.#crash(process),
      victimOf: (point, caller, subject) => point === 1 ? this.#clients.apiFor(subject) : caller,
      onCall: (point, subject) => {
        if (point === 1) this.#clients.called(subject);
        this.invariants.called(point, subject);
      },
      onOutage: (point, outage) => {
        this.#log.reach(`outage-${outageEffects[outage.mode]}`);
        this.invariants.metOutage(point, outage);
      },
      onFault: (kind, point, subject, process) => {
        this.#log.note(`fault-${point}`, process, subject, kind);
        this.#log.reach(`${kind}@${point}`);
      },
    });
  }

  #addParts(): void {
    const [first, second] = this.#backends;
    const settings = this.#settings;
    const { relays, lambdas, processors, pattern } = this.#options;
    const { work, lambdaWork } = this.#handlers;
    const many = (count: number, name: string, backend: Backend, main: Main, box?: Box) => {
      for (let index = 0; index < count; index++) {
        const process = this.#add(`${name}.${index}`, backend, main);
        if (box !== undefined) backend.mailboxes.add(process, box);
      }
    };
    for (const [from, to, stage, number] of this.#stages(first, second)) {
      if (pattern === "outbox") {
        many(relays, `relay-${number}`, from, (part) => relay(part, settings, stage), "outbox");
      }
      const other = 3 - number;
      many(lambdas, `lambda-${other}`, to, (part) => lambda(part, settings, stage, lambdaWork));
      const process: Main = (part) => processor(part, settings, stage, work);
      many(processors, `processor-${other}`, to, process, "inbox");
      many(1, `janitor-${number}`, from, (part) => janitor(part, settings));
    }
  }

  *#stages(first: Backend, second: Backend): Generator<readonly [Backend, Backend, Stage, 1 | 2]> {
    yield [first, second, orderStage, 1];
    yield [second, first, resultStage, 2];
  }

  #newHandlers(): HandlerFaults {
    return new HandlerFaults({
      options: this.#options,
      decisions: this.#decisions,
      onFault: (kind, { name }, subject, detail) => {
        const where = name.startsWith("lambda") ? "lambda" : "processor";
        this.#log.reach(`${kind === "poison" ? kind : "slow"}@${where}`);
        const atMs = this.loop.nowMs;
        this.#onWatched?.({ type: "handler-fault", kind, part: name, subject, atMs, detail });
      },
    });
  }

  #troubled(): Troubled {
    return {
      loop: this.loop,
      options: this.#options,
      decisions: this.#decisions,
      processes: this.processes().filter((one) => one !== this.#frontend),
      stores: this.backends,
      links: this.#links,
      isHealed: () => this.#isHealed,
      crash: (process) => this.#crash(process),
      pause: (process, durationMs) => this.#pause(process, durationMs),
      visit: (store, work) => {
        const visitor = this.#newProcess("session");
        const backend = this.#backends.find((one) => one.store === store)!;
        this.loop.spawn(visitor, work(this.#surround(visitor, backend)));
      },
      note: (event, subject, detail) => this.#log.noteOfWorld(event, subject, detail),
    };
  }

  #planIntervention(intervention: Intervention): void {
    this.loop.after(intervention.atMs, () => {
      if (this.#isHealed) return;
      if (intervention.kind === "rates") {
        const { point, rates, knobs } = intervention;
        this.#links.setRates(point, allowedRates(this.#options.ordering, point, rates), knobs);
        this.#log.noteOfWorld("rates", String(point), ratesInWords(rates, knobs));
        return;
      }
      const process = [...this.#surroundings.keys()].find(({ name }) => name === intervention.part);
      if (process === undefined) return;
      if (intervention.kind === "crash") this.#crash(process, intervention.durationMs);
      else this.#pause(process, intervention.durationMs);
    });
  }

  #pause(process: Process, durationMs: number): void {
    if (this.#isHealed) return;
    process.pausedUntilUs = this.loop.nowUs + durationMs * 1_000;
    this.#log.note("pause", process, process.name, `${durationMs} ms`);
  }

  #crash(process: Process, givenMs?: number): void {
    if (this.#isHealed || !process.isLive || process === this.#frontend) return;
    process.isLive = false;
    process.life++;
    process.doom = "none";
    this.#links.abandon(process);
    for (const { store, mailboxes } of this.#backends) {
      if (store.abandon(process) > 0) this.#log.reach("rolled-back");
      mailboxes.clear(process);
    }
    const { faultMaxMs } = this.#options;
    const minDownMs = this.#links.takeMinDownMs(process);
    const choose = (draw: Draw) =>
      Math.max(minDownMs, Math.round(logUniform(draw, 10, faultMaxMs)));
    const downMs = givenMs ?? this.#decisions.decide("down-ms", process.name, choose, 100);
    this.#log.note("crash", process, process.name, `${downMs} ms`);
    this.loop.after(downMs, () => this.#start(process));
  }

  #start(process: Process): void {
    if (process.isLive) return;
    process.isLive = true;
    this.#log.note("restart", process, process.name, "");
    this.#run(process);
  }

  #newProcess(name: string): Process {
    const process = newProcess(name);
    process.draw = this.#jitterOf?.(name);
    return process;
  }

  #add(name: string, backend: Backend, main: Main | undefined): Process {
    const process = this.#newProcess(name);
    if (main !== undefined) this.#mains.set(process, main);
    this.#surroundings.set(process, this.#surround(process, backend));
    this.#run(process);
    return process;
  }

  #run(process: Process): void {
    const main = this.#mains.get(process);
    if (main === undefined) return;
    const session = `${process.name}/${process.life}`;
    const part = { ...this.#surroundings.get(process)!, session };
    this.loop.spawn(process, main(part));
  }

  #surround(process: Process, backend: Backend): Surroundings {
    const { loop } = this;
    return {
      name: process.name,
      session: `${process.name}/0`,
      clock: {
        nowMs: () => loop.nowMs + process.skewMs,
        sleep: (delayMs) => loop.sleep(delayMs, process),
      },
      chance: { random: () => process.draw?.() ?? 0.5 },
      store: backend.store.connect(process),
      bus: this.#bus.connect(process),
      link: this.#links.connect(process),
      sleepUntilWoken: (limitMs) => backend.mailboxes.sleep(process, limitMs),
      wake: (box, subject) => backend.mailboxes.wake(box, subject),
      note: (event, subject, detail = "") => {
        if (event === "owns") {
          this.invariants.owns(process.name, `${backend.store.name} ${subject}`);
        }
        this.#log.note(event, process, subject, detail);
      },
    };
  }

  #observed() {
    const { loop } = this;
    return {
      nowMs: () => loop.nowMs,
      source: (stage: Stage) => this.#backends[stage === orderStage ? 0 : 1].store,
      target: (stage: Stage) => this.#backends[stage === orderStage ? 1 : 0].store,
      busHas: (topic: string, id: string) => this.#bus.has(topic, id),
      isPoison: (id: string) => this.#handlers.isPoison(id),
      onViolation: ({ invariant, text }: { invariant: string; text: string }) =>
        this.#log.noteOfWorld("VIOLATION", "world", `${invariant}: ${text}`),
    };
  }
}
