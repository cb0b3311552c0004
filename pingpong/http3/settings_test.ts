import assert from "node:assert/strict";
import { ByteSource } from "./bytes.ts";
import { fieldValue } from "./mod.ts";
import { decodeFields } from "./qpack.ts";
import {
  controlStreamStart,
  protocolOf,
  readControlStream,
  type Settings,
  takesSessions,
} from "./settings.ts";
import { connectHeaders, Fixture, next, rawWrite } from "./test_fixture.ts";

/** What each draft's peers look for: the settings by which a server says that it takes sessions. */
const drafts = { "02": 0x2b603742n, "07": 0xc671706an, "13": 0x14e9cd29n, "15": 0x2c7cf000n };

/** Our settings, as a peer reads them. */
async function ourSettings(): Promise<Settings> {
  // Behind the stream's type; the stream ends, so that reading does, too.
  const source = new ByteSource(ReadableStream.from([controlStreamStart().subarray(1)]));
  const { promise, resolve } = Promise.withResolvers<Settings>();
  await readControlStream(source, resolve);
  return await promise;
}

Deno.test("controlStreamStart() says to peers of every draft that sessions are taken", async () => {
  const settings = await ourSettings();
  for (const [draft, id] of Object.entries(drafts)) assert.equal(settings.get(id), 1n, draft);
});

Deno.test("takesSessions() believes a server of any draft, protocolOf() asks it in its own words", () => {
  for (const [draft, id] of Object.entries(drafts)) {
    assert.equal(takesSessions(new Map([[id, 1n]])), true, draft);
    assert.equal(takesSessions(new Map([[id, 0n]])), false, draft);
    const protocol = draft === "15" ? "webtransport-h3" : "webtransport";
    assert.equal(protocolOf(new Map([[id, 1n]])), protocol, draft);
  }
  // A server of several drafts is asked by the latest.
  const all = new Map(Object.values(drafts).map((id) => [id, 1n]));
  assert.equal(protocolOf(all), "webtransport-h3");
  assert.equal(takesSessions(new Map()), false);
});

Deno.test("serve() takes a CONNECT of every draft, and no other protocol's", async () => {
  await using fixture = new Fixture();
  for (const protocol of ["webtransport", "webtransport-h3", "websocket"]) {
    const conn = await fixture.raw();
    const control = await conn.createUnidirectionalStream();
    await rawWrite(control, controlStreamStart().toHex());
    const { readable, writable } = await conn.createBidirectionalStream();
    await rawWrite(writable, connectHeaders(protocol));
    const [status] = decodeFields((await next(readable)).subarray(2));
    assert.deepEqual(status, [":status", protocol === "websocket" ? "405" : "200"], protocol);
    conn.close({ closeCode: 0, reason: "" });
  }
});

Deno.test("connect() asks our own server by today's draft", async () => {
  const asked: (string | undefined)[] = [];
  await using fixture = new Fixture({
    decide({ fields }) {
      asked.push(fieldValue(fields, ":protocol"));
      return { status: 200 };
    },
  });
  const session = await fixture.connect();
  await session.close();
  assert.deepEqual(asked, ["webtransport-h3"]);
});
