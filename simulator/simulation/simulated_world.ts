/**
 * The whole topology in virtual time: processes, stores, bus, links, and what goes wrong with them.
 *
 * @module
 */
import { type Order, placeOrder, submitOrder } from "../topology/backend_one.ts";
import { janitor, redrive } from "../topology/janitor.ts";
import { lambda } from "../topology/lambda.ts";
import { LinkError, type Surroundings } from "../topology/ports.ts";
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
import { type Step, waitFor } from "../topology/step.ts";
import { type Decisions, type Draw, logUniform } from "./decisions.ts";
import { EventLoop, jittered, type LogEntry, newProcess, type Process } from "./event_loop.ts";
import { FaultyLinks, outageEffects } from "./faulty_link.ts";
import { HandlerFaults } from "./handler_faults.ts";
import type { Intervention } from "./interventions.ts";
import { Invariants } from "./invariants.ts";
import { allowedRates, callsPerSecondOf, type RunOptions } from "./options.ts";
import type { RunWatch } from "./run_watch.ts";
import { SimulatedBus } from "./simulated_bus.ts";
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

/** Made once: an error's stack would cost more than the call. */
const backendDown = new LinkError("refused", "Backend 1 is down");
const noAnswer = new LinkError("timeout", "Backend 1 does not answer");

/** As wide as the names of processes. */
const worldColumn = "world".padEnd(12);

/** What a process does while it lives. */
type Main = (part: Surroundings) => Step<unknown>;

/** One of the two backends. */
interface Backend {
  readonly store: SimulatedStore;
  /** Its relays and processors, each with what it was woken about. */
  readonly mailboxes: Map<Process, Mailbox>;
}

interface Mailbox {
  readonly box: "outbox" | "inbox";
  subjects: string[];
  wake: (() => void) | undefined;
}

/** One run's world. */
export class SimulatedWorld {
  readonly loop: EventLoop;
  readonly invariants: Invariants;
  /** How often each event has been logged or, if it is rare, has happened. */
  readonly reached = new Map<string, number>();
  /** In which event each has happened for the first time; empty unless the world is observed. */
  readonly firstReached = new Map<string, number>();
  readonly #options: RunOptions;
  readonly #settings: Settings;
  readonly #decisions: Decisions;
  readonly #jitterOf: ((part: string) => Draw) | undefined;
  readonly #links: FaultyLinks;
  readonly #bus: SimulatedBus;
  readonly #backends: readonly [Backend, Backend];
  readonly #mains = new Map<Process, Main>();
  readonly #surroundings = new Map<Process, Surroundings>();
  readonly #apis: readonly Process[];
  /** How often each order has been asked for. */
  readonly #asked = new Map<string, number>();
  readonly #frontend: Process;
  readonly #handlers: HandlerFaults;
  readonly #isObserved: boolean;
  readonly #onWatched: RunWatch | undefined;
  #hasChanged = true;
  #isHealed = false;

