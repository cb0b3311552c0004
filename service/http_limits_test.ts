/**
 * What a peer may do to a server's connections, over raw TCP.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Hono } from "hono";
import { httpApp } from "./http_app.ts";
import { listen, type ListenOptions } from "./http_server.ts";
import { textFrame, upgradeWebSocket } from "./http_upgrade.ts";
import { readText } from "./request_body.ts";
import { settledWithin } from "./resilience.ts";
import { noDeadline, testContext } from "./testing/context.ts";
import { eventually } from "./testing/eventually.ts";
import { testWith } from "./testing/permissions.ts";
import { Peer } from "./testing/tcp_peer.ts";

/** Of a WebSocket: npm `ws` reads variables of its own. */
const needs: Deno.PermissionName[] = ["net", "env"];

async function within(what: string, promise: Promise<void>, timeoutMs = 5_000): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function fixture(): Hono {
  const app = httpApp({ name: "fixture" }, testContext());
  app.get("/", (c) => c.text("hi"));
  app.post("/echo", async (c) => {
    return c.text(await readText(c.req.raw, { limitBytes: 1_000, timeoutMs: 300 }));
  });
  app.get("/ws", async (c) => {
    const { socket, response } = await upgradeWebSocket(c.req.raw);
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  });
  return app;
}

async function withServer(
  options: Partial<ListenOptions>,
  test: (port: number) => Promise<void>,
): Promise<void> {
  const server = await listen(fixture().fetch, { port: 0, portFlag: "--port", ...options });
  try {
    await test(server.port);
  } finally {
    await server.stop(AbortSignal.abort());
  }
}

const get = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const h2c = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n";

Deno.test("an upgrade that the server does not know is ignored, with a body, too", async () => {
  await withServer({}, async (port) => {
    for (const upgrade of [h2c, "connection: upgrade\r\nupgrade: foo/2\r\n"]) {
      const peer = await Peer.connect(port);
      await peer.send(
        `POST /echo HTTP/1.1\r\nhost: localhost\r\n${upgrade}content-length: 4\r\n\r\nbody`,
      );
      await eventually("an answer", () => /body$/.test(peer.received) || undefined);
      assert.match(peer.received, /^HTTP\/1\.1 200 /);
      // The connection is HTTP's still.
      await peer.send(get);
      await eventually("the next answer", () => /hi$/.test(peer.received) || undefined);
      peer.close();
    }
  });
});

Deno.test("a header that does not come to its end is closed, and answered 408", async () => {
  await withServer({ headerTimeoutMs: 300 }, async (port) => {
    for (const begun of ["", "GET / HTTP/1.1\r\nhost: localhost\r\n", "GE"]) {
      const peer = await Peer.connect(port);
      if (begun) await peer.send(begun);
      await within(JSON.stringify(begun), peer.ended);
      assert.match(peer.received, /^HTTP\/1\.1 408 .*"title":"Request Timeout"/s);
      peer.close();
    }
  });
});

Deno.test("a body that does not come to its end is answered 408, and its connection closed", async () => {
  await withServer({}, async (port) => {
    const peer = await Peer.connect(port);
    await peer.send("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf");
    await within("the connection's end", peer.ended);
    assert.match(peer.received, /^HTTP\/1\.1 408 .*"title":"Body too slow"/s);
    peer.close();
  });
});

Deno.test("a body that nobody reads is read no longer than a request may take", async () => {
  await withServer({ requestTimeoutMs: 400 }, async (port) => {
    const peer = await Peer.connect(port);
    await peer.send("POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf");
    await within("the connection's end", peer.ended);
    assert.match(peer.received, /^HTTP\/1\.1 404 /);
    peer.close();
  });
});

Deno.test("a connection that asks nothing more is closed", async () => {
  await withServer({ idleTimeoutMs: 300 }, async (port) => {
    const peer = await Peer.connect(port);
    await peer.send(get);
    await eventually("an answer", () => /hi$/.test(peer.received) || undefined);
    await within("the connection's end", peer.ended);
    peer.close();
  });
});

