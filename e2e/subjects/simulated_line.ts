/**
 * A line between ping-pong's client and its server in virtual time: it delays, breaks in one direction
 * or both, and takes its time to be noticed as broken, at each end by itself. Datagrams it also loses,
 * doubles and reorders.
 *
 * @module
 */
import { metrics, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import type { VirtualWorld } from "../../service/world/virtual_world.ts";
import { type Link, type LinkEnd, type OnPong, PongInbox } from "../../pingpong/client/link.ts";
import { WebTransportError } from "../../pingpong/http3/mod.ts";
import { frameHeadBytes } from "../../pingpong/protocol/frames.ts";
import { decodeMessage, encodeMessage, type Ping } from "../../pingpong/protocol/message.ts";
import { closeCodes, type Mode, type NamedClient } from "../../pingpong/protocol/session_terms.ts";
import type { AnswerSession } from "../../pingpong/server/answer_session.ts";
import { Answering } from "../../pingpong/server/answering.ts";
import { MemoryMailbox } from "../../pingpong/server/memory_mailbox.ts";
import type { Chaos } from "./swarm.ts";

/** How long a silent peer counts as alive, in milliseconds: the default of both ends. */
const heartbeatTimeoutMs = 2_000;

/** A server that can crash, and the network before it. */
export class SimulatedServer {
  readonly world: VirtualWorld;
  readonly chaos: Chaos;
  /** Whether a mailbox outlives its server, as one in a file does. */
  readonly #keepsMailbox: boolean;
  readonly #links = new Set<SimulatedLink>();
  #mailbox: MemoryMailbox;
  #answering: Answering;
  #downUntilMs = 0;
  #isToldOfEnd = false;

  constructor(world: VirtualWorld, chaos: Chaos, keepsMailbox: boolean) {
    this.world = world;
    this.chaos = chaos;
    this.#keepsMailbox = keepsMailbox;
    this.#mailbox = new MemoryMailbox({ world });
    this.#answering = this.#start();
  }

  /** Whether a client's farewell has arrived, after which nobody asks for what waits. */
  get isToldOfEnd(): boolean {
    return this.#isToldOfEnd;
  }

  /** A client has said that it is done. */
  tellOfEnd(): void {
    this.#isToldOfEnd = true;
  }

  /** Answers that wait. */
  get waiting(): number {
    return this.#mailbox.size().answers;
  }

  /** It is gone at once, and back after so long. */
  crash(downMs: number): void {
    this.chaos.note("crash", `${downMs.toFixed(0)} ms`);
    this.#downUntilMs = this.world.monotonicMs() + downMs;
    for (const link of this.#links) link.breakUp();
    this.#links.clear();
    if (!this.#keepsMailbox) this.#mailbox = new MemoryMailbox({ world: this.world });
    this.#answering = this.#start();
  }

  /** Nothing comes through for so long; who notices ends the link. */
  cut(durationMs: number): void {
    this.chaos.note("outage", `${durationMs.toFixed(0)} ms`);
    this.#downUntilMs = Math.max(this.#downUntilMs, this.world.monotonicMs() + durationMs);
    for (const link of this.#links) {
      if (durationMs > heartbeatTimeoutMs) link.breakUp();
      else link.hold(durationMs);
    }
  }

  /** Opens a link, as a client does. @throws {WebTransportError} */
  async open(mode: Mode, client: NamedClient): Promise<Link> {
    const { chaos, world } = this;
    await chaos.pause(latencyMs(chaos));
    const fault = chaos.fault();
    if (fault === "refuse" || !chaos.isHealed && world.monotonicMs() < this.#downUntilMs) {
      chaos.note("open-refused");
      throw new WebTransportError("closed", "nobody listens");
    }
    if (fault === "lose") {
      chaos.note("open-lost");
      await chaos.pause(3_000);
      throw new WebTransportError("timeout", "no answer");
    }
    const link: SimulatedLink = new SimulatedLink(this, mode, this.#answering.waiting(client));
    const session = this.#answering.begin(
      "websocket",
      client,
      (code, reason) => link.endByPeer(code, reason),
      ROOT_CONTEXT,
    );
    this.#links.add(link);
    link.begin(session, () => this.#links.delete(link));
    if (fault === "lose-answer") {
      // The server has a session that its client has never heard of.
      chaos.note("open-unanswered");
      link.breakUp();
      await chaos.pause(3_000);
      throw new WebTransportError("timeout", "no answer");
    }
    await chaos.pause(latencyMs(chaos));
    return link;
  }

  #start(): Answering {
    const [tracer, meter] = [trace.getTracer("subject"), metrics.getMeter("subject")];
    return new Answering({ mailbox: this.#mailbox, tracer, meter });
  }
}

function latencyMs(chaos: Chaos): number {
  return 1 + 9 * chaos.random();
}

/** A link and its session at the server. */
class SimulatedLink implements Link {
  readonly mode: Mode;
  readonly remote = "simulated:1/udp";
  readonly waiting: number;
  readonly closed: Promise<LinkEnd>;
  readonly #ended = Promise.withResolvers<LinkEnd>();
  readonly #server: SimulatedServer;
  readonly #inbox = new PongInbox();
  #session!: AnswerSession;
  #forget!: () => void;
  /** What is sent from now on is never heard of; by direction. */
  #isCut = { there: false, back: false };
  #isOver = { here: false, there: false };
  /** When the last of each direction arrives: streams keep the order. */
  #lastMs = { there: 0, back: 0 };

  constructor(server: SimulatedServer, mode: Mode, waiting: number) {
    this.#server = server;
    this.mode = mode;
    this.waiting = waiting;
    this.closed = this.#ended.promise;
  }

  begin(session: AnswerSession, forget: () => void): void {
    this.#session = session;
    this.#forget = forget;
    for (const frame of session.takeWaiting()) this.#sendBack(frame);
  }

  receive(onPong: OnPong): void {
    this.#inbox.receive(onPong);
  }

  send(ping: Ping): Promise<void> {
    if (this.#isOver.here) return Promise.reject(new WebTransportError("closed", "it has ended"));
    const bytes = encodeMessage(ping);
    this.#carry("there", () => {
      if (this.#isOver.there) return;
      const frames = this.#session.answer([decodeMessage(bytes)], this.mode);
      for (const frame of frames) this.#sendBack(frame);
    });
    return Promise.resolve();
  }

  close(code: number, reason: string): Promise<void> {
    this.#endHere({ by: "us", code, reason });
    this.#carry("there", () => this.#endThere(code === closeCodes.done), false);
    // What is cut carries no farewell either: the server notices by itself.
    this.#later(heartbeatTimeoutMs, () => this.#endThere(false));
    return Promise.resolve();
  }

  endByPeer(code: number, reason: string): void {
    this.#carry("back", () => this.#endHere({ by: "peer", code, reason }), false);
    this.#endThere(false);
  }

  /** Nothing comes through any more; each end notices when it does. */
  breakUp(): void {
    this.#isCut = { there: true, back: true };
    const { chaos } = this.#server;
    const lost: LinkEnd = { by: "lost", code: 0, reason: "no heartbeat" };
    this.#later(heartbeatTimeoutMs * chaos.random(), () => this.#endHere(lost));
    this.#later(2 * heartbeatTimeoutMs * chaos.random(), () => this.#endThere(false));
  }

  /** What is under way comes later. */
  hold(durationMs: number): void {
    const untilMs = this.#server.world.monotonicMs() + durationMs;
    for (const way of ["there", "back"] as const) {
      this.#lastMs[way] = Math.max(this.#lastMs[way], untilMs);
    }
  }

  #sendBack(frame: Uint8Array): void {
    this.#carry("back", () => {
      if (this.#isOver.here) return;
      this.#inbox.put(decodeMessage(frame.subarray(frameHeadBytes)), frame.length);
    });
  }

  /** Brings something to the other end, or does not. */
  #carry(way: "there" | "back", arrive: () => void, canFail = true): void {
    if (this.#isCut[way]) return;
    const { chaos, world } = this.#server;
    const fault = canFail ? chaos.fault() : undefined;
    if (fault !== undefined) chaos.note(fault, way);
    const isStream = this.mode !== "datagram";
    if (fault === "lose" || fault === "refuse") {
      if (isStream) this.breakUp();
      return;
    }
    if (fault === "lose-answer") {
      if (way === "there") this.#isCut.back = isStream;
      else if (!isStream) return;
      if (isStream) this.#later(heartbeatTimeoutMs * chaos.random(), () => this.breakUp());
    }
    let delayMs = latencyMs(chaos) + (fault === "delay" ? chaos.durationMs() : 0);
    if (isStream) {
      const atMs = Math.max(this.#lastMs[way], world.monotonicMs() + delayMs);
      this.#lastMs[way] = atMs;
      delayMs = atMs - world.monotonicMs();
    } else if (fault === "duplicate") this.#later(delayMs + chaos.durationMs(), arrive);
    this.#later(delayMs, () => {
      // Bytes that were on the line when it was cut are lost with it.
      if (!this.#isCut[way] || !isStream) arrive();
    });
  }

  #later(delayMs: number, work: () => void): void {
    this.#server.world.setTimeout(work, delayMs);
  }

  #endHere(end: LinkEnd): void {
    if (this.#isOver.here) return;
    this.#isOver.here = true;
    this.#ended.resolve(end);
  }

  #endThere(isDone: boolean): void {
    if (this.#isOver.there) return;
    this.#isOver.there = true;
    if (isDone) this.#server.tellOfEnd();
    this.#session.end(isDone);
    this.#forget();
  }
}