  constructor(world: WorldOptions) {
    const { options, plant, decisions, jitterOf, interventions } = world;
    this.loop = new EventLoop(world);
    this.#isObserved = world.isObserved;
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
    this.#apis = Array.from(
      { length: options.apis },
      (_, index) => this.#add(`backend-1.${index}`, this.#backends[0], undefined),
    );
    this.#addParts();
    this.#placeOrders();
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
    this.#note("heal", "", worldColumn, "");
    for (const process of this.#surroundings.keys()) {
      process.pausedUntilUs = 0;
      process.doom = "none";
      if (!process.isLive) this.#start(process);
    }
  }

  /** The handlers are mended, and what was parked gets another chance. */
  mend(): void {
    this.#handlers.mend();
    this.#note("mend", "", worldColumn, "");
    for (const [index, { store }] of this.#backends.entries()) {
      const operator = this.#newProcess(`operator-${index + 1}`);
      const part = this.#surround(operator, { store, mailboxes: new Map() });
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
      commitMs: (process) => jittered(process, commitMs),
      // Who has given up must not be served first.
      busyMs: timeoutMs,
      crash: (process) => this.#crash(process),
      onCommit: (changes, process) => {
        this.#logCommit(store, changes, process);
        this.invariants.committed(store, changes);
        this.#hasChanged = true;
      },
      onContention: (what, process) => this.#note(what, process.name, process.column, ""),
    });
    const keyNames = Array.from({ length: keys }, (_, index) => `k${index + 1}`);
    for (const [table, row] of initialRows(this.#settings, keyNames, consumers)) {
      store.load(table, row);
    }
    return { store, mailboxes: new Map() };
  }

  #logCommit(
    store: SimulatedStore,
    changes: Parameters<NonNullable<SimulatedStore["options"]["onCommit"]>>[0],
    process: Process,
  ): void {
    for (const { table, before, after, id } of changes) {
      if (table === "effects") {
        this.#log("effect", process, after!["messageId"] as string, after!["consumer"] as string);
      }
      if (table === "outbox" && before === undefined) this.#seeLateId(store, id);
      if (table === "leases" && before?.["token"] !== after?.["token"]) this.#reach("lease-taken");
    }
    if (!this.loop.isLogged) return this.loop.log("commit", "", "", "");
    const counts = new Map<string, number>();
    const messages = new Set<string>();
    for (const { table, before, after } of changes) {
      counts.set(table, (counts.get(table) ?? 0) + 1);
      const message = (after ?? before)![table === "orders" ? "orderId" : "messageId"];
      if (message !== undefined) messages.add(message as string);
    }
    let detail = "";
    for (const [table, count] of counts) detail += `${table}+${count} `;
    this.loop.log("commit", process.column, store.name, detail.trimEnd(), [...messages], changes);
  }

  readonly #lastOutboxId = new Map<SimulatedStore, number>();

  #seeLateId(store: SimulatedStore, id: number): void {
    const last = this.#lastOutboxId.get(store) ?? 0;
    if (id < last) this.#reach("late-id");
    else this.#lastOutboxId.set(store, id);
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
          this.#log("publish", from, message.id, topic);
          this.#reach("publish");
          this.invariants.accepted(message);
        },
        delivered: (topic, _group, { message, attempt }, to) => {
          this.#log("deliver", to, message.id, `${topic} attempt ${attempt}`);
          if (attempt > 1) this.#reach("redelivered");
        },
        acknowledged: (topic, _group, message, by) => {
          this.#log("acknowledge", by, message.id, topic);
          this.invariants.acknowledged(message);
          this.#hasChanged = true;
        },
      },
    });
  }

  #newLinks(isObserved: boolean): FaultyLinks {
    const { faults, faultMaxMs, timeoutMs, linkMs } = this.#options;
    return new FaultyLinks(this.loop, this.#decisions, {
      rates: faults,
      faultMaxMs,
      timeoutMs,
      isObserved,
      ...(this.#onWatched && { onCallEnd: this.#onWatched }),
      linkMs: (process) => jittered(process, linkMs),
      crash: (process) => this.#crash(process),
      victimOf: (point, caller, subject) => point === 1 ? this.#apiFor(subject) : caller,
      onCall: (point, subject) => {
        if (point === 1) this.#asked.set(subject, (this.#asked.get(subject) ?? 0) + 1);
        this.invariants.called(point, subject);
      },
      onOutage: (point, outage) => {
        this.#reach(`outage-${outageEffects[outage.mode]}`);
        this.invariants.metOutage(point, outage);
      },
      onFault: (kind, point, subject, process) => {
        this.#note(`fault-${point}`, subject, process.column, kind);
        this.#reach(`${kind}@${point}`);
      },
    });
  }

  #addParts(): void {
    const [first, second] = this.#backends;
    const settings = this.#settings;
    const { relays, lambdas, processors, pattern } = this.#options;
    const { work, lambdaWork } = this.#handlers;
    const many = (count: number, name: string, backend: Backend, main: Main) => {
      for (let index = 0; index < count; index++) {
        const process = this.#add(`${name}.${index}`, backend, main);
        const box = name.startsWith("relay") ? "outbox" : "inbox";
        backend.mailboxes.set(process, { box, subjects: [], wake: undefined });
      }
    };
    for (const [from, to, stage, number] of this.#stages(first, second)) {
      if (pattern === "outbox") {
        many(relays, `relay-${number}`, from, (part) => relay(part, settings, stage));
      }
      const other = 3 - number;
      many(lambdas, `lambda-${other}`, to, (part) => lambda(part, settings, stage, lambdaWork));
      many(processors, `processor-${other}`, to, (part) => processor(part, settings, stage, work));
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
        this.#reach(`${kind === "poison" ? kind : "slow"}@${where}`);
        const atMs = this.loop.nowMs;
        this.#onWatched?.({ type: "handler-fault", kind, part: name, subject, atMs, detail });
      },
    });
  }

  #placeOrders(): void {
    const { orders, keys, orderKeys, burst, arrivalMs, idleMs, timeoutMs } = this.#options;
    const draw = this.#frontend.draw ?? (() => 0.5);
    for (let number = 1; number <= orders; number++) {
      const order: Order = {
        id: `o${number}`,
        key: orderKeys?.[number - 1] ?? `k${1 + number % keys}`,
      };
      for (const id of [order.id, resultIdOf(order.id)]) this.#handlers.plan(id);
      const first = number - (number - 1) % burst;
      // Half of the orders come after a time in which nothing happens.
      const idle = number > orders / 2 ? idleMs : 0;
      const atMs = arrivalMs * first / orders + idle + draw() * 3;
      const place = (order: Order) => this.#callBackend(order, timeoutMs);
      const part = this.#surroundings.get(this.#frontend)!;
      this.loop.after(
        atMs,
        () => this.loop.spawn(this.#frontend, submitOrder(part, this.#settings, order, place)),
      );
    }
  }

  /** Each attempt goes to another instance. */
  #apiFor(orderId: string): Process {
    const turn = Number(orderId.slice(1)) + (this.#asked.get(orderId) ?? 0);
    return this.#apis[turn % this.#apis.length]!;
  }

  *#callBackend(order: Order, timeoutMs: number): Step<void> {
    const api = this.#apiFor(order.id);
    if (!api.isLive) throw backendDown;
    const part = this.#surroundings.get(api)!;
    yield* this.loop.race(
      api,
      placeOrder(part, this.#settings, order),
      timeoutMs,
      () => noAnswer,
    );
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
      note: (event, subject, detail) => this.#note(event, subject, worldColumn, detail),
    };
  }

  #planIntervention(intervention: Intervention): void {
    this.loop.after(intervention.atMs, () => {
      if (this.#isHealed) return;
      if (intervention.kind === "rates") {
        const { point, rates } = intervention;
        this.#links.setRates(point, allowedRates(this.#options.ordering, point, rates));
        this.#note("rates", String(point), worldColumn, ratesInWords(rates));
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
    this.#note("pause", process.name, process.column, `${durationMs} ms`);
  }

  #crash(process: Process, givenMs?: number): void {
    if (this.#isHealed || !process.isLive || process === this.#frontend) return;
    process.isLive = false;
    process.life++;
    process.doom = "none";
    this.#links.abandon(process);
    for (const { store, mailboxes } of this.#backends) {
      if (store.abandon(process) > 0) this.#reach("rolled-back");
      const mailbox = mailboxes.get(process);
      if (mailbox !== undefined) Object.assign(mailbox, { subjects: [], wake: undefined });
    }
    const { faultMaxMs } = this.#options;
    const choose = (draw: Draw) => Math.round(logUniform(draw, 10, faultMaxMs));
    const downMs = givenMs ?? this.#decisions.decide("down-ms", process.name, choose, 100);
    this.#note("crash", process.name, process.column, `${downMs} ms`);
    this.loop.after(downMs, () => this.#start(process));
  }

  #start(process: Process): void {
    if (process.isLive) return;
    process.isLive = true;
    this.#note("restart", process.name, process.column, "");
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
      sleepUntilWoken: (limitMs) => this.#sleepUntilWoken(process, backend, limitMs),
      wake: (box, subject) => wakeSome(backend, box, subject),
      note: (event, subject, detail = "") => {
        if (event === "owns") {
          this.invariants.owns(process.name, `${backend.store.name} ${subject}`);
        }
        this.#note(event, subject, process.column, detail);
      },
    };
  }

  *#sleepUntilWoken(process: Process, backend: Backend, limitMs: number): Step<readonly string[]> {
    const mailbox = backend.mailboxes.get(process)!;
    if (mailbox.subjects.length === 0) {
      yield* waitFor<void>((resume) => {
        mailbox.wake = () => {
          mailbox.wake = undefined;
          this.loop.callOff(timer);
          this.loop.after(0, resume as () => void, process);
        };
        const timer = this.loop.after(limitMs, () => {
          mailbox.wake = undefined;
          resume();
        }, process);
      });
    }
    const { subjects } = mailbox;
    mailbox.subjects = [];
    return subjects;
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
        this.#note("VIOLATION", "world", worldColumn, `${invariant}: ${text}`),
    };
  }

  #log(event: string, process: Process, subject: string, detail: string): void {
    this.loop.log(event, process.column, subject, detail);
  }

  #note(event: string, subject: string, column: string, detail: string): void {
    this.#reach(event);
    if (detail === "full") this.#reach("full");
    this.loop.log(event, column, subject, detail);
  }

  #reach(event: string): void {
    const times = this.reached.get(event) ?? 0;
    this.reached.set(event, times + 1);
    if (times === 0 && this.#isObserved) this.firstReached.set(event, this.loop.count);
  }
}

function ratesInWords(rates: Readonly<Record<string, number>>): string {
  const words = Object.entries(rates).map(([kind, rate]) => `${kind} ${rate}`);
  return words.length === 0 ? "none" : words.join(" ");
}

/**
 * Wakes whoever works at a box. Of an inbox, one who sleeps is enough; where nobody does, all are told, and
 * look again before they sleep. Of an outbox, only its owner can do anything.
 */
function wakeSome({ mailboxes }: Backend, box: Mailbox["box"], subject: string): void {
  if (box === "inbox") {
    for (const mailbox of mailboxes.values()) {
      if (mailbox.box !== box || mailbox.wake === undefined) continue;
      mailbox.subjects.push(subject);
      return mailbox.wake();
    }
  }
  for (const mailbox of mailboxes.values()) {
    if (mailbox.box !== box) continue;
    mailbox.subjects.push(subject);
    mailbox.wake?.();
  }
}
