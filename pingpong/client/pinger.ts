/**
 * The client's heart: sends pings over a link, matches the answers, and when the link breaks gets
 * another and sends again what is unanswered, so that every ping is answered and counted once, or
 * counted as lost.
 *
 * @module
 */
import type { Context, Meter, Span, Tracer } from "@opentelemetry/api";
import { settledWithin, untilAborted } from "../../service/resilience.ts";
import { realWorld, type TimerId, type World } from "../../service/world/world.ts";
import { WebTransportError } from "../http3/mod.ts";
import { encodeMessage, type Ping, type Pong } from "../protocol/message.ts";
import { PingIds } from "../protocol/ping_ids.ts";
import { closeCodes } from "../protocol/session_terms.ts";
import { Connector } from "./connector.ts";
import type { Link } from "./link.ts";
import type { PingEvent, PingRun } from "./ping_events.ts";
import { PingTelemetry } from "./ping_telemetry.ts";
import type { Reconnection } from "./reconnection.ts";
import { PingStatistics } from "./statistics.ts";

/** Options of {@linkcode Pinger}. */
export interface PingerOptions {
  /** Opens a link; called again after every failure and every end. The context has the attempt's span. */
  openLink: (context: Context) => Promise<Link>;
  /** Says when to try again. */
  reconnection: Reconnection;
  /** Gets everything that happens. */
  onEvent: (event: PingEvent) => void;
  /**
   * A promise while whoever gets the events cannot take more: no new ping is sent until it resolves.
   *
   * @default there is always room
   */
  room?: () => Promise<void> | undefined;
  /** Pings to send; 0 for no end. @default 3 */
  count?: number;
  /** The least time from one ping to the next, in milliseconds, from 0. @default 0 */
  intervalMs?: number;
  /** Pings that may be unanswered at once, at least 1. @default 1 */
  concurrency?: number;
  /** The text of a ping. @default "Ping!" */
  data?: string;
  /** Asks servers of ours for pongs with as many bytes of text as the pings have. @default false */
  sizedPongs?: boolean;
  /** After so many milliseconds a datagram's ping is lost; above 0. @default 1_000 */
  pingTimeoutMs?: number;
  /** After so many milliseconds without any answer a stream's link is opened anew; above 0. @default 10_000 */
  stallTimeoutMs?: number;
  /** The whole run's time, in milliseconds; what is unanswered then is lost. @default no limit */
  deadlineMs?: number;
  /**
   * How long a new link's mailbox is waited for before pings are sent again, in milliseconds.
   *
   * @default 1_000
   */
  mailboxWaitMs?: number;
  /** Pings a second that get a span and carry its context, from 0. @default 10 */
  tracedPerSecond?: number;
  /** Makes spans. */
  tracer: Tracer;
  /** Makes instruments. */
  meter: Meter;
  /** Whose time and chance it is. @default realWorld */
  world?: World;
}

interface Outstanding {
  seq: number;
  firstSentMs: number;
  sentAgain: boolean;
  span: Span | undefined;
}

/** Given-up pings whose late answers are still known as such. */
const rememberedLost = 10_000;

/**
 * One run of pings.
 *
 * @example
 * ```ts
 * const pinger = new Pinger({
 *   openLink: (context) => openLink({ mode: "bidi", target, trust, context }),
 *   reconnection: new Reconnection(),
 *   onEvent: (event) => console.log(event),
 *   count: 100,
 *   tracer,
 *   meter,
 * });
 * const { statistics } = await pinger.start();
 * ```
 */
