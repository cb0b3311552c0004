import assert from "node:assert/strict";
import { createCertificate } from "../certificates/certificate.ts";
import { type ConnectRequest, WebTransportError } from "./mod.ts";
import { decodeFields, encodeFields } from "./qpack.ts";
import { connectHeaders, Fixture, frame, next, rawWrite, readAll, text } from "./test_fixture.ts";

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
  await assert.rejects(fixture.connect({}, "elsewhere"), { kind: "refused", status: 404 });
  assert.equal(requests[0]?.origin, fixture.url.slice(0, -1));
  assert.ok(
    requests[0]?.fields.some(([name, value]) => name === "authorization" && value === "Bearer t"),
  );
  assert.equal(fixture.server.sessions.size, 0);
});

Deno.test("replaceCertificate() serves new connections with the new one and keeps the open ones", async () => {
  await using fixture = new Fixture();
  const [old, oldServer] = await fixture.both();
  const renewed = await createCertificate();
  fixture.server.replaceCertificate(renewed.cert, renewed.key);
  await assert.rejects(fixture.connect(), { kind: "certificate" });
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

Deno.test("serve() refuses sessions beyond maxSessions and takes them again after", async () => {
  await using fixture = new Fixture({ maxSessions: 1 });
  const [first, server] = await fixture.both();
  await assert.rejects(fixture.connect(), WebTransportError);
  await first.close();
  await server.closed;
  await (await fixture.connect()).close();
});
