/** Several streams of one connection. */
import assert from "node:assert/strict";
import { Hono } from "hono";
import { EventStreamHub } from "./event_stream.ts";
import { serveStreamMux } from "./event_stream_mux.ts";
import { problemOnError } from "./problem.ts";
import { testContext } from "./testing/context.ts";
import { eventually } from "./testing/eventually.ts";

/** A server with one stream, and a connection to it. */
async function fixture() {
  const stopping = new AbortController();
  const hub = new EventStreamHub<string>();
  const app = new Hono();
  app.onError(problemOnError(testContext().log));
  serveStreamMux(app, { paths: ["/live"], stopping: stopping.signal, maxConnections: 1 });
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
