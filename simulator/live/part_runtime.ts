/**
 * Runs parts in this program: gives each its surroundings, starts it, kills it, lets it pause.
 *
 * @module
 */
import type { Log } from "../../service/log.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import { type Order, placeOrder } from "../topology/backend_one.ts";
import type { BusPort, Surroundings } from "../topology/ports.ts";
import { HandlerError } from "../topology/processor.ts";
import type { Settings } from "../topology/settings.ts";
import { drive, type Step } from "../topology/step.ts";
import { seededDraw } from "../simulation/decisions.ts";
import { type Fault, isPart } from "./faults.ts";
import type { LiveSink } from "./live_event.ts";
import type { LiveLinks } from "./live_links.ts";
import {
  type LiveProcess,
  newLiveProcess,
  sleepAs,
  takeBackWaits,
  waitAs,
} from "./live_process.ts";
import type { LiveStore } from "./live_store.ts";
import { mainOf, type PartPlan } from "./parts.ts";

/** What a part's surroundings are made of. */
export interface RuntimeOptions {
  readonly settings: Settings;
  readonly seed: number;
  readonly store: LiveStore;
  readonly bus: (process: LiveProcess) => BusPort;
  readonly links: LiveLinks;
  readonly mailboxes: Mailboxes;
  /** How long a handler works beside its store, in milliseconds. */
  readonly workMs: number;
  readonly emit: LiveSink;
  readonly world: World;
  readonly log: Log;
}

/** The most hints that wait for one part: they are hints only. */
const maxSubjects = 1_000;

/** Which box of its backend a part works at. */
export type Box = "outbox" | "inbox";

interface Mailbox {
  readonly backend: 1 | 2;
  readonly box: Box;
  subjects: string[];
  wake: (() => void) | undefined;
}

/** What relays and processors are woken by, of those in this program. */
export class Mailboxes {
  readonly #boxes = new Map<LiveProcess, Mailbox>();
  readonly #world: World;
  readonly #onWake: ((backend: 1 | 2, box: Box, subject: string) => void) | undefined;

  /** @param onWake notified of each wake-up, for those in other programs; by default nobody is */
  constructor(world: World, onWake?: (backend: 1 | 2, box: Box, subject: string) => void) {
    this.#world = world;
    this.#onWake = onWake;
  }

  /** Gives a part a mailbox. */
  add(process: LiveProcess, backend: 1 | 2, box: Box): void {
    this.#boxes.set(process, { backend, box, subjects: [], wake: undefined });
  }

  /** Wakes those who work at a box of a backend, here and elsewhere. */
  wakeAll(backend: 1 | 2, box: Box, subject: string): void {
    this.wake(backend, box, subject);
    this.#onWake?.(backend, box, subject);
  }

  /** Wakes those in this program who work at a box of a backend. */
  wake(backend: 1 | 2, box: Box, subject: string): void {
    for (const mailbox of this.#boxes.values()) {
      if (mailbox.backend !== backend || mailbox.box !== box) continue;
      if (mailbox.subjects.length < maxSubjects) mailbox.subjects.push(subject);
      mailbox.wake?.();
    }
  }

  /** Waits for a wake-up, at most so long; gives what it was about. */
  *sleep(process: LiveProcess, limitMs: number): Step<readonly string[]> {
    const mailbox = this.#boxes.get(process);
    if (mailbox === undefined) throw new Error(`${process.name} has no mailbox`);
    if (mailbox.subjects.length === 0) {
      yield* waitAs<void>(process, (resume) => {
        const wake = () => {
          if (mailbox.wake !== wake) return;
          mailbox.wake = undefined;
          this.#world.clearTimeout(timer);
          // Not within the transaction that has woken it.
          timer = this.#world.setTimeout(() => resume(), 0);
        };
        let timer = this.#world.setTimeout(wake, limitMs);
        mailbox.wake = wake;
        return () => {
          mailbox.wake = undefined;
          this.#world.clearTimeout(timer);
        };
      });
    }
    const { subjects } = mailbox;
    mailbox.subjects = [];
    return subjects;
  }
}

/** A part that runs in this program. */
export class PartRuntime {
  readonly plan: PartPlan;
  readonly process: LiveProcess;
  readonly #options: RuntimeOptions;
  #faults: readonly Fault[] = [];
  #pausedUntilMs = 0;
  #restart: TimerId | undefined;

  constructor(plan: PartPlan, options: RuntimeOptions) {
    this.plan = plan;
    this.#options = options;
    this.process = newLiveProcess(plan.name);
    this.process.isLive = false;
    if (plan.kind === "relay") options.mailboxes.add(this.process, plan.backend, "outbox");
    if (plan.kind === "processor") options.mailboxes.add(this.process, plan.backend, "inbox");
  }

  get pid(): number {
    return Deno.pid;
  }

  set faults(faults: readonly Fault[]) {
    this.#faults = faults;
    const skew = faults.find((one) =>
      one.kind === "clock-skew" && isPart(one.part, this.plan.name)
    );
    this.process.skewMs = skew?.kind === "clock-skew" ? skew.skewMs : 0;
  }