export class Pinger {
  /** Names this run to a server that keeps a mailbox. */
  readonly run: string;
  readonly statistics = new PingStatistics();
  readonly #options:
    & Required<Omit<PingerOptions, "deadlineMs" | "room">>
    & Pick<PingerOptions, "deadlineMs" | "room">;
  readonly #world: World;
  readonly #telemetry: PingTelemetry;
  readonly #connector: Connector;
  readonly #ids: PingIds;
  /** In the order of their numbers: the first is the lowest. */
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #lost = new Set<number>();
  /** Aborted when the run is over. */
  readonly #over = new AbortController();
  /** The same, asked for every ping: reading a signal takes a good deal longer. */
  #isOver = false;
  #next = 0;
  #nextSendMs = 0;
  #paceTimer: TimerId | undefined;
  #timeoutTimer: TimerId | undefined;
  #link: Link | undefined;
  #mailboxLeft = 0;
  #mailboxEmptied = Promise.withResolvers<void>();
  #lastAnswerMs = 0;
  #connections = 0;
  /** Since when there is no connection, after there was one. */
  #outageSinceMs: number | undefined;
  /** Why it cannot go on, where no link is to blame. */
  #failure: Error | undefined;
  /** Waits for room. */
  #waitsForRoom = false;

  constructor(options: PingerOptions) {
    const { world = realWorld, tracedPerSecond = 10 } = options;
    this.#options = {
      count: 3,
      intervalMs: 0,
      concurrency: 1,
      data: "Ping!",
      sizedPongs: false,
      pingTimeoutMs: 1_000,
      stallTimeoutMs: 10_000,
      mailboxWaitMs: 1_000,
      tracedPerSecond,
      world,
      ...options,
    };
    this.#world = world;
    this.run = world.randomUuid();
    this.#ids = new PingIds(world);
    const { tracer, meter, openLink, reconnection, onEvent } = options;
    const telemetry = new PingTelemetry({ tracer, meter, tracedPerSecond, world });
    const over = this.#over.signal;
    this.#telemetry = telemetry;
    this.#connector = new Connector({ openLink, reconnection, onEvent, telemetry, over, world });
  }

  /** Runs until all pings are answered or lost, the deadline is over, or `signal` aborts. Never rejects. */
  async start(signal?: AbortSignal): Promise<PingRun> {
    const startedMs = this.#world.monotonicMs();
    const stop = () => this.#end();
    const { deadlineMs } = this.#options;
    const deadline = deadlineMs === undefined
      ? undefined
      : this.#world.setTimeout(stop, deadlineMs);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    let error: Error | undefined;
    this.#failure = undefined;
    try {
      let link = await this.#connector.connect(0, startedMs);
      while (link) link = await this.#use(link);
    } catch (cause) {
      error = cause instanceof Error ? cause : new Error(String(cause));
    }
    for (const timer of [deadline, this.#paceTimer, this.#timeoutTimer]) {
      this.#world.clearTimeout(timer);
    }
    signal?.removeEventListener("abort", stop);
    this.#end();
    for (const seq of [...this.#outstanding.keys()]) this.#giveUp(seq);
    this.#endOutage();
    return {
      statistics: this.statistics,
      elapsedMs: this.#world.monotonicMs() - startedMs,
      connections: this.#connections,
      ...((error ?? this.#failure) && { error: error ?? this.#failure! }),
    };
  }

  /** Uses a link to its end and returns the next one; `undefined` when the run is over. */
  async #use(link: Link): Promise<Link | undefined> {
    this.#connections++;
    this.#endOutage();
    link.receive((pong, bytes) => this.#received(pong, bytes, link));
    await this.#emptyMailbox(link);
    await this.#pingOver(link);
    if (this.#isOver) {
      await link.close(closeCodes.done, "done");
      return undefined;
    }
    return await this.#linkAfter(link);
  }

  /** What a broken session swallowed comes first: it need not be sent again. */
  async #emptyMailbox(link: Link): Promise<void> {
    this.#mailboxLeft = link.waiting ?? 0;
    this.#mailboxEmptied = Promise.withResolvers();
    if (this.#mailboxLeft === 0) return;
    const emptied = Promise.race([this.#mailboxEmptied.promise, link.closed]);
    const { mailboxWaitMs, world } = this.#options;
    await settledWithin(emptied, mailboxWaitMs, { signal: this.#over.signal, world });
  }

  async #pingOver(link: Link): Promise<void> {
    const { stallTimeoutMs } = this.#options;
    this.#link = link;
    this.#lastAnswerMs = this.#world.monotonicMs();
    if (link.mode !== "datagram") this.#sendAgain(link);
    this.#pump();
    const stalled = this.#world.setInterval(
      () => this.#closeIfStalled(link),
      Math.max(50, stallTimeoutMs / 4),
    );
    await untilAborted(link.closed, this.#over.signal);
    this.#world.clearInterval(stalled);
    this.#world.clearTimeout(this.#paceTimer);
    this.#paceTimer = undefined;
    this.#link = undefined;
  }

  async #linkAfter(link: Link): Promise<Link | undefined> {
    const { reconnection, onEvent } = this.#options;
    const end = await link.closed;
    const lostMs = this.#world.monotonicMs();
    this.#outageSinceMs = lostMs;
    const final = end.code === closeCodes.replaced;
    const delayMs = final ? undefined : reconnection.lost();
    this.#telemetry.disconnected(link.mode, end.by);
    onEvent({ kind: "disconnected", end, unanswered: this.#outstanding.size, delayMs });
    if (final) {
      throw new WebTransportError(
        "closed",
        "Another client of this name has taken over. Give each its own --name",
      );
    }
    return await this.#connector.connect(delayMs ?? 0, lostMs);
  }

  #endOutage(): void {
    if (this.#outageSinceMs === undefined) return;
    this.statistics.outage(this.#world.monotonicMs() - this.#outageSinceMs);
    this.#outageSinceMs = undefined;
  }

  #closeIfStalled(link: Link): void {
    const silentMs = this.#world.monotonicMs() - this.#lastAnswerMs;
    if (link.mode === "datagram" || this.#outstanding.size === 0) return;
    if (silentMs < this.#options.stallTimeoutMs) return;
    link.close(0, `no answer for ${Math.round(silentMs)} ms`);
  }

  /** Sends as many pings as may be sent now, and sees to it that it is called when more may. */
  #pump(): void {
    const { count, concurrency } = this.#options;
    while (this.#link && !this.#isOver) {
      if (count > 0 && this.#next >= count) {
        if (this.#outstanding.size === 0) this.#end();
        return;
      }
      if (this.#outstanding.size >= concurrency || !this.#hasRoom() || !this.#isTime()) return;
      this.#sendNew(this.#link);
    }
  }

  /** Whether what comes of a ping can be taken; if not, it goes on once it can. */
  #hasRoom(): boolean {
    const room = this.#waitsForRoom ? undefined : this.#options.room?.();
    if (room) {
      this.#waitsForRoom = true;
      void room.then(() => {
        this.#waitsForRoom = false;
        this.#pump();
      });
    }
    return !this.#waitsForRoom;
  }

  /** Whether the next ping is due; if not, a timer is set for it. */
  #isTime(): boolean {
    const { intervalMs } = this.#options;
    if (intervalMs <= 0) return true;
    const waitMs = this.#nextSendMs - this.#world.monotonicMs();
    if (waitMs > 0) {
      this.#paceTimer ??= this.#world.setTimeout(() => {
        this.#paceTimer = undefined;
        this.#pump();
      }, waitMs);
      return false;
    }
    // At even times, so that a late timer delays one ping and no others, and clients that were late
    // together do not stay together; after a pause the missed ones are not sent in a burst.
    this.#nextSendMs = waitMs > -intervalMs
      ? this.#nextSendMs + intervalMs
      : this.#world.monotonicMs() + intervalMs;
    return true;
  }

  #sendNew(link: Link): void {
    const seq = this.#next++;
    const entry: Outstanding = {
      seq,
      firstSentMs: this.#world.monotonicMs(),
      sentAgain: false,
      span: this.#telemetry.startPing(seq, link),
    };
    this.#outstanding.set(seq, entry);
    this.statistics.sent();
    this.#send(link, entry);
    if (link.mode === "datagram") this.#watchTimeouts();
  }

  /** Datagrams are given up in the order they were sent: one timer, for the oldest, watches all. */
  #watchTimeouts(): void {
    const [oldest] = this.#outstanding.values();
    if (this.#timeoutTimer !== undefined || !oldest) return;
    const { pingTimeoutMs } = this.#options;
    const waitMs = Math.ceil(oldest.firstSentMs + pingTimeoutMs - this.#world.monotonicMs());
    this.#timeoutTimer = this.#world.setTimeout(() => {
      this.#timeoutTimer = undefined;
      const nowMs = this.#world.monotonicMs();
      for (const { seq, firstSentMs } of this.#outstanding.values()) {
        // Reckoned as the wait is: rounded otherwise, one that is due would be waited for by 0 ms for ever.
        if (firstSentMs + pingTimeoutMs - nowMs > 0) break;
        this.#giveUp(seq);
      }
      this.#pump();
      this.#watchTimeouts();
    }, waitMs);
  }

  #sendAgain(link: Link): void {
    for (const entry of this.#outstanding.values()) {
      entry.sentAgain = true;
      this.#send(link, entry);
    }
  }

  #send(link: Link, entry: Outstanding): void {
    const ping: Ping = { kind: "ping", id: this.#ids.id(entry.seq), data: this.#options.data };
    // Only to a server that has said that it knows extensions.
    if (link.waiting !== undefined) {
      const [lowest] = this.#outstanding.keys();
      ping.extension = { seq: entry.seq, ackBelow: lowest ?? entry.seq };
      if (this.#options.sizedPongs) ping.extension.sizedPong = true;
      if (this.#mailboxLeft === 0) ping.extension.mailboxReceived = true;
      if (entry.span?.isRecording()) ping.extension.trace = entry.span.spanContext();
    }
    link.send(ping).catch((error) => this.#notSent(error, ping));
  }

  /** Not sent is not answered: the end of the link says why, and it is sent again; but what is too long stays so. */
  #notSent(error: unknown, ping: Ping): void {
    if (!(error instanceof WebTransportError) || error.kind !== "datagram-too-large") return;
    const dataBytes = new TextEncoder().encode(ping.data).length;
    const room = (error.maxBytes ?? 0) - (encodeMessage(ping).length - dataBytes);
    const message = `message too long: a datagram has room for at most ${room} bytes of data here`;
    this.#failure ??= new WebTransportError("datagram-too-large", message, { cause: error });
    this.#end();
  }

  #received(pong: Pong, bytes: number, link: Link): void {
    const { onEvent } = this.#options;
    const nowMs = this.#world.monotonicMs();
    this.#lastAnswerMs = nowMs;
    const fromMailbox = pong.extension?.fromMailbox ?? false;
    if (fromMailbox && this.#mailboxLeft > 0 && --this.#mailboxLeft === 0) {
      this.#mailboxEmptied.resolve();
    }
    const seq = this.#ids.seq(pong.requestId);
    if (seq === undefined || seq >= this.#next) return onEvent({ kind: "stale" });
    const entry = this.#outstanding.get(seq);
    if (!entry) {
      if (this.#lost.delete(seq)) this.statistics.late();
      else this.statistics.duplicated();
      return;
    }
    this.#outstanding.delete(seq);
    const rttMs = nowMs - entry.firstSentMs;
    const recovered = entry.sentAgain || fromMailbox;
    const measuredMs = recovered ? undefined : rttMs;
    this.statistics.answered(seq, measuredMs);
    this.#telemetry.answered(entry.span, link.mode, measuredMs);
    onEvent({ kind: "pong", seq, bytes, rttMs, data: pong.data, recovered, mode: link.mode });
    this.#pump();
  }

  #giveUp(seq: number): void {
    const entry = this.#outstanding.get(seq);
    if (!entry) return;
    this.#outstanding.delete(seq);
    this.statistics.lost();
    this.#lost.add(seq);
    if (this.#lost.size > rememberedLost) this.#lost.delete(this.#lost.values().next().value!);
    this.#telemetry.lost(entry.span);
    this.#options.onEvent({ kind: "lost", seq });
  }

  #end(): void {
    this.#isOver = true;
    this.#over.abort();
  }
}
