import assert from "node:assert/strict";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { realWorld } from "../service/world/world.ts";
import { EventLog } from "./events/event_log.ts";
import { Recorder } from "./events/recorder.ts";
import { startTcpIntake } from "./intake/tcp_intake.ts";
import { TelemetryClient } from "./telemetry_client.ts";
import {
  eventLine,
  kinds,
  rawClient,
  readEventSource,
  readSocket,
  testSimulator,
} from "./test_simulator.ts";

testWith(
  ["net", "env"],
  "lines that are no events cost themselves only, and are counted by reason",
  async () => {
    await using test = await testSimulator();
    await using socket = await readSocket(test.url);
    await using neighbour = await rawClient(test.port);
    await using client = await rawClient(test.port);
    await client.send(eventLine("before"));
    await socket.reach(1);
    await client.send("hello\n[]\n17\n{\n");
    await client.send(new Uint8Array([0x63, 0x61, 0x66, 0xe9, 0x0a]));
    await client.send(new Uint8Array([...new TextEncoder().encode("{}"), 0, 0x0a]));
    await client.send(`"${"x".repeat(10_000_000)}"\n`);
    await client.send(eventLine("after"));
    await neighbour.send(eventLine("neighbour's"));
    assert.deepEqual(kinds(await socket.reach(3)).sort(), ["after", "before", "neighbour's"]);
    const { refused, lastRefused } = test.server.stats();
    assert.deepEqual(refused, { "not-json": 3, "not-utf-8": 1, "wrong-shape": 2, "too-long": 1 });
    assert.match(lastRefused!.reason, /longer than the limit/);
  },
);

testWith(
  ["net", "env"],
  "a line that is cut by the end of its connection counts as it is",
  async () => {
    await using test = await testSimulator();
    await using socket = await readSocket(test.url);
    const whole = await rawClient(test.port);
    await whole.send(eventLine("whole, without its end").trimEnd());
    whole.close();
    await socket.reach(2);
    const cut = await rawClient(test.port);
    await cut.send(eventLine("cut").slice(0, 20));
    cut.close();
    await eventually(
      "the refusal",
      () => test.server.stats().refused["not-json"] === 1 || undefined,
    );
    assert.deepEqual(kinds(socket.events), ["whole, without its end", "clientLost"]);
  },
);

testWith(
  ["net", "env"],
  "a client that vanishes is lost: an event says so, and nobody else notices",
  async () => {
    await using test = await testSimulator();
    await using socket = await readSocket(test.url);
    const client = await rawClient(test.port);
    await client.send(
      eventLine("processStarted", { attributes: [{ key: "pid", value: { value: 7 } }] }),
    );
    await socket.reach(1);
    assert.equal(test.server.stats().clients, 1);
    client.close();
    const [, lost] = await socket.reach(2);
    assert.match(JSON.stringify(lost!.data), /"clientLost".*"client".*1.*"pid".*7/);
    assert.equal(test.server.stats().clients, 0);
  },
);

Deno.test("a connection that says nothing is closed after its time, one that has spoken is not", async () => {
  const world = realWorld;
  const context = testContext();
  const recorder = new Recorder({ log: new EventLog({ world }), world });
  const intake = startTcpIntake({
    host: "127.0.0.1",
    port: 0,
    recorder,
    log: context.log,
    world,
    firstLineTimeoutMs: 200,
    maxConnections: 2,
  });
  await using silent = await rawClient(intake.port);
  await using speaking = await rawClient(intake.port);
  await speaking.send(eventLine("hello"));
  await using third = await rawClient(intake.port);
  await third.closed;
  await silent.closed;
  assert.deepEqual({ ...intake.counts }, { open: 1, accepted: 2, refused: 1, silent: 1 });
  await speaking.send(eventLine("still here"));
  await eventually("it", () => recorder.counts.events === 2 || undefined, 10_000);
  await intake.stop(AbortSignal.abort());
});

testWith(
  ["net", "env"],
  "a hundred thousand lines from one client do not keep another from being heard",
  async () => {
    await using test = await testSimulator({ maxEvents: 100 });
    await using socket = await readSocket(test.url, "?name=Quiet");
    await using storm = await rawClient(test.port);
    await using quiet = await rawClient(test.port);
    const lines = eventLine("storm").repeat(1_000);
    const sending = (async () => {
      for (let i = 0; i < 100; i++) await storm.send(lines);
    })();
    for (let i = 0; i < 20; i++) await quiet.send(eventLine(`${i}`, { name: "Quiet" }));
    assert.deepEqual(kinds(await socket.reach(20)), Array.from({ length: 20 }, (_, i) => `${i}`));
    await sending;
    await eventually("all", () => test.server.stats().events === 100_020 || undefined);
  },
);

/** A web client that asks for a stream and then never reads. */
async function deafClient(url: string, upgrade: boolean): Promise<Deno.TcpConn> {
  const { hostname, port, host } = new URL(url);
  const socket = await Deno.connect({ hostname, port: Number(port) });
  const request = upgrade
    ? `GET /ws HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
    : `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  await socket.write(new TextEncoder().encode(request));
  return socket;
}

