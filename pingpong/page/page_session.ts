/**
 * Pings from the browser: one WebTransport session, and on it a two-way stream, one-way streams
 * and datagrams at once, each ping after the answer to the one before. A session that ends is
 * opened again.
 *
 * @module
 */
import { signal } from "@preact/signals";
import { decodeMessage, encodeMessage, type Message, type Ping } from "../protocol/message.ts";
import { encodeFrame, FrameDecoder } from "../protocol/frames.ts";
import { PingIds } from "../protocol/ping_ids.ts";
import type { WellKnown } from "../protocol/well_known.ts";
import type { StreamState } from "../../service/page/live_stream.ts";
import { Outages } from "./outages.ts";
import { PingStatistics } from "../client/statistics.ts";

/** The modes a browser has. */
export const pageModes = ["bidi", "uni", "datagram"] as const;
/** One of {@linkcode pageModes}. */
export type PageMode = typeof pageModes[number];

/** A round trip, or a ping without an answer. */
export interface Sample {
  mode: PageMode;
  atMs: number;
  /** `undefined` for a lost one. */
  rttMs: number | undefined;
}

/** What keeps the page from pinging at all, in words. */
export const obstacle = signal<string | undefined>(undefined);
/** The modes that this browser has not, in which nothing is pinged. */
export const missingModes = signal<readonly PageMode[]>([]);
/** Where the connection stands. */
export const connection = signal<StreamState>({ kind: "connecting" });

/** How long a ping may take before it counts as lost. */
const pingTimeoutMs = 2_000;
const retryDelaysMs = [500, 1_000, 2_000, 5_000];
/** Samples kept: a minute of three modes at 20 ms. */
const maxSamples = 9_000;

/** The counts of each mode since the page was opened, or reset. */
export const statistics: Record<PageMode, PingStatistics> = freshStatistics();
/** The samples of the last minute, the oldest first. */
export const samples: Sample[] = [];
/** When nothing was answered at all. */
export const outages = { now: new Outages() };
/** How the pings go: changed by the page while they do. */
export const pace = { paused: false, intervalMs: 100 };

function freshStatistics(): Record<PageMode, PingStatistics> {
  return { bidi: new PingStatistics(), uni: new PingStatistics(), datagram: new PingStatistics() };
}

/** Begins all counts anew. */
export function reset(): void {
  Object.assign(statistics, freshStatistics());
  samples.length = 0;
  outages.now = new Outages();
}

/** Notices that nothing is answered any more; while nothing is sent that is no wonder. */
export function lookForOutage(): void {
  const resting = pace.paused || document.visibilityState === "hidden";
  outages.now.look(Date.now(), { resting });
}

/** The next ping's number: it goes on over sessions and modes, so that order can be told. */
let next = 0;
let retryNow: () => void = () => {};

/** Tries to connect at once. */
export function retry(): void {
  retryNow();
}

