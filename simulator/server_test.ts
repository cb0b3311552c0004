import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import type { Hello } from "./api.ts";
import { exampleProcess } from "./example_process.ts";
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
  "the original's lifecycle: started, three times performed, stopped, each seen in order",
  async () => {
    await using test = await testSimulator();
    await using socket = await readSocket(test.url);
    await using source = await readEventSource(test.url);
    await exampleProcess({ id: "17", host: "127.0.0.1", port: test.port, intervalMs: 10 });
    const wanted = [
      "processStarted",
      "processingPerformed",
      "processingPerformed",
      "processingPerformed",
      "processStopped",
    ];
    assert.deepEqual(kinds(await socket.reach(5)), wanted);
    assert.deepEqual(kinds(await source.reach(5)), wanted);
    const received = test.printed.filter((line) => line.startsWith("RECEIVED: "));
    assert.equal(received.length, 5);
    assert.match(
      received[0]!,
      /"attributes":\[\{"key":"pid","value":\{"type":"integer","value":\d+\}\}\]/,
    );
    assert.match(received[1]!, /"args","value":\{"stringValue":"hello 17"\}/);
    assert.match(
      received[4]!,
      /"totalRuntime","value":\{"type":"number","unit":"nanoseconds","value":\d+\}/,
    );
    assert.equal(test.printed[0], "SIMPLE TELEMETRY: starting");
  },
);

testWith(
  ["net", "env"],
  "a hundred processes at once: each seen whole and in its order, none twice",
  async () => {
    await using test = await testSimulator();
    await using socket = await readSocket(test.url);
    await Promise.all(
      Array.from(
        { length: 100 },
        (_, i) => exampleProcess({ id: `${i}`, host: "127.0.0.1", port: test.port, intervalMs: 1 }),
      ),
    );
    const byClient = new Map<number, string[]>();
    for (const event of await socket.reach(500)) {
      byClient.set(event.client, [...byClient.get(event.client) ?? [], kinds([event])[0]!]);
    }
    assert.equal(byClient.size, 100);
    for (const list of byClient.values()) {
      assert.equal(
        list.join(" "),
        "processStarted processingPerformed processingPerformed processingPerformed processStopped",
      );
    }
  },
);

Deno.test("every web client gets every event, and the JSON as it came, digit for digit", async () => {
  await using test = await testSimulator();
  const readers = await Promise.all([1, 2, 3].map(() => readEventSource(test.url)));
  await using client = await rawClient(test.port);
  const line =
    '{"traceId":"t", "name":"n","event":"e","timeUnixNano":1795798574686000001,"odd":[1e400,-0,"\\u00e9"]}';
  await client.send(`${line}\r\n`);
  for (const reader of readers) {
    assert.deepEqual((await reader.reach(1)).map(({ data }) => data), [line]);
    await reader[Symbol.asyncDispose]();
  }
});

testWith(["net", "env"], "Last-Event-ID and after= replay what was missed, once", async () => {
  await using test = await testSimulator();
  await using client = await rawClient(test.port);
  let last: string;
  {
    await using first = await readSocket(test.url);
    await client.send(eventLine("one") + eventLine("two"));
    last = (await first.reach(2))[0]!.id;
  }
  await client.send(eventLine("three"));
  await using socket = await readSocket(test.url, `?after=${last}`);
  await using source = await readEventSource(test.url, last);
  await client.send(eventLine("four"));
  assert.deepEqual(kinds(await socket.reach(3)), ["two", "three", "four"]);
  assert.deepEqual(kinds(await source.reach(3)), ["two", "three", "four"]);
  assert.equal((socket.messages[0] as Hello).replay, "resumed");
  await using all = await readSocket(test.url, "?after=");
  assert.deepEqual(kinds(await all.reach(4)), ["one", "two", "three", "four"]);
});

testWith(
  ["net", "env"],
  "a WebSocket client subscribes by trace, name and event, and may change its mind",
  async () => {
    await using test = await testSimulator();
    await using client = await rawClient(test.port);
    await using mine = await readSocket(test.url, "?trace=mine&event=done");
    await using changed = await readSocket(test.url, "?name=nobody");
    await client.send(
      eventLine("done", { traceId: "mine" }) + eventLine("begun", { traceId: "mine" }),
    );
    await client.send(eventLine("done", { traceId: "other" }));
    await mine.reach(1);
    changed.send({ type: "subscribe", event: "begun" });
    await eventually("the subscription", async () => {
      await client.send(eventLine("begun"));
      return changed.events.length > 0 ? true : undefined;
    }, 10_000);
    assert.deepEqual([...new Set(kinds(changed.events))], ["begun"]);
    changed.send("nonsense");
    assert.deepEqual(await changed.closed, { code: 4_000, reason: "the message is not JSON" });
  },
);

