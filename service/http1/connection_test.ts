/**
 * Requests and answers of one connection, over raw TCP. What a server does about time and number is
 * in `http_limits_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { listen, type ListenOptions, type RequestHandler } from "../http_server.ts";
import { settledWithin } from "../resilience.ts";
import { noDeadline, testContext } from "../testing/context.ts";
import { eventually } from "../testing/eventually.ts";
import { Peer } from "../testing/tcp_peer.ts";

async function withPeer(
  handler: RequestHandler,
  test: (peer: Peer) => Promise<void>,
  options: Partial<ListenOptions> = {},
): Promise<void> {
  const server = await listen(handler, { port: 0, portFlag: "--port", ...options });
  const peer = await Peer.connect(server.port);
  try {
    await test(peer);
  } finally {
    peer.close();
    await server.stop(noDeadline);
  }
}

const pathOf = (request: Request) => new URL(request.url).pathname;
const get = (path: string, fields = "") => `GET ${path} HTTP/1.1\r\nhost: a\r\n${fields}\r\n`;

Deno.test("requests that come at once are answered in their order, one at a time", async () => {
  const release = Promise.withResolvers<void>();
  const begun: string[] = [];
  await withPeer(async (request) => {
    const path = pathOf(request);
    begun.push(path);
    if (path === "/1") await release.promise;
    return new Response(`<${path}${await request.text()}>`);
  }, async (peer) => {
    await peer.send(
      `${get("/1")}POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi${get("/3")}`,
    );
    await eventually("the first", () => begun[0]);
    // What comes meanwhile waits behind them.
    await peer.send(get("/4", "connection: close\r\n"));
    release.resolve();
    await peer.end();
    assert.deepEqual(begun, ["/1", "/2", "/3", "/4"]);
    assert.deepEqual(peer.received.match(/<.*?>/g), ["</1>", "</2hi>", "</3>", "</4>"]);
  });
});

function streamed(pieces: readonly string[], headers: Record<string, string> = {}): Response {
  const encoder = new TextEncoder();
  const body = ReadableStream.from(pieces.map((piece) => encoder.encode(piece)));
  return new Response(body, { headers: { "content-type": "text/event-stream", ...headers } });
}

Deno.test("a stream goes out in chunks, with its length where it has one, or up to the end", async () => {
  await withPeer(() => streamed(["hel", "lo"]), async (peer) => {
    await peer.send(get("/", "connection: close\r\n"));
    await peer.end();
    assert.match(peer.received, /transfer-encoding: chunked\r\n/);
    assert.match(peer.received, /\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n$/);
  });
  await withPeer(() => streamed(["hel", "lo"], { "content-length": "5" }), async (peer) => {
    await peer.send(get("/", "connection: close\r\n"));
    await peer.end();
    assert.doesNotMatch(peer.received, /transfer-encoding/);
    assert.match(peer.received, /content-length: 5\r\n[^]*\r\n\r\nhello$/);
  });
  await withPeer(() => streamed(["hel", "lo"]), async (peer) => {
    await peer.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    await peer.end();
    assert.doesNotMatch(peer.received, /transfer-encoding|content-length/);
    assert.match(peer.received, /connection: close\r\n\r\nhello$/);
  });
});

Deno.test("an answer that has not the length that it declares is cut, and nothing of it is too much", async () => {
  for (const pieces of [["hel"], ["hel", "lo", "!"]]) {
    await withPeer(() => streamed(pieces, { "content-length": "5" }), async (peer) => {
      await peer.send(get("/"));
      await peer.end();
      assert.match(peer.received, /\r\n\r\nhel(lo)?$/);
    });
  }
});

Deno.test("a body that fails on its way out ends the connection without an end of the answer", async () => {
  const failing = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode("begun")),
        pull: (controller) => controller.error(new Error("broken")),
      }),
      { headers: { "content-type": "text/event-stream" } },
    );
  await withPeer(failing, async (peer) => {
    await peer.send(get("/"));
    await peer.end();
    assert.doesNotMatch(peer.received, /0\r\n\r\n$/);
  });
});

Deno.test("an answer's fields come through, whatever characters they have", async () => {
  const headers = new Headers([["x-name", "caf\xe9"], ["set-cookie", "a=1"], [
    "set-cookie",
    "b=2",
  ]]);
  await withPeer(() => new Response("body", { headers }), async (peer) => {
    await peer.send(get("/", "connection: close\r\n"));
    await peer.end();
    // The byte E9 alone is no UTF-8.
    assert.match(peer.received, /x-name: caf\ufffd\r\n/);
    assert.match(peer.received, /set-cookie: a=1\r\nset-cookie: b=2\r\n/);
    assert.match(peer.received, /date: \w+, \d+ \w+ \d+ [\d:]+ GMT\r\n/);
    assert.match(peer.received, /\r\n\r\nbody$/);
  });
});

/** The body of an answer in chunks, without what frames them. */
function unchunked(answer: string): string {
  let rest = answer.slice(answer.indexOf("\r\n\r\n") + 4);
  let body = "";
  for (;;) {
    const from = rest.indexOf("\r\n") + 2;
    const length = parseInt(rest, 16);
    if (length === 0) return body;
    body += rest.slice(from, from + length);
    rest = rest.slice(from + length + 2);
  }
}

