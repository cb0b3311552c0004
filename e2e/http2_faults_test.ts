/**
 * HTTP/2 of a server with TLS, by Node's own client: what it carries, and what a peer may do to it.
 * It stands here as certificates are ping-pong's.
 *
 * @module
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { Socket } from "node:net";
import tls from "node:tls";
import { Hono } from "hono";
import { generateCertificates } from "../pingpong/certificates/generate.ts";
import { withoutGoaway } from "../service/goaway_filter.ts";
import { httpApp } from "../service/http_app.ts";
import { type HttpServer, listen, type ListenOptions } from "../service/http_server.ts";
import { readText } from "../service/request_body.ts";
import { settledWithin } from "../service/resilience.ts";
import { noDeadline, testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { withTempFolder } from "../service/testing/temp_folder.ts";

/** A server, and who asks it. */
interface Fixture {
  server: HttpServer;
  /** Connects; all connections end with the test. */
  connect(): Promise<http2.ClientHttp2Session>;
  /** What the server has logged. */
  logged: readonly string[];
  cert: string;
}

type Handler = Parameters<typeof listen>[0];

function testHttp2(
  name: string,
  test: (fixture: Fixture) => Promise<void>,
  { handler, ...options }: Partial<ListenOptions> & { handler?: Handler } = {},
): void {
  testWith(["read", "write"], name, () =>
    withTempFolder(async (folder) => {
      const [certificatePath, keyPath] = [`${folder}/cert.pem`, `${folder}/key.pem`];
      await generateCertificates({ certificatePath, keyPath });
      const [cert, key] = [
        await Deno.readTextFile(certificatePath),
        await Deno.readTextFile(keyPath),
      ];
      const context = testContext();
      const server = await listen(handler ?? fixtureApp().fetch, {
        ...{ port: 0, portFlag: "--port", tls: { cert, key }, log: context.log, ...options },
      });
      const sessions: http2.ClientHttp2Session[] = [];
      const connect = async () => {
        const socket = tls.connect({
          ...{ host: "127.0.0.1", port: server.port, ca: [cert], servername: "localhost" },
          ALPNProtocols: ["h2"],
        });
        await once(socket, "secureConnect");
        assert.equal(socket.alpnProtocol, "h2");
        // A GOAWAY ends Deno's client, too.
        const session = http2.connect(server.url, {
          createConnection: () => withoutGoaway(socket as unknown as Socket),
        });
        session.on("error", () => {});
        sessions.push(session);
        return session;
      };
      try {
        await test({ server, connect, logged: context.lines, cert });
      } finally {
        for (const session of sessions) session.destroy();
        await server.stop(AbortSignal.abort());
      }
    }));
}

function fixtureApp(): Hono {
  const app = httpApp({ name: "fixture" }, testContext());
  app.get("/", (c) => c.text("hi"));
  app.get("/cookie", (c) => {
    c.header("set-cookie", "a=1", { append: true });
    c.header("set-cookie", "b=2", { append: true });
    return c.text(c.req.header("cookie") ?? "");
  });
  app.post("/echo", async (c) => {
    return c.text(await readText(c.req.raw, { limitBytes: 10_000_000, timeoutMs: 600_000 }));
  });
  app.get("/none", (c) => c.body(null, 204));
  app.get("/events", () => events());
  app.get("/big", () =>
    new Response(new Uint8Array(8_000_000), {
      headers: { "content-type": "application/octet-stream", "content-length": "8000000" },
    }));
  return app;
}

/** Begins and goes on. */
function events(): Response {
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

interface Answer {
  status: number | undefined;
  headers: http2.IncomingHttpHeaders;
  body: string;
}

/** Asks, and waits for the whole answer; rejects where the stream is reset. */
async function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: string | Uint8Array,
): Promise<Answer> {
  const stream = session.request(
    { ":authority": "localhost", ":path": "/", ...headers },
    { endStream: body === undefined },
  );
  let answer: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
  stream.on("response", (headers) => answer = headers);
  const pieces: Uint8Array[] = [];
  stream.on("data", (piece: Uint8Array) => pieces.push(piece));
  if (body !== undefined) stream.end(body);
  await new Promise<void>((resolve, reject) => {
    stream.once("close", resolve);
    stream.once("error", reject);
  });
  const text = await new Blob(pieces as BlobPart[]).text();
  return { status: answer[":status"], headers: answer, body: text };
}

/** The first bytes of an answer that goes on. */
async function begun(session: http2.ClientHttp2Session, path: string): Promise<string> {
  const stream = session.request({ ":authority": "localhost", ":path": path });
  stream.on("error", () => {});
  const [piece] = await once(stream, "data");
  return new TextDecoder().decode(piece);
}

testHttp2(
  "HTTP/2 carries what HTTP/1.1 does, on the same port",
  async ({ connect, server, cert }) => {
    const session = await connect();
    assert.deepEqual((await ask(session, {})).body, "hi");
    const { status, headers, body } = await ask(session, {
      ":path": "/cookie",
      cookie: "x=1; y=2",
    });
    assert.deepEqual([status, body, headers["set-cookie"]], [200, "x=1; y=2", ["a=1", "b=2"]]);
    assert.match(String(headers.date), /^\w+, \d+ \w+ \d+ [\d:]+ GMT$/);
    assert.equal(headers["content-length"], "8");
    const long = "x".repeat(3_000_000);
    for (const fields of [{}, { expect: "100-continue" }]) {
      const post = { ":method": "POST", ":path": "/echo", ...fields };
      const { body } = await ask(session, post, long);
      assert.equal(body === long, true, JSON.stringify(fields));
    }
    const head = await ask(session, { ":method": "HEAD" });
    assert.deepEqual([head.status, head.body], [200, ""]);
    assert.equal((await ask(session, { ":path": "/none" })).status, 204);
    assert.equal((await ask(session, { ":path": "/big" })).body.length, 8_000_000);
    assert.equal((await ask(session, { ":path": "/nowhere" })).status, 404);

    const client = Deno.createHttpClient({ caCerts: [cert], http2: false });
    const old = await fetch(`https://localhost:${server.port}`, { client } as RequestInit);
    assert.equal(await old.text(), "hi");
    client.close();
  },
);

