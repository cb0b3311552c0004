/**
 * The handshake of a WebSocket to the word, and the socket that goes on. What a peer may do to it is in
 * `http_limits_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { listen } from "./http_server.ts";
import {
  isWebSocketAnswer,
  textFrame,
  type UpgradeOptions,
  upgradeWebSocket,
} from "./http_upgrade.ts";
import type { ProblemError } from "./problem.ts";
import { settledWithin } from "./resilience.ts";
import { noDeadline } from "./testing/context.ts";
import { eventually } from "./testing/eventually.ts";
import { testWith } from "./testing/permissions.ts";
import { Peer } from "./testing/tcp_peer.ts";

/** Of a WebSocket: npm `ws` reads variables of its own. */
const needs: Deno.PermissionName[] = ["net", "env"];

const whole = {
  ...{ upgrade: "websocket", connection: "Upgrade", "sec-websocket-version": "13" },
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};
const key = "sec-websocket-key";
const asks = Object.entries(whole).map(([name, value]) => `${name}: ${value}\r\n`).join("");

Deno.test("a handshake that is not whole says what is missing and what to do", async () => {
  const other = "Upgrade required";
  const bad = "Bad WebSocket handshake";
  const advice =
    "(RFC 6455, section 4.2.1). Connect with a WebSocket client, and let proxies in between pass Connection and Upgrade on.";
  const upgradeFields = { upgrade: "websocket", connection: "Upgrade" };
  const versionFields = { "sec-websocket-version": "13", ...upgradeFields };
  for (
    const [fields, status, title, detail, answered] of [
      [
        { upgrade: "h2c" },
        ...[426, other, "This is a WebSocket: connect to it with ws: or wss:.", upgradeFields],
      ],
      [{ connection: "close" }, 400, bad, `Connection does not say Upgrade ${advice}`, {}],
      ...["short", `${whole[key]}x`, `x${whole[key]}`, ""].map((one) =>
        [
          { [key]: one },
          ...[400, bad, `Sec-WebSocket-Key is not 16 bytes in base64 ${advice}`, {}],
        ] as const
      ),
      [
        { "sec-websocket-version": "8" },
        ...[426, other, "This server speaks WebSocket of version 13, not 8.", versionFields],
      ],
      // A request of no server of ours has no socket.
      [{}, 400, bad, `Connection does not say Upgrade ${advice}`, {}],
    ] as const
  ) {
    const request = new Request("http://a", { headers: { ...whole, ...fields } });
    const error = await upgradeWebSocket(request).catch((error) => error) as ProblemError;
    assert.equal(error.status, status);
    assert.deepEqual([error.problem.title, error.problem.detail], [title, detail]);
    const { "content-type": _, ...headers } = Object.fromEntries(error.getResponse().headers);
    assert.deepEqual(headers, answered);
  }
  const { [key]: _, ...keyless } = whole;
  await assert.rejects(upgradeWebSocket(new Request("http://a", { headers: keyless })), {
    ...{ message: /Sec-WebSocket-Key is not/ },
  });
  const { "sec-websocket-version": __, ...versionless } = whole;
  await assert.rejects(upgradeWebSocket(new Request("http://a", { headers: versionless })), {
    ...{ message: "This server speaks WebSocket of version 13, not of none." },
  });
});

Deno.test("textFrame() is one whole frame, with its length as short as it can be", () => {
  for (
    const [length, head] of [
      [0, [0x81, 0]],
      [125, [0x81, 125]],
      [126, [0x81, 126, 0, 126]],
      [65_535, [0x81, 126, 255, 255]],
      [65_536, [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]],
    ] as const
  ) {
    const frame = textFrame("x".repeat(length));
    assert.deepEqual([...frame.subarray(0, head.length)], head);
    assert.equal(frame.length, head.length + length);
    assert.ok(frame.subarray(head.length).every((byte) => byte === 0x78));
  }
  assert.deepEqual([...textFrame("\u00e4")], [0x81, 2, 0xc3, 0xa4]);
});

Deno.test("isWebSocketAnswer() knows an answer whose head was sent", () => {
  const { body: _, ...plain } = new Response();
  assert.equal(isWebSocketAnswer(plain as Response), false);
  assert.equal(isWebSocketAnswer({ status: 101 } as Response), true);
});

/** Asks a server that upgrades, and gives its answer's head once the socket is open. */
async function upgraded(
  options: UpgradeOptions | undefined,
  test: (peer: Peer) => Promise<void>,
  asked = asks,
): Promise<void> {
  const server = await listen(async (request) => {
    const { socket, response } = await upgradeWebSocket(request, options);
    socket.onopen = () => socket.send("open");
    return response;
  }, { port: 0, portFlag: "--port" });
  const peer = await Peer.connect(server.port);
  try {
    await peer.send(`GET /ws HTTP/1.1\r\nhost: a\r\n${asked}\r\n`);
    await test(peer);
  } finally {
    peer.close();
    await server.stop(noDeadline);
  }
}

