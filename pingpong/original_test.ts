/**
 * The original's programs, replayed from the bytes that the contract gives: its client against our
 * server, its server against our client. They speak a 2022 draft of WebTransport: a CONNECT
 * without authority and path, the datagram setting under its old id, a header before `:status`.
 */
import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { createCertificate } from "./certificates/certificate.ts";
import { encodeFields } from "./http3/qpack.ts";
import { startTestServer, testPing } from "./test_server.ts";

const files: Deno.PermissionName[] = ["read", "write"];

/** SETTINGS: QPACK 0/0, H3_DATAGRAM under 0xffd277, ENABLE_WEBTRANSPORT. */
const control = "00" + "040e" + "0100" + "0700" + "80ffd27701" + "ab60374201";
const ping = "00000000" + "2000000000000000" +
  "70786050c8c0afa2dbc7ec43e4a227500b555d57fa82c4e8bf64c3612fc95539" + "00000000" +
  "0500000000000000" + "50696e6721";
/** SHA-256 of "Pong!", then the ping's id. */
const pong = "01000000" + "2000000000000000" +
  new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode("Pong!")),
  ).toHex() + "2000000000000000" +
  "70786050c8c0afa2dbc7ec43e4a227500b555d57fa82c4e8bf64c3612fc95539" + "01000000" +
  "0500000000000000" + "506f6e6721";
const framed = (message: string) => (message.length / 2).toString(16).padStart(16, "0") + message;

function frameOf(type: string, payload: Uint8Array): string {
  return type + (payload.length | 0x4000).toString(16) + payload.toHex();
}

async function put(stream: WritableStream<Uint8Array>, hex: string): Promise<void> {
  const writer = stream.getWriter();
  await writer.write(Uint8Array.fromHex(hex));
  writer.releaseLock();
}

/** Reads until so many bytes have come. */
async function take(stream: ReadableStream<Uint8Array>, bytes: number): Promise<string> {
  const reader = stream.getReader();
  let hex = "";
  while (hex.length < 2 * bytes) {
    const { value, done } = await reader.read();
    if (done) break;
    hex += value.toHex();
  }
  reader.releaseLock();
  return hex;
}

async function next<Item>(stream: ReadableStream<Item>): Promise<Item> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  assert.ok(value !== undefined);
  return value;
}

testWith(
  files,
  "the original's client, byte for byte, gets its pongs from our server in every mode",
  async () => {
    await using server = await startTestServer();
    const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
    const conn = await Deno.connectQuic({
      hostname: "127.0.0.1",
      port: server.port,
      alpnProtocols: ["h3"],
      endpoint,
      // The original checks no certificate; the test does not need to trust itself either.
      serverCertificateHashes: [{ algorithm: "sha-256", value: server.server.certificateHash() }],
    } as Deno.ConnectQuicOptions<false>);
    await put(await conn.createUnidirectionalStream(), control);
    const session = await conn.createBidirectionalStream();
    await put(
      session.writable,
      frameOf(
        "01",
        encodeFields([
          [":method", "CONNECT"],
          [":scheme", "https"],
          [":protocol", "webtransport"],
          ["sec-webtransport-http3-draft02", "1"],
          ["origin", "https://127.0.0.1:4433"],
        ]),
      ),
    );
    // HEADERS, a length of one or two bytes, and :status 200 first: entry 25 of the static table.
    assert.match(await take(session.readable, 5), /^01(..|4...)0000d9/);

    const bidi = await conn.createBidirectionalStream();
    await put(bidi.writable, "4041" + "00");
    const uni = await conn.createUnidirectionalStream();
    await put(uni, "4054" + "00");
    for (let count = 0; count < 3; count++) {
      await put(bidi.writable, framed(ping));
      assert.equal(await take(bidi.readable, 8 + pong.length / 2), framed(pong));
    }

    // It opens its stream, waits for ours, and only then writes.
    const ours = await incomingWithType(conn, "405400");
    for (let count = 0; count < 3; count++) {
      await put(uni, framed(ping));
      assert.equal(await take(ours, 8 + pong.length / 2), framed(pong));
    }
    for (let count = 0; count < 3; count++) {
      await conn.sendDatagram(Uint8Array.fromHex("00" + ping));
      assert.equal((await conn.readDatagram()).toHex(), "00" + pong);
    }
    conn.close({ closeCode: 0, reason: "" });
    endpoint.close();
  },
);

