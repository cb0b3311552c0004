import assert from "node:assert/strict";
import { createCertificate } from "../certificates/certificate.ts";
import { decodeFields, encodeFields } from "./qpack.ts";
import {
  connect,
  type ConnectOptions,
  type ConnectRequest,
  serve,
  type ServeOptions,
  WebTransportError,
  type WebTransportServer,
  type WebTransportSession,
} from "./webtransport.ts";

const certificate = await createCertificate();
const text = new TextEncoder();

/** A server on a free port for the time of a test, and clients that pin its certificate. */
class Fixture implements AsyncDisposable {
  readonly server: WebTransportServer;
  readonly url: string;
  readonly refused: string[] = [];
  readonly #endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  readonly #sessions: WebTransportSession[] = [];
  readonly #waiting: ((session: WebTransportSession) => void)[] = [];

  constructor(options: Partial<ServeOptions> = {}) {
    this.server = serve({
      port: 0,
      ...certificate,
      onSession: (session) => {
        const waiting = this.#waiting.shift();
        if (waiting) waiting(session);
        else this.#sessions.push(session);
      },
      onRefused: (reason) => this.refused.push(reason),
      ...options,
    });
    this.url = `https://127.0.0.1:${this.server.addr.port}/`;
  }

  connect(options: ConnectOptions = {}, path = ""): Promise<WebTransportSession> {
    return connect(this.url + path, {
      endpoint: this.#endpoint,
      certificateHashes: [certificate.hash],
      ...options,
    });
  }

  /** A connection without any HTTP/3 on it. */
  raw(alpn = "h3"): Promise<Deno.QuicConn> {
    return Deno.connectQuic({
      hostname: "127.0.0.1",
      port: this.server.addr.port,
      alpnProtocols: [alpn],
      endpoint: this.#endpoint,
      serverCertificateHashes: [{ algorithm: "sha-256", value: certificate.hash }],
    } as Deno.ConnectQuicOptions<false>);
  }

