import assert from "node:assert/strict";
import type { Meter } from "@opentelemetry/api";
import { Hono } from "hono";
import type { EventClient } from "./event_client.ts";
import { EventStreamHub, type EventStreamHubOptions, lastEventIdOf } from "./event_stream.ts";
import { listen } from "./http_server.ts";
import { ProblemError } from "./problem.ts";
import { noDeadline } from "./testing/context.ts";
import { eventually } from "./testing/eventually.ts";
import { assertNothingAddsUp } from "./testing/rounds.ts";
import { drainMicrotasks, VirtualWorld } from "./world/virtual_world.ts";

/** A hub in virtual time. */
function fixture<State = undefined>(options: EventStreamHubOptions = {}) {
  const world = new VirtualWorld();
  return { world, hub: new EventStreamHub<State>({ world, ...options }) };
}

/** Reads a stream on and on, as a browser does. */
function follow(response: Response) {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const seen = { text: "", ended: false };
  const done = (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      seen.text += value;
    }
    seen.ended = true;
  })();
  return {
    done,
    /** What has come so far, without the first line's `retry`. */
    async text(): Promise<string> {
      await drainMicrotasks();
      return seen.text.replace(/^retry: \d+\n\n/, "");
    },
    get ended() {
      return seen.ended;
    },
    leave: () => reader.cancel(),
  };
}

function refusal(open: () => Response): ProblemError {
  try {
    open();
  } catch (error) {
    if (error instanceof ProblemError) return error;
  }
  throw new assert.AssertionError({ message: "The stream was not refused." });
}

Deno.test("EventStreamHub sends every event to every client, as the specification writes them", async () => {
  const { hub } = fixture({ retryMs: 250 });
  const response = hub.open({ state: undefined });
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  assert.equal(response.headers.get("cache-control"), "no-store");
  const [one, two] = [follow(response), follow(hub.open({ state: undefined }))];
  hub.broadcast({ name: "signed", id: "7", data: { text: "line\nend" } });
  hub.broadcast({ data: 1 });
  const expected = 'event: signed\nid: 7\ndata: {"text":"line\\nend"}\n\ndata: 1\n\n';
  assert.equal(await one.text(), expected);
  assert.equal(await two.text(), expected);
  assert.equal(hub.counters.sent, 4);
  const bare = fixture({ retryMs: 250 }).hub.open({ state: undefined });
  const { value } = await bare.body!.getReader().read();
  assert.equal(new TextDecoder().decode(value), "retry: 250\n\n");
});

Deno.test("EventStreamHub greets, then replays what a client has missed", async () => {
  const { hub } = fixture({ maxReplayEvents: 3 });
  const first = follow(hub.open({ state: undefined }));
  for (const data of ["a", "b", "c"]) hub.broadcast({ data });
  const ids = [...(await first.text()).matchAll(/^id: (.+)$/gm)].map(([, id]) => id);
  assert.equal(ids.length, 3);
  const resumes: string[] = [];
  const back = (lastEventId: string | undefined) =>
    follow(hub.open({
      state: undefined,
      lastEventId,
      greet(client, resume) {
        resumes.push(resume);
        client.send({ name: "hello", data: resume });
      },
    }));
  const data = async (client: ReturnType<typeof follow>) =>
    [...(await client.text()).matchAll(/^data: "(.+)"$/gm)].map(([, one]) => one);

  assert.deepEqual(await data(back(ids[0])), ["resumed", "b", "c"]);
  assert.deepEqual(await data(back(ids[2])), ["resumed"]);
  assert.deepEqual(await data(back(undefined)), ["none"]);
  hub.broadcast({ data: "d" });
  hub.broadcast({ data: "e" });
  // "b" is not kept any more: who has seen "a" only has missed it for ever.
  assert.deepEqual(await data(back(ids[0])), ["reset"]);
  assert.deepEqual(await data(back(ids[1])), ["resumed", "c", "d", "e"]);
  for (const id of ["another:1", "7", "", ids[0]!.replace(/:.*/, ":99"), `${ids[0]}x`]) {
    assert.deepEqual(await data(back(id)), ["reset"], id);
  }
  assert.equal(hub.counters.replayed, 5);
});

