import assert from "node:assert/strict";
import { metrics, trace } from "@opentelemetry/api";
import { assertNothingAddsUp } from "../../service/testing/rounds.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { WebTransportError } from "../http3/mod.ts";
import type { Ping } from "../protocol/message.ts";
import { closeCodes, type Mode } from "../protocol/session_terms.ts";
import type { Link, LinkEnd, OnPong } from "./link.ts";
import type { PingEvent } from "./ping_events.ts";
import { Pinger, type PingerOptions } from "./pinger.ts";
import { Reconnection } from "./reconnection.ts";

/** A link whose other end is the test. */
class ScriptedLink implements Link {
  readonly mode: Mode;
  readonly remote = "scripted:1/udp";
  readonly waiting: number | undefined;
  readonly sent: Ping[] = [];
  readonly #closed = Promise.withResolvers<LinkEnd>();
  readonly closed = this.#closed.promise;
  /** Answers every ping after so long; `undefined` for never. */
  answerAfterMs: number | undefined;
  readonly #world: VirtualWorld;
  #onPong: OnPong = () => {};

  constructor(world: VirtualWorld, mode: Mode, answerAfterMs?: number, waiting?: number) {
    this.#world = world;
    this.mode = mode;
    this.answerAfterMs = answerAfterMs;
    this.waiting = waiting;
  }

  receive(onPong: OnPong): void {
    this.#onPong = onPong;
  }

  send(ping: Ping): Promise<void> {
    this.sent.push(ping);
    if (this.answerAfterMs !== undefined) {
      this.#world.setTimeout(() => this.answer(ping), this.answerAfterMs);
    }
    return Promise.resolve();
  }

  answer(ping: Ping, fromMailbox = false): void {
    const extension = fromMailbox ? { extension: { seq: 0, ackBelow: 0, fromMailbox } } : {};
    const pong = { kind: "pong", id: new Uint8Array(), requestId: ping.id, data: "Pong!" } as const;
    this.#onPong({ ...pong, ...extension }, 109);
  }

  close(code: number, reason: string): Promise<void> {
    this.end({ by: "us", code, reason });
    return Promise.resolve();
  }

  end(end: LinkEnd): void {
    this.#closed.resolve(end);
  }
}

const lost: LinkEnd = { by: "lost", code: 0, reason: "timed out" };

function pinging(
  links: readonly (ScriptedLink | Error)[],
  world: VirtualWorld,
  options: Partial<PingerOptions> = {},
) {
  const events: PingEvent[] = [];
  const openedMs: number[] = [];
  const pinger = new Pinger({
    openLink: () => {
      const link = links[openedMs.length]!;
      openedMs.push(world.monotonicMs());
      return link instanceof Error ? Promise.reject(link) : Promise.resolve(link);
    },
    reconnection: new Reconnection({ jitter: 0, world }),
    onEvent: (event) => events.push(event),
    tracer: trace.getTracer("test"),
    meter: metrics.getMeter("test"),
    world,
    ...options,
  });
  const kinds = () => events.map(({ kind }) => kind);
  return { pinger, events, kinds, openedMs };
}

Deno.test("Pinger sends the next ping after the last pong, and measures each", async () => {
  const world = new VirtualWorld();
  const link = new ScriptedLink(world, "bidi", 7);
  const { pinger, kinds } = pinging([link], world, { count: 5 });
  const { statistics, elapsedMs } = await world.runUntil(pinger.start());
  assert.equal(elapsedMs, 35);
  assert.equal(statistics.summary().rttMs?.p50, 7);
  assert.deepEqual(kinds(), ["connected", "pong", "pong", "pong", "pong", "pong"]);
  assert.deepEqual(await link.closed, { by: "us", code: closeCodes.done, reason: "done" });
  assert.equal(world.pendingTimers, 0, "every timer is given back");
});

Deno.test("Pinger keeps its pace, and sends no burst after a pause", async () => {
  const world = new VirtualWorld();
  const link = new ScriptedLink(world, "bidi", 1);
  const times: number[] = [];
  const { pinger } = pinging([link], world, { count: 6, intervalMs: 100 });
  const send = link.send.bind(link);
  link.send = (ping) => {
    times.push(world.monotonicMs());
    // The third answer takes its time.
    link.answerAfterMs = times.length === 3 ? 1_000 : 1;
    return send(ping);
  };
  await world.runUntil(pinger.start());
  const [first = NaN] = times;
  assert.deepEqual(times.map((time) => time - first), [0, 100, 200, 1_200, 1_300, 1_400]);
});