  accepted(): Promise<WebTransportSession> {
    const session = this.#sessions.shift();
    return session ? Promise.resolve(session) : new Promise((take) => this.#waiting.push(take));
  }

  async both(options: ConnectOptions = {}): Promise<[WebTransportSession, WebTransportSession]> {
    return await Promise.all([this.connect(options), this.accepted()]);
  }

  async [Symbol.asyncDispose]() {
    await this.server.close();
    this.#endpoint.close();
  }
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<string> {
  let words = "";
  for await (const chunk of stream) words += new TextDecoder().decode(chunk);
  return words;
}

async function writeAll(stream: WritableStream<Uint8Array>, words: string): Promise<void> {
  const writer = stream.getWriter();
  await writer.write(text.encode(words));
  await writer.close();
}

async function next<Item>(stream: ReadableStream<Item>): Promise<Item> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  assert.ok(value !== undefined, "the stream has ended");
  return value;
}

Deno.test("a two-way stream carries bytes and its end in both directions", async () => {
  await using fixture = new Fixture();
  const [client, server] = await fixture.both();
  for (const [from, to] of [[client, server], [server, client]] as const) {
    const opened = await from.createBidirectionalStream();
    await writeAll(opened.writable, "question");
    const arrived = await next(to.incomingBidirectionalStreams);
    assert.equal(await readAll(arrived.readable), "question");
    await writeAll(arrived.writable, "answer");
    assert.equal(await readAll(opened.readable), "answer");
  }
  await client.close();
});

Deno.test("a one-way stream carries bytes and its end in both directions", async () => {
  await using fixture = new Fixture();
  const [client, server] = await fixture.both();
  for (const [from, to] of [[client, server], [server, client]] as const) {
    await writeAll(await from.createUnidirectionalStream(), "told");
    assert.equal(await readAll(await next(to.incomingUnidirectionalStreams)), "told");
  }
  await client.close();
});

Deno.test("a thousand streams one after the other never run out of credit", async () => {
  await using fixture = new Fixture();
  const [client, server] = await fixture.both();
  (async () => {
    for await (const stream of server.incomingBidirectionalStreams) {
      stream.readable.pipeTo(stream.writable);
    }
  })();
  for (let count = 0; count < 1_000; count++) {
    const stream = await client.createBidirectionalStream();
    await writeAll(stream.writable, `echo ${count}`);
    assert.equal(await readAll(stream.readable), `echo ${count}`);
  }
  await client.close();
});

Deno.test("streams that nobody takes make their opener wait and take no memory", async () => {
  await using fixture = new Fixture({ maxWaitingStreams: 4, maxConcurrentStreams: 16 });
  const [client, server] = await fixture.both();
  let opened = 0;
  const opening = (async () => {
    for (let count = 0; count < 40; count++) {
      await writeAll(await client.createUnidirectionalStream(), String(count));
      opened++;
    }
  })();
  const seen: string[] = [];
  for (let count = 0; count < 40; count++) {
    // Never more than the credit ahead of the taker: ours is 16, one of them the control stream.
    assert.ok(opened - seen.length <= 16, `${opened} opened, ${seen.length} taken`);
    seen.push(await readAll(await next(server.incomingUnidirectionalStreams)));
  }
  await opening;
  assert.equal(new Set(seen).size, 40);
  await client.close();
});

Deno.test("datagrams go both ways, and one that is too large says so", async () => {
  await using fixture = new Fixture();
  const [client, server] = await fixture.both();
  await client.sendDatagram(text.encode("there"));
  assert.deepEqual(await server.readDatagram(), text.encode("there"));
  await server.sendDatagram(text.encode("back"));
  assert.deepEqual(await client.readDatagram(), text.encode("back"));
  await client.sendDatagram(new Uint8Array(client.maxDatagramSize));
  await assert.rejects(
    client.sendDatagram(new Uint8Array(client.maxDatagramSize + 1)),
    { code: "datagram-too-large" },
  );
  await client.close();
});

Deno.test("close() brings its code and reason to the peer and ends what waits", async () => {
  await using fixture = new Fixture();
  for (const closer of ["client", "server"] as const) {
    const [client, server] = await fixture.both();
    const [us, peer] = closer === "client" ? [client, server] : [server, client];
    const datagram = peer.readDatagram();
    await us.close({ closeCode: 4_000_000_000, reason: "genug für heute" });
    const info = { closeCode: 4_000_000_000, reason: "genug für heute" };
    assert.deepEqual(await peer.closed, { ...info, by: "peer" });
    assert.deepEqual(await us.closed, { ...info, by: "us" });
    assert.equal(await datagram, undefined);
    await assert.rejects(us.createBidirectionalStream(), { code: "closed" });
    await assert.rejects(peer.sendDatagram(new Uint8Array(1)), { code: "closed" });
  }
});

Deno.test("close() cuts a reason to 1024 bytes at a character's edge", async () => {
  await using fixture = new Fixture();
  const [client, server] = await fixture.both();
  await client.close({ reason: "ü".repeat(1_000) });
  assert.equal((await server.closed).reason, "ü".repeat(512));
});

Deno.test("decide() sees path, origin and fields, and a refusal comes before any data", async () => {
  const requests: ConnectRequest[] = [];
  await using fixture = new Fixture({
    decide: (request) => {
      requests.push(request);
      return { status: request.path === "/ping?a=1" ? 200 : 404, fields: [["x-reason", "path"]] };
    },
  });
  const session = await fixture.connect({ fields: [["authorization", "Bearer t"]] }, "ping?a=1");
  assert.deepEqual(session.responseFields, [
    [":status", "200"],
    ["sec-webtransport-http3-draft", "draft02"],
    ["x-reason", "path"],
  ]);
  await session.close();
  await assert.rejects(fixture.connect({}, "elsewhere"), { code: "refused", status: 404 });
  assert.equal(requests[0]?.origin, fixture.url.slice(0, -1));
  assert.ok(
    requests[0]?.fields.some(([name, value]) => name === "authorization" && value === "Bearer t"),
  );
  assert.equal(fixture.server.sessions.size, 0);
});

Deno.test("connect() refuses a certificate that is neither pinned nor trusted", async () => {
  await using fixture = new Fixture();
  await assert.rejects(
    fixture.connect({ certificateHashes: [new Uint8Array(32)] }),
    { code: "certificate" },
  );
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  await assert.rejects(connect(fixture.url, { endpoint }), { code: "certificate" });
  const trusting = await connect(fixture.url, { endpoint, caCerts: [certificate.cert] });
  await trusting.close();
  endpoint.close();
});

Deno.test("connect() says in time that nobody answers", async () => {
  // A UDP socket that reads nothing: a port that is certainly taken and certainly silent.
  const silent = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr as Deno.NetAddr;
  await assert.rejects(
    connect(`https://127.0.0.1:${port}/`, { endpoint, connectTimeoutMs: 200 }),
    { code: "timeout", message: `No answer from 127.0.0.1 port ${port}/udp within 200 ms` },
  );
  endpoint.close();
  silent.close();
});

Deno.test("replaceCertificate() serves new connections with the new one and keeps the open ones", async () => {
  await using fixture = new Fixture();
  const [old, oldServer] = await fixture.both();
  const renewed = await createCertificate();
  fixture.server.replaceCertificate(renewed.cert, renewed.key);
  await assert.rejects(fixture.connect(), { code: "certificate" });
  for (let count = 0; count < 3; count++) {
    const session = await fixture.connect({ certificateHashes: [renewed.hash] });
    await session.close();
  }
  await old.sendDatagram(text.encode("still"));
  assert.deepEqual(await oldServer.readDatagram(), text.encode("still"));
  assert.throws(() => fixture.server.replaceCertificate("no", "certificate"));
  await (await fixture.connect({ certificateHashes: [renewed.hash] })).close();
  await old.close();
});

Deno.test("serve() ends a handshake that stands still, and lives", async () => {
  await using fixture = new Fixture({ handshakeTimeoutMs: 100 });
  const conn = await fixture.raw();
  await conn.closed;
  assert.match(fixture.refused[0]!, /over 100 ms while waiting for a request/);
  await (await fixture.connect()).close();
});

Deno.test("serve() lives through wrong ALPN, garbage datagrams and garbage streams", async () => {
  await using fixture = new Fixture({ handshakeTimeoutMs: 500 });
  await assert.rejects(fixture.raw("smtp"));
  const socket = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  for (let count = 0; count < 100; count++) {
    const junk = crypto.getRandomValues(new Uint8Array(1 + count * 12));
    await socket.send(junk, { ...fixture.server.addr, transport: "udp" });
  }
  socket.close();
  const conn = await fixture.raw();
  for (const junk of ["ffffffffffffffff", "00", "0104", "01440000", "c0", "4041", "3fff"]) {
    const stream = await conn.createBidirectionalStream();
    await rawWrite(stream.writable, junk);
    const uni = await conn.createUnidirectionalStream();
    await rawWrite(uni, junk);
  }
  await conn.closed;
  await (await fixture.connect()).close();
});

async function rawWrite(stream: WritableStream<Uint8Array>, hex: string): Promise<void> {
  const writer = stream.getWriter();
  // The server may have ended the connection in the middle of the garbage.
  await writer.write(Uint8Array.fromHex(hex)).catch(() => {});
  writer.releaseLock();
}

/** The requests of RFC 9114 that break the control stream, each with the code that must come back. */
const violations: readonly [what: string, hex: string, code: number][] = [
  ["a frame before SETTINGS", "00" + "0d0100", 0x10a],
  ["a second SETTINGS", "00" + "0400" + "0400", 0x105],
  ["DATA on the control stream", "00" + "0400" + "0000", 0x105],
  ["HTTP/2's setting", "00" + "0402" + "0201", 0x109],
  ["a setting twice", "00" + "0404" + "0801" + "0801", 0x109],
  ["SETTINGS of 2^30 bytes", "00" + "04c000000040000000", 0x109],
  ["a push stream", "01", 0x103],
];

for (const [what, hex, code] of violations) {
  Deno.test(`serve() closes the connection with ${code.toString(16)} on ${what}`, async () => {
    await using fixture = new Fixture();
    const conn = await fixture.raw();
    await rawWrite(await conn.createUnidirectionalStream(), hex + "00");
    assert.equal((await conn.closed).closeCode, code);
  });
}

Deno.test("serve() skips frames and streams of unknown types, of any length", async () => {
  await using fixture = new Fixture();
  const conn = await fixture.raw();
  const control = await conn.createUnidirectionalStream();
  await rawWrite(control, "00" + "0400" + "2103aabbcc" + "40ff00");
  await rawWrite(await conn.createUnidirectionalStream(), "21" + "ff".repeat(2_000));
  const stream = await conn.createBidirectionalStream();
  await rawWrite(stream.writable, "2105" + "aa".repeat(5) + connectHeaders());
  const session = await fixture.accepted();
  assert.equal(session.request.path, "/");
  conn.close();
  assert.deepEqual(await session.closed, { closeCode: 0, reason: "", by: "peer" });
});

Deno.test("serve() respects session ids: other sessions' streams and datagrams are dropped", async () => {
  await using fixture = new Fixture();
  const conn = await fixture.raw();
  await rawWrite(await conn.createUnidirectionalStream(), "000400");
  // The first stream is a plain request that is refused, so that the session's id is 4.
  const stream = await conn.createBidirectionalStream();
  // A stream of the session comes before its CONNECT and waits for it.
  const early = await conn.createUnidirectionalStream();
  await rawWrite(early, "4054" + "00" + "aa");
  await rawWrite(await conn.createUnidirectionalStream(), "4054" + "04" + "bb");
  await rawWrite(stream.writable, connectHeaders());
  const session = await fixture.accepted();
  await conn.sendDatagram(Uint8Array.fromHex("01cc"));
  await conn.sendDatagram(Uint8Array.fromHex("00dd"));
  assert.deepEqual(await session.readDatagram(), Uint8Array.of(0xdd));
  const arrived = await next(session.incomingUnidirectionalStreams);
  assert.deepEqual((await next(arrived)).toHex(), "aa");
  const foreign = await conn.createBidirectionalStream();
  await rawWrite(foreign.writable, "4041" + "04" + "ff");
  const own = await conn.createBidirectionalStream();
  await rawWrite(own.writable, "4041" + "8000000000".slice(0, 8) + "ee");
  const arrivedBidi = await next(session.incomingBidirectionalStreams);
  assert.deepEqual((await next(arrivedBidi.readable)).toHex(), "ee");
  assert.equal(await readAll(foreign.readable), "", "refused, not handed on");
  conn.close();
});

Deno.test("serve() answers a second request on the connection with 429", async () => {
  await using fixture = new Fixture();
  const conn = await fixture.raw();
  await rawWrite(await conn.createUnidirectionalStream(), "000400");
  await rawWrite((await conn.createBidirectionalStream()).writable, connectHeaders());
  await fixture.accepted();
  const second = await conn.createBidirectionalStream();
  await rawWrite(second.writable, connectHeaders());
  const answer = await new Response(second.readable).bytes();
  assert.deepEqual(decodeFields(answer.subarray(2)), [[":status", "429"]]);
  conn.close();
});

Deno.test("serve() answers what is no CONNECT with 405", async () => {
  await using fixture = new Fixture();
  const conn = await fixture.raw();
  const stream = await conn.createBidirectionalStream();
  await rawWrite(stream.writable, frame(encodeFields([[":method", "GET"], [":path", "/"]])));
  const answer = await new Response(stream.readable).bytes();
  assert.deepEqual(decodeFields(answer.subarray(2))[0], [":status", "405"]);
  conn.close();
});

Deno.test("serve() takes the 2022 draft's CONNECT, which has no authority and no path", async () => {
  await using fixture = new Fixture();
  const conn = await fixture.raw();
  const stream = await conn.createBidirectionalStream();
  await rawWrite(
    stream.writable,
    frame(encodeFields([
      [":method", "CONNECT"],
      [":scheme", "https"],
      [":protocol", "webtransport"],
      ["sec-webtransport-http3-draft02", "1"],
    ])),
  );
  const session = await fixture.accepted();
  assert.equal(session.request.path, "/");
  const answer = await next(stream.readable);
  assert.deepEqual(decodeFields(answer.subarray(2)), [
    [":status", "200"],
    ["sec-webtransport-http3-draft", "draft02"],
  ]);
  conn.close();
});

Deno.test("a stream that never sends its header slows nobody and is refused in time", async () => {
  await using fixture = new Fixture({ streamHeaderTimeoutMs: 200 });
  const conn = await fixture.raw();
  await rawWrite((await conn.createBidirectionalStream()).writable, connectHeaders());
  const session = await fixture.accepted();
  const silent = await conn.createBidirectionalStream();
  await rawWrite(silent.writable, "40");
  const uni = await conn.createUnidirectionalStream();
  await rawWrite(uni, "40");
  await rawWrite((await conn.createBidirectionalStream()).writable, "404100" + "77");
  const arrived = await next(session.incomingBidirectionalStreams);
  assert.equal((await next(arrived.readable)).toHex(), "77");
  assert.equal(await readAll(silent.readable), "");
  conn.close();
});

Deno.test("serve() refuses sessions beyond maxSessions and takes them again after", async () => {
  await using fixture = new Fixture({ maxSessions: 1 });
  const [first, server] = await fixture.both();
  await assert.rejects(fixture.connect(), WebTransportError);
  await first.close();
  await server.closed;
  await (await fixture.connect()).close();
});

Deno.test("the end of the CONNECT stream ends the session, with the capsule's code if it had one", async () => {
  await using fixture = new Fixture({ closeTimeoutMs: 50 });
  const closings = {
    "": { closeCode: 0, reason: "" },
    ["0009" + "6843" + "06" + "0000002a" + "6869"]: { closeCode: 42, reason: "hi" },
    // Unknown capsules before it, and the capsule in two DATA frames.
    ["0003" + "4bfe00" + "0004" + "68430600" + "0005" + "00002a6869"]: {
      closeCode: 42,
      reason: "hi",
    },
  };
  for (const [hex, info] of Object.entries(closings)) {
    const conn = await fixture.raw();
    const stream = await conn.createBidirectionalStream();
    await rawWrite(stream.writable, connectHeaders());
    const session = await fixture.accepted();
    await rawWrite(stream.writable, hex);
    await stream.writable.close();
    assert.deepEqual(await session.closed, { ...info, by: "peer" });
  }
});

function connectHeaders(): string {
  return frame(encodeFields([
    [":method", "CONNECT"],
    [":scheme", "https"],
    [":authority", "localhost"],
    [":path", "/"],
    [":protocol", "webtransport"],
  ]));
}

function frame(section: Uint8Array): string {
  const length = (section.length | 0x4000).toString(16);
  return `01${length}${section.toHex()}`;
}
