/**
 * The main program's side of a part that runs in a program of its own.
 *
 * @module
 */
import { join } from "node:path";
import type { Log } from "../../service/log.ts";
import { programArguments } from "../../service/program_file.ts";
import type { World } from "../../service/world/world.ts";
import type { Order } from "../topology/backend_one.ts";
import { type BusPort, LinkError } from "../topology/ports.ts";
import { drive, type Step } from "../topology/step.ts";
import type { Fault } from "./faults.ts";
import { JsonLines } from "./json_lines.ts";
import type { LiveSink } from "./live_event.ts";
import { type LiveProcess, newLiveProcess } from "./live_process.ts";
import type { Box } from "./part_runtime.ts";
import type { PartPlan } from "./parts.ts";
import type { TopicDepth } from "./service_bus.ts";
import {
  type BusCall,
  type FromPart,
  fromWire,
  type PartStart,
  type ToPart,
  toWire,
} from "./part_wire.ts";

/** Options of {@linkcode ChildPart}. */
export interface ChildPartOptions {
  /** What it is started with, but for what is its own. */
  readonly start: Omit<PartStart, "plan" | "faults">;
  /** The main program's bus. */
  readonly bus: (process: LiveProcess) => BusPort;
  readonly onWake: (backend: 1 | 2, box: Box, subject: string) => void;
  /** Notified when it has said anew what lies in its topics. */
  readonly onDepths: () => void;
  readonly onReorder: (process: LiveProcess, delayMs: number) => void;
  /** It has ended although nobody wanted it to, or a fault wants it to crash. */
  readonly onCrash: (minDownMs: number) => void;
  readonly emit: LiveSink;
  readonly world: World;
  readonly log: Log;
}

/** A life of the part. */
interface Life {
  readonly child: Deno.ChildProcess;
  readonly wire: JsonLines<FromPart, ToPart>;
  readonly calls: Map<number, PromiseWithResolvers<void>>;
  depths: readonly TopicDepth[];
}

/** What runs a part. A bundle has it not, and needs none of what lies beside it to be found. */
const program = join(import.meta.dirname!, "..", "live_part.ts");