Deno.test("EventStreamHub keeps no more bytes for replay than it may", async () => {
  const { hub } = fixture({ maxReplayEvents: 100, maxReplayBytes: 300 });
  const client = follow(hub.open({ state: undefined }));
  for (let index = 0; index < 5; index++) hub.broadcast({ data: "x".repeat(100) });
  const ids = [...(await client.text()).matchAll(/^id: (.+)$/gm)].map(([, id]) => id);
  let resumed = "";
  const open = (lastEventId: string | undefined) =>
    hub.open({ state: undefined, lastEventId, greet: (_, resume) => resumed = resume });
  open(ids[1]);
  assert.equal(resumed, "reset");
  open(ids[2]);
  assert.equal(resumed, "resumed");
});

Deno.test("broadcast() drops a client whose queue is full, says why, and holds up nobody", async () => {
  const { hub } = fixture({ maxQueuedBytes: 100, maxReplayEvents: 10 });
  const fast = follow(hub.open({ state: undefined }));
  const slow = hub.open({ state: undefined });
  for (let index = 0; index < 10; index++) {
    hub.broadcast({ data: `event ${index}` });
    await drainMicrotasks();
  }
  assert.match(await fast.text(), /event 9/);
  assert.equal(hub.size, 1);
  assert.equal(hub.counters.closed.slow, 1);
  // What it had not read is gone: it comes back and gets it again.
  assert.equal(
    await slow.text(),
    ": too slow: what it had not read did not fit into its queue\n\n",
  );
});

Deno.test("broadcast() of a state replaces what a slow client has not read", async () => {
  const { hub } = fixture({ maxQueuedBytes: 60 });
  const response = hub.open({ state: undefined });
  hub.broadcast({ name: "other", data: 0 }, { latest: true });
  for (let index = 0; index < 100; index++) {
    hub.broadcast({ name: "stores", data: index }, { latest: true });
  }
  assert.equal(hub.size, 1);
  const client = follow(response);
  assert.equal(await client.text(), "event: other\ndata: 0\n\nevent: stores\ndata: 99\n\n");
  assert.equal(hub.counters.replaced, 99);
});

Deno.test("send() gives each client its own, in one piece or not at all", async () => {
  const { hub } = fixture<string>({ maxQueuedBytes: 100 });
  const responses = ["error", "info"].map((state) => hub.open({ state }));
  for (const client of hub.clients) {
    assert.ok(client.send([{ name: "traces", data: client.state }, { name: "logs", data: 1 }]));
  }
  const [errors] = hub.clients;
  assert.ok(errors!.queuedBytes > 0 && !errors!.isFull);
  assert.equal(errors!.send([{ data: "x" }, { data: "y".repeat(80) }]), false);
  assert.equal(hub.counters.skipped, 2);
  const [one, two] = responses.map(follow);
  assert.equal(await one!.text(), 'event: traces\ndata: "error"\n\nevent: logs\ndata: 1\n\n');
  assert.equal(await two!.text(), 'event: traces\ndata: "info"\n\nevent: logs\ndata: 1\n\n');
  // It reads again: there is room, even for one event that is larger than the queue.
  assert.ok(errors!.send({ data: "z".repeat(200) }));
  assert.match(await one!.text(), /z{200}/);
});

Deno.test("a client that has not read for long is dropped, one that reads slowly is not", async () => {
  const { world, hub } = fixture({ maxStalledMs: 30_000, heartbeatMs: 10_000 });
  const stalled = hub.open({ state: undefined });
  const reader = hub.open({ state: undefined }).body!.getReader();
  for (let index = 0; index < 12; index++) {
    hub.broadcast({ data: index });
    await reader.read();
    await world.advance(5_000);
  }
  assert.equal(hub.size, 1);
  assert.deepEqual(hub.counters.closed.stalled, 1);
  assert.equal(await stalled.text(), ": stalled: it has not read for too long\n\n");
  await reader.cancel();
});