testHttp2(
  "the guard stands before HTTP/2, too; what is no request is refused",
  async ({ connect }) => {
    const session = await connect();
    assert.equal((await ask(session, { ":authority": "evil.example" })).status, 403);
    assert.equal((await ask(session, { origin: "https://evil.example" })).status, 403);
    // A host that differs from the authority is no second chance.
    const two = await ask(session, { ":authority": "localhost", host: "evil.example" }).catch(() =>
      undefined
    );
    assert.ok(two === undefined || two.status === 400, `${two?.status}`);
    const large = await ask(session, { "x-large": "y".repeat(30_000) });
    assert.equal(large.status, 431);
    assert.equal((await ask(session, {})).status, 200, "the connection goes on");
  },
);

testHttp2(
  "forty streams and a request of one connection are under way at once",
  async ({ connect }) => {
    const session = await connect();
    const all = Array.from({ length: 40 }, () => begun(session, "/events"));
    for (const first of await Promise.all(all)) assert.equal(first, "data: 1\n\n");
    assert.equal((await ask(session, {})).body, "hi");
  },
  { maxConnections: 1 },
);

testHttp2(
  "a request that does not come whole is answered 408, and costs only itself",
  async ({ connect }) => {
    const session = await connect();
    const slow = session.request({
      ...{ ":authority": "localhost", ":method": "POST", ":path": "/echo" },
    });
    slow.write("half");
    const [headers] = await once(slow, "response", { signal: AbortSignal.timeout(30_000) });
    assert.equal(headers[":status"], 408);
    slow.destroy();
    assert.equal((await ask(session, {})).body, "hi");
  },
  { requestTimeoutMs: 300 },
);

testHttp2("a body that nobody reads is thrown away", async ({ connect }) => {
  const session = await connect();
  const stream = session.request({
    ...{ ":authority": "localhost", ":method": "POST", ":path": "/" },
  });
  stream.on("error", () => {});
  stream.write(new Uint8Array(1_000_000));
  const [headers] = await once(stream, "response");
  assert.equal(headers[":status"], 405);
  stream.destroy();
  assert.equal((await ask(session, {})).body, "hi");
});

testHttp2("a connection that asks nothing, or nothing more, is closed", async ({ connect }) => {
  const silent = await connect();
  await eventually("the silent one's end", () => silent.destroyed || undefined);
  const session = await connect();
  assert.equal((await ask(session, {})).body, "hi");
  await eventually("the idle one's end", () => session.destroyed || undefined);
}, { idleTimeoutMs: 300, headerTimeoutMs: 300 });

testHttp2(
  "an answer that its peer does not take is cut, others go on",
  async ({ connect, logged }) => {
    const session = await connect();
    const stream = session.request({ ":authority": "localhost", ":path": "/big" });
    stream.on("error", () => {});
    await once(stream, "response");
    const cut = () => logged.some((line) => /A connection was cut: its peer takes/.test(line));
    await eventually("the cut", () => cut() || undefined);
    assert.equal((await ask(session, {})).body, "hi");
  },
  { writeTimeoutMs: 300 },
);

testHttp2("who takes back what it asks again and again is cut off", async ({ connect, logged }) => {
  const session = await connect();
  const cut = () => logged.some((line) => /takes back what it asks/.test(line));
  const closed = new Promise((resolve) => session.once("close", resolve));
  for (let i = 0; i < 40 && !session.destroyed; i++) {
    // What was closed before it left is never asked.
    const streams = Array.from({ length: 50 }, () => {
      const stream = session.request({ ":authority": "localhost", ":path": "/events" });
      stream.on("error", () => {});
      return stream;
    });
    await Promise.race([
      Promise.all(streams.map((stream) => once(stream, "response"))).catch(() => {}),
      closed,
    ]);
    for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL);
  }
  await eventually("the cut", () => cut() && session.destroyed || undefined);
  assert.equal((await ask(await connect(), {})).body, "hi");
});

const hung: Handler = (request) =>
  new URL(request.url).pathname === "/stay"
    ? new Promise((resolve) =>
      request.signal.addEventListener("abort", () => resolve(new Response()))
    )
    : new Response("hi", { headers: { "content-type": "text/plain" } });

testHttp2("a request's signal aborts when its stream is reset", async ({ connect, server }) => {
  const session = await connect();
  const stream = session.request({ ":authority": "localhost", ":path": "/stay" });
  stream.on("error", () => {});
  await ask(session, {});
  stream.close(http2.constants.NGHTTP2_CANCEL);
  assert.ok(await settledWithin(server.stop(noDeadline), 30_000), "nothing is under way any more");
}, { handler: hung });

testHttp2(
  "a stop waits for what is under way, and cuts it at its deadline",
  async ({ connect, server }) => {
    const session = await connect();
    const answer = ask(session, { ":path": "/stay" });
    await ask(session, {});
    const deadline = new AbortController();
    const stopped = server.stop(deadline.signal);
    assert.equal((await ask(session, {})).status, 503);
    deadline.abort();
    assert.equal((await answer).status, 503);
    await stopped;
  },
  { handler: hung },
);
