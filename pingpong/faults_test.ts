import assert from "node:assert/strict";
import { encodeFrame } from "./protocol/frames.ts";
import { encodeMessage } from "./protocol/message.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startTestServer, type TestServer } from "./test_server.ts";
import { vandalize } from "./test_vandal.ts";
import { connect, type WebTransportSession } from "./http3/mod.ts";

const files: Deno.PermissionName[] = ["read", "write"];

function sessionWith(server: TestServer): Promise<WebTransportSession> {
  return connect(server.server.url, { certificateHashes: [server.server.certificateHash()] });
}

const good = encodeFrame({ kind: "ping", id: Uint8Array.of(7), data: "Ping!" }).toHex();

/** What no stream may carry, and what the server says about it. */
const malformed: Record<string, [hex: string, reason: RegExp]> = {
  "a length of 0": ["0000000000000000", /has no bytes/],
  "a length of 2^63": ["8000000000000000", /at most 1048576/],
  "a length of 2^64-1": ["ffffffffffffffff", /at most 1048576/],
  "an unknown tag": ["0000000000000004" + "02000000", /tag 2/],
  "an unknown message type": [
    "0000000000000010" + "00000000" + "0000000000000000" + "05000000",
    /type 5/,
  ],
  "an id longer than its message": [
    "000000000000000c" + "00000000" + "ffffffffffffff7f",
    /ends within the id/,
  ],
  "bad UTF-8": [
    "0000000000000019" + "00000000" + "0000000000000000" + "00000000" + "0100000000000000" + "ff",
    /no UTF-8/,
  ],
  "a frame cut off by the end": ["000000000000003d" + "00000000", /12 bytes into a frame/],
};

for (const [what, [hex, reason]] of Object.entries(malformed)) {
  testWith(
    files,
    `${what} ends that session with 400, after the pings before it, and no other`,
    async () => {
      await using server = await startTestServer();
      const other = server.ping({ pingCount: 30, intervalMs: 3 });
      for (const open of ["bidi", "uni"] as const) {
        const session = await sessionWith(server);
        const stream = open === "bidi"
          ? await session.createBidirectionalStream()
          : { writable: await session.createUnidirectionalStream(), readable: undefined };
        const writer = stream.writable.getWriter();
        await writer.write(Uint8Array.fromHex(good + hex));
        await writer.close();
        const answers = stream.readable ??
          (await session.incomingUnidirectionalStreams.getReader().read()).value!;
        // The good ping before it has its pong, unless the end overtakes it.
        await answers.getReader().read().catch(() => {});
        const info = await session.closed;
        assert.equal(info.closeCode, 400, open);
        assert.match(info.reason, reason);
        assert.equal(info.by, "peer");
      }
      assert.equal((await other).exitCode, 0);
    },
  );
}

testWith(files, "datagrams that are no message are left out, and the session goes on", async () => {
  await using server = await startTestServer();
  const session = await sessionWith(server);
  for (const hex of ["", "02000000", "ff".repeat(1_000), good]) {
    await session.sendDatagram(Uint8Array.fromHex(hex));
  }
  await session.sendDatagram(encodeMessage({ kind: "ping", id: Uint8Array.of(9), data: "x" }));
  const answer = await session.readDatagram();
  // Pong, its own id, then ours.
  assert.equal(answer?.subarray(44).toHex().slice(0, 18), "0100000000000000" + "09");
  await session.close();
});

testWith(
  files,
  "garbage, silence and wrong ALPN beside it slow no ping beyond its time",
  async () => {
    await using server = await startTestServer();
    const stop = new AbortController();
    const vandal = vandalize(server.port, server.server.certificateHash(), stop.signal);
    const ping = await server.ping({ pingCount: 300, intervalMs: 2, quiet: true });
    stop.abort();
    await vandal;
    assert.equal(ping.exitCode, 0, ping.lines.join("\n"));
    assert.equal(ping.runs[0]?.run.statistics.summary().recovered, 0);
  },
);

testWith(
  files,
  "a million tiny frames are all answered, and others are answered meanwhile",
  async () => {
    await using server = await startTestServer();
    const session = await sessionWith(server);
    const { readable, writable } = await session.createBidirectionalStream();
    const tiny = encodeFrame({ kind: "ping", id: new Uint8Array(), data: "" });
    const batch = new Uint8Array(1_000 * tiny.length);
    for (let at = 0; at < batch.length; at += tiny.length) batch.set(tiny, at);
    const answered = (async () => {
      let bytes = 0;
      for await (const chunk of readable) bytes += chunk.length;
      return bytes;
    })();
    const writing = (async () => {
      const writer = writable.getWriter();
      for (let count = 0; count < 1_000; count++) await writer.write(batch);
      await writer.close();
    })();
    const other = await server.ping({ pingCount: 20, intervalMs: 10, quiet: true });
    await writing;
    // A pong to an empty id: length, tag, id, request id, type, data.
    assert.equal(await answered, 1_000_000 * (8 + 4 + 8 + 32 + 8 + 0 + 4 + 8 + 5));
    assert.equal(other.exitCode, 0, other.lines.join("\n"));
    await session.close();
  },
);

testWith(files, "a peer that does not read its answers is not read from", async () => {
  await using server = await startTestServer();
  const session = await sessionWith(server);
  const { writable } = await session.createBidirectionalStream();
  const frame = encodeFrame({ kind: "ping", id: new Uint8Array(512), data: "x".repeat(64) });
  const batch = new Uint8Array(100 * frame.length);
  for (let at = 0; at < batch.length; at += frame.length) batch.set(frame, at);
  const writer = writable.getWriter();
  let written = 0;
  let stuck = false;
  while (!stuck && written < 256_000_000) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), 1_000);
    });
    stuck = await Promise.race([writer.write(batch), late]) === "late";
    clearTimeout(timer);
    if (!stuck) written += batch.length;
  }
  assert.ok(stuck, `${written} bytes went in, and no answer was read`);
  writer.abort().catch(() => {});
  await session.close();
});
