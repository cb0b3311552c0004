import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { SocketOutput } from "./socket_output.ts";

/** A socket whose peer reads when the test says so. */
function peer() {
  const socket = {
    readyState: 1,
    bufferedAmount: 0,
    sent: [] as string[],
    closed: undefined as [number?, string?] | undefined,
    send(text: string) {
      socket.sent.push(text);
      socket.bufferedAmount += text.length;
    },
    close(...args: [number?, string?]) {
      socket.closed = args;
      socket.readyState = 2;
    },
  };
  return socket;
}

Deno.test("SocketOutput sends at once while the peer reads", () => {
  const socket = peer();
  const output = new SocketOutput(socket);
  output.send("a");
  output.send("b");
  assert.deepEqual(socket.sent, ["a", "b"]);
  output.end();
});

Deno.test("SocketOutput holds back while the peer is full, and goes on in order", async () => {
  const socket = peer();
  const output = new SocketOutput(socket, { maxBufferedBytes: 2, pollIntervalMs: 1 });
  for (const text of ["aaa", "b", "c"]) output.send(text);
  assert.deepEqual(socket.sent, ["aaa"]);
  assert.equal(output.queued, 2);
  socket.bufferedAmount = 0;
  await eventually("the rest", () => output.queued === 0 || undefined);
  assert.deepEqual(socket.sent, ["aaa", "b", "c"]);
  assert.equal(socket.closed, undefined);
});

Deno.test("SocketOutput cuts off a peer that reads nothing", async () => {
  const socket = peer();
  const output = new SocketOutput(socket, {
    maxBufferedBytes: 2,
    pollIntervalMs: 1,
    slowReaderTimeoutMs: 20,
  });
  output.send("aaa");
  output.send("b");
  await eventually("the cut", () => socket.closed);
  assert.deepEqual(socket.closed, [1013, "the peer reads nothing"]);
  assert.equal(output.queued, 0);
  output.send("c");
  assert.deepEqual(socket.sent, ["aaa"]);
});

Deno.test("SocketOutput cuts off a peer for whom too much waits", () => {
  const socket = peer();
  const why: string[] = [];
  const output = new SocketOutput(socket, {
    maxBufferedBytes: 0,
    maxQueued: 2,
    onCut: (reason) => why.push(reason),
  });
  for (let i = 0; i < 5; i++) output.send("x");
  assert.deepEqual(socket.closed, [1013, "too many answers wait"]);
  assert.equal(why.length, 1);
});

Deno.test("SocketOutput forgets what waits when the socket has gone", async () => {
  const socket = peer();
  const output = new SocketOutput(socket, { maxBufferedBytes: 0, pollIntervalMs: 1 });
  output.send("a");
  output.send("b");
  socket.readyState = 3;
  await eventually("an empty queue", () => output.queued === 0 || undefined);
  assert.equal(socket.closed, undefined);
});
