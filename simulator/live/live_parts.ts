/**
 * The parts of the live topology: each lives, dies, stops and comes back, in this program or in one of
 * its own.
 *
 * @module
 */
import type { TimerId, World } from "../../service/world/world.ts";
import { orderStage, resultStage } from "../topology/settings.ts";
import { ChildPart } from "./child_part.ts";
import { type Fault, isPart } from "./faults.ts";
import type { LiveSink } from "./live_event.ts";
import { LiveError } from "./live_options.ts";
import { usualDownMs } from "./live_settings.ts";
import type { LiveRecorder } from "./live_recorder.ts";
import type { LiveSprites } from "./live_sprites.ts";
import type { LiveStep, PartState } from "./live_state.ts";
import type { Box, PartRuntime } from "./part_runtime.ts";
import type { PartPlan } from "./parts.ts";
import type { TopicDepth } from "./service_bus.ts";

/** Options of {@linkcode LiveParts}. */
export interface LivePartsOptions {
  readonly recorder: LiveRecorder;
  /** Shows the parts as clients; nobody does where there is none. */
  readonly sprites: LiveSprites | undefined;
  readonly emit: LiveSink;
  /** Takes what happens to a part. */
  readonly step: (step: Omit<LiveStep, "atMs">) => void;
  /** Notified when a part is in another state. */
  readonly changed: () => void;
  readonly world: World;
}

/** A part, and how it is doing. */
export interface RunningPart {
  readonly runtime: PartRuntime | ChildPart;
  state: PartState["state"];
  starts: number;
  /** Brings it back after a crash, or ends its pause. */
  timer: TimerId | undefined;
}

/** Who publishes, in one pattern or another. */
const publishers: ReadonlySet<PartPlan["kind"]> = new Set(["backend", "relay", "processor"]);

/** Knows them all. */
export class LiveParts {
  readonly #options: LivePartsOptions;
  readonly #parts = new Map<string, RunningPart>();
  #faults: readonly Fault[] = [];

  constructor(options: LivePartsOptions) {
    this.#options = options;
  }

  /** Adds one, which is down. */
  add(runtime: PartRuntime | ChildPart): void {
    this.#parts.set(runtime.plan.name, { runtime, state: "killed", starts: 0, timer: undefined });
  }

  get count(): number {
    return this.#parts.size;
  }