/** The incoming one-way stream that begins so; the others are the server's control stream. */
async function incomingWithType(
  conn: Deno.QuicConn,
  header: string,
): Promise<ReadableStream<Uint8Array>> {
  while (true) {
    const stream = await next(conn.incomingUnidirectionalStreams);
    const reader = stream.getReader({ mode: "byob" });
    const { value } = await reader.read(new Uint8Array(3));
    reader.releaseLock();
    if (value?.toHex() === header) return stream;
    // It refuses unknown frames on the control stream: only SETTINGS may be there.
    assert.equal(value?.toHex().slice(0, 4), "0004");
  }
}

for (const mode of ["bidi", "uni", "datagram"] as const) {
  testWith(
    files,
    `the original's server, byte for byte, answers our client over ${mode}`,
    async () => {
      const { cert, key, hash } = await createCertificate();
      const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
      const listener = endpoint.listen({
        cert,
        key,
        alpnProtocols: ["h3"],
        maxIdleTimeout: 10_000,
      });
      const serving = serveAsOriginal(await nextConnection(listener), mode);
      const result = await testPing({
        port: endpoint.addr.port,
        pin: hash.toHex(),
        mode,
        pingCount: 3,
      });
      await serving;
      endpoint.close();
      assert.equal(result.exitCode, 0, result.lines.join("\n"));
      assert.equal(result.runs[0]?.run.statistics.summary().received, 3);
    },
  );
}

/** The connection that the client is about to make: its promise is wrapped, or it would be awaited here. */
async function nextConnection(listener: Deno.QuicListener): Promise<() => Promise<Deno.QuicConn>> {
  const accepted =
    (async () => await ((await listener.incoming()).accept() as Promise<Deno.QuicConn>))();
  return await Promise.resolve(() => accepted);
}

async function serveAsOriginal(accept: () => Promise<Deno.QuicConn>, mode: string): Promise<void> {
  const conn = await accept();
  conn.closed.catch(() => {});
  await put(await conn.createUnidirectionalStream(), control);
  const session = await next(conn.incomingBidirectionalStreams);
  await take(session.readable, 20);
  await put(
    session.writable,
    frameOf("01", encodeFields([["sec-webtransport-http3-draft", "draft02"], [":status", "200"]])),
  );
  try {
    if (mode === "bidi") {
      const stream = await next(conn.incomingBidirectionalStreams);
      assert.equal((await takeExactly(stream.readable, 3)).toHex(), "404100");
      while (true) await put(stream.writable, framed(answer(await frame(stream.readable))));
    } else if (mode === "uni") {
      const stream = await incomingOfClient(conn);
      const ours = await conn.createUnidirectionalStream();
      await put(ours, "4054" + "00");
      while (true) await put(ours, framed(answer(await frame(stream))));
    } else {
      while (true) {
        const datagram = await conn.readDatagram();
        assert.equal(datagram[0], 0);
        await conn.sendDatagram(Uint8Array.fromHex("00" + answer(datagram.subarray(1))));
      }
    }
  } catch (error) {
    // The client closes when it is done; anything else is a fault of the test.
    if (error instanceof assert.AssertionError) throw error;
  }
}

/** The pong, and the check that the ping is the contract's: no byte behind the data. */
function answer(message: Uint8Array): string {
  const hex = message.toHex();
  assert.equal(hex.length, ping.length, "the original gets no extension");
  assert.equal(hex.slice(0, 24), ping.slice(0, 24));
  assert.equal(hex.slice(88), ping.slice(88));
  const id = hex.slice(24, 88);
  return pong.slice(0, 104) + id + pong.slice(168);
}

async function frame(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const length = new DataView((await takeExactly(stream, 8)).buffer).getBigUint64(0);
  return await takeExactly(stream, Number(length));
}

async function takeExactly(
  stream: ReadableStream<Uint8Array>,
  bytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader({ mode: "byob" });
  const whole = new Uint8Array(bytes);
  try {
    for (let got = 0; got < bytes;) {
      const { value, done } = await reader.read(new Uint8Array(bytes - got));
      if (done) throw new Error("the stream has ended");
      whole.set(value, got);
      got += value.length;
    }
  } finally {
    reader.releaseLock();
  }
  return whole;
}

async function incomingOfClient(conn: Deno.QuicConn): Promise<ReadableStream<Uint8Array>> {
  return await incomingWithType(conn, "405400");
}