  /** Begins a new life. */
  start(): void {
    const { process } = this;
    if (process.isLive) return;
    process.isLive = true;
    process.doom = "none";
    const main = mainOf(this.plan, this.#options.settings, this.#work);
    if (main !== undefined) this.#run(main);
  }

  /** As by `kill -9`: it is never resumed, and what it has not committed is gone. */
  kill(): void {
    const { process } = this;
    this.#options.world.clearTimeout(this.#restart);
    if (!process.isLive) return;
    process.isLive = false;
    process.life++;
    process.doom = "none";
    takeBackWaits(process);
    this.#pausedUntilMs = 0;
    this.#options.store.abandon(process);
  }

  /** As if it were starved: it does not go on before then. */
  pause(durationMs: number): void {
    this.#pausedUntilMs = this.#options.world.monotonicMs() + durationMs;
  }

  /** What backend 1's side to its clients does; it never ends if the part is killed meanwhile. */
  place(order: Order): Promise<void> {
    const { process } = this;
    const { life } = process;
    const step = placeOrder(this.surround(), this.#options.settings, order);
    return new Promise((done, failed) =>
      drive(step, { isLive: () => process.isLive && process.life === life, done, failed })
    );
  }

  /** The part's world. */
  surround(): Surroundings {
    const { process, plan: { backend } } = this;
    const { world, store, bus, links, mailboxes, seed, emit } = this.#options;
    const session = `${process.name}/${process.life}/${world.randomUuid()}`;
    return {
      name: process.name,
      session,
      clock: {
        nowMs: () => world.nowMs() + process.skewMs,
        sleep: (delayMs) => sleepAs(process, delayMs, world),
      },
      chance: { random: seededDraw(seed, session) },
      store: store.connect(process),
      bus: bus(process),
      link: links.connect(process),
      sleepUntilWoken: (limitMs) => mailboxes.sleep(process, limitMs),
      wake: (box, subject) => mailboxes.wakeAll(backend, box, subject),
      note: (event, subject, detail = "") =>
        emit({
          ...{ type: "note", part: process.name, event, subject, detail },
          atMs: world.nowMs(),
        }),
    };
  }

  #run(main: (part: Surroundings) => Step<never>): void {
    const { process } = this;
    const { life } = process;
    const { world, log } = this.#options;
    drive(this.#pausable(main(this.surround())), {
      isLive: () => process.isLive && process.life === life,
      done: () => {},
      failed: (error) => {
        // A defect, or a world that fails in a way that nobody has thought of: it begins anew.
        log.error("A part has failed and is started anew", {
          part: process.name,
          reason: reasonOf(error),
          stack: error instanceof Error ? error.stack : undefined,
        });
        this.kill();
        this.#restart = world.setTimeout(() => this.start(), restartMs);
      },
    });
  }

  /** Holds each resumption back while the part is paused. */
  *#pausable<T>(step: Step<T>): Step<T> {
    let result = step.next();
    while (!result.done) {
      let answer: { value: unknown } | { error: unknown };
      try {
        answer = { value: yield result.value };
      } catch (error) {
        answer = { error };
      }
      for (let leftMs = this.#leftMs(); leftMs > 0; leftMs = this.#leftMs()) {
        yield* sleepAs(this.process, leftMs, this.#options.world);
      }
      result = "error" in answer ? step.throw(answer.error) : step.next(answer.value);
    }
    return result.value;
  }

  #leftMs(): number {
    if (this.#pausedUntilMs === 0) return 0;
    return this.#pausedUntilMs - this.#options.world.monotonicMs();
  }

  /** What a handler does beside its store. */
  readonly #work = (part: Surroundings, consumer: string, messageId: string) =>
    this.#handle(part, consumer, messageId);

  *#handle(part: Surroundings, consumer: string, messageId: string): Step<void> {
    const { seed, workMs, world, emit } = this.#options;
    const hit = (kind: string, detail: string) =>
      emit({
        ...{ type: "fault", part: this.plan.name, kind, point: undefined, subject: messageId },
        ...{ trace: undefined, atMs: world.nowMs(), detail },
      });
    let takesMs = workMs;
    for (const fault of this.#faults) {
      if (fault.kind !== "slow-consumer" || world.random() >= fault.probability) continue;
      takesMs = fault.minDurationMs ?? 2 * this.#options.settings.leaseMs;
      emit({ type: "decision", name: `slow ${messageId}`, value: takesMs });
      hit("slow-consumer", `${takesMs} ms`);
    }
    if (takesMs > 0) yield* part.clock.sleep(takesMs);
    const poison = this.#faults.find((one) => one.kind === "poison");
    if (poison?.kind !== "poison" || consumer === "stock") return;
    // Which ones it is follows from the seed: all instances agree, now and the next time.
    if (seededDraw(seed, `poison ${messageId}`)() >= poison.probability) return;
    emit({ type: "decision", name: `poison ${messageId}`, value: 1 });
    hit("poison", consumer);
    throw new HandlerError(`${messageId} cannot be handled`);
  }
}

/** Before a part that has failed by itself is started anew, in milliseconds. */
const restartMs = 1_000;
