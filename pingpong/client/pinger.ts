/**
 * The client's heart: sends pings over a link, matches the answers, and when the link breaks
 * opens another and sends again what is unanswered, so that every ping is answered and counted
 * once, or told as lost.
 *
 * @module
 */
import {
  type Context,
  type Counter,
  type Histogram,
  type Meter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { closeCodes } from "../protocol/session_terms.ts";
import type { Ping, Pong } from "../protocol/message.ts";
import { PingIds } from "../protocol/ping_ids.ts";
import type { Link, LinkEnd } from "./links.ts";
import type { Reconnection } from "./reconnection.ts";
import { PingStatistics } from "./statistics.ts";
import { WebTransportError } from "../http3/mod.ts";

/** What happens during a run, in the order it happens. */
export type PingEvent =
  /** A ping was answered. `rttMs` is from its first sending. */
  | {
    kind: "pong";
    seq: number;
    bytes: number;
    rttMs: number;
    data: string;
    /** Sent again, or delivered from the mailbox: its time is not that of a round trip. */
    recovered: boolean;
    mode: Link["mode"];
  }
  /** A ping was given up. */
  | { kind: "lost"; seq: number }
  /** An answer to no ping of this run: one that an earlier run of this client had missed. */
  | { kind: "stale" }
  /** There is a link. */
  | { kind: "connected"; remote: string; mode: Link["mode"]; outageMs: number; waiting: number }
  /** An attempt has failed; the next one comes after `delayMs`, `undefined` if there is none. */
  | { kind: "attempt-failed"; reason: string; delayMs: number | undefined }
  /** The link has ended; the next attempt comes after `delayMs`. */
  | { kind: "disconnected"; end: LinkEnd; unanswered: number; delayMs: number | undefined };

/** Options of {@linkcode Pinger}. */
export interface PingerOptions {
  /** Opens a link; called again after every failure and every end. The context has the attempt's span. */
  openLink: (context: Context) => Promise<Link>;
  /** Says when to try again. */
  reconnection: Reconnection;
  /** Hears of everything. */
  onEvent: (event: PingEvent) => void;
  /** Pings to send; 0 for no end. @default 3 */
  count?: number;
  /** The least time from one ping to the next, in milliseconds. @default 0 */
  intervalMs?: number;
  /** Pings that may be unanswered at once. @default 1 */
  concurrency?: number;
  /** The text of a ping. @default "Ping!" */
  data?: string;
  /** After so many milliseconds a datagram's ping is lost. @default 1_000 */
  pingTimeoutMs?: number;
  /** After so many milliseconds without any answer a stream's link is opened anew. @default 10_000 */
  stallTimeoutMs?: number;
  /** The whole run's time; what is unanswered then is lost. @default no limit */
  deadlineMs?: number;
  /** How long a new link's mailbox is waited for before pings are sent again. @default 1_000 */
  mailboxWaitMs?: number;
  /** Pings a second that get a span and carry its context. @default 10 */
  tracedPerSecond?: number;
  /** Makes spans. */
  tracer: Tracer;
  /** Makes instruments. */
  meter: Meter;
}

/** How a run ended. */
export interface PingRun {
  /** What came of the pings. */
  statistics: PingStatistics;
  /** How long it took. */
  elapsedMs: number;
  /** Why it could not go on; `undefined` when it ended as asked. */
  error?: Error;
}

interface Outstanding {
  seq: number;
  firstSentMs: number;
  sentAgain: boolean;
  span: Span | undefined;
}

/** Given-up pings whose late answers are still known as such. */
const rememberedLost = 10_000;

/** One run of pings. */
export class Pinger {
  /** Names this run to a server that keeps a mailbox. */
  readonly run = crypto.randomUUID();
  readonly statistics = new PingStatistics();
  readonly #options:
    & Required<Omit<PingerOptions, "deadlineMs">>
    & Pick<PingerOptions, "deadlineMs">;
  readonly #ids = new PingIds();
  /** In the order of their numbers: the first is the lowest. */
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #lost = new Set<number>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #instruments: Instruments;
  #next = 0;
  #nextSendMs = 0;
  #paceTimer: ReturnType<typeof setTimeout> | undefined;
  #timeoutTimer: ReturnType<typeof setTimeout> | undefined;
  #link: Link | undefined;
  #mailboxLeft = 0;
  #mailboxEmptied = Promise.withResolvers<void>();
  #lastAnswerMs = 0;
  #traceSecond = 0;
  #tracedInSecond = 0;
  #over = false;

  constructor(options: PingerOptions) {
    this.#options = {
      count: 3,
      intervalMs: 0,
      concurrency: 1,
      data: "Ping!",
      pingTimeoutMs: 1_000,
      stallTimeoutMs: 10_000,
      mailboxWaitMs: 1_000,
      tracedPerSecond: 10,
      ...options,
    };
    this.#instruments = instrumentsOf(options.meter);
  }

  /** Runs until all pings are answered or lost, the deadline is over, or `signal` aborts. Never rejects. */
  async start(signal?: AbortSignal): Promise<PingRun> {
    const startedMs = performance.now();
    const stop = () => this.#end();
    const deadline = this.#options.deadlineMs === undefined
      ? undefined
      : setTimeout(stop, this.#options.deadlineMs);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    let error: Error | undefined;
    try {
      let link = await this.#connect(0);
      while (link) link = await this.#use(link);
    } catch (cause) {
      error = cause instanceof Error ? cause : new Error(String(cause));
    }
    clearTimeout(deadline);
    clearTimeout(this.#paceTimer);
    clearTimeout(this.#timeoutTimer);
    signal?.removeEventListener("abort", stop);
    this.#over = true;
    for (const seq of [...this.#outstanding.keys()]) this.#giveUp(seq);
    return {
      statistics: this.statistics,
      elapsedMs: performance.now() - startedMs,
      ...(error && { error }),
    };
  }

  /** A link, after as many attempts as it takes; `undefined` when the run has ended meanwhile. */
  async #connect(firstDelayMs: number, lostMs = performance.now()): Promise<Link | undefined> {
    const { openLink, reconnection, onEvent, tracer } = this.#options;
    const span = tracer.startSpan("pingpong connect", { kind: SpanKind.CLIENT });
    const context = trace.setSpan(ROOT_CONTEXT, span);
    let delayMs = firstDelayMs;
    try {
      while (true) {
        if (delayMs > 0) await this.#pause(delayMs);
        if (this.#over) return undefined;
        try {
          const link = await openLink(context);
          if (this.#over) {
            await link.close(closeCodes.done, "done");
            return undefined;
          }
          const isFirst = reconnection.state.kind === "connecting";
          reconnection.connected();
          const outageMs = performance.now() - lostMs;
          if (!isFirst) this.#instruments.outages.record(outageMs / 1_000, { mode: link.mode });
          span.setAttributes({ "pingpong.mode": link.mode, "server.address": link.remote });
          onEvent({
            kind: "connected",
            remote: link.remote,
            mode: link.mode,
            outageMs,
            waiting: link.waiting ?? 0,
          });
          return link;
        } catch (error) {
          if (this.#over) return undefined;
          const next = isFinal(error) ? undefined : reconnection.failed();
          const reason = error instanceof Error ? error.message : String(error);
          span.addEvent("attempt failed", { reason });
          this.#instruments.failures.add(1);
          onEvent({ kind: "attempt-failed", reason, delayMs: next });
          if (next === undefined) {
            span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
            throw error;
          }
          delayMs = next;
        }
      }
    } finally {
      span.end();
    }
  }

  /** Uses a link to its end and returns the next one; `undefined` when the run is over. */
  async #use(link: Link): Promise<Link | undefined> {
    const { reconnection, onEvent, mailboxWaitMs, stallTimeoutMs } = this.#options;
    this.#mailboxLeft = link.waiting ?? 0;
    this.#mailboxEmptied = Promise.withResolvers();
    link.receive((pong, bytes) => this.#received(pong, bytes, link));
    if (this.#mailboxLeft > 0) {
      await this.#pause(mailboxWaitMs, this.#mailboxEmptied.promise, link.closed);
    }
    this.#link = link;
    this.#lastAnswerMs = performance.now();
    if (link.mode !== "datagram") this.#sendAgain(link);
    this.#pump();
    const stalled = setInterval(() => this.#closeIfStalled(link), Math.max(50, stallTimeoutMs / 4));
    await Promise.race([link.closed, this.#ended.promise]);
    clearInterval(stalled);
    clearTimeout(this.#paceTimer);
    this.#paceTimer = undefined;
    this.#link = undefined;
    if (this.#over) {
      await link.close(closeCodes.done, "done");
      return undefined;
    }
    const end = await link.closed;
    const lostMs = performance.now();
    const final = end.code === closeCodes.replaced;
    const delayMs = final ? undefined : reconnection.lost();
    this.#instruments.reconnects.add(1, { mode: link.mode, reason: end.by });
    onEvent({ kind: "disconnected", end, unanswered: this.#outstanding.size, delayMs });
    if (final) {
      throw new WebTransportError(
        "closed",
        "Another client of this name has taken over. Give each its own --name",
      );
    }
    return await this.#connect(delayMs ?? 0, lostMs);
  }

  #closeIfStalled(link: Link): void {
    const silentMs = performance.now() - this.#lastAnswerMs;
    if (link.mode === "datagram" || this.#outstanding.size === 0) return;
    if (silentMs < this.#options.stallTimeoutMs) return;
    link.close(0, `no answer for ${Math.round(silentMs)} ms`);
  }

  /** Sends as many pings as may be sent now, and sees to it that it is called when more may. */
  #pump(): void {
    const { count, concurrency, intervalMs } = this.#options;
    while (this.#link && !this.#over) {
      if (count > 0 && this.#next >= count) {
        if (this.#outstanding.size === 0) this.#end();
        return;
      }
      if (this.#outstanding.size >= concurrency) return;
      if (intervalMs > 0) {
        const waitMs = this.#nextSendMs - performance.now();
        if (waitMs > 0) {
          this.#paceTimer ??= setTimeout(() => {
            this.#paceTimer = undefined;
            this.#pump();
          }, waitMs);
          return;
        }
        // At even times, so that a late timer delays one ping and no others, and clients that were late
        // together do not stay together; after a pause the missed ones are not sent in a burst.
        this.#nextSendMs = waitMs > -intervalMs
          ? this.#nextSendMs + intervalMs
          : performance.now() + intervalMs;
      }
      this.#sendNew(this.#link);
    }
  }

  #sendNew(link: Link): void {
    const seq = this.#next++;
    const entry: Outstanding = {
      seq,
      firstSentMs: performance.now(),
      sentAgain: false,
      span: this.#traced() ? this.#startSpan(seq, link) : undefined,
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
    const waitMs = Math.ceil(oldest.firstSentMs + pingTimeoutMs - performance.now());
    this.#timeoutTimer = setTimeout(() => {
      this.#timeoutTimer = undefined;
      const latestMs = performance.now() - pingTimeoutMs;
      for (const { seq, firstSentMs } of this.#outstanding.values()) {
        if (firstSentMs > latestMs) break;
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
      if (this.#mailboxLeft === 0) ping.extension.mailboxReceived = true;
      if (entry.span?.isRecording()) ping.extension.trace = entry.span.spanContext();
    }
    // Not sent is not answered: the end of the link tells why, and it is sent again.
    link.send(ping).catch(() => {});
  }

  #received(pong: Pong, bytes: number, link: Link): void {
    const { onEvent } = this.#options;
    const nowMs = performance.now();
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
    this.statistics.answered(seq, recovered ? undefined : rttMs);
    if (!recovered) this.#instruments.rtt.record(rttMs / 1_000, { mode: link.mode });
    this.#instruments.pings.add(1, {
      mode: link.mode,
      result: recovered ? "recovered" : "answered",
    });
    entry.span?.end();
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
    this.#instruments.pings.add(1, { result: "lost" });
    entry.span?.setStatus({ code: SpanStatusCode.ERROR, message: "no answer" });
    entry.span?.end();
    this.#options.onEvent({ kind: "lost", seq });
  }

  #traced(): boolean {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.#traceSecond) {
      this.#traceSecond = second;
      this.#tracedInSecond = 0;
    }
    return this.#tracedInSecond++ < this.#options.tracedPerSecond;
  }

  #startSpan(seq: number, link: Link): Span {
    return this.#options.tracer.startSpan("ping", {
      kind: SpanKind.CLIENT,
      attributes: {
        "pingpong.mode": link.mode,
        "pingpong.seq": seq,
        "server.address": link.remote,
      },
    });
  }

  #end(): void {
    this.#over = true;
    this.#ended.resolve();
  }

  /** Waits so long, until one of these happens or the run ends. */
  async #pause(ms: number, ...happenings: Promise<unknown>[]): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const time = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([time, this.#ended.promise, ...happenings]);
    clearTimeout(timer);
  }
}

/** What trying again does not change: certificate, status, and a server of another kind. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof WebTransportError)) return true;
  if (error.kind === "refused") {
    return error.status !== undefined && error.status < 500 && error.status !== 429;
  }
  return error.kind === "certificate" || error.kind === "unsupported";
}

interface Instruments {
  rtt: Histogram;
  pings: Counter;
  reconnects: Counter;
  outages: Histogram;
  failures: Counter;
}

function instrumentsOf(meter: Meter): Instruments {
  return {
    rtt: meter.createHistogram("pingpong.client.rtt", {
      description: "Round-trip times of pings, by mode.",
      unit: "s",
      advice: {
        // Loopback to satellite, by about a factor of two and a half.
        explicitBucketBoundaries: [
          ...[0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01],
          ...[0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
        ],
      },
    }),
    pings: meter.createCounter("pingpong.client.pings", {
      description: "Pings by what became of them: answered, recovered or lost.",
      unit: "{ping}",
    }),
    reconnects: meter.createCounter("pingpong.client.reconnects", {
      description: "Links that ended before the run did.",
      unit: "{reconnect}",
    }),
    outages: meter.createHistogram("pingpong.client.outage.duration", {
      description: "Time from the end of a link to the next one.",
      unit: "s",
      advice: { explicitBucketBoundaries: [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120] },
    }),
    failures: meter.createCounter("pingpong.client.connect.failures", {
      description: "Attempts to connect that failed.",
      unit: "{attempt}",
    }),
  };
}
