/**
 * Ping-pong's real client, with its recovery, and the server's real answering and mailbox over a
 * simulated line, in virtual time: no ping is lost or counted twice over a stream; a datagram's is
 * answered or counted as lost, once.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { PingEvent, PingRun } from "../../pingpong/client/ping_events.ts";
import { Pinger } from "../../pingpong/client/pinger.ts";
import { Reconnection } from "../../pingpong/client/reconnection.ts";
import type { Mode } from "../../pingpong/protocol/session_terms.ts";
import { SimulatedServer } from "./simulated_line.ts";
import { Chaos, type SubjectRun } from "./swarm.ts";

/** Faults happen during this time, in milliseconds. */
const faultsMs = 10_000;
/** Longer than any run that goes well takes. */
const deadlineMs = 600_000;

/** Options of {@linkcode runPingpong}. */
export interface PingpongSubjectOptions {
  readonly seed: number;
  /** @default 60 */
  readonly pings?: number;
  /** The line is never mended: for a test that a run that loses pings is noticed. @default false */
  readonly staysBroken?: boolean;
}

/** Runs a seed. */
export async function runPingpong(options: PingpongSubjectOptions): Promise<SubjectRun> {
  const { seed, pings = 60, staysBroken = false } = options;
  const world = new VirtualWorld({ seed });
  const chaos = new Chaos(world, seed);
  const mode: Mode = chaos.random() < 0.3 ? "datagram" : "bidi";
  const server = new SimulatedServer(world, chaos, chaos.random() < 0.5);
  const events: PingEvent[] = [];
  chaos.note(`mode-${mode}`);
  const pinger: Pinger = new Pinger({
    openLink: () => server.open(mode, { name: "subject-1", run: pinger.run }),
    reconnection: new Reconnection({ retries: 10_000, outageBudgetMs: deadlineMs, world }),
    onEvent: (event) => {
      events.push(event);
      chaos.note(event.kind, "seq" in event ? String(event.seq) : "");
    },
    count: pings,
    intervalMs: faultsMs / pings,
    concurrency: 1 + Math.floor(8 * chaos.random()),
    deadlineMs,
    tracer: trace.getTracer("subject"),
    meter: metrics.getMeter("subject"),
    world,
  });
  const trouble = makeTrouble(server, chaos, staysBroken);
  const run = await world.runUntil(pinger.start());
  await world.runUntil(trouble);
  await world.runUntilIdle();
  const violations = judge(run, events, { mode, pings });
  // A line that was cut unnoticed takes the farewell, too: answers wait until they are too old then. Over a stream
  // nobody ends on such a line, as the last answers could not have come.
  if (server.waiting > 0 && (server.isToldOfEnd || mode !== "datagram")) {
    violations.push(`${server.waiting} answers wait for nobody`);
  }
  if (world.pendingTimers > 0) violations.push(`${world.pendingTimers} timers are left behind`);
  const { log, swarm, reached } = chaos;
  return { seed, swarm, violations, log, virtualMs: world.monotonicMs(), reached };
}

async function makeTrouble(
  server: SimulatedServer,
  chaos: Chaos,
  staysBroken: boolean,
): Promise<void> {
  const { swarm } = chaos;
  await Promise.all([
    chaos.scatter(swarm.crashes, faultsMs, () => Promise.resolve(server.crash(chaos.durationMs()))),
    chaos.scatter(swarm.outages, faultsMs, () => Promise.resolve(server.cut(chaos.durationMs()))),
    chaos.pause(faultsMs),
  ]);
  if (staysBroken) server.cut(2 * deadlineMs);
  else chaos.heal();
}

function judge(
  { statistics, error }: PingRun,
  events: readonly PingEvent[],
  { mode, pings }: { mode: Mode; pings: number },
): string[] {
  const violations: string[] = [];
  const { sent, received, lost } = statistics.summary();
  if (error !== undefined) violations.push(`the run has failed: ${error.message}`);
  if (sent !== pings) violations.push(`${sent} of ${pings} pings were sent`);
  const endings = new Map<number, string[]>();
  for (const event of events) {
    if (event.kind !== "pong" && event.kind !== "lost") continue;
    endings.set(event.seq, [...endings.get(event.seq) ?? [], event.kind]);
  }
  for (let seq = 0; seq < sent; seq++) {
    const ends = endings.get(seq) ?? [];
    if (ends.length !== 1) violations.push(`ping ${seq} has ended ${ends.length} times`);
    else if (ends[0] === "lost" && mode !== "datagram") violations.push(`ping ${seq} is lost`);
  }
  const count = (kind: string) => [...endings.values()].filter(([end]) => end === kind).length;
  if (received !== count("pong") || lost !== count("lost")) {
    violations.push(`${received} are counted as answered and ${lost} as lost, which is not so`);
  }
  return violations;
}
