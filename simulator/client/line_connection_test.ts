import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { settledWithin } from "../../service/resilience.ts";
import { realWorld } from "../../service/world/world.ts";
import { eventJson, traceIdAsUuid } from "./event_json.ts";
import { LineConnection } from "./line_connection.ts";

/** A server that keeps what it reads; `end()` ends its side in order, as a server that stops does. */
function lineServer(port = 0) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  const sockets: Deno.TcpConn[] = [];
  let text = "";
  const done = (async () => {
    for await (const socket of listener) {
      sockets.push(socket);
      (async () => {
        const decoder = new TextDecoder();
        const buffer = new Uint8Array(65_536);
        try {
          for (let read; (read = await socket.read(buffer)) !== null;) {
            text += decoder.decode(buffer.subarray(0, read), { stream: true });
          }
        } catch {
          // Closed by the test.
        }
      })();
    }
  })();
  return {
    port: listener.addr.port,
    sockets,
    lines: () => text.split("\n").slice(0, -1),
    async end() {
      listener.close();
      await done;
      for (const socket of sockets) await socket.closeWrite();
    },
    async [Symbol.asyncDispose]() {
      try {
        listener.close();
      } catch {
        // By end() already.
      }
      await done;
      for (const socket of sockets) {
        try {
          socket.close();
        } catch {
          // Closed already.
        }
      }
    },
  };
}

function connection(port: number, maxBufferedLines = 1_000) {
  return new LineConnection({
    host: "127.0.0.1",
    port,
    maxBufferedLines,
    reconnectBaseDelayMs: 5,
    reconnectMaxDelayMs: 20,
    world: realWorld,
  });
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

Deno.test("LineConnection sends every line, in order, also those of before there was a server", async () => {
  await using first = lineServer();
  const { port } = first;
  await first[Symbol.asyncDispose]();
  const it = connection(port);
  for (const line of numbers(10)) it.send(line);
  await using server = lineServer(port);
  await eventually("ten lines", () => server.lines().length === 10 || undefined, 10_000);
  it.send("10");
  await it.close(5_000);
  await eventually("the last", () => server.lines().length === 11 || undefined, 10_000);
  assert.deepEqual(server.lines(), numbers(11));
  assert.equal(it.dropped, 0);
  it.send("after the end");
  assert.equal(it.buffered, 0);
});

Deno.test("LineConnection keeps for the next server what one that stops in order has not got", async () => {
  const first = lineServer();
  const it = connection(first.port);
  for (const line of numbers(50)) it.send(line);
  await eventually("them", () => first.lines().length === 50 || undefined, 10_000);
  await first.end();
  await eventually("the end", () => !it.connected || undefined, 10_000);
  for (let i = 50; i < 60; i++) it.send(`${i}`);
  await first[Symbol.asyncDispose]();
  await using second = lineServer(first.port);
  await it.close(10_000);
  await eventually("the rest", () => second.lines().length === 10 || undefined, 10_000);
  assert.deepEqual([...first.lines(), ...second.lines()], numbers(60));
});

Deno.test("LineConnection drops the oldest beyond its buffer, counts them, and gives up at its deadline", async () => {
  const it = connection(1, 5);
  for (const line of numbers(8)) it.send(line);
  assert.deepEqual([it.buffered, it.dropped], [5, 3]);
  const beganMs = performance.now();
  await it.close(50);
  assert.ok(performance.now() - beganMs < 5_000);
  assert.deepEqual([it.buffered, it.dropped, it.connected], [0, 8, false]);
});

Deno.test("LineConnection gives up at its deadline on a server that reads nothing", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const it = connection(listener.addr.port, 100_000);
  const accepted = listener.accept();
  for (let i = 0; i < 100; i++) it.send("x".repeat(200_000));
  using _socket = await accepted;
  const closed = await settledWithin(it.close(50), 10_000, { world: realWorld });
  assert.ok(closed, "close() is still waiting for the write");
});

Deno.test("LineConnection gives up at its deadline on a server that answers no connection", async () => {
  // Nobody accepts and the queue of the system is short: what comes beyond it is not answered.
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const { port } = listener.addr;
  const giveUp = new AbortController();
  const filling = Array.from(
    { length: 8 },
    () => Deno.connect({ hostname: "127.0.0.1", port, signal: giveUp.signal }),
  );
  try {
    const it = connection(port);
    it.send("a line");
    const closed = await settledWithin(it.close(50), 10_000, { world: realWorld });
    assert.ok(closed, "close() is still waiting for the connection");
  } finally {
    giveUp.abort();
    for (const one of await Promise.allSettled(filling)) {
      if (one.status === "fulfilled") one.value.close();
    }
  }
});

Deno.test("eventJson() writes what the contract reads, nanoseconds with all their digits", () => {
  const line = eventJson({
    traceId: "t",
    name: 'N"',
    event: "e\n",
    timeUnixNano: 1_795_798_574_686_000_001n,
    attributes: {
      pid: 7,
      ratio: 0.5,
      ok: true,
      args: "hello",
      totalRuntime: { type: "number", unit: "nanoseconds", value: 9_007_199_254_740_993n },
      status: { stringValue: "healthy" },
    },
  });
  assert.equal(
    line,
    '{"traceId":"t","name":"N\\"","event":"e\\n","timeUnixNano":1795798574686000001,"attributes":[' +
      '{"key":"pid","value":{"type":"integer","value":7}},' +
      '{"key":"ratio","value":{"type":"number","value":0.5}},' +
      '{"key":"ok","value":{"boolValue":true}},' +
      '{"key":"args","value":{"stringValue":"hello"}},' +
      '{"key":"totalRuntime","value":{"type":"number","unit":"nanoseconds","value":9007199254740993}},' +
      '{"key":"status","value":{"stringValue":"healthy"}}]}',
  );
  assert.equal(
    traceIdAsUuid("0af7651916cd43dd8448eb211c80319c"),
    "0af76519-16cd-43dd-8448-eb211c80319c",
  );
});
