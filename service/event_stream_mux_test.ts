/** Several streams of one connection. */
import assert from "node:assert/strict";
import { Hono } from "hono";
import { EventStreamHub } from "./event_stream.ts";
import { serveStreamMux, type StreamMuxOptions } from "./event_stream_mux.ts";
import { problemOnError } from "./problem.ts";
import { testContext } from "./testing/context.ts";
import { eventually } from "./testing/eventually.ts";
import { VirtualWorld } from "./world/virtual_world.ts";

/** A server with one stream, and a connection to it. */
async function fixture(options: Partial<StreamMuxOptions> = {}) {
  const stopping = new AbortController();
  const hub = new EventStreamHub<string>();
  const app = new Hono();
  app.onError(problemOnError(testContext().log));
  serveStreamMux(app, {
    paths: ["/live", "/broken", "/empty"],
    stopping: stopping.signal,
    maxConnections: 1,
    ...options,
  });
  app.get("/broken", () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("torn")) });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  app.get("/empty", () => new Response(null, { status: 204 }));
  app.get("/live", (c) => {
    if (c.req.query("refuse")) return c.text("no", 403);
    const state = `${c.req.query("name")} ${c.req.header("authorization") ?? ""}`.trim();
    return hub.open({ state, greet: (client) => client.send({ name: "hello", data: state }) });
  });
  app.get("/secret", (c) => c.text("data: secret\n\n"));
  const response = await app.request("/api/streams");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let ended = false;
  (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
    }
    ended = true;
  })();
  const blocks = () => text.split("\n\n").filter((one) => one.includes("data:"));
  const id = await eventually("the id", () => /"id":"(\w+)"/.exec(text)?.[1]);
  return {
    app,
    hub,
    stopping,
    id,
    cancel: () => reader.cancel(),
    ended: () => ended,
    tell: (body: unknown, headers: HeadersInit = {}) =>
      app.request(`/api/streams/${id}`, { method: "POST", body: JSON.stringify(body), headers }),
    /** The events so far, without the first. */
    events: () => blocks().slice(1),
  };
}

Deno.test("each stream comes under its number, asked for as who asks, until it is closed", async () => {
  const { tell, events, hub, cancel } = await fixture();
  const opened = await tell({
    open: [{ channel: 1, path: "/live?name=a" }, { channel: 2, path: "/live?name=b" }],
  }, { authorization: "Bearer t" });
  assert.equal(opened.status, 204);
  await eventually("two greetings", () => events().length === 2 || undefined);
  assert.deepEqual(events().sort(), [
    'channel: 1\nevent: hello\ndata: "a Bearer t"',
    'channel: 2\nevent: hello\ndata: "b Bearer t"',
  ]);
  await tell({ close: [1] });
  await eventually("one stream", () => hub.size === 1 || undefined);
  hub.broadcast({ name: "news", id: "7", data: { a: "line\nbreak" } });
  await eventually("the news", () => events().length === 3 || undefined);
  assert.equal(events()[2], 'channel: 2\nevent: news\nid: 7\ndata: {"a":"line\\nbreak"}');
  await cancel();
  await eventually("no stream", () => hub.size === 0 || undefined);
});

Deno.test("what is refused, is no stream or ends says so, and costs no other stream", async () => {
  const { tell, events, hub, stopping, ended } = await fixture();
  await tell({
    open: [
      { channel: 1, path: "/live?refuse=1" },
      { channel: 2, path: "/secret" },
      { channel: 3, path: "https://elsewhere.example/live" },
      { channel: 4, path: "//elsewhere.example/live" },
      { channel: 5, path: "/live?name=a" },
    ],
  });
  await eventually("five events", () => events().length === 5 || undefined);
  const statuses = events().map((event) => /channel: (\d)[^]*"status":(\d+)/.exec(event))
    .filter((match) => match !== null).map(([, channel, status]) => `${channel} ${status}`).sort();
  assert.deepEqual(statuses, ["1 403", "2 404", "3 404", "4 404"]);
  assert.equal(hub.size, 1);
  for (const client of hub.clients) client.close();
  await eventually("its end", () => events().at(-1)!.includes('"status":200') || undefined);
  stopping.abort();
  await eventually("the end of all", () => ended() || undefined);
});

