import assert from "node:assert/strict";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
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
  const world = new VirtualWorld();
  const output = new SocketOutput(socket, { maxBufferedBytes: 2, world });
  for (const text of ["aaa", "b", "c"]) output.send(text);
  assert.deepEqual(socket.sent, ["aaa"]);
  assert.equal(output.queued, 2);
  socket.bufferedAmount = 0;
  await world.advance(20);
  assert.deepEqual(socket.sent, ["aaa", "b", "c"]);
  assert.equal(socket.closed, undefined);
});

Deno.test("SocketOutput cuts off a peer that reads nothing", async () => {
  const socket = peer();
  const world = new VirtualWorld();
  const output = new SocketOutput(socket, { maxBufferedBytes: 2, world });
  output.send("aaa");
  output.send("b");
  await world.advance(10_000);
  assert.equal(socket.closed, undefined);
  await world.advance(20);
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
  const world = new VirtualWorld();
  const output = new SocketOutput(socket, { maxBufferedBytes: 0, world });
  output.send("a");
  output.send("b");
  socket.readyState = 3;
  await world.advance(20);
  assert.equal(output.queued, 0);
  assert.equal(world.pendingTimers, 0);
  assert.equal(socket.closed, undefined);
});

Deno.test("SocketOutput goes on as long as a slow peer reads anything", async () => {
  const socket = peer();
  const world = new VirtualWorld();
  const output = new SocketOutput(socket, { maxBufferedBytes: 2, world });
  output.send("a".repeat(100));
  output.send("b");
  for (let seconds = 0; seconds < 90; seconds += 9) {
    socket.bufferedAmount -= 5;
    await world.advance(9_000);
  }
  assert.equal(socket.closed, undefined);
  output.end();
});