Deno.test("beyond its connections the one that has been idle for longest goes", async () => {
  await withServer({ maxConnections: 3 }, async (port) => {
    const peers: Peer[] = [];
    for (let i = 0; i < 3; i++) {
      const peer = await Peer.connect(port);
      await peer.send(get);
      await eventually("an answer", () => /hi$/.test(peer.received) || undefined);
      peers.push(peer);
    }
    // The first one is not the oldest any more.
    await peers[0]!.send(get);
    await eventually("its second", () => /hi.*hi$/s.test(peers[0]!.received) || undefined);
    const fourth = await Peer.connect(port);
    await fourth.send(get);
    await eventually("the fourth's", () => /hi$/.test(fourth.received) || undefined);
    await within("the second's end", peers[1]!.ended);
    for (const peer of [peers[0]!, peers[2]!]) {
      peer.received = "";
      await peer.send(get);
      await eventually("the others are served", () => /hi$/.test(peer.received) || undefined);
    }
    for (const peer of [...peers, fourth]) peer.close();
  });
});

Deno.test("connections that are all in use are no more than so many, in total and of one peer", async () => {
  const release = Promise.withResolvers<void>();
  const slow = async () => {
    await release.promise;
    return new Response("done");
  };
  for (const limit of [{ maxConnections: 2 }, { maxConnectionsPerPeer: 2 }]) {
    const context = testContext();
    const server = await listen(slow, { port: 0, portFlag: "--port", log: context.log, ...limit });
    const busy = [await Peer.connect(server.port), await Peer.connect(server.port)];
    for (const peer of busy) await peer.send(get);
    await eventually("both are answered", async () => {
      const third = await Peer.connect(server.port);
      await within("the third's end", third.ended);
      third.close();
      return /^HTTP\/1\.1 503 .*retry-after: 1.*2 connections/s.test(third.received) || undefined;
    });
    assert.match(context.lines.join("\n"), /A connection was refused/);
    for (const peer of busy) peer.close();
    await server.stop(AbortSignal.abort());
  }
  release.resolve();
});

Deno.test("a peer that does not read its answer is cut", async () => {
  const big = new Uint8Array(50_000_000);
  const context = testContext();
  const server = await listen(
    () => new Response(big, { headers: { "content-type": "text/plain" } }),
    { port: 0, portFlag: "--port", writeTimeoutMs: 300, log: context.log },
  );
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await connection.write(new TextEncoder().encode(get));
  await eventually(
    "the cut",
    () => /A connection was cut/.test(context.lines.join("\n")) || undefined,
  );
  await server.stop(noDeadline);
});

Deno.test("a slow reader of a large answer gets all of it", async () => {
  const big = new Uint8Array(3_000_000).fill(97);
  const server = await listen(
    () => new Response(big, { headers: { "content-type": "text/plain" } }),
    { port: 0, portFlag: "--port" },
  );
  const response = await fetch(server.url);
  assert.equal(response.headers.get("content-length"), "3000000");
  assert.equal((await response.bytes()).length, 3_000_000);
  await server.stop(noDeadline);
});

Deno.test("a request's signal aborts when its client goes away, and not otherwise", async () => {
  const signals: AbortSignal[] = [];
  const server = await listen(async (request) => {
    signals.push(request.signal);
    if (request.url.endsWith("/stay")) return new Response("hi");
    await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
    return new Response("nobody reads this");
  }, { port: 0, portFlag: "--port" });
  const peer = await Peer.connect(server.port);
  await peer.send(get);
  await eventually("the request", () => signals[0]);
  peer.close();
  await eventually("the abort", () => signals[0]!.aborted || undefined);
  assert.equal(await (await fetch(`${server.url}/stay`)).text(), "hi");
  await server.stop(noDeadline);
  assert.equal(signals[1]!.aborted, false);
});