Deno.test("a silent stream gets a heartbeat, one with events does not, and a lonely hub has no timer", async () => {
  const { world, hub } = fixture({ heartbeatMs: 10_000 });
  assert.equal(world.pendingTimers, 0);
  const client = follow(hub.open({ state: undefined }));
  await client.text();
  await world.advance(20_000);
  assert.match(await client.text(), /^(: alive\n\n)+$/);
  await world.advance(9_000);
  hub.broadcast({ data: 1 });
  const before = await client.text();
  await world.advance(2_000);
  assert.equal(await client.text(), before, "it was not silent");
  assert.equal(world.pendingTimers, 1, "all clients share one");
  await client.leave();
  assert.equal(hub.size, 0);
  assert.equal(hub.counters.closed.left, 1);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("a heartbeat may be an event, which a page can see", async () => {
  let state = 0;
  const { world, hub } = fixture({
    heartbeatMs: 5_000,
    heartbeatEvent: () => ({ name: "state", data: ++state }),
  });
  const client = follow(hub.open({ state: undefined }));
  await client.text();
  await world.advance(15_000);
  assert.match(await client.text(), /^event: state\ndata: 1\n\n/);
});

Deno.test("open() refuses a client too many with 503, and takes one when another has left", async () => {
  const { hub } = fixture({ maxClients: 2 });
  const first = follow(hub.open({ state: undefined }));
  hub.open({ state: undefined });
  const error = refusal(() => hub.open({ state: undefined }));
  assert.equal(error.status, 503);
  assert.equal(error.getResponse().headers.get("retry-after"), "5");
  assert.equal(hub.counters.refused, 1);
  await first.leave();
  assert.ok(hub.open({ state: undefined }));
});

Deno.test("stopping ends every stream after what waits, and opens none", async () => {
  const stopping = new AbortController();
  const { world, hub } = fixture({ stopping: stopping.signal });
  const reading = follow(hub.open({ state: undefined }));
  const notYet = hub.open({ state: undefined });
  hub.broadcast({ data: "last" });
  stopping.abort();
  await reading.done;
  assert.equal(await reading.text(), 'data: "last"\n\n: the server stops\n\n');
  assert.equal(await notYet.text(), 'retry: 1000\n\ndata: "last"\n\n: the server stops\n\n');
  assert.equal(hub.counters.closed.stopping, 2);
  assert.equal(refusal(() => hub.open({ state: undefined })).status, 503);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("a client that has ended takes nothing, and ends once", async () => {
  const { hub } = fixture<string>();
  let client: EventClient<string> | undefined;
  const reading = follow(hub.open({ state: "x", greet: (one) => client = one }));
  client!.close();
  client!.close("slow");
  assert.equal(client!.send({ data: 1 }), false);
  await reading.done;
  assert.deepEqual(hub.counters.closed, { left: 0, slow: 0, stalled: 0, stopping: 0, closed: 1 });
  assert.equal(await reading.text(), ": done\n\n");
});

Deno.test("EventStreamHub refuses options that are out of range", () => {
  for (const options of [{ maxClients: 0 }, { maxQueuedBytes: -1 }, { heartbeatMs: 0.5 }]) {
    assert.throws(() => new EventStreamHub(options), {
      name: "RangeError",
      message:
        /^Cannot make a stream as '\w+' must be an integer of at least \d: current value is /,
    });
  }
});

Deno.test("EventStreamHub over HTTP: replay by header and query, and a client that goes is forgotten", async () => {
  const hub = new EventStreamHub<undefined>({ maxReplayEvents: 10 });
  const app = new Hono();
  app.get("/", (c) => hub.open({ state: undefined, lastEventId: lastEventIdOf(c) }));
  const server = await listen(app.fetch, { port: 0, portFlag: "--port" });
  const connect = async (path = "", headers: HeadersInit = {}) => {
    const cut = new AbortController();
    const response = await fetch(`${server.url}/${path}`, { headers, signal: cut.signal });
    return { client: follow(response), cut };
  };
  const first = await connect();
  for (let index = 0; index < 3; index++) hub.broadcast({ data: index });
  const text = await eventually("three events", async () => {
    const text = await first.client.text();
    return text.includes("data: 2") ? text : undefined;
  });
  const id = /^id: (.+)$/m.exec(text)![1]!;
  for (
    const { client, cut } of [
      await connect("", { "last-event-id": id }),
      await connect(`?lastEventId=${encodeURIComponent(id)}`),
    ]
  ) {
    await eventually("what was missed", async () => {
      const text = await client.text();
      return text.includes("data: 1") && text.includes("data: 2") || undefined;
    });
    assert.doesNotMatch(await client.text(), /data: 0/);
    cut.abort();
    await client.done.catch(() => {});
  }
  await eventually("the two are gone", () => hub.size === 1 || undefined);
  assert.equal(hub.counters.closed.left, 2);
  hub.stop();
  await first.client.done;
  assert.ok(first.client.ended);
  await server.stop(noDeadline);
});

Deno.test("EventStreamHub has as much under way after fifty clients as after one", async () => {
  const { signal: stopping } = new AbortController();
  const { hub, world } = fixture({ stopping, maxReplayEvents: 2 });
  await assertNothingAddsUp(async (index) => {
    const client = follow(hub.open({ state: undefined }));
    hub.broadcast({ data: "x" });
    hub.broadcast({ data: "y" });
    await world.advance(25_000);
    assert.match(await client.text(), /"x".*"y".*: alive/s);
    if (index % 2 === 0) await client.leave();
    else for (const one of hub.clients) one.close();
    await client.done;
  }, { counts: { timers: () => world.pendingTimers, clients: () => hub.size } });
  assert.equal(world.pendingTimers, 0);
});

Deno.test("EventStreamHub says why it opens no stream, and how its streams are to be passed on", async () => {
  const { hub } = fixture({ maxClients: 1 });
  const response = hub.open({ state: undefined });
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  const refused = (of: EventStreamHub<undefined>) => {
    const error = refusal(() => of.open({ state: undefined }));
    const { title, detail } = error.problem;
    return [error.status, error.getResponse().headers.get("retry-after"), title, detail];
  };
  assert.deepEqual(refused(hub), [
    ...[503, "5", "Too many streams"],
    "1 streams are open already. Close a page, or try again later.",
  ]);
  assert.deepEqual([hub.counters.opened, hub.counters.refused], [1, 1]);
  hub.stop();
  await follow(response).done;
  const ending = [503, "5", "Shutting down", "The server ends. Try again later."];
  assert.deepEqual(refused(hub), ending);
  // It ends before the hub was made.
  assert.deepEqual(refused(fixture({ stopping: AbortSignal.abort() }).hub), ending);
});

Deno.test("EventStreamHub takes for an id only what it has given", async () => {
  const { hub } = fixture({ maxReplayEvents: 20 });
  for (let i = 1; i <= 12; i++) hub.broadcast({ data: i });
  const greeted = async (lastEventId?: string) => {
    let how = "";
    const stream = follow(
      hub.open({ state: undefined, lastEventId, greet: (_, outcome) => how = outcome }),
    );
    const ids = [...(await stream.text()).matchAll(/^id: (\S+)$/gm)].map(([, id]) => id!);
    await stream.leave();
    return { how, ids };
  };
  assert.deepEqual(await greeted(), { how: "none", ids: [] });
  hub.broadcast({ data: 13 });
  const reader = follow(hub.open({ state: undefined }));
  hub.broadcast({ data: 14 });
  const epoch = /^id: (\w+):14$/m.exec(await reader.text())![1]!;
  await reader.leave();
  const after12 = { how: "resumed", ids: [`${epoch}:13`, `${epoch}:14`] };
  assert.deepEqual(await greeted(`${epoch}:12`), after12);
  assert.equal((await greeted(`${epoch}:14`)).how, "resumed");
  for (
    const id of ["", epoch, `${epoch}:`, `${epoch}:x12`, `${epoch}:12x`, `${epoch}:15`]
      .concat([`${epoch}:-1`, `${epoch}:1e1`, "other:12", ":12"])
  ) assert.deepEqual(await greeted(id), { how: "reset", ids: [] }, id);
});

Deno.test("EventStreamHub's metrics say how many streams are open, and what became of events", () => {
  type Callback = (result: { observe(value: number, attributes?: object): void }) => void;
  const made: [name: string, options: unknown][] = [];
  const callbacks: Callback[] = [];
  const instrument = (name: string, options: unknown) => {
    made.push([name, options]);
    return { addCallback: (callback: Callback) => callbacks.push(callback) };
  };
  const meter = {
    createObservableUpDownCounter: instrument,
    createObservableCounter: instrument,
  } as unknown as Meter;
  const { hub } = fixture({ metrics: { meter, prefix: "test.streams" } });
  assert.deepEqual(made, [
    ["test.streams.clients", { description: "Event streams open.", unit: "{stream}" }],
    ["test.streams.events", {
      ...{ description: "Events to clients, by what became of them.", unit: "{event}" },
    }],
    ["test.streams.closed", { description: "Event streams ended, by reason.", unit: "{stream}" }],
  ]);
  hub.open({ state: undefined });
  Object.assign(hub.counters, { sent: 1, skipped: 2, replaced: 3, replayed: 4 });
  const observed = callbacks.map((callback) => {
    const points: [number, object | undefined][] = [];
    callback({ observe: (value, attributes) => void points.push([value, attributes]) });
    return points;
  });
  assert.deepEqual(observed, [
    [[1, undefined]],
    ["sent", "skipped", "replaced", "replayed"].map((outcome, index) => [index + 1, { outcome }]),
    Object.keys(hub.counters.closed).map((reason) => [0, { reason }]),
  ]);
  assert.ok(observed[2]!.length > 3);
  hub.stop();
});
