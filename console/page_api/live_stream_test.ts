import assert from "node:assert/strict";
import { settledWithin } from "../../service/resilience.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { StatsEvent, StreamEvents } from "./stream_events.ts";
import { takeRequest } from "../intake/intake.ts";
import { LiveStream, type LiveStreamOptions } from "./live_stream.ts";
import { decodeRequest } from "../../service/otlp/otlp_message.ts";
import { TelemetryStore } from "../stores/telemetry_store.ts";
import { logsRequest, newTraceId, testConsole, tracesRequest } from "../test_console.ts";

interface Event<Name extends keyof StreamEvents = keyof StreamEvents> {
  name: Name;
  id: string | undefined;
  data: StreamEvents[Name];
}

const roundMs = 250;

/** A console whose rounds come when a client waits for one. */
async function virtualConsole() {
  const world = new VirtualWorld();
  return { ...await testConsole({}, { world }), world };
}

/** A client of the stream. */
async function follow(
  { pageUrl, world }: { pageUrl: string; world: VirtualWorld },
  query = "",
  headers: HeadersInit = {},
) {
  const cut = new AbortController();
  const response = await fetch(`${pageUrl}/api/stream${query}`, { headers, signal: cut.signal });
  assert.equal(response.status, 200);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  const waiting: Event[] = [];

  /** What the network brings, however many rounds it takes. */
  async function read(): Promise<string> {
    const reading = reader.read();
    const giveUp = AbortSignal.timeout(60_000);
    while (!await settledWithin(reading, 5)) {
      if (giveUp.aborted) throw new Error("the stream has been silent for 60 s");
      await world.advance(roundMs);
    }
    const { value, done } = await reading;
    if (done) throw new Error("the stream has ended");
    return value;
  }

  async function next(): Promise<Event> {
    while (waiting.length === 0) {
      const parts = (rest + await read()).split("\n\n");
      rest = parts.pop()!;
      for (const part of parts) {
        const fields = new Map(
          part.split("\n").map((line) => line.split(/: (.*)/) as [string, string]),
        );
        if (!fields.has("event")) continue;
        waiting.push({
          name: fields.get("event") as keyof StreamEvents,
          id: fields.get("id"),
          data: JSON.parse(fields.get("data")!),
        });
      }
    }
    return waiting.shift()!;
  }

  return {
    response,
    next,
    /** The next event of this name. */
    async event<Name extends keyof StreamEvents>(name: Name): Promise<Event<Name>> {
      for (;;) {
        const event = await next();
        if (event.name === name) return event as Event<Name>;
      }
    },
    async [Symbol.asyncDispose]() {
      cut.abort();
      await reader.cancel().catch(() => {});
    },
  };
}