/** A part in a program of its own. */
export class ChildPart {
  readonly plan: PartPlan;
  /** Stands for it here. */
  readonly process: LiveProcess;
  readonly #options: ChildPartOptions;
  #faults: readonly Fault[] = [];
  #life: Life | undefined;
  #lastCall = 0;
  #resume: number | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(plan: PartPlan, options: ChildPartOptions) {
    this.plan = plan;
    this.#options = options;
    this.process = newLiveProcess(plan.name);
    this.process.isLive = false;
  }

  get pid(): number | undefined {
    return this.#life?.child.pid;
  }

  /** What lies in the topics of which it receives a share, as it has said last; nothing while it is down. */
  get depths(): readonly TopicDepth[] {
    return this.#life?.depths ?? [];
  }

  set faults(faults: readonly Fault[]) {
    this.#faults = faults;
    this.#life?.wire.send({ type: "faults", faults });
  }

  /** Starts the program. */
  start(): void {
    if (this.process.isLive) return;
    this.process.isLive = true;
    this.process.doom = "none";
    const { life } = this.process;
    this.#ended = this.#run(life).catch((error) => {
      this.#options.log.error("A part cannot be run", {
        part: this.plan.name,
        reason: String(error),
      });
      this.#gone(life);
    });
  }

  /** `kill -9`. */
  kill(): void {
    this.process.isLive = false;
    this.process.life++;
    const life = this.#life;
    this.#life = undefined;
    if (life === undefined) return;
    signal(life.child, "SIGKILL");
    this.#fail(life);
  }

  /** It is stopped for so long, as if it were starved; 0 ends it. */
  pause(durationMs: number): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#options.world.clearTimeout(this.#resume);
    if (durationMs === 0) return void signal(life.child, "SIGCONT");
    signal(life.child, "SIGSTOP");
    this.#resume = this.#options.world.setTimeout(
      () => signal(life.child, "SIGCONT"),
      durationMs,
    ) as number;
  }

  /** The program has ended, after {@linkcode kill}. */
  async ended(): Promise<void> {
    this.#options.world.clearTimeout(this.#resume);
    await this.#ended;
  }

  /** It is to crash at its next commit, or is not any more. */
  doom(): void {
    this.#life?.wire.send({ type: "doom", doom: this.process.doom });
  }

  /** Somebody has filled the box that it works at. */
  wake(box: Box, subject: string): void {
    this.#life?.wire.send({ type: "wake", box, subject });
  }

  /** What lies in the topics: it may have to know whether one of them is full. */
  tellDepths(depths: readonly TopicDepth[]): void {
    this.#life?.wire.send({ type: "depths", depths });
  }

  /** What backend 1's side to its clients does. */
  place(order: Order): Promise<void> {
    const life = this.#life;
    if (life === undefined) throw new LinkError("refused", `${this.plan.name} is not up yet`);
    const call = ++this.#lastCall;
    const answer = Promise.withResolvers<void>();
    life.calls.set(call, answer);
    life.wire.send({ type: "place", call, order });
    return answer.promise;
  }

  async #run(life: number): Promise<void> {
    const args = await programArguments(program);
    if (this.process.life !== life) return;
    const child = new Deno.Command(Deno.execPath(), {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const calls = new Map<number, PromiseWithResolvers<void>>();
    const wire: JsonLines<FromPart, ToPart> = new JsonLines({
      readable: child.stdout,
      writable: child.stdin,
      onMessage: (message) => this.#take(message, current),
    });
    const current: Life = { child, wire, calls, depths: [] };
    this.#life = current;
    wire.send({
      type: "start",
      start: { ...this.#options.start, plan: this.plan, faults: this.#faults },
    });
    await child.status;
    await wire.close();
    await wire.ended;
    this.#fail(current);
    this.#gone(life);
  }

  /** It has ended by itself, or was killed from outside. */
  #gone(life: number): void {
    if (this.process.life !== life) return;
    this.#life = undefined;
    this.#options.onCrash(0);
  }

  #fail({ calls }: Life): void {
    const error = new LinkError("timeout", `${this.plan.name} is gone`);
    for (const { promise, reject } of calls.values()) {
      // Whoever has given up waiting does not hear of it.
      promise.catch(() => {});
      reject(error);
    }
    calls.clear();
  }

  #take(message: FromPart, life: Life): void {
    // What it has said before it was killed still counts, what it asks for does not.
    const { emit, onWake, onReorder, onCrash, onDepths } = this.#options;
    if (message.type === "event") return emit(message.event);
    if (this.#life !== life) return;
    switch (message.type) {
      case "wake":
        return onWake(this.plan.backend, message.box, message.subject);
      case "reorder":
        return onReorder(this.process, message.delayMs);
      case "crash":
        return onCrash(message.minDownMs);
      case "depths":
        life.depths = message.depths;
        return onDepths();
      case "placed": {
        const { call, error } = message;
        const waiting = life.calls.get(call);
        life.calls.delete(call);
        if (error === undefined) waiting?.resolve();
        else waiting?.reject(fromWire(error));
        return;
      }
      case "bus":
        return this.#askBus(message.call, message.ask, life);
    }
  }

  #askBus(call: number, ask: BusCall, life: Life): void {
    const number = this.process.life;
    drive(callOf(this.#options.bus(this.process), ask), {
      // What was to be given to somebody who is gone is not taken.
      isLive: () => this.process.isLive && this.process.life === number,
      done: (value) => life.wire.send({ type: "answer", call, value }),
      failed: (error) => life.wire.send({ type: "answer", call, error: toWire(error) }),
    });
  }
}

function callOf(bus: BusPort, ask: BusCall): Step<unknown> {
  switch (ask.op) {
    case "publish":
      return bus.publish(ask.topic, ask.message);
    case "receive":
      return bus.receive(ask.topic, ask.group, ask.limit);
    case "acknowledge":
      return bus.acknowledge(ask.delivery);
    case "release":
      return bus.release(ask.delivery, ask.delayMs);
  }
}

/** False when it has ended already. */
function signal(child: Deno.ChildProcess, name: Deno.Signal): boolean {
  try {
    child.kill(name);
    return true;
  } catch (error) {
    if (error instanceof TypeError || error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