Deno.test("too many connections, unknown ones and what cannot be read are answered", async () => {
  const { app, tell, cancel } = await fixture();
  assert.equal((await app.request("/api/streams")).status, 503);
  const post = (path: string) => app.request(path, { method: "POST", body: "{}" });
  assert.equal((await post("/api/streams/00")).status, 404);
  for (const body of [null, { open: [{ channel: "1", path: "/live" }] }, { close: "all" }]) {
    assert.equal((await tell(body)).status, 400, JSON.stringify(body));
  }
  await cancel();
  await eventually("room again", async () => {
    const response = await app.request("/api/streams");
    await response.body?.cancel();
    return response.status === 200 || undefined;
  });
});

Deno.test("answers say what is wrong, what to do, and that no proxy may collect", async () => {
  const { app, tell, cancel, id } = await fixture();
  const full = await app.request("/api/streams");
  assert.equal(full.headers.get("retry-after"), "5");
  assert.deepEqual(await full.json(), {
    type: "about:blank",
    title: "Too many connections",
    status: 503,
    detail: "1 browsers are here already. Try again later.",
  });
  const unknown = await app.request("/api/streams/00", { method: "POST", body: "{}" });
  assert.deepEqual(await unknown.json(), {
    type: "about:blank",
    title: "No such connection",
    status: 404,
    detail: "It has ended. Open another one at /api/streams.",
  });
  const malformed = [
    { open: {} },
    { open: [null] },
    { open: [{ channel: 1 }] },
    { open: [{ channel: 1.5, path: "/live" }] },
    { close: [1, "2"] },
  ];
  for (const body of malformed) {
    const refused = await tell(body);
    assert.equal(refused.status, 400, JSON.stringify(body));
    const problem = await refused.json();
    assert.equal(problem.title, "Malformed");
    assert.match(problem.detail, /^Send \{"open":\[.*may be left out\.$/);
  }
  assert.equal((await tell({})).status, 204);
  await cancel();
  const response = await app.request("/api/streams");
  assert.deepEqual([...response.headers], [
    ["cache-control", "no-store"],
    ["content-type", "text/event-stream; charset=utf-8"],
    ["x-accel-buffering", "no"],
  ]);
  const reader = response.body!.getReader();
  const first = new TextDecoder().decode((await reader.read()).value);
  assert.match(first, /^event: mux\ndata: \{"id":"[0-9a-f]{32}"\}\n\n$/);
  assert.ok(!first.includes(id));
  await reader.cancel();
});

Deno.test("a stream beyond the limit ends with 503, a number that is taken keeps its stream", async () => {
  const { tell, events, hub, cancel } = await fixture({ maxChannels: 2 });
  const open = (channel: number, name: string) => ({ channel, path: `/live?name=${name}` });
  await tell({ open: [open(1, "a"), open(1, "other"), open(2, "b"), open(3, "c")] });
  await eventually("three events", () => events().length === 3 || undefined);
  assert.deepEqual(events().sort(), [
    'channel: 1\nevent: hello\ndata: "a"',
    'channel: 2\nevent: hello\ndata: "b"',
    'channel: 3\nevent: end\ndata: {"status":503}',
  ]);
  // Room again, and an unknown number is closed without a word.
  await tell({ close: [2, 9], open: [open(4, "d")] });
  await eventually("its greeting", () => events().length === 4 || undefined);
  assert.equal(events()[3], 'channel: 4\nevent: hello\ndata: "d"');
  await eventually("two streams", () => hub.size === 2 || undefined);
  await cancel();
});

Deno.test("a stream that breaks, has no body or no address ends with its status and reason", async () => {
  const { tell, events, cancel } = await fixture();
  const paths = ["/broken", "/empty", "http://[", "/live?name=a"];
  await tell({ open: paths.map((path, channel) => ({ channel, path })) });
  await eventually("four events", () => events().length === 4 || undefined);
  assert.deepEqual(events().sort(), [
    'channel: 0\nevent: end\ndata: {"status":500,"reason":"torn"}',
    'channel: 1\nevent: end\ndata: {"status":204}',
    'channel: 2\nevent: end\ndata: {"status":404}',
    'channel: 3\nevent: hello\ndata: "a"',
  ]);
  await cancel();
});

Deno.test("a connection without a stream ends after its time, one with a stream does not", async () => {
  const world = new VirtualWorld({ seed: 1 });
  const { tell, events, ended, hub } = await fixture({ world, emptyTimeoutMs: 1_000 });
  await world.advance(999);
  await tell({ open: [1, 9].map((channel) => ({ channel, path: "/live?name=a" })) });
  await eventually("two greetings", () => events().length === 2 || undefined);
  await tell({ close: [9] });
  await world.advance(60_000);
  assert.equal(hub.size, 1);
  await tell({ close: [1] });
  await world.advance(600);
  // Again without a stream: its time begins anew with each that ends.
  await tell({ open: [{ channel: 2, path: "/empty" }] });
  await eventually("its end", () => events().length === 3 || undefined);
  await world.advance(999);
  assert.ok(!ended());
  await tell({ open: [{ channel: 3, path: "/live?name=b" }] });
  await eventually("its greeting", () => events().length === 4 || undefined);
  await tell({ close: [3] });
  await world.advance(1_000);
  await eventually("the end", () => ended() || undefined);
  assert.equal((await tell({})).status, 404);
});

Deno.test("of who does not read, nothing is collected, and who reads again gets all", async () => {
  const app = new Hono();
  serveStreamMux(app, { paths: ["/counted"] });
  let pulled = 0;
  app.get("/counted", () => {
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new TextEncoder().encode(`data: ${++pulled}\n\n`));
        if (pulled === 200) controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  const response = await app.request("/api/streams");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const id = /"id":"(\w+)"/.exec((await reader.read()).value!)![1];
  const body = JSON.stringify({ open: [{ channel: 1, path: "/counted" }] });
  await app.request(`/api/streams/${id}`, { method: "POST", body });
  await eventually("a beginning", () => pulled > 1 || undefined);
  let before = -1;
  // What is taken ahead is bounded: some blocks in each stage between.
  await eventually("a halt", () => before === (before = pulled) || undefined);
  assert.ok(pulled < 20, `${pulled} were pulled`);
  let text = "";
  while (!text.includes("event: end")) text += (await reader.read()).value;
  const numbers = [...text.matchAll(/channel: 1\ndata: (\d+)/g)].map(([, number]) =>
    Number(number)
  );
  assert.deepEqual(numbers, Array.from({ length: 200 }, (_, index) => index + 1));
  await reader.cancel();
});

Deno.test("after the stop there is no connection any more", async () => {
  const { app, stopping, ended, tell } = await fixture({ maxConnections: 2 });
  stopping.abort();
  await eventually("the end", () => ended() || undefined);
  assert.equal((await app.request("/api/streams")).status, 503);
  assert.equal((await tell({})).status, 404);
  const alone = new Hono();
  serveStreamMux(alone, { paths: [] });
  const response = await alone.request("/api/streams");
  assert.equal(response.status, 200);
  await response.body!.cancel();
});

Deno.test("a connection that has ended leaves no listener for the stop behind", async () => {
  const stopping = new AbortController().signal;
  let listeners = 0;
  const { addEventListener, removeEventListener } = stopping;
  stopping.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(stopping, args);
  };
  stopping.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(stopping, args);
  };
  const app = new Hono();
  serveStreamMux(app, { paths: [], stopping });
  const before = listeners;
  for (let i = 0; i < 10; i++) await (await app.request("/api/streams")).body!.cancel();
  assert.equal(listeners, before);
});
