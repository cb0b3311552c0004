import assert from "node:assert/strict";
import { type Client, Clients, type ClientSource } from "./clients.ts";

function clients(maxClients = 100) {
  const lost: number[] = [];
  const it = new Clients({ maxClients, onLost: ({ number }: Client) => lost.push(number) });
  return { it, lost };
}

function say(source: ClientSource, event: string, { traceId = "t", name = "n", pid }: {
  traceId?: string;
  name?: string;
  pid?: number;
} = {}): number {
  return source.clientOf({ traceId, name, event, pid }, 1_000);
}

Deno.test("a connection's events are its process's, whichever trace they belong to", () => {
  const { it, lost } = clients();
  const source = it.source();
  assert.equal(say(source, "processStarted", { pid: 7 }), 1);
  assert.equal(say(source, "processingPerformed", { traceId: "of a request" }), 1);
  assert.deepEqual([...it.running].map(({ pid, state }) => [pid, state]), [[7, "running"]]);
  assert.equal(say(source, "processStopped", { pid: 7 }), 1);
  assert.equal(it.count, 0);
  source.end();
  assert.deepEqual(lost, []);
});

Deno.test("processes that share a connection are told apart by process, else by trace and name", () => {
  const { it } = clients();
  const source = it.source();
  assert.equal(say(source, "processStarted", { traceId: "a", pid: 1 }), 1);
  assert.equal(say(source, "processStarted", { traceId: "b", pid: 2 }), 2);
  assert.equal(say(source, "processingPerformed", { traceId: "b" }), 2);
  assert.equal(say(source, "processingPerformed", { traceId: "of both", pid: 1 }), 1);
  assert.equal(say(source, "processingPerformed", { traceId: "of both", pid: 2 }), 2);
  assert.equal(say(source, "processStopped", { traceId: "of both", pid: 1 }), 1);
  assert.equal(it.count, 1);
});

Deno.test("a process whose connection ends, or that starts again, before it stopped is lost", () => {
  const { it, lost } = clients();
  const source = it.source();
  say(source, "processStarted", { pid: 1 });
  assert.equal(say(source, "processStarted", { pid: 1 }), 2);
  assert.deepEqual(lost, [1]);
  source.end();
  assert.deepEqual(lost, [1, 2]);
  assert.equal(it.count, 0);
});

Deno.test("who never said that it started is a client all the same", () => {
  const { it } = clients();
  assert.equal(say(it.source(), "processingPerformed"), 1);
  assert.equal(it.count, 1);
});

Deno.test("clients beyond the limit are counted, and their events are the server's", () => {
  const { it } = clients(1);
  assert.equal(say(it.source(), "processStarted"), 1);
  const second = it.source();
  assert.equal(say(second, "processStarted"), 0);
  second.end();
  assert.equal(it.beyondLimit, 1);
});
