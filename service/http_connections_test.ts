/**
 * The connections of a server in virtual time, with sockets that are none. Over real ones:
 * `http_limits_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Server, Socket } from "node:net";
import { Duplex } from "node:stream";
import { get, postHead, TestSocket } from "./http1/test_connection.ts";
import { HttpConnections, type HttpConnectionsOptions } from "./http_connections.ts";
import { type HttpExchange, takesNothing } from "./http_exchange.ts";
import { testContext } from "./testing/context.ts";
import { drainMicrotasks, VirtualWorld } from "./world/virtual_world.ts";

/** Connections, and whoever makes some. */
class TestConnections implements Disposable {
  readonly world = new VirtualWorld();
  readonly lines: string[] = [];
  readonly exchanges: HttpExchange[] = [];
  readonly connections: HttpConnections;
  upgraded: Response | undefined;
  http2 = 0;
  #ports = 0;

  constructor(options: Omit<HttpConnectionsOptions, "world"> = {}, servers: Server[] = []) {
    const { log } = testContext({ lines: this.lines });
    this.connections = new HttpConnections(servers, "127.0.0.1", {
      handle: (exchange) => void this.exchanges.push(exchange),
      isUpgraded: (response) => response === this.upgraded,
      onHttp2: () => void this.http2++,
    }, { log, ...options, world: this.world });
  }

  [Symbol.dispose](): void {
    this.connections.stop();
    assert.equal(this.world.pendingTimers, 0);
  }