Deno.test("Pinger gives datagrams up in time, and counts a late answer as late", async () => {
  const world = new VirtualWorld();
  const link = new ScriptedLink(world, "datagram");
  const { pinger, kinds } = pinging([link], world, { count: 2, pingTimeoutMs: 500 });
  const running = pinger.start();
  await world.advance(499);
  assert.equal(pinger.statistics.summary().lost, 0);
  await world.advance(1);
  assert.equal(pinger.statistics.summary().lost, 1);
  link.answer(link.sent[0]!);
  link.answer(link.sent[1]!);
  link.answer(link.sent[1]!);
  const { statistics } = await world.runUntil(running);
  const { sent, received, late, duplicated } = statistics.summary();
  assert.deepEqual([sent, received, late, duplicated], [2, 1, 1, 1]);
  assert.deepEqual(kinds(), ["connected", "lost", "pong"]);
});

Deno.test("Pinger gives a datagram up once its time is over, however that rounds", async () => {
  for (let place = 1; place <= 500; place++) {
    const world = new VirtualWorld();
    await world.advance(2_833 * Math.sin(place) ** 2);
    const { pinger } = pinging([new ScriptedLink(world, "datagram")], world, { count: 2 });
    const { statistics } = await world.runUntil(pinger.start(), { maxTimers: 100 });
    assert.equal(statistics.summary().lost, 2);
  }
});

Deno.test("Pinger sends again what a broken stream left unanswered, once a link is back", async () => {
  const world = new VirtualWorld();
  const [broken, next] = [new ScriptedLink(world, "bidi"), new ScriptedLink(world, "bidi", 1)];
  const refused = new WebTransportError("closed", "no server");
  const { pinger, kinds, openedMs } = pinging([broken, refused, next], world, {
    count: 3,
    concurrency: 2,
  });
  const running = pinger.start();
  await world.advance(6_000);
  broken.end(lost);
  const { statistics, error } = await world.runUntil(running);
  assert.equal(error, undefined);
  // At once after a stable link, then after the first wait.
  assert.deepEqual(openedMs, [0, 6_000, 7_000]);
  assert.deepEqual(next.sent.slice(0, 2).map(({ id }) => id), broken.sent.map(({ id }) => id));
  const { sent, received, lost: lostPings, recovered } = statistics.summary();
  assert.deepEqual([sent, received, lostPings, recovered], [3, 3, 0, 2]);
  assert.deepEqual(kinds().slice(0, 4), [
    ...["connected", "disconnected", "attempt-failed", "connected"],
  ]);
});

Deno.test("Pinger closes a stream's link that has not answered for the stall time-out", async () => {
  const world = new VirtualWorld();
  const [silent, next] = [new ScriptedLink(world, "bidi"), new ScriptedLink(world, "bidi", 1)];
  const { pinger } = pinging([silent, next], world, { count: 1, stallTimeoutMs: 4_000 });
  await world.runUntil(pinger.start());
  assert.deepEqual(await silent.closed, { by: "us", code: 0, reason: "no answer for 4000 ms" });
  assert.equal(next.sent.length, 1);
});

Deno.test("Pinger waits for the mailbox before it sends again, but not for ever", async () => {
  const world = new VirtualWorld();
  const first = new ScriptedLink(world, "bidi", undefined, 0);
  const second = new ScriptedLink(world, "bidi", undefined, 1);
  const third = new ScriptedLink(world, "bidi", 1, 1);
  const { pinger } = pinging([first, second, third], world, { count: 2, concurrency: 2 });
  const running = pinger.start();
  await world.advance(6_000);
  first.end(lost);
  await world.advance(10);
  second.answer(first.sent[0]!, true);
  await world.advance(1);
  assert.deepEqual(second.sent.map(({ id }) => id), [first.sent[1]!.id], "the other one is there");
  await world.advance(6_000);
  second.end(lost);
  // The third link's mailbox gives nothing.
  await world.advance(999);
  assert.equal(third.sent.length, 0);
  const { statistics } = await world.runUntil(running);
  const { received, recovered } = statistics.summary();
  assert.deepEqual([received, recovered], [2, 2]);
});