Deno.test("a HEAD is answered with no length, or the right one", async () => {
  await withServer({}, async (port) => {
    const peer = await Peer.connect(port);
    await peer.send("HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    await within("the answer", peer.ended);
    assert.match(peer.received, /^HTTP\/1\.1 200 /);
    assert.doesNotMatch(peer.received, /content-length: (?!2\r)/i);
    assert.match(peer.received, /\r\n\r\n$/);
    peer.close();
  });
});

Deno.test("a client that waits for 100 is told to send when the body is wanted, and only then", async () => {
  await withServer({}, async (port) => {
    const expecting = (path: string) =>
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n`;
    const wanted = await Peer.connect(port);
    await wanted.send(expecting("/echo"));
    await eventually("100", () => wanted.received.startsWith("HTTP/1.1 100") || undefined);
    await wanted.send("body");
    await eventually(
      "the answer",
      () => /HTTP\/1\.1 200 .*body$/s.test(wanted.received) || undefined,
    );
    wanted.close();
    const refused = await Peer.connect(port);
    await refused.send(expecting("/nowhere"));
    await within("the answer", refused.ended);
    assert.match(refused.received, /^HTTP\/1\.1 404 /);
    refused.close();
  });
});

Deno.test("what is not HTTP, or has a Host that moves the path, is a 400 with its reason", async () => {
  await withServer({}, async (port) => {
    for (
      const sent of [
        "not http at all\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost/livez?\r\n\r\n",
        "GET nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n",
      ]
    ) {
      const peer = await Peer.connect(port);
      await peer.send(sent);
      await within(sent, peer.ended);
      assert.match(peer.received, /^HTTP\/1\.1 400 /, sent);
      peer.close();
    }
  });
});

const key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const version13 = "sec-websocket-version: 13\r\n";

for (
  const [name, fields, status, also] of [
    [
      "no Connection",
      `upgrade: websocket\r\n${key}${version13}`,
      400,
      /Connection does not say Upgrade/,
    ],
    [
      "no key",
      `upgrade: websocket\r\nconnection: Upgrade\r\n${version13}`,
      400,
      /Sec-WebSocket-Key/,
    ],
    [
      "a key that is none",
      `upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: x\r\n${version13}`,
      400,
      /Sec-WebSocket-Key/,
    ],
    [
      "another version",
      `upgrade: websocket\r\nconnection: Upgrade\r\n${key}sec-websocket-version: 8\r\n`,
      426,
      /sec-websocket-version: 13/i,
    ],
    ["no upgrade", "", 426, /upgrade: websocket/i],
    [
      "all that it takes",
      `upgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n${key}${version13}`,
      101,
      /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i,
    ],
  ] as const
) {
  testWith(needs, `a WebSocket handshake with ${name} is answered ${status}`, async () => {
    await withServer({}, async (port) => {
      const peer = await Peer.connect(port);
      await peer.send(`GET /ws HTTP/1.1\r\nhost: localhost\r\n${fields}\r\n`);
      await eventually("an answer", () => peer.received.includes("\r\n\r\n") || undefined);
      assert.match(peer.received, new RegExp(`^HTTP/1\\.1 ${status} `));
      await eventually("the reason", () => also.test(peer.received) || undefined);
      peer.close();
    });
  });
}

testWith(
  needs,
  "a WebSocket outlives the idle time of HTTP, and a stop does not wait for it",
  async () => {
    const server = await listen(fixture().fetch, {
      port: 0,
      portFlag: "--port",
      idleTimeoutMs: 200,
      headerTimeoutMs: 200,
    });
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws`);
    await new Promise((resolve) => socket.onopen = resolve);
    await new Promise((resolve) => setTimeout(resolve, 900));
    const echo = new Promise((resolve) => socket.onmessage = ({ data }) => resolve(data));
    socket.send("still here");
    assert.equal(await echo, "still here");
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.close();
    await closed;
    await server.stop(noDeadline);
  },
);

testWith(
  needs,
  "frames that come with a handshake, or before it is answered, are all read",
  async () => {
    const answer = Promise.withResolvers<void>();
    const app = new Hono();
    app.get("/ws", async (c) => {
      await answer.promise;
      const { socket, response } = await upgradeWebSocket(c.req.raw);
      socket.onmessage = ({ data }) => socket.send(data);
      return response;
    });
    const server = await listen(app.fetch, { port: 0, portFlag: "--port" });
    const peer = await Peer.connect(server.port);
    // Masked with zeros (RFC 6455, section 5.2).
    const frame = (text: string) => `\x81${String.fromCharCode(0x80 | text.length)}\0\0\0\0${text}`;
    await peer.sendLatin1(
      `GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n${key}${version13}\r\n${
        frame("first")
      }`,
    );
    for (const text of ["second", "third"]) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await peer.sendLatin1(frame(text));
    }
    answer.resolve();
    await eventually("all three", () => /first.*second.*third/s.test(peer.received) || undefined);
    peer.close();
    await server.stop(AbortSignal.abort());
  },
);

testWith(
  needs,
  "a socket sends whole frames of any size in turn with messages; a bad frame costs only its sender",
  async () => {
    const app = new Hono();
    const closed: number[] = [];
    app.get("/ws", async (c) => {
      const { socket, response, sendFrame } = await upgradeWebSocket(c.req.raw);
      socket.onclose = ({ code }) => closed.push(code);
      socket.onmessage = ({ data }) => {
        const count = Number(data);
        sendFrame(textFrame("ä".repeat(count)));
        socket.send(`${count} sent`);
      };
      return response;
    });
    const server = await listen(app.fetch, { port: 0, portFlag: "--port" });
    const bad = await Peer.connect(server.port);
    await bad.send(
      `GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n${key}${version13}\r\n`,
    );
    await eventually("its handshake", () => /101/.test(bad.received) || undefined);
    // A client's frame is masked (RFC 6455, section 5.1): this one is not.
    await bad.sendLatin1("\x81\x01x");
    await eventually(
      "a close frame with 1002",
      () => bad.received.includes("\x02\x03") || undefined,
    );
    bad.close();
    await eventually("its end", () => closed.length > 0 || undefined);

    const got: string[] = [];
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws`);
    socket.onmessage = ({ data }) => got.push(data);
    await new Promise((resolve) => socket.onopen = resolve);
    const sizes = [0, 62, 63, 32_767, 32_768, 100_000];
    for (const size of sizes) socket.send(`${size}`);
    await eventually("all", () => got.length === sizes.length * 2 || undefined);
    assert.deepEqual(got, sizes.flatMap((size) => ["ä".repeat(size), `${size} sent`]));
    const end = new Promise((resolve) => socket.onclose = resolve);
    socket.close();
    await end;
    await server.stop(noDeadline);
  },
);

Deno.test("a body that nobody reads is let in, thrown away, so that its sender comes to the answer", async () => {
  const server = await listen(() => new Response("too large", { status: 413 }), {
    port: 0,
    portFlag: "--port",
  });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  const bytes = 32 * 1024 ** 2;
  const head =
    `POST / HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\ncontent-length: ${bytes}\r\n\r\n`;
  await connection.write(new TextEncoder().encode(head));
  // It sends all before it reads: more than the sockets' buffers hold.
  const sending = (async () => {
    const piece = new Uint8Array(1024 ** 2);
    for (let sent = 0; sent < bytes;) {
      sent += await connection.write(piece.subarray(0, Math.min(piece.length, bytes - sent)));
    }
  })();
  assert.ok(await settledWithin(sending, 20_000), "its sending stands still");
  const buffer = new Uint8Array(4_096);
  const count = await connection.read(buffer);
  assert.match(new TextDecoder().decode(buffer.subarray(0, count ?? 0)), /^HTTP\/1\.1 413 /);
  connection.close();
  await server.stop(noDeadline);
});