/** Pings for as long as the page is open. */
export async function startPinging(): Promise<void> {
  if (!("WebTransport" in globalThis)) {
    obstacle.value = isSecureContext
      ? "This browser has no WebTransport. Chrome, Edge, and Firefox from 114 on have it."
      : "WebTransport needs a secure page: open it by https, or as http://localhost on the server's machine.";
    return;
  }
  // Timers of a hidden page come late: what was not looked at meanwhile was no outage.
  document.addEventListener("visibilitychange", () => {
    outages.now.look(Date.now(), { resting: true });
  });
  let attempt = 0;
  while (true) {
    try {
      const session = await openSession();
      attempt = 0;
      connection.value = { kind: "live" };
      await pingOn(session);
    } catch {
      // A server that is away, or goes: told by the state of the connection.
    }
    outages.now.lost();
    attempt++;
    const delayMs = retryDelaysMs[Math.min(attempt, retryDelaysMs.length) - 1]!;
    connection.value = { kind: "reconnecting", attempt, retryAtMs: Date.now() + delayMs };
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      retryNow = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** The server says where it is and which certificate it has: it may be a new one. */
async function openSession(): Promise<WebTransport> {
  const response = await fetch("/.well-known/pingpong.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`status ${response.status}`);
  const { webtransport } = await response.json() as WellKnown;
  const url = new URL(`https://${location.hostname}:${webtransport.port}${webtransport.path}`);
  const token = new URLSearchParams(location.search).get("token");
  if (token !== null) url.searchParams.set("token", token);
  const session = new WebTransport(url.href, {
    // With an empty list some browsers would believe nobody; where there is none an authority vouches.
    ...(webtransport.certificateHashes.length > 0 && {
      serverCertificateHashes: webtransport.certificateHashes.map(({ algorithm, value }) => ({
        algorithm,
        value: Uint8Array.from(value.match(/../g)!, (byte) => parseInt(byte, 16)),
      })),
    }),
  });
  session.closed.catch(() => {});
  await session.ready;
  return session;
}

interface Channel {
  send: (ping: Ping) => Promise<void>;
}

async function pingOn(session: WebTransport): Promise<void> {
  let over = false;
  const ids = new PingIds();
  /** Pings under way; each is told whether it was answered. */
  const waiting = new Map<number, (answered: boolean) => void>();
  session.closed.catch(() => {}).then(() => {
    over = true;
    for (const settle of waiting.values()) settle(false);
  });

  function received(message: Message): void {
    const seq = message.kind === "pong" ? ids.seq(message.requestId) : undefined;
    if (seq !== undefined) waiting.get(seq)?.(true);
  }

  /** One ping and its answer; false when it did not come in time. */
  async function exchange(mode: PageMode, channel: Channel): Promise<void> {
    const seq = next++;
    const counts = statistics[mode];
    const sentMs = performance.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const answered = await new Promise<boolean>((resolve) => {
      waiting.set(seq, resolve);
      timer = setTimeout(() => resolve(false), pingTimeoutMs);
      counts.sent();
      channel.send({ kind: "ping", id: ids.id(seq), data: "Ping!" }).catch(() => resolve(false));
    });
    clearTimeout(timer);
    waiting.delete(seq);
    const rttMs = answered ? performance.now() - sentMs : undefined;
    if (answered) {
      outages.now.answered(Date.now());
      counts.answered(seq, rttMs);
    } else counts.lost();
    samples.push({ mode, atMs: Date.now(), rttMs });
    if (samples.length > maxSamples) samples.splice(0, samples.length - maxSamples);
  }

  async function lane(mode: PageMode, channel: Channel): Promise<void> {
    while (!over) {
      const beganMs = performance.now();
      if (!pace.paused) await exchange(mode, channel);
      const restMs = pace.intervalMs - (performance.now() - beganMs);
      await new Promise((resolve) => setTimeout(resolve, Math.max(4, restMs)));
    }
  }

  // A lane that cannot be opened ends the session: a new one is opened, and none is left behind.
  try {
    await Promise.all([
      openBidirectional(session, received).then((channel) => lane("bidi", channel)),
      openUnidirectional(session, received).then((channel) => lane("uni", channel)),
      openDatagrams(session, received).then((channel) => channel && lane("datagram", channel)),
    ]);
  } finally {
    over = true;
    for (const settle of waiting.values()) settle(false);
    session.close();
  }
}

type Received = (message: Message) => void;

async function openBidirectional(session: WebTransport, received: Received): Promise<Channel> {
  const { readable, writable } = await session.createBidirectionalStream();
  receiveFrames(readable, received);
  return framesOn(writable);
}

async function openUnidirectional(session: WebTransport, received: Received): Promise<Channel> {
  const channel = framesOn(await session.createUnidirectionalStream());
  (async () => {
    const { value } = await session.incomingUnidirectionalStreams.getReader().read();
    if (value) receiveFrames(value, received);
  })().catch(() => {
    // The session has ended: its lanes end with it.
  });
  return channel;
}

/** As of the draft of 2024 writables are made (`createWritable`), before there was one for all. */
interface Datagrams {
  readable: ReadableStream<Uint8Array>;
  writable?: WritableStream<Uint8Array>;
  createWritable?: () => WritableStream<Uint8Array>;
}

/** `undefined` where the browser cannot send any: the other modes are pinged all the same. */
// deno-lint-ignore require-await -- so that what fails is a rejection, as of the other lanes
async function openDatagrams(
  session: WebTransport,
  received: Received,
): Promise<Channel | undefined> {
  const datagrams = session.datagrams as unknown as Datagrams;
  const writable = datagrams.createWritable?.() ?? datagrams.writable;
  missingModes.value = writable ? [] : ["datagram"];
  if (!writable) return undefined;
  const writer = writable.getWriter();
  readAll(datagrams.readable, (datagram) => received(decodeMessage(datagram))).catch(() => {
    // As above.
  });
  return { send: (ping) => writer.write(encodeMessage(ping)) };
}

/** By its reader: streams are no async iterators in every browser. */
async function readAll(
  readable: ReadableStream<Uint8Array>,
  take: (chunk: Uint8Array) => void,
): Promise<void> {
  const reader = readable.getReader();
  while (true) {
    const { value, done } = await reader.read();
    if (done) return;
    take(value);
  }
}

function framesOn(writable: WritableStream<Uint8Array>): Channel {
  const writer = writable.getWriter();
  return { send: (ping) => writer.write(encodeFrame(ping)) };
}

async function receiveFrames(
  readable: ReadableStream<Uint8Array>,
  received: Received,
): Promise<void> {
  const decoder = new FrameDecoder();
  try {
    await readAll(readable, (chunk) => decoder.push(chunk, received));
  } catch {
    // As above.
  }
}