testWith(["net", "env"], "who takes part in whose trace is known by the connection", async () => {
  await using test = await testSimulator();
  await using socket = await readSocket(test.url);
  await using a = new TelemetryClient({
    host: "127.0.0.1",
    port: test.port,
    name: "A",
    stopAtExit: false,
  });
  await using b = new TelemetryClient({
    host: "127.0.0.1",
    port: test.port,
    name: "B",
    stopAtExit: false,
  });
  a.start();
  await socket.reach(1);
  b.start();
  await socket.reach(2);
  a.event("asks", { traceId: "shared" });
  await socket.reach(3);
  b.event("answers", { traceId: "shared" });
  const events = await socket.reach(4);
  assert.deepEqual(events.map(({ client }) => client), [1, 2, 1, 2]);
});

Deno.test("the page is for browsers, the stream for everybody else; both say who may read", async () => {
  await using test = await testSimulator();
  const get = async (headers: Record<string, string>) => {
    const response = await fetch(test.url, { headers });
    await response.body?.cancel();
    return response;
  };
  const curl = await get({ accept: "*/*" });
  assert.equal(curl.headers.get("content-type"), "text/event-stream; charset=utf-8");
  assert.match(
    (await get({ accept: "text/html,application/xhtml+xml" })).headers.get("content-type")!,
    /^text\/(html|plain)/,
  );
  const origin = "http://localhost:4200";
  const page = await get({ origin, "sec-fetch-site": "same-site" });
  assert.equal(page.headers.get("access-control-allow-origin"), origin);
  assert.equal((await get({ origin: "https://evil.example" })).status, 403);
  const stranger = await fetch(`${test.url}/api/stats`, {
    headers: { "sec-fetch-site": "cross-site" },
  });
  assert.equal(stranger.status, 403);
  await stranger.body?.cancel();
});

Deno.test("the server says its health each second, as an event and on stdout", async () => {
  await using test = await testSimulator();
  test.server.healthcheck();
  const printed = test.printed.join("\n");
  assert.match(printed, /SIMPLE TELEMETRY: healthcheck\nSIMPLE TELEMETRY: server run/);
  const capture = await (await fetch(`${test.url}/api/capture`)).text();
  assert.match(
    capture,
    /"event":"serverHealthcheck".*"status","value":\{"stringValue":"healthy"\}.*"upTime".*"nanoseconds".*"webServerStatus","value":\{"stringValue":"run"\}/,
  );
  const [, second] = capture.split("\n");
  const { data } = JSON.parse(second!);
  assert.equal(typeof data.traceId, "string");
});

Deno.test("single-threaded: one client is served, and after its processStopped the server ends", async () => {
  await using test = await testSimulator({ singleThreaded: true, webPort: undefined });
  assert.deepEqual(test.printed.slice(0, 2), [
    "SIMPLE TELEMETRY: starting",
    "SIMPLE TELEMETRY: single threaded mode",
  ]);
  await exampleProcess({ id: "1", host: "127.0.0.1", port: test.port, intervalMs: 1 });
  await test.server.finished;
  assert.ok(!test.printed.includes("SIMPLE TELEMETRY: stopping"), "nobody asked it to");
});

testWith(["net", "env"], "an event is had again by its id, while it is kept", async () => {
  await using test = await testSimulator({ maxEvents: 2 });
  await using socket = await readSocket(test.url);
  await using client = await rawClient(test.port);
  const line = eventLine("first").trim();
  await client.send(`${line}\n`);
  const [{ id } = { id: "" }] = await socket.reach(1);
  assert.equal(await (await fetch(`${test.url}/api/events/${id}`)).text(), line);
  await client.send(eventLine("second") + eventLine("third"));
  await socket.reach(3);
  const gone = await fetch(`${test.url}/api/events/${id}`);
  assert.equal(gone.status, 404);
  assert.match((await gone.json()).detail, /does not keep it any more/);
});

Deno.test("a server that cannot listen says what to do, and leaves nothing open", async () => {
  await using test = await testSimulator();
  await assert.rejects(
    testSimulator({ port: test.port }),
    /Cannot listen on 127.0.0.1:\d+.*--port/,
  );
  const webPort = Number(new URL(test.url).port);
  await assert.rejects(testSimulator({ webPort }), /--web-port/);
  await assert.rejects(testSimulator({ host: "0.0.0.0" }), /Refuses to listen on 0.0.0.0/);
  await assert.rejects(testSimulator({ capture: "/nowhere/x" }), /Cannot write the capture/);
});