Deno.test("stream greets, then sends new traces and logs with an id", async () => {
  await using viewer = await virtualConsole();
  await using client = await follow(viewer);
  assert.equal(client.response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const hello = await client.next();
  assert.equal(hello.name, "hello");
  const { instance, otlpEndpoint, resume, limits } = hello.data as StreamEvents["hello"];
  assert.equal(otlpEndpoint, viewer.otlpUrl);
  assert.equal(resume, "none");
  assert.ok(limits.maxSpans > 0);
  assert.equal((await client.event("stats")).data.streams, 1);

  const traceId = newTraceId();
  await viewer.sendSpans([{ traceId, name: "<script>alert(1)</script>" }]);
  const traces = await client.event("traces");
  assert.equal(traces.id, `${instance}:1`);
  assert.equal(traces.data.traces[0]!.traceId, traceId.toHex());
  assert.equal(traces.data.traces[0]!.rootName, "<script>alert(1)</script>");
  assert.deepEqual(traces.data.sampled, { shown: 1, seen: 1 });
  assert.equal(traces.data.catchUp, undefined);

  const response = await viewer.send("logs", logsRequest([{ severityNumber: 9 }]));
  await response.body?.cancel();
  const logs = await client.event("logs");
  assert.equal(logs.data.logs[0]!.severity, "INFO");
  assert.ok((await client.event("services")).data.services[0]!.logs === 1);
});

Deno.test("stream sends a trace again when more of it arrives", async () => {
  await using viewer = await virtualConsole();
  await using client = await follow(viewer, "?signals=traces");
  const traceId = newTraceId();
  await viewer.sendSpans([{ traceId }]);
  assert.equal((await client.event("traces")).data.traces[0]!.spanCount, 1);
  await viewer.sendSpans([{ traceId }, { traceId }]);
  assert.equal((await client.event("traces")).data.traces[0]!.spanCount, 3);
});

Deno.test("stream filters for each client alone", async () => {
  await using viewer = await virtualConsole();
  await using all = await follow(viewer, "?signals=traces");
  await using errors = await follow(viewer, "?error=true&severity=error");
  await all.event("hello");
  await errors.event("hello");
  const failed = newTraceId();
  await viewer.sendSpans([{}, { traceId: failed, status: { code: 2 } }]);
  assert.equal((await all.event("traces")).data.traces.length, 2);
  const { data } = await errors.event("traces");
  assert.deepEqual(data.traces.map(({ traceId }) => traceId), [failed.toHex()]);
  assert.deepEqual(data.sampled, { shown: 1, seen: 1 });
  const sent = await viewer.send(
    "logs",
    logsRequest([{ severityNumber: 9 }, { severityNumber: 21 }]),
  );
  await sent.body?.cancel();
  assert.deepEqual((await errors.event("logs")).data.logs.map(({ severity }) => severity), [
    "FATAL",
  ]);
});

Deno.test("stream shows a sample of a flood and says how many there were", async () => {
  await using viewer = await virtualConsole();
  await using client = await follow(viewer, "?signals=traces");
  await client.event("hello");
  await viewer.sendSpans(Array.from({ length: 3_000 }, () => ({})));
  let shown = 0;
  let seen = 0;
  while (seen < 3_000) {
    const { data } = await client.event("traces");
    assert.ok(data.traces.length <= 100);
    assert.equal(data.traces.length, data.sampled.shown);
    shown += data.sampled.shown;
    seen += data.sampled.seen;
  }
  assert.equal(seen, 3_000);
  assert.ok(shown < 3_000);
});

Deno.test("stream sends a client that comes back what it has missed, and only that", async () => {
  await using viewer = await virtualConsole();
  let lastId: string | undefined;
  {
    await using client = await follow(viewer);
    await client.event("hello");
    await viewer.sendSpans([{ name: "before" }]);
    lastId = (await client.event("traces")).id;
  }
  const missed = newTraceId();
  await viewer.sendSpans([{ traceId: missed, name: "missed" }]);
  const sent = await viewer.send("logs", logsRequest([{ eventName: "missed" }]));
  await sent.body?.cancel();
  {
    await using other = await follow(viewer);
    // Another client has been notified: nothing is left for the next round.
    await other.event("stats");
    await other.event("stats");
  }
  await using back = await follow(viewer, "", { "last-event-id": lastId! });
  assert.equal((await back.event("hello")).data.resume, "resumed");
  const traces = await back.event("traces");
  assert.equal(traces.data.catchUp, true);
  assert.deepEqual(traces.data.traces.map(({ rootName }) => rootName), ["missed"]);
  const logs = await back.event("logs");
  assert.equal(logs.data.catchUp, true);
  assert.deepEqual(logs.data.logs.map(({ eventName }) => eventName), ["missed"]);
  // Only the last event of the two carries the id: a client that loses one of them gets both again.
  assert.equal(traces.id, undefined);
  assert.notEqual(logs.id, lastId);
});

Deno.test("stream says reset to a client of another console", async () => {
  await using viewer = await virtualConsole();
  await viewer.sendSpans([{}]);
  await using client = await follow(viewer, "?lastEventId=another:7");
  assert.equal((await client.event("hello")).data.resume, "reset");
});

Deno.test("stream sends metrics' names, and that the console was cleared", async () => {
  await using viewer = await virtualConsole();
  await using client = await follow(viewer);
  await client.event("hello");
  const body = JSON.stringify({
    resourceMetrics: [{
      scopeMetrics: [{
        metrics: [{ name: "g", gauge: { dataPoints: [{ timeUnixNano: "1000000", asDouble: 1 }] } }],
      }],
    }],
  });
  const sent = await viewer.send("metrics", body, { "content-type": "application/json" });
  assert.equal(await sent.text(), "{}");
  // The console's own metrics come with the others, or alone.
  while (!(await client.event("metrics")).data.names.includes("g"));
  const response = await fetch(`${viewer.pageUrl}/api/data`, { method: "DELETE" });
  await response.body?.cancel();
  await client.event("cleared");
});

Deno.test("stream refuses a client too many with 503, and takes one when another has left", async () => {
  await using viewer = await virtualConsole();
  const clients = await Promise.all(Array.from({ length: 256 }, () => follow(viewer)));
  const refused = await fetch(`${viewer.pageUrl}/api/stream`);
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "5");
  await refused.body?.cancel();
  while ((await clients[0]!.event("stats")).data.streams < 256);
  for (const client of clients.slice(1)) await client[Symbol.asyncDispose]();
  // The stats of the one that stayed show when the server has seen them leave.
  while ((await clients[0]!.event("stats")).data.streams > 1);
  await using again = await follow(viewer);
  await again.event("hello");
  await clients[0]![Symbol.asyncDispose]();
});

