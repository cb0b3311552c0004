import assert from "node:assert/strict";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { frameFilter } from "../../service/goaway_filter.ts";
import { testObservatory } from "../stores/test_observatory.ts";

function frame(type: number, payload: number[]): number[] {
  return [0, 0, payload.length, type, 0, 0, 0, 0, 1, ...payload];
}

const goaway = frame(7, [0, 0, 0, 5, 0, 0, 0, 0, 104, 105]);

Deno.test("frameFilter() takes GOAWAY out and nothing else, however the bytes are cut", () => {
  // What is skipped looks like a GOAWAY, and so does the payload of a frame.
  const preface = goaway.slice(0, 12);
  const kept = [...frame(4, []), ...frame(0, goaway), ...frame(1, [1, 2, 3])];
  const bytes = new Uint8Array([
    ...[preface, frame(4, []), goaway, frame(0, goaway), goaway, goaway, frame(1, [1, 2, 3])]
      .flat(),
  ]);
  for (let size = 1; size <= bytes.length; size++) {
    const last: number[] = [];
    const filter = frameFilter({
      skipBytes: preface.length,
      onGoaway: (streamId) => last.push(streamId),
    });
    const passed: number[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      for (const part of filter(bytes.subarray(at, at + size))) passed.push(...part);
    }
    assert.deepEqual(passed, [...preface, ...kept], `in pieces of ${size}`);
    assert.deepEqual(last, [5, 5, 5]);
  }
});

for (const refuses of [false, true]) {
  Deno.test(`a kept connection whose peer says GOAWAY ${refuses ? "and refuses the call fails it" : "answers the call"}, and the next look has a new one`, async () => {
    let connections = 0;
    let calls = 0;
    const server = http2.createServer();
    server.on("session", (session) => {
      connections++;
      session.on("error", () => {});
      session.on("stream", (stream, headers) => {
        stream.on("error", () => {});
        if (String(headers[":path"]).endsWith("/ListImages") && ++calls === 1) {
          session.goaway(0, refuses ? 1 : stream.id!);
          if (refuses) return;
        }
        const status = String(headers[":path"]).endsWith("/StreamImages") ? "12" : "0";
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, {
          waitForTrailers: true,
        });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
        stream.end(status === "0" ? new Uint8Array(5) : undefined);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    {
      await using test = testObservatory([`cri=127.0.0.1:${port}`], { timeoutMs: 5_000 });
      const [first] = await test.observatory.trigger("http");
      if (refuses) assert.equal(first!.outcome, "unreachable", first!.reason);
      const [second] = await test.observatory.trigger("http");
      assert.equal(second!.outcome, "success", second!.reason);
      assert.ok(connections >= 2);
    }
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
}