  /** Those of a kind. */
  ofKind(kind: PartPlan["kind"]): RunningPart[] {
    return [...this.#parts.values()].filter(({ runtime }) => runtime.plan.kind === kind);
  }

  /** How each is doing. */
  states(): PartState[] {
    return [...this.#parts.values()].map(partState);
  }

  /** What each meets with from now on. */
  set faults(faults: readonly Fault[]) {
    this.#faults = faults;
    for (const { runtime } of this.#parts.values()) runtime.faults = faults;
  }

  /** What lies in the topics, as those say who receive by a bus of their own. */
  depths(): TopicDepth[] {
    const said = [...this.#parts.values()].flatMap(({ runtime }) =>
      runtime instanceof ChildPart ? runtime.depths : []
    );
    return [orderStage, resultStage].map(({ topic }) => ({
      topic,
      depth: said.reduce((sum, one) => one.topic === topic ? sum + one.depth : sum, 0),
    }));
  }

  /** Tells those who publish by a bus of their own how full the topics are: they cannot see it. */
  tellDepths(): void {
    const depths = this.depths();
    for (const { runtime } of this.#parts.values()) {
      if (runtime instanceof ChildPart && publishers.has(runtime.plan.kind)) {
        runtime.tellDepths(depths);
      }
    }
  }

  startAll(): void {
    for (const name of this.#parts.keys()) this.start(name);
  }

  /** Ends all of them, and waits for the ends of programs. */
  async stop(): Promise<void> {
    for (const { runtime, timer } of this.#parts.values()) {
      this.#options.world.clearTimeout(timer);
      runtime.kill();
    }
    for (const { runtime } of this.#parts.values()) {
      if (runtime instanceof ChildPart) await runtime.ended();
    }
  }

  /** The next commit of a part is its last, or is not any more. */
  doom(name: string): void {
    const runtime = this.#parts.get(name)?.runtime;
    if (runtime instanceof ChildPart) runtime.doom();
  }

  /** Kills a part as `kill -9` does. It stays down until it is started. @throws {LiveError} `unknown` */
  kill(name: string): void {
    const part = this.#part(name);
    this.#options.world.clearTimeout(part.timer);
    part.runtime.kill();
    part.state = "killed";
    // In virtual time it does not wait for somebody to start it.
    this.#options.recorder.intervened("crash", name, usualDownMs, this.#options.world.nowMs());
    this.#ended(name, "kill", "");
  }

  /** Starts a part that is down. @throws {LiveError} `unknown` */
  start(name: string): void {
    const part = this.#part(name);
    this.#options.world.clearTimeout(part.timer);
    const { state } = part;
    if (state === "running") return;
    // It may crash in its first step: it is up before that.
    part.state = "running";
    this.#options.step({ part: name, event: "start", subject: name });
    if (state === "paused") part.runtime.pause(0);
    else {
      part.starts++;
      part.runtime.faults = this.#faults;
      part.runtime.start();
      this.#options.sprites?.started(name, part.runtime.pid ?? Deno.pid);
    }
    this.#options.changed();
  }

  /** Wakes those of a backend who work at a box, in programs of their own. */
  wake(backend: 1 | 2, box: Box, subject: string): void {
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

  /** A fault kills a part; it comes back by itself. */
  crash(name: string, minDownMs: number): void {
    const part = this.#parts.get(name);
    if (part === undefined || part.state === "killed" || part.state === "crashed") return;
    part.runtime.kill();
    part.state = "crashed";
    const downMs = Math.max(minDownMs, usualDownMs) * (1 + this.#options.world.random() / 2);
    this.#options.recorder.intervened("crash", name, downMs, this.#options.world.nowMs());
    this.#ended(name, "crash", `down for ${Math.round(downMs)} ms`);
    this.#options.world.clearTimeout(part.timer);
    part.timer = this.#options.world.setTimeout(() => this.start(name), downMs);
  }

  #ended(name: string, event: string, detail: string): void {
    this.#options.sprites?.lost(name);
    this.#options.step({ part: name, event, subject: name, detail });
    this.#options.changed();
  }

  /** Lets chance decide which parts crash or stop now, by the faults that are about parts. */
  strike(faults: readonly Fault[]): void {
    for (const fault of faults) {
      if (fault.kind !== "crash" && fault.kind !== "pause") continue;
      for (const [name, part] of this.#parts) {
        if (part.state !== "running" || !isPart(fault.part, name)) continue;
        if (this.#options.world.random() >= fault.probability) continue;
        const durationMs = fault.minDurationMs ?? usualDownMs;
        this.#options.emit({
          ...{ type: "fault", part: name, kind: fault.kind, point: undefined, subject: name },
          ...{ trace: undefined, atMs: this.#options.world.nowMs(), detail: `${durationMs} ms` },
        });
        if (fault.kind === "crash") this.crash(name, durationMs);
        else this.#pause(name, part, durationMs);
      }
    }
  }

  #pause(name: string, part: RunningPart, durationMs: number): void {
    part.runtime.pause(durationMs);
    this.#options.recorder.intervened("pause", name, durationMs, this.#options.world.nowMs());
    part.state = "paused";
    part.timer = this.#options.world.setTimeout(() => this.start(name), durationMs);
  }
}

function partState({ runtime: { plan, pid }, state, starts }: RunningPart): PartState {
  const isUp = state === "running" || state === "paused";
  return { ...plan, state, starts, pid: isUp ? pid : undefined };
}