Deno.test("stream ends when the console stops", async () => {
  const viewer = await virtualConsole();
  await using client = await follow(viewer);
  await client.event("hello");
  await viewer.stop(new AbortController().signal);
  await assert.rejects(async () => {
    for (;;) await client.next();
  }, /ended/);
});

/** A stream over a store that no network is between. */
function bareStream(options: Partial<LiveStreamOptions>) {
  const store = new TelemetryStore();
  const stream = new LiveStream({
    store,
    hello: () => ({
      instance: "i",
      version: "0",
      startedMs: 0,
      otlpEndpoint: "",
      limits: store.limits,
    }),
    stats: () => ({}) as StatsEvent,
    roundMs: 600_000,
    ...options,
  });
  return {
    stream,
    add(count: number) {
      const request = decodeRequest(
        "traces",
        "application/x-protobuf",
        tracesRequest(Array.from({ length: count }, () => ({}))),
      );
      takeRequest(store, "traces", request, Date.now());
    },
    [Symbol.dispose]: () => stream.stop(),
  };
}

Deno.test("stream refuses options that are out of range", () => {
  assert.throws(
    () => bareStream({ maxRowsPerRound: 0 }),
    {
      message: "Cannot stream as 'maxRowsPerRound' must be a positive integer: current value is 0",
    },
  );
});

Deno.test("stream keeps nothing for a client that does not read, and reports how much it missed", async () => {
  using bare = bareStream({ maxQueuedBytes: 4_000 });
  const response = bare.stream.open(() => undefined, undefined);
  for (let i = 0; i < 10; i++) {
    bare.add(50);
    bare.stream.round();
  }
  // It reads again: the next round reports what it has missed.
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let seen = 0;
  let shown = 0;
  while (seen < 500) {
    const { value } = await reader.read();
    text += value;
    bare.stream.round();
    const events = text.split("\n\n").slice(0, -1).filter((event) =>
      event.startsWith("event: traces")
    );
    const sampled = events.map((event) =>
      (JSON.parse(event.split("data: ")[1]!) as StreamEvents["traces"]).sampled
    );
    seen = sampled.reduce((sum, one) => sum + one.seen, 0);
    shown = sampled.reduce((sum, one) => sum + one.shown, 0);
  }
  assert.equal(seen, 500);
  assert.ok(shown < 500, `${shown} rows were kept for it`);
  await reader.cancel();
});

Deno.test("stream cuts off a client that has not read for long", async () => {
  const world = new VirtualWorld();
  using bare = bareStream({ maxQueuedBytes: 1_000, maxStalledMs: 20, roundMs: 5, world });
  const response = bare.stream.open(() => undefined, undefined);
  assert.equal(bare.stream.clients, 1);
  bare.add(50);
  await world.advance(10);
  assert.equal(bare.stream.clients, 1);
  await world.advance(50);
  assert.equal(bare.stream.clients, 0);
  await response.body!.cancel();
});

Deno.test("a search for traces need not be one for logs, which are not asked for", async () => {
  await using viewer = await testConsole();
  const query = new URLSearchParams({ signals: "traces", q: "status=error duration>1ms" });
  const response = await fetch(`${viewer.pageUrl}/api/stream?${query}`);
  assert.equal(response.status, 200);
  await response.body?.cancel();
});
