import assert from "node:assert/strict";
import { authorization, bearerToken, setBearerToken } from "./bearer.ts";
import { readEvents } from "./event_reader.ts";
import { openSource } from "./stream_source.ts";

Deno.test("the token is kept, sent in the header, and forgotten", () => {
  assert.deepEqual(authorization(), {});
  setBearerToken("abc");
  assert.equal(bearerToken(), "abc");
  assert.deepEqual(authorization(), { authorization: "Bearer abc" });
  setBearerToken("");
  assert.deepEqual(authorization(), {});
});

Deno.test("openSource() reads events with the token, and says when the stream ends", async () => {
  setBearerToken("abc");
  const pieces = [
    "retry: 10\n\n: alive\n\nevent: fle",
    'et\nid: 7\ndata: {"a":1}\n\ndata: 1\nda',
    "ta: 2\n",
    "\n",
  ];
  let token: string | null = null;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    token = request.headers.get("authorization");
    const body = ReadableStream.from(pieces).pipeThrough(new TextEncoderStream());
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  try {
    const seen: unknown[] = [];
    const source = openSource(`http://127.0.0.1:${server.addr.port}/`);
    source.addEventListener("fleet", (event) => seen.push(event));
    source.addEventListener("message", (event) => seen.push(event));
    await new Promise<void>((resolve) => source.addEventListener("error", () => resolve()));
    assert.equal(token, "Bearer abc");
    assert.deepEqual(seen, [
      { name: "fleet", data: '{"a":1}', lastEventId: "7" },
      { name: "message", data: "1\n2", lastEventId: "" },
    ]);
    source.close();
  } finally {
    setBearerToken("");
    await server.shutdown();
  }
});

Deno.test("openSource() takes a refusal for an error", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("no", { status: 401 }),
  );
  try {
    const source = openSource(`http://127.0.0.1:${server.addr.port}/`);
    await new Promise<void>((resolve) => source.addEventListener("error", () => resolve()));
  } finally {
    await server.shutdown();
  }
});

Deno.test("an event that does not end is an error, and its connection is given up", async () => {
  const cancelled = Promise.withResolvers<void>();
  const piece = new TextEncoder().encode("x".repeat(1024 ** 2));
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(piece),
        cancel: () => cancelled.resolve(),
      }),
    ));
  const reading = readEvents(
    `http://127.0.0.1:${server.addr.port}/`,
    { token: "", signal: new AbortController().signal },
    () => {},
  );
  await assert.rejects(reading, /an event is too long/);
  await cancelled.promise;
  await server.shutdown();
});