Deno.test("a body waits for its reader, who gets all of it, in one piece or as a stream", async () => {
  const text = "0123456789".repeat(30_000);
  for (const coding of ["length", "chunked"]) {
    for (const way of ["text", "bytes", "json", "stream"] as const) {
      const read = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      await withPeer(async (request) => {
        begun.resolve();
        await read.promise;
        if (way === "json") return new Response(String(await request.json()));
        if (way === "text") return new Response(await request.text());
        if (way === "bytes") return new Response(new TextDecoder().decode(await request.bytes()));
        return new Response(request.body);
      }, async (peer) => {
        const body = way === "json" ? `"${text}"` : text;
        const framed = coding === "length"
          ? `content-length: ${body.length}\r\n\r\n${body}`
          : `transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
        const sent = peer.send(`POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${framed}`);
        await begun.promise;
        read.resolve();
        await sent;
        await peer.end();
        const received = way === "stream" ? unchunked(peer.received) : peer.received;
        assert.ok(received.endsWith(text), `${coding} ${way}`);
      });
    }
  }
});

Deno.test("a body that is cut off is an error to its reader", async () => {
  const errors: unknown[] = [];
  const server = await listen(async (request) => {
    try {
      return new Response(await request.text());
    } catch (error) {
      errors.push(error);
      return new Response(null, { status: 400 });
    }
  }, { port: 0, portFlag: "--port" });
  const peer = await Peer.connect(server.port);
  await peer.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
  peer.close();
  const error = await eventually("the error", () => errors[0]);
  assert.match(String(error), /ended before the whole body/);
  await server.stop(noDeadline);
});

Deno.test("a request that closes its connection is answered before the rest of its body has come", async () => {
  await withPeer(
    () => new Response("no", { status: 413, headers: { connection: "close" } }),
    async (peer) => {
      const bytes = 8 * 1024 ** 2;
      await peer.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${bytes}\r\n\r\n`);
      // The other side has said that no more comes, and takes what is still sent.
      await peer.end();
      assert.match(peer.received, /^HTTP\/1\.1 413 [^]*no$/);
      await peer.send("x".repeat(bytes));
    },
  );
});

for (
  const [what, sent, status] of [
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["two Hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400],
    ["a tunnel", "CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 501],
    ["HTTP/0.9", "GET /\r\n\r\n", 505],
    ["another expectation", get("/", "expect: miracles\r\n"), 417],
    ["a header without an end", get("/", `x: ${"y".repeat(20_000)}\r\n`), 431],
    ["no HTTP", "hello\r\n\r\n", 400],
  ] as const
) {
  Deno.test(`${what} is answered ${status}, and its connection closed`, async () => {
    let handled = 0;
    await withPeer(() => new Response(String(handled++)), async (peer) => {
      await peer.send(sent);
      await peer.end();
      assert.match(peer.received, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(peer.received, new RegExp(`"status":${status}`));
      assert.equal(handled, 0);
    });
  });
}

Deno.test("a second head that does not come to its end is answered 408", async () => {
  await withPeer(() => new Response("hi"), async (peer) => {
    await peer.send(`${get("/")}GET / HTTP/1.1\r\nho`);
    await peer.end();
    assert.match(peer.received, /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 408 /);
  }, { headerTimeoutMs: 100 });
});

Deno.test("a handler that fails is a 500, and its reason in the log", async () => {
  const { log, lines } = testContext();
  for (
    const fail of [() => Promise.reject(new Error("not today")), () => {
      throw new Error("not today");
    }]
  ) {
    await withPeer(fail, async (peer) => {
      await peer.send(get("/", "connection: close\r\n"));
      await peer.end();
      assert.match(peer.received, /^HTTP\/1\.1 500 /);
    }, { log });
  }
  assert.equal(lines.join("\n").match(/not today/g)?.length, 2);
});

Deno.test("stop() waits for an answer that streams, and closes its connection behind it", async () => {
  const streams: ReadableStreamDefaultController<Uint8Array>[] = [];
  const server = await listen(
    () =>
      new Response(new ReadableStream({ start: (controller) => void streams.push(controller) }), {
        headers: { "content-type": "text/event-stream" },
      }),
    { port: 0, portFlag: "--port" },
  );
  const peer = await Peer.connect(server.port);
  await peer.send(get("/"));
  await eventually("the answer's head", () => /\r\n\r\n/.test(peer.received) || undefined);
  const stopped = server.stop(noDeadline);
  // Its listener is closed, so it waits for this connection only.
  await eventually("the listener's end", async () => {
    const late = await Peer.connect(server.port).catch(() => undefined);
    late?.close();
    return late ? undefined : true;
  });
  streams[0]!.close();
  assert.ok(await settledWithin(stopped, 20_000), "its connection stays open");
  await peer.end();
  assert.match(peer.received, /0\r\n\r\n$/);
  peer.close();
});