for (
  const [stream, upgrade, reason] of [["WebSocket", true, "too slow"], [
    "event stream",
    false,
    "slow",
  ]] as const
) {
  testWith(
    ["net", "env"],
    `a web client that never reads its ${stream} is dropped with a reason, and slows nobody`,
    async () => {
      await using test = await testSimulator({ maxQueuedBytes: 1_048_576 });
      await using reader = await readSocket(test.url);
      const deaf = await deafClient(test.url, upgrade);
      await eventually("it", () => test.server.stats().webClients === 2 || undefined, 10_000);
      await using client = await rawClient(test.port);
      const text = "x".repeat(50_000);
      let sent = 0;
      await eventually("the drop", async () => {
        for (let i = 0; i < 5; i++) await client.send(eventLine("e", { text }));
        sent += 5;
        // Who reads is never behind by more than what was just sent.
        await eventually("it", () => reader.events.length === sent || undefined, 10_000);
        return test.server.stats().dropped[reason] === 1 || undefined;
      }, 30_000);
      assert.equal(test.server.stats().webClients, 1);
      deaf.close();
    },
  );
}

Deno.test("a page of another site may not open the WebSocket", async () => {
  await using test = await testSimulator();
  const { hostname, port, host } = new URL(test.url);
  for (const origin of ["https://evil.example", "null"]) {
    const socket = await Deno.connect({ hostname, port: Number(port) });
    await socket.write(new TextEncoder().encode(
      `GET /ws HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    ));
    const buffer = new Uint8Array(1_024);
    const read = await socket.read(buffer);
    assert.match(new TextDecoder().decode(buffer.subarray(0, read!)), /^HTTP\/1.1 403/, origin);
    socket.close();
  }
});

testWith(
  ["net", "env"],
  "a server restarted under its clients loses no event and shows none twice",
  async () => {
    let test = await testSimulator();
    const { port } = test;
    const clients = Array.from(
      { length: 10 },
      (_, i) =>
        new TelemetryClient({
          host: "127.0.0.1",
          port,
          name: `P${i}`,
          stopAtExit: false,
          stopTimeoutMs: 10_000,
        }),
    );
    const seen: string[] = [];
    let reader = await readSocket(test.url, "?after=");
    const keep = () =>
      seen.push(
        ...reader.events.map(({ data }) => JSON.stringify(data)).filter((one) =>
          !one.includes("clientLost")
        ),
      );
    for (const client of clients) client.start();
    let sent = 0;
    const sending = (async () => {
      for (; sent < 300; sent++) {
        clients[sent % 10]!.event(`${sent}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    for (let restart = 0; restart < 2; restart++) {
      await eventually("some", () => sent > 100 * (restart + 1) - 50 || undefined);
      await test.stop();
      await reader.closed;
      keep();
      test = await testSimulator({ port });
      reader = await readSocket(test.url, "?after=");
    }
    await sending;
    await Promise.all(clients.map((client) => client.stop()));
    await eventually("the last", () => test.server.stats().clients === 0 || undefined);
    await eventually("them", () => reader.events.length >= test.server.stats().events || undefined);
    keep();
    await reader[Symbol.asyncDispose]();
    await test.stop();
    const numbers = seen.flatMap((one) =>
      /"args","value":\{"stringValue":"(\d+)"/.exec(one)?.[1] ?? []
    );
    assert.deepEqual(
      numbers.map(Number).sort((a, b) => a - b),
      Array.from({ length: 300 }, (_, i) => i),
    );
    assert.equal(clients.reduce((sum, client) => sum + client.dropped, 0), 0);
  },
);

Deno.test("a client whose server is away keeps a bounded number of events, counts the rest, and lets its program end", async () => {
  // A port that nothing listens on.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const client = new TelemetryClient({
    host: "127.0.0.1",
    port,
    maxBufferedEvents: 50,
    stopTimeoutMs: 50,
    stopAtExit: false,
  });
  client.start();
  for (let i = 0; i < 100; i++) client.event(`${i}`);
  assert.equal(client.buffered, 50);
  assert.equal(client.dropped, 51);
  await client.stop();
  assert.equal(client.dropped, 102);
});

Deno.test("an event source that was cut off comes back to what it has missed", async () => {
  await using test = await testSimulator();
  await using client = await rawClient(test.port);
  const seen: string[] = [];
  let last: string | undefined;
  for (let round = 0; round < 5; round++) {
    await using reader = await readEventSource(test.url, last);
    await client.send(eventLine(`${round} a`));
    await eventually("one", () => reader.events.length > 0 || undefined, 10_000);
    seen.push(...kinds(reader.events));
    last = reader.events.at(-1)!.id;
    await reader[Symbol.asyncDispose]();
    await client.send(eventLine(`${round} b`));
  }
  await using rest = await readEventSource(test.url, last);
  await eventually("the rest", () => rest.events.length > 0 || undefined, 10_000);
  seen.push(...kinds(rest.events));
  const wanted = [0, 1, 2, 3, 4].flatMap((round) => [`${round} a`, `${round} b`]);
  assert.deepEqual(seen.toSorted(), wanted);
});