testWith(
  needs,
  "an upgrade is answered with the fields and the protocol asked for",
  async () => {
    const protocols = "sec-websocket-protocol: a, b\r\n";
    const options = { protocol: "b", headers: [["x-one", "1"], ["x-two", "2"]] as const };
    await upgraded(options, async (peer) => {
      await peer.has(/open$/);
      const head = peer.received.slice(0, peer.received.indexOf("\r\n\r\n") + 2);
      assert.match(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
      assert.match(head, /\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i);
      assert.match(head, /\r\nsec-websocket-protocol: b\r\n/i);
      assert.match(head, /\r\nx-one: 1\r\nx-two: 2\r\n/);
    }, asks + protocols);
    await upgraded(undefined, async (peer) => {
      await peer.has(/open$/);
      assert.doesNotMatch(peer.received, /^(sec-websocket-protocol|x-one|s):/im);
    });
  },
);

testWith(needs, "a peer that does not even answer a ping is cut", async () => {
  await upgraded({ idleTimeoutS: 0.02 }, async (peer) => {
    await peer.end();
    // The message, and one ping behind it.
    assert.ok(peer.received.endsWith("open\ufffd\0"), peer.received);
  });
});

/** A server's socket whose peer reads nothing, not even the answer to its handshake. */
async function unread(
  test: (socket: WebSocket, peer: Deno.Conn) => Promise<void>,
): Promise<void> {
  const opened = Promise.withResolvers<WebSocket>();
  const server = await listen(async (request) => {
    const { socket, response } = await upgradeWebSocket(request, { closeTimeoutMs: 50 });
    socket.onopen = () => opened.resolve(socket);
    return response;
  }, { port: 0, portFlag: "--port" });
  const peer = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  try {
    await peer.write(new TextEncoder().encode(`GET /ws HTTP/1.1\r\nhost: a\r\n${asks}\r\n`));
    await test(await opened.promise, peer);
  } finally {
    peer.close();
    await server.stop(AbortSignal.abort());
  }
}

testWith(
  needs,
  "a peer that reads not even our close is cut, and what waits for it is given back",
  () =>
    unread(async (socket) => {
      const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
      const message = "x".repeat(1024 ** 2);
      // More than the system's own buffers take.
      for (let i = 0; i < 32; i++) socket.send(message);
      assert.ok(socket.bufferedAmount > 0);
      socket.close(1008, "too slow");
      assert.ok(await settledWithin(closed, 20_000), "it is kept");
      assert.equal((await closed).code, 1006);
      assert.equal(socket.bufferedAmount, 0);
    }),
);

testWith(
  needs,
  "a message that is too long ends its connection before all of it is kept",
  async () => {
    await upgraded({ maxMessageBytes: 1_000 }, async (peer) => {
      await peer.has(/open$/);
      // A final binary message of 1,001 bytes, masked with zeros, of which nothing follows its head.
      await peer.sendLatin1("\x82\xfe\x03\xe9\0\0\0\0");
      // Its close frame; the last byte of 1009 begins a character that does not come.
      await eventually("it", () => peer.received.endsWith("\ufffd\x02\x03") || undefined);
      peer.close();
    });
  },
);

testWith(
  needs,
  "what a peer sends after our close goes to nobody",
  () =>
    unread(async (socket, peer) => {
      let messages = 0;
      socket.onmessage = () => messages++;
      const closed = new Promise((resolve) => socket.onclose = resolve);
      socket.close();
      await peer.write(Uint8Array.from([0x82, 0x80, 0, 0, 0, 0]));
      await closed;
      assert.equal(messages, 0);
    }),
);

testWith(
  needs,
  "who pings and reads no pong has no more of them waiting than a few",
  () =>
    unread(async (socket, peer) => {
      let messages = 0;
      socket.onmessage = () => messages++;
      const zeros = [0, 0, 0, 0];
      const ping = [0x89, 0x80 | 125, ...zeros, ...new Uint8Array(125)];
      const pings = Uint8Array.from([
        ...Array.from({ length: 2_000 }, () => ping).flat(),
        ...[0x82, 0x80, ...zeros],
      ]);
      for (let round = 0; round < 60; round++) {
        for (let sent = 0; sent < pings.length;) sent += await peer.write(pings.subarray(sent));
      }
      await eventually("all of them", () => messages === 60 || undefined);
      assert.ok(socket.bufferedAmount <= 65_536 + 127, `${socket.bufferedAmount} bytes wait`);
    }),
);
