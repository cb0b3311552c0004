/**
 * A fleet of processes that are not there: each says that it started, takes part in requests that
 * cross several of them, now and then fails, and stops or vanishes and comes again.
 *
 * @module
 */
import { pause } from "../service/resilience.ts";
import type { World } from "../service/world/world.ts";
import { type EventAttributes, eventJson } from "./client/event_json.ts";
import { LineConnection } from "./client/line_connection.ts";

/** Options of {@linkcode runFleet}. */
export interface FleetOptions {
  /** The simulator's host. */
  host: string;
  /** The simulator's port. */
  port: number;
  /** Processes. */
  processes: number;
  /** Events a second, of all together. */
  rate: number;
  /** TCP connections; processes share them evenly. @default one a process, at most 1,000 */
  connections?: number;
  /** How likely a request fails, 0 to 1. @default 0.02 */
  faultRatio?: number;
  /** How often a process ends and another one comes, in processes a second. @default 0 */
  churn?: number;
  /** Ends it. */
  signal: AbortSignal;
  world: World;
}

/** What came of it. */
export interface FleetResult {
  /** Events sent. */
  sent: number;
  /** Events that were dropped, as the server was away for too long. */
  dropped: number;
}

/** The parts of an imagined shop, each with what it is asked to do and whom it asks. */
const parts = [
  { name: "frontend", share: 0.3, does: ["GET /", "GET /cart", "POST /orders"], asks: 1 },
  { name: "orders", share: 0.25, does: ["place order", "order status"], asks: 2 },
  { name: "payments", share: 0.15, does: ["authorise card", "capture"], asks: undefined },
  { name: "inventory", share: 0.15, does: ["reserve", "release"], asks: 4 },
  { name: "mailer", share: 0.15, does: ["send confirmation"], asks: undefined },
] as const;

interface Process {
  readonly name: string;
  readonly pid: number;
  readonly traceId: string;
  readonly connection: LineConnection;
}

/** Runs it until the signal aborts. */
export async function runFleet(options: FleetOptions): Promise<FleetResult> {
  const fleet = new Fleet(options);
  fleet.start();
  await fleet.run();
  return await fleet.stop();
}

const tickMs = 20;
const firstPid = 10_000;

class Fleet {
  readonly #options: Required<FleetOptions>;
  readonly #connections: LineConnection[];
  /** By part. */
  readonly #processes: Process[][] = parts.map(() => []);
  #nextPid = firstPid;
  #sent = 0;

  constructor(options: FleetOptions) {
    this.#options = {
      connections: Math.min(options.processes, 1_000),
      faultRatio: 0.02,
      churn: 0,
      ...options,
    };
    const { host, port, connections, world } = this.#options;
    this.#connections = Array.from(
      { length: Math.max(1, connections) },
      () => new LineConnection({ host, port, world }),
    );
  }

  start(): void {
    for (let i = 0; i < this.#options.processes; i++) this.#begin(this.#partOf(i));
  }

  /** Sends at the rate, by the time that has passed: a late tick sends more. */
  async run(): Promise<void> {
    const { signal, world, rate, churn } = this.#options;
    const startMs = world.monotonicMs();
    const before = this.#sent;
    let replaced = 0;
    while (!signal.aborted) {
      const elapsedS = (world.monotonicMs() - startMs) / 1_000;
      while (this.#sent - before < rate * elapsedS) this.#request();
      while (replaced < churn * elapsedS) {
        this.#replace();
        replaced++;
      }
      await pause(tickMs, { signal, world });
    }
  }

  async stop(): Promise<FleetResult> {
    for (const processes of this.#processes) {
      for (const one of processes) this.#send(one, "processStopped", one.traceId, {});
    }
    await Promise.all(this.#connections.map((connection) => connection.close(2_000)));
    const dropped = this.#connections.reduce((sum, connection) => sum + connection.dropped, 0);
    return { sent: this.#sent, dropped };
  }

  #partOf(index: number): number {
    let share = (index + 0.5) / this.#options.processes;
    const part = parts.findIndex((one) => (share -= one.share) < 0);
    return part === -1 ? 0 : part;
  }

  #begin(part: number): void {
    const { world } = this.#options;
    const pid = this.#nextPid++;
    const one = {
      name: parts[part]!.name,
      pid,
      traceId: world.randomUuid(),
      connection: this.#connections[pid % this.#connections.length]!,
    };
    this.#processes[part]!.push(one);
    this.#send(one, "processStarted", one.traceId, {});
  }

  #replace(): void {
    const part = this.#draw(parts.length);
    const processes = this.#processes[part]!;
    if (processes.length === 0) return;
    const [gone] = processes.splice(this.#draw(processes.length), 1);
    this.#send(gone!, "processStopped", gone!.traceId, {});
    this.#begin(part);
  }

  /** A request that goes through the parts, in one trace. */
  #request(): void {
    const { world, faultRatio } = this.#options;
    const traceId = world.randomUuid();
    const fails = world.random() < faultRatio;
    for (let part: number | undefined = 0; part !== undefined;) {
      const { does, asks }: (typeof parts)[number] = parts[part]!;
      const processes = this.#processes[part]!;
      if (processes.length > 0) {
        const one = processes[this.#draw(processes.length)]!;
        const args = does[this.#draw(does.length)]!;
        const last = asks === undefined;
        this.#send(one, last && fails ? "processingFailed" : "processingPerformed", traceId, {
          args,
        });
      }
      // An order is paid for or sent out: one way each.
      part = part === 1 && world.random() < 0.5 ? 3 : asks;
    }
  }

  #send({ name, pid, connection }: Process, event: string, traceId: string, more: EventAttributes) {
    this.#sent++;
    connection.send(eventJson({
      traceId,
      name,
      event,
      timeUnixNano: BigInt(this.#options.world.nowMs()) * 1_000_000n,
      attributes: { pid, ...more },
    }));
  }

  #draw(below: number): number {
    return Math.floor(this.#options.world.random() * below);
  }
}