  connect(address: string | null = "192.0.2.1", isHttp2 = false): TestSocket {
    const socket = new TestSocket(address === null ? null : { address, port: ++this.#ports });
    if (isHttp2) Object.assign(socket, { alpnProtocol: "h2" });
    this.connections.add(socket as unknown as Socket);
    return socket;
  }

  send(socket: TestSocket, text: string): void {
    socket.emit("data", new TextEncoder().encode(text));
  }
}

Deno.test("a server has its limits where none are given", () => {
  using test = new TestConnections();
  assert.deepEqual(test.connections.timeouts, {
    ...{ headerTimeoutMs: 15_000, requestTimeoutMs: 60_000 },
    ...{ idleTimeoutMs: 75_000, writeTimeoutMs: 30_000 },
  });
  const sockets = Array.from({ length: 4_096 }, (_, i) => test.connect(`192.0.2.${i >> 10}`));
  assert.ok(sockets.every(({ told }) => told.length === 0));
  test.connect("192.0.2.9");
  assert.deepEqual(sockets[0]!.told, ["destroySoon"], "in all");
  test.connect("192.0.2.1");
  assert.deepEqual(sockets[1_024]!.told, ["destroySoon"], "of one address");
});

Deno.test("limits are as they are told; a header has no more time than its request", () => {
  const limits = { requestTimeoutMs: 2, idleTimeoutMs: 3, writeTimeoutMs: 4 };
  using short = new TestConnections({ headerTimeoutMs: 1, ...limits });
  assert.deepEqual(short.connections.timeouts, { headerTimeoutMs: 1, ...limits });
  using long = new TestConnections({ headerTimeoutMs: 9, ...limits });
  assert.deepEqual(long.connections.timeouts, { headerTimeoutMs: 2, ...limits });
});

Deno.test("beyond its connections the one that has been idle for longest goes, else the new one", async () => {
  using test = new TestConnections({ maxConnections: 2 });
  const first = test.connect();
  await test.world.advance(10);
  const second = test.connect("192.0.2.2");
  await test.world.advance(10);
  test.send(first, get);
  test.exchanges[0]!.answer(new Response("x"));
  await drainMicrotasks();
  const third = test.connect();
  assert.deepEqual([first.told, second.told, third.told], [[], ["destroySoon"], []]);
  assert.equal(test.connections.size, 2);
  second.close();
  assert.equal(test.connections.size, 2, "it was counted out already");

  for (const socket of [first, third]) test.send(socket, get);
  const fourth = test.connect();
  assert.match(fourth.written, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  assert.match(
    fourth.written,
    /"title":"Overloaded","status":503,"detail":"2 connections are open already, and all are in use\. Try again later\."/,
  );
  assert.deepEqual(fourth.told, ["end", "destroySoon"]);
  fourth.emit("error", new Error("nobody's affair"));
  const early = test.connect("192.0.2.3", true);
  assert.deepEqual([early.written, early.told], ["", ["destroy"]]);
  early.emit("error", new Error("nobody's affair"));
  assert.equal(test.connections.size, 2);
  assert.deepEqual(test.lines, [
    'WARN A connection was refused open=2 reason="2 connections are open"',
  ], "once a second");
});

Deno.test("of one address there are no more than so many, and its own idle one goes first", async () => {
  using test = new TestConnections({ maxConnectionsPerPeer: 2 });
  const other = test.connect("192.0.2.9");
  await test.world.advance(10);
  const sockets = [test.connect(), test.connect(), test.connect()];
  assert.deepEqual(sockets.map(({ told }) => told), [["destroySoon"], [], []]);
  assert.deepEqual(other.told, []);
  for (const socket of sockets.slice(1)) test.send(socket, get);
  assert.match(test.connect().written, /"2 connections of 192\.0\.2\.1 are open already, and/);
  assert.deepEqual(test.connect("192.0.2.9").told, []);
  sockets[1]!.close();
  assert.deepEqual(test.connect().written, "", "there is room again");
  assert.match(test.lines[0]!, /open=3 reason="2 connections of 192\.0\.2\.1 are open"/);
  // A peer that has gone before it was taken in has no address.
  for (let i = 0; i < 2; i++) test.send(test.connect(null), get);
  assert.match(test.connect(null).written, /503/);
});

Deno.test("a connection is looked at four times a second, and cut where its peer takes nothing", async () => {
  using test = new TestConnections({ headerTimeoutMs: 1_000, writeTimeoutMs: 500 });
  const late = test.connect();
  const stuck = test.connect("192.0.2.2");
  test.send(stuck, get);
  stuck.writableLength = 7;
  await test.world.advance(500);
  assert.deepEqual(stuck.told, []);
  await test.world.advance(500);
  assert.deepEqual(stuck.told, ["destroy"]);
  assert.deepEqual(late.told, []);
  await test.world.advance(250);
  assert.deepEqual(late.told, ["destroySoon"]);
  assert.match(late.written, /408/);
  assert.deepEqual(test.lines, [`WARN A connection was cut: ${takesNothing} peer=192.0.2.2`]);
});

Deno.test("a connection that was closed for another's sake is looked at until it has gone", async () => {
  using test = new TestConnections({ maxConnections: 1, writeTimeoutMs: 500 });
  const [first, second] = [test.connect(), test.connect("192.0.2.2")];
  assert.deepEqual([first.told, second.told, test.connections.size], [["destroySoon"], [], 1]);
  // Its peer does not take what is on its way.
  first.writableLength = 7;
  await test.world.advance(1_000);
  assert.deepEqual(first.told, ["destroySoon", "destroy"]);
  first.close();
  await test.world.advance(1_000);
  assert.equal(test.lines.length, 1);
  assert.equal(test.connections.size, 1);
});

Deno.test("what is refused or cut needs nobody who hears of it", async () => {
  using test = new TestConnections({ log: undefined, maxConnections: 1, writeTimeoutMs: 500 });
  const busy = test.connect();
  test.send(busy, get);
  assert.match(test.connect().written, /503/);
  busy.writableLength = 7;
  await test.world.advance(1_000);
  assert.deepEqual([busy.told, test.lines], [["destroy"], []]);
});

Deno.test("drain() ends what is idle at once and the rest behind its answer", async () => {
  using test = new TestConnections();
  const [idle, busy] = [test.connect(), test.connect()];
  test.send(busy, get);
  assert.equal(test.connections.isDraining, false);
  let isDrained = false;
  const drained = test.connections.drain().then(() => isDrained = true);
  assert.equal(test.connections.isDraining, true);
  assert.deepEqual([idle.told, busy.told, test.connections.size], [["destroySoon"], [], 1]);
  test.exchanges[0]!.answer(new Response("x"));
  await drainMicrotasks();
  assert.match(busy.written, /connection: close/);
  assert.deepEqual([busy.told, isDrained], [["destroySoon"], false]);
  busy.close();
  await drained;
  await test.connections.drain();
});

Deno.test("cut() ends all at once, and closeIdle() so many as it is told", async () => {
  using test = new TestConnections();
  const sockets = [];
  for (let i = 0; i < 4; i++) {
    sockets.push(test.connect());
    await test.world.advance(1);
  }
  test.send(sockets[0]!, `${postHead}\r\n`);
  assert.equal(test.connections.closeIdle(2), 2);
  assert.deepEqual(sockets.map(({ told }) => told.length), [0, 1, 1, 0]);
  assert.equal(test.connections.closeIdle(2, "192.0.2.7"), 0);
  test.connections.cut();
  assert.deepEqual([sockets[0]!.told, sockets[3]!.told], [["destroy"], ["destroy"]]);
  for (const socket of sockets) socket.close();
  assert.equal(test.connections.size, 0);
});

Deno.test("what a connection hears its server is told: requests, an upgrade, HTTP/2", async () => {
  using test = new TestConnections();
  const socket = test.connect();
  test.send(
    socket,
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
  );
  test.upgraded = new Response();
  test.exchanges[0]!.answer(test.upgraded);
  await drainMicrotasks();
  assert.deepEqual([socket.written, test.connections.size], ["", 0]);
  test.send(test.connect(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  assert.equal(test.http2, 1);
  // What has agreed on HTTP/2 speaks first, by a frame with its settings.
  const written: Uint8Array[] = [];
  const secure = Object.assign(
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        written.push(chunk);
        done();
      },
    }),
    { alpnProtocol: "h2", remoteAddress: "192.0.2.1", setNoDelay() {} },
  );
  test.connections.add(secure as unknown as Socket);
  await drainMicrotasks();
  assert.equal(written[0]?.[3], 4);
  test.connections.cut();
  await drainMicrotasks();
});
