/**
 * A request and its answer on a connection whose socket is none.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Exchange } from "./connection.ts";
import { get, post, postHead, TestConnection } from "./test_connection.ts";

const socketHead = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

Deno.test("a client that waits for it is told once that its body is wanted", async () => {
  const sent = `${postHead}Expect: 100-Continue\r\n\r\n`;
  const asked = new TestConnection();
  asked.send(sent);
  const [exchange] = asked.exchanges;
  assert.equal(exchange!.awaitsBody, true);
  exchange!.askForBody();
  exchange!.askForBody();
  assert.equal(asked.socket.written, "HTTP/1.1 100 Continue\r\n\r\n");
  assert.equal(exchange!.awaitsBody, false);
  asked.send("abcd");
  assert.match(await asked.answer(new Response("x")), /connection: keep-alive/);

  // Nobody knows whether the body comes.
  const unasked = new TestConnection();
  unasked.send(sent);
  assert.match(await unasked.answer(new Response("x")), /connection: close/);
  assert.deepEqual(unasked.socket.told, ["destroySoon"]);
  unasked.exchanges[0]!.askForBody();
  assert.doesNotMatch(unasked.socket.written, /100 Continue/);

  for (const head of [postHead, "GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"]) {
    const plain = new TestConnection();
    plain.send(`${head}\r\n`);
    assert.equal(plain.exchanges[0]!.awaitsBody, false, head);
    plain.exchanges[0]!.askForBody();
    assert.equal(plain.socket.written, "");
  }
});

Deno.test("of two answers the first is it, and the other's body is read by nobody", async () => {
  const test = new TestConnection();
  test.send(get);
  const first = await test.answer(new Response("first"));
  let cancelled = 0;
  const failing = () => {
    cancelled++;
    return Promise.reject(new Error("nobody's affair"));
  };
  const late = new Response(new ReadableStream({ cancel: failing }));
  assert.equal(await test.answer(late), "");
  assert.match(first, /first$/);
  assert.equal(cancelled, 1);
  const used = new Response("x");
  await used.text();
  assert.equal(await test.answer(used), "");
  assert.equal(await test.answer(new Response()), "");
});

Deno.test("who is asked by a client that goes away is told, unless it takes that back", async () => {
  const test = new TestConnection();
  test.send(post);
  const told: string[] = [];
  const [exchange] = test.exchanges as Exchange[];
  exchange!.onGone(() => told.push("a"));
  const back = exchange!.onGone(() => told.push("b"));
  test.connection.onGone(() => told.push("c"));
  back();
  const ends: unknown[] = [];
  exchange!.body!.read({ piece: () => true, end: (error) => void ends.push(error) });
  test.socket.emit("error", new Error("reset"));
  test.socket.close();
  assert.deepEqual(told, ["a", "c"]);
  assert.deepEqual(ends, [new Error("The connection ended before the whole body had come")]);
  assert.deepEqual(test.heard, ["end"]);
  exchange!.onGone(() => told.push("late"));
  assert.deepEqual(told, ["a", "c", "late"]);
  let cancelled = 0;
  const unread = new ReadableStream({ cancel: () => void cancelled++ });
  assert.equal(await test.answer(new Response(unread)), "");
  assert.deepEqual([cancelled, test.socket.told], [1, []]);

  // Nobody wanted to know, and there is nothing to read.
  const unheard = new TestConnection();
  unheard.send(get);
  unheard.socket.close();
  assert.equal(await unheard.answer(new Response()), "");
  assert.deepEqual([unheard.heard, unheard.socket.told], [["end"], []]);
  const takeBack = (unheard.exchanges[0] as Exchange).onGone(() => told.push("d"));
  takeBack();
  assert.equal(told.at(-1), "d");
});

Deno.test("an answer that fails, or cannot be written, cuts its connection", async () => {
  const failing = new ReadableStream({ pull: (c) => c.error(new Error("broken")) });
  const used = new Response("x");
  await used.text();
  for (const response of [new Response(failing), used, undefined as unknown as Response]) {
    const test = new TestConnection();
    test.send(get);
    await test.answer(response);
    assert.deepEqual(test.socket.told, ["destroy"]);
  }
});

Deno.test("what asks for a WebSocket gets the socket, and HTTP lets go of it", async () => {
  const test = new TestConnection();
  test.send(`${socketHead}frames`);
  const [exchange] = test.exchanges;
  const { socket, head } = exchange!.upgrade!;
  assert.equal(socket as unknown, test.socket);
  assert.equal(new TextDecoder().decode(head), "frames");
  assert.deepEqual(test.socket.told, ["pause"]);
  assert.equal(test.socket.listenerCount("data"), 0);
  test.upgraded = new Response();
  assert.equal(await test.answer(test.upgraded), "");
  assert.deepEqual(test.heard, ["end"]);
  assert.deepEqual(
    ["close", "drain"].map((event) => test.socket.listenerCount(event)),
    [0, 0],
  );
  assert.deepEqual(test.socket.told, ["pause"]);

  const refused = new TestConnection();
  refused.send(socketHead);
  assert.match(
    await refused.answer(new Response("no", { status: 403 })),
    /^HTTP\/1\.1 403 [^]*connection: close/,
  );
  assert.deepEqual(refused.socket.told, ["pause", "destroySoon"]);

  // Its socket waits also where it had to wait for an answer before.
  const second = new TestConnection();
  second.send(get);
  second.send(socketHead);
  await second.answer(new Response("x"));
  assert.notEqual(second.exchanges[1]!.upgrade, undefined);
  assert.ok(!second.socket.told.includes("resume"));

  // Of one that asked for none the answer is one.
  const plain = new TestConnection();
  plain.send(get);
  plain.upgraded = new Response("x");
  assert.match(await plain.answer(plain.upgraded), /\r\n\r\nx$/);
});
