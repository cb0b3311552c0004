/**
 * What a connection waits for and how it ends, without a socket, in virtual time. Over real ones:
 * `connection_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { takesNothing } from "../http_exchange.ts";
import { drainMicrotasks } from "../world/virtual_world.ts";
import { get, post, postHead, TestConnection } from "./test_connection.ts";

Deno.test("a head has its time from the connection's beginning, and of later ones from their own", async () => {
  const first = new TestConnection();
  first.send("GET / HT");
  first.pass(100);
  assert.deepEqual(first.socket.told, []);
  first.pass(1);
  assert.match(first.socket.written, /^HTTP\/1\.1 408 Request Timeout\r\n/);
  assert.match(
    first.socket.written,
    /"title":"Request Timeout".*"The request did not arrive in time. Send it again, whole."/,
  );
  assert.deepEqual(first.socket.told, ["destroySoon"]);

  const later = new TestConnection();
  later.pass(90);
  later.send(get);
  await later.answer(new Response("x"));
  later.pass(5_000);
  later.send("GET ");
  later.pass(60);
  later.send("/ ");
  later.pass(40);
  assert.deepEqual(later.socket.told, []);
  later.pass(1);
  assert.match(later.socket.written, /HTTP\/1\.1 408 /);

  const behind = new TestConnection();
  behind.pass(90);
  behind.send(`${get}GET `);
  behind.pass(100);
  assert.deepEqual(behind.socket.told, []);
  behind.pass(1);
  assert.deepEqual(
    behind.socket.told,
    ["destroy"],
    "an answer is under way: there is no place for another",
  );
});

Deno.test("a head that began while an answer was made has its time from then on", async () => {
  const test = new TestConnection();
  test.send(`${get}GET `);
  test.pass(60);
  await test.answer(new Response("x"));
  test.pass(40);
  assert.deepEqual(test.socket.told, []);
  test.pass(1);
  assert.match(test.socket.written, /HTTP\/1\.1 408 /);
});

Deno.test("a body has its time from its request's beginning", async () => {
  const slow = new TestConnection();
  slow.pass(90);
  slow.send(post);
  slow.pass(7_900);
  slow.send("ab");
  slow.pass(10);
  assert.deepEqual([slow.socket.told, slow.socket.written], [[], ""]);
  slow.pass(1);
  assert.deepEqual(slow.socket.told, ["destroy"]);

  const second = new TestConnection();
  second.send(`${postHead}\r\nabcd`);
  second.pass(50);
  second.send(post);
  second.pass(8_000);
  assert.deepEqual(second.socket.told, ["pause"]);
  second.pass(1);
  assert.deepEqual(second.socket.told, ["pause", "destroy"]);

  const idle = new TestConnection();
  idle.send(get);
  await idle.answer(new Response("x"));
  idle.pass(5_000);
  idle.send(post);
  idle.pass(8_000);
  assert.deepEqual(idle.socket.told, []);
  idle.pass(1);
  assert.deepEqual(idle.socket.told, ["destroy"]);

  // Of one that begins where the one before it ends, from there on.
  const next = new TestConnection();
  next.send(`${post}ab`);
  next.pass(6_000);
  next.send(`cd${post}`);
  next.pass(8_000);
  assert.deepEqual(next.socket.told, ["pause"]);
  next.pass(1);
  assert.deepEqual(next.socket.told, ["pause", "destroy"]);
});

Deno.test("a handler has all the time it wants, and the next request its own", async () => {
  const test = new TestConnection();
  test.send(`${postHead}\r\nabcd`);
  test.pass(1_000_000);
  assert.deepEqual(test.socket.told, []);
  await test.answer(new Response("x"));
  assert.equal(test.connection.idleSinceMs, test.nowMs);
  assert.equal(test.connection.isIdle, true);
  test.pass(10_000);
  assert.deepEqual(test.socket.told, []);
  test.pass(1);
  assert.deepEqual(test.socket.told, ["destroy"]);
});

Deno.test("what is sent between requests counts as nothing: the connection waits anew", () => {
  const test = new TestConnection();
  test.send("\r\n");
  test.pass(101);
  assert.match(test.socket.written, /408/);
});

Deno.test("a body that nobody reads any more is taken for a while, and then its connection goes on", async () => {
  const test = new TestConnection();
  test.send(post);
  assert.match(await test.answer(new Response("x")), /connection: keep-alive/);
  assert.equal(test.exchanges[0]!.body!.isFull, false);
  test.pass(5_000);
  assert.deepEqual(test.socket.told, []);
  test.pass(1);
  assert.deepEqual(test.socket.told, ["destroy"]);
  const whole = new TestConnection();
  whole.send(post);
  await whole.answer(new Response("x"));
  whole.send(`abcd${get}`);
  assert.equal(whole.exchanges.length, 2);
  assert.match(await whole.answer(new Response("y")), /\r\n\r\ny$/);
});

Deno.test("what is answered for good before it has come whole is told so, and heard to its end", async () => {
  const test = new TestConnection();
  test.send(post);
  assert.match(
    await test.answer(new Response("x", { headers: { connection: "close" } })),
    /connection: close/,
  );
  assert.deepEqual(test.socket.told, ["end"]);
  test.send("ab");
  assert.deepEqual(test.socket.told, ["end"]);
  test.send(`cd${get}`);
  assert.deepEqual(test.socket.told, ["end", "destroySoon"]);
  assert.equal(test.exchanges.length, 1, "what comes behind it is nobody's");

  const silent = new TestConnection();
  silent.send(post);
  await silent.answer(new Response("x", { headers: { connection: "close" } }));
  silent.pass(5_001);
  assert.deepEqual(silent.socket.told, ["end", "destroy"]);
});

Deno.test("a connection that is draining ends behind the answer that is under way", async () => {
  for (const sent of [get, `${get}${get}`]) {
    const test = new TestConnection();
    test.send(sent);
    test.isDraining = true;
    assert.match(await test.answer(new Response("x")), /connection: close/);
    assert.equal(test.socket.told.at(-1), "destroySoon");
    assert.equal(test.exchanges.length, 1);
  }
  // It began to drain while the answer was written.
  const test = new TestConnection();
  test.send(get);
  const body = Promise.withResolvers<void>();
  const headers = { "content-type": "a/b" };
  const stream = new ReadableStream({ pull: (c) => body.promise.then(() => c.close()) });
  assert.match(await test.answer(new Response(stream, { headers })), /keep-alive/);
  test.isDraining = true;
  body.resolve();
  await drainMicrotasks();
  assert.deepEqual(test.socket.told, ["destroySoon"]);
});

Deno.test("requests behind one another are handled in turn, and the socket waits meanwhile", async () => {
  const test = new TestConnection();
  test.send(get);
  test.send(get);
  assert.equal(test.exchanges.length, 1);
  assert.deepEqual(test.socket.told, ["pause"]);
  await test.answer(new Response("x"));
  assert.equal(test.exchanges.length, 2);
  assert.deepEqual(test.socket.told, ["pause", "resume"]);
  assert.equal(test.connection.isIdle, false);
  await test.answer(new Response("x"));
  assert.equal(test.connection.isIdle, true);
  assert.deepEqual(test.socket.told, ["pause", "resume"]);
});

Deno.test("a body that waits for its reader holds the socket back", async () => {
  const test = new TestConnection();
  test.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 70000\r\n\r\n${"x".repeat(65_536)}`);
  assert.deepEqual(test.socket.told, ["pause"]);
  const pieces: number[] = [];
  test.exchanges[0]!.body!.read({ piece: (one) => pieces.push(one.length) > 0, end() {} });
  assert.deepEqual(test.socket.told, ["pause", "resume"]);
  test.send("x".repeat(70_000 - 65_536));
  assert.equal(pieces.reduce((sum, one) => sum + one), 70_000);
  assert.equal(test.exchanges[0]!.body!.isComplete, true);
  await test.answer(new Response("x"));
  assert.deepEqual(test.socket.told, ["pause", "resume"]);
});

Deno.test("write() gives when there is room, and false where there never will be", async () => {
  const test = new TestConnection();
  const { socket, connection } = test;
  assert.equal(connection.write(new Uint8Array([65])), true);
  socket.emit("drain");
  socket.hasRoom = false;
  const waits = [connection.write(new Uint8Array([66])), connection.write(new Uint8Array([67]))];
  socket.emit("drain");
  assert.deepEqual(await Promise.all(waits), [true, true]);
  const never = connection.write(new Uint8Array([68]));
  socket.close();
  assert.equal(await never, false);
  assert.equal(await connection.write(new Uint8Array([69])), false);
  assert.equal(socket.written, "ABCD");
});

Deno.test("a peer that takes nothing for too long is cut, one that takes little is not", () => {
  const test = new TestConnection();
  test.send(get);
  const { socket } = test;
  socket.writableLength = 10;
  test.pass(0);
  test.pass(10);
  test.pass(49);
  socket.writableLength = 9;
  test.pass(10);
  test.pass(10);
  test.pass(49);
  assert.deepEqual([socket.told, test.heard], [[], []]);
  test.pass(1);
  assert.deepEqual([socket.told, test.heard], [["destroy"], [takesNothing]]);

  const done = new TestConnection();
  done.send(get);
  for (const length of [10, 0, 10, 0, 0, 0]) {
    done.socket.writableLength = length;
    done.pass(40);
  }
  assert.deepEqual(done.heard, []);
});

Deno.test("what is no HTTP/1.1 is told so where nothing is under way, else it is cut", () => {
  for (
    const [sent, status, title, detail] of [
      ["nonsense\r\n\r\n", 400, "Bad request", /^This is not HTTP\/1\.1: .+\.$/],
      [
        `GET / HTTP/1.1\r\nx: ${"y".repeat(70_000)}\r\n\r\n`,
        431,
        "Request Header Fields Too Large",
        /^The header is too large\. Send less of it\.$/,
      ],
      ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "Bad request", /HTTP\/1\.1/],
    ] as const
  ) {
    const test = new TestConnection();
    test.send(sent);
    const problem = JSON.parse(test.socket.written.split("\r\n\r\n")[1]!);
    assert.deepEqual([problem.status, problem.title], [status, title]);
    assert.match(problem.detail, detail);
    assert.deepEqual(test.socket.told, ["destroySoon"]);
    assert.deepEqual(test.heard, sent.startsWith("PRI") ? ["http2"] : []);
    // It is over: nothing more is said.
    test.send(sent);
    assert.deepEqual(test.socket.told, ["destroySoon", "destroy"]);

    const busy = new TestConnection();
    busy.send(get);
    busy.send(sent);
    assert.deepEqual([busy.socket.written, busy.socket.told], ["", ["destroy"]]);

    const ended = new TestConnection();
    ended.socket.writable = false;
    ended.send(sent);
    assert.deepEqual([ended.socket.written, ended.socket.told], ["", ["destroy"]]);
  }
});

Deno.test("a connection says who its peer is, and can be ended and cut", () => {
  const test = new TestConnection();
  const peer = { transport: "tcp", hostname: "192.0.2.7", port: 4711 };
  assert.deepEqual(test.connection.peer, peer);
  assert.deepEqual([test.connection.isIdle, test.connection.isGone], [true, false]);
  assert.equal(test.connection.idleSinceMs, 1_000);
  test.connection.end();
  assert.deepEqual(test.socket.told, ["destroySoon"]);
  test.send(`${post}abcd`);
  assert.equal(test.exchanges.length, 0);
  assert.equal(test.connection.isIdle, true);
  test.connection.cut();
  assert.deepEqual(test.socket.told, ["destroySoon", "destroy"]);
  assert.equal(test.connection.isGone, true);

  const busy = new TestConnection();
  busy.send(get);
  assert.deepEqual(busy.exchanges[0]!.peer, peer);
  const { connection: left } = new TestConnection(null);
  assert.deepEqual(left.peer, { transport: "tcp", hostname: "", port: 0 });
});

Deno.test("the time that a connection waits is told in whole seconds", async () => {
  const test = new TestConnection();
  test.send(get);
  assert.match(await test.answer(new Response("x")), /keep-alive: timeout=10\r\n/);
});
