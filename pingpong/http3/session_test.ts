import assert from "node:assert/strict";
import {
  connectHeaders,
  Fixture,
  next,
  rawWrite,
  readAll,
  text,
  writeAll,
} from "./test_fixture.ts";

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
    { kind: "datagram-too-large" },
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
    await assert.rejects(us.createBidirectionalStream(), { kind: "closed" });
    await assert.rejects(peer.sendDatagram(new Uint8Array(1)), { kind: "closed" });
  }
});

Deno.test("close() cuts a reason to 1024 bytes at a character's edge", async () => {
  await using fixture = new Fixture();
  const [client, server] = await fixture.both();
  await client.close({ reason: "ü".repeat(1_000) });
  assert.equal((await server.closed).reason, "ü".repeat(512));
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
