/**
 * What goes wrong beside calls, planned before a run begins: parts that crash or are starved, clocks
 * that are off, stores that crash or fill up, cuts of several things that heal in another order, and
 * somebody who locks rows by hand.
 *
 * @module
 */
import { type Surroundings, transact } from "../topology/ports.ts";
import { attempt } from "../topology/settings.ts";
import type { Step } from "../topology/step.ts";
import { type Decisions, type Draw, logUniform } from "./decisions.ts";
import type { EventLoop, Process } from "./event_loop.ts";
import type { FaultyLinks } from "./faulty_link.ts";
import { faultPoints, type RunOptions } from "./options.ts";
import type { SimulatedStore } from "./simulated_store.ts";

/** What can be troubled. */
export interface Troubled {
  readonly loop: EventLoop;
  readonly options: RunOptions;
  readonly decisions: Decisions;
  /** All but the frontend. */
  readonly processes: readonly Process[];
  readonly stores: readonly SimulatedStore[];
  readonly links: FaultyLinks;
  /** Whether faults have ended. */
  isHealed(): boolean;
  crash(process: Process): void;
  pause(process: Process, durationMs: number): void;
  /** A process that nobody has planned, which works at a store. */
  visit(store: SimulatedStore, work: (part: Surroundings) => Step<void>): void;
  note(event: string, subject: string, detail: string): void;
}

/** Plans all of it. */
export function planTrouble(world: Troubled): void {
  new Planner(world).plan();
}

class Planner {
  readonly #world: Troubled;

  constructor(world: Troubled) {
    this.#world = world;
  }

  plan(): void {
    const { options, crash, pause } = this.#world;
    this.#each("crash", options.crashes, (index) => {
      const process = this.#process("crash-who", index);
      return () => crash(process);
    });
    this.#each("pause", options.pauses, (index) => {
      const process = this.#process("pause-who", index);
      const durationMs = this.#duration("pause-ms", index);
      return () => pause(process, durationMs);
    });
    this.#each("starve", options.starvations, (index) => this.#starvation(index));
    this.#each("swizzle", options.swizzles, (index) => this.#swizzle(index));
    this.#each("store-crash", options.storeCrashes, (index) => this.#storeCrash(index));
    this.#each("store-full", options.storeFulls, (index) => this.#storeFull(index));
    this.#each("session", options.sessions, (index) => this.#session(index));
    this.#skewClocks();
  }

  /** Does something at a time that is drawn, so many times. */
  #each(what: string, times: number, plan: (index: string) => () => void): void {
    const { loop, isHealed, options: { arrivalMs } } = this.#world;
    for (let index = 1; index <= times; index++) {
      const begin = plan(String(index));
      // 0, which is what a shorter record says, is never.
      const atMs = this.#decide(`${what}-at`, String(index), (draw) => 1 + draw() * arrivalMs);
      if (atMs > 0) loop.after(atMs, () => isHealed() || begin());
    }
  }

  /** A part that gets a little time now and then, and then none for long. */
  #starvation(index: string): () => void {
    const { loop, pause } = this.#world;
    const process = this.#process("starve-who", index);
    const durationMs = this.#duration("starve-ms", index);
    const sliceMs = durationMs / 10;
    return () => {
      for (let slice = 0; slice < 10; slice++) {
        loop.after(slice * sliceMs, () => pause(process, 0.9 * sliceMs));
      }
    };
  }

  /** Several points and parts are cut one after the other, and come back in another order. */
  #swizzle(index: string): () => void {
    const { loop, links, processes, note } = this.#world;
    const targets = [...faultPoints, ...processes];
    const count = this.#decide("swizzle-count", index, (draw) => 2 + draw() * 4, 2);
    const cuts = Array.from({ length: count }, (_, place) => {
      const subject = `${index}.${place + 1}`;
      return {
        target: targets[
          this.#decide("swizzle-what", subject, (draw) => draw() * targets.length)
        ]!,
        mode: this.#decide("swizzle-mode", subject, (draw) => 1 + draw() * 3, 1) as 1 | 2 | 3,
        durationMs: this.#duration("swizzle-ms", subject),
        delayMs: this.#decide("swizzle-wait", subject, (draw) => draw() * 300),
      };
    });
    return () => {
      for (const { target, mode, durationMs, delayMs } of cuts) {
        loop.after(delayMs, () => {
          links.cut(target, mode, durationMs);
          const name = typeof target === "number" ? `point ${target}` : target.name;
          note("cut", name, `${durationMs} ms`);
        });
      }
    };
  }

  #storeCrash(index: string): () => void {
    const { decisions, note } = this.#world;
    const store = this.#store("store-crash-which", index);
    const downMs = this.#duration("store-crash-ms", index);
    return () => {
      note("store-crash", store.name, `${downMs} ms`);
      store.crash(
        downMs,
        ({ name }) =>
          decisions.decide("store-crash-committed", name, (draw) => draw() < 0.5 ? 1 : 0) > 0,
      );
    };
  }

  #storeFull(index: string): () => void {
    const { note } = this.#world;
    const store = this.#store("store-full-which", index);
    const durationMs = this.#duration("store-full-ms", index);
    return () => {
      note("store-full", store.name, `${durationMs} ms`);
      store.fill(durationMs);
    };
  }

  /** Somebody at a prompt, who locks rows one by one, the newest first, and thinks in between. */
  #session(index: string): () => void {
    const { options: { statementMs }, visit } = this.#world;
    const store = this.#store("session-which", index);
    const table = this.#decide("session-table", index, (draw) => draw() * 2) === 1
      ? { name: "outbox", queue: "shard-0" }
      : { name: "inbox", queue: "open" };
    return () =>
      visit(store, function* (part) {
        yield* attempt(part, () =>
          transact(part.store, function* (tx) {
            const rows = yield* tx.select(table.name, { queue: table.queue });
            for (const { id } of rows.slice(-4).reverse()) {
              yield* tx.select(table.name, { queue: table.queue, id }, { lock: "wait" });
              yield* part.clock.sleep(5 * statementMs);
            }
          }));
      });
  }

  #skewClocks(): void {
    const { options: { skewMs }, processes, decisions } = this.#world;
    if (skewMs === 0) return;
    for (const process of processes) {
      const choose = (draw: Draw) => Math.round((draw() * 2 - 1) * skewMs);
      process.skewMs = decisions.decide("skew", process.name, choose);
    }
  }

  #process(what: string, index: string): Process {
    const { processes } = this.#world;
    return processes[this.#decide(what, index, (draw) => draw() * processes.length)]!;
  }

  #store(what: string, index: string): SimulatedStore {
    const { stores } = this.#world;
    return stores[this.#decide(what, index, (draw) => draw() * stores.length)]!;
  }

  #duration(what: string, index: string): number {
    const { faultMaxMs } = this.#world.options;
    return this.#decide(what, index, (draw) => logUniform(draw, 10, faultMaxMs), 100);
  }

  #decide(what: string, subject: string, choose: Draw | ((draw: Draw) => number), usual = 0) {
    return this.#world.decisions.decide(what, subject, (draw) => Math.floor(choose(draw)), usual);
  }
}