Deno.test("Pinger ends at its deadline and by its signal, and counts what is unanswered as lost", async () => {
  const world = new VirtualWorld();
  const late = pinging([new ScriptedLink(world, "bidi")], world, { count: 0, deadlineMs: 300 });
  const run = await world.runUntil(late.pinger.start());
  assert.equal(run.elapsedMs, 300);
  assert.equal(run.statistics.summary().lost, 1);

  const stop = new AbortController();
  const stopped = pinging([new ScriptedLink(world, "bidi", 1)], world, {
    count: 0,
    intervalMs: 10,
  });
  const running = stopped.pinger.start(stop.signal);
  await world.advance(105);
  stop.abort();
  const { statistics } = await world.runUntil(running);
  assert.equal(statistics.summary().sent, 11);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("Pinger gives up at once on what trying again does not change", async () => {
  for (
    const error of [
      new WebTransportError("certificate", "not pinned"),
      new WebTransportError("unsupported", "another protocol"),
      new WebTransportError("refused", "no", { status: 403 }),
    ]
  ) {
    const world = new VirtualWorld();
    const { pinger, openedMs } = pinging([error], world);
    assert.equal((await world.runUntil(pinger.start())).error, error);
    assert.deepEqual(openedMs, [0]);
  }
  const world = new VirtualWorld();
  const busy = new WebTransportError("refused", "later", { status: 503 });
  const { pinger, openedMs } = pinging([busy, busy, busy, busy], world);
  assert.equal((await world.runUntil(pinger.start())).error, busy);
  assert.deepEqual(openedMs, [0, 1_000, 3_000, 7_000]);
});

Deno.test("Pinger counts outages and their time, the one that it ends in, too", async () => {
  const world = new VirtualWorld();
  const links = [new ScriptedLink(world, "bidi", 1), new ScriptedLink(world, "bidi", 1)];
  const reconnection = new Reconnection({
    jitter: 0,
    stableAfterMs: 100,
    retryBaseDelayMs: 400,
    world,
  });
  const failing = new WebTransportError("timeout", "nobody");
  const { pinger } = pinging([links[0]!, failing, links[1]!, failing, failing, failing], world, {
    ...{ reconnection, count: 0, intervalMs: 100, deadlineMs: 2_000 },
  });
  world.setTimeout(() => links[0]!.end(lost), 300);
  world.setTimeout(() => links[1]!.end(lost), 1_500);
  const { statistics, connections } = await world.runUntil(pinger.start());
  const { outages, outageMs } = statistics.summary();
  assert.deepEqual({ outages, outageMs, connections }, {
    outages: 2,
    outageMs: 400 + 500,
    connections: 2,
  });
});

Deno.test("Pinger sends no more than can be taken, and goes on when there is room", async () => {
  const world = new VirtualWorld();
  const link = new ScriptedLink(world, "bidi", 1);
  let full: PromiseWithResolvers<void> | undefined;
  const { pinger, kinds } = pinging([link], world, { count: 10, room: () => full?.promise });
  const run = pinger.start();
  await world.advance(3);
  full = Promise.withResolvers();
  await world.advance(100);
  assert.ok(link.sent.length < 6, `${link.sent.length} sent`);
  const { resolve } = full;
  full = undefined;
  resolve();
  await world.runUntil(run);
  assert.equal(kinds().filter((kind) => kind === "pong").length, 10);
});

Deno.test("Pinger sends on time although an answer is missing, so that a freeze shows in full", async () => {
  const world = new VirtualWorld();
  const link = new ScriptedLink(world, "bidi", 1);
  const { pinger, events } = pinging([link], world, {
    ...{ count: 20, intervalMs: 100, concurrency: 1_000 },
  });
  // The server freezes for 1.2 s.
  world.setTimeout(() => link.answerAfterMs = undefined, 550);
  world.setTimeout(() => {
    link.answerAfterMs = 1;
    for (const ping of link.sent.slice(6)) link.answer(ping);
  }, 1_750);
  await world.runUntil(pinger.start());
  const times = events.flatMap((event) => event.kind === "pong" ? [event.rttMs] : []);
  assert.equal(times.length, 20);
  assert.equal(times.filter((ms) => ms > 100).length, 11, "each ping that it delayed");
});

Deno.test("Pinger lets an attempt go that is under way when its time is up", async () => {
  const world = new VirtualWorld();
  const late = Promise.withResolvers<Link>();
  const { pinger } = pinging([], world, { openLink: () => late.promise, deadlineMs: 500 });
  const { elapsedMs, connections } = await world.runUntil(pinger.start());
  assert.deepEqual([elapsedMs, connections], [500, 0]);
  const link = new ScriptedLink(world, "bidi");
  late.resolve(link);
  assert.equal((await link.closed).by, "us");
});

Deno.test("Pinger does not fight with another client of its name", async () => {
  const world = new VirtualWorld();
  const link = new ScriptedLink(world, "bidi");
  const { pinger, openedMs } = pinging([link], world);
  const running = pinger.start();
  await world.advance(10);
  link.end({ by: "peer", code: closeCodes.replaced, reason: "another session of this client" });
  const { error } = await world.runUntil(running);
  assert.match(error!.message, /has taken over/);
  assert.equal(openedMs.length, 1);
});

Deno.test("Pinger has as much under way after fifty links as after one", async () => {
  const world = new VirtualWorld();
  const links = Array.from({ length: 51 }, () => new ScriptedLink(world, "bidi", 1));
  const stop = new AbortController();
  const { pinger, kinds } = pinging(links, world, { count: 0, intervalMs: 1_000 });
  const running = pinger.start(stop.signal);
  await assertNothingAddsUp(async (index) => {
    await world.advance(6_000);
    links[index]!.end(lost);
    await world.advance(10);
  }, { counts: { timers: () => world.pendingTimers } });
  assert.equal(kinds().filter((kind) => kind === "connected").length, 51);
  stop.abort();
  await world.runUntil(running);
  assert.equal(world.pendingTimers, 0);
});
