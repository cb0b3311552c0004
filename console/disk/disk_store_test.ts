/** What `--store` keeps, and for how long. */
import assert from "node:assert/strict";
import { testWith } from "../../service/testing/permissions.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { logsRequest, metricsRequest, testConsole, tracesRequest } from "../test_console.ts";
import { RequestFile } from "./request_file.ts";

const write = testWith.bind(undefined, ["read", "write"]);

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(`${folder}/console.sqlite`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

write("a console that is started again has what it had", () =>
  inFolder(async (store) => {
    const answers: unknown[] = [];
    const paths = ["/api/traces?limit=10", "/api/logs", "/api/metrics?name=queue.size"];
    for (let start = 0; start < 2; start++) {
      await using viewer = await testConsole({ store });
      if (start === 0) {
        await viewer.sendSpans([{ name: "GET /cart" }], "web");
        const body = { value: { case: "stringValue" as const, value: "hello" } };
        const now = BigInt(Date.now()) * 1_000_000n;
        for (
          const [signal, request] of [
            ["logs", logsRequest([{ timeUnixNano: now, body }])],
            [
              "metrics",
              metricsRequest([{
                name: "queue.size",
                data: {
                  case: "gauge",
                  value: {
                    dataPoints: [{ timeUnixNano: now, value: { case: "asInt", value: 3n } }],
                  },
                },
              }]),
            ],
          ] as const
        ) {
          const sent = await viewer.send(signal, request);
          assert.equal(sent.status, 200);
          await sent.body?.cancel();
        }
      } else {
        const stats = await viewer.get("/api/stats");
        assert.equal(stats.traces.received, 0, "received is counted since the start");
        assert.equal(stats.traces.held, 1);
        assert.ok(stats.store.bytes > 0);
      }
      const [traces, logs, metric] = await Promise.all(paths.map((path) => viewer.get(path)));
      // When it was received is known to the request as a whole, some milliseconds later.
      delete metric.lastSeenMs;
      answers.push([traces, logs, metric]);
      await viewer.stop(AbortSignal.timeout(10_000));
    }
    assert.deepEqual(answers[1], answers[0]);
  }));

write("what was forgotten does not come back", () =>
  inFolder(async (store) => {
    {
      await using viewer = await testConsole({ store, storeSyncInterval: 10 });
      await viewer.sendSpans([{}]);
      await eventually(
        "it is written",
        async () => (await viewer.get("/api/stats")).store.written === 1 || undefined,
      );
      const cleared = await fetch(`${viewer.pageUrl}/api/data`, { method: "DELETE" });
      await cleared.body?.cancel();
      await viewer.sendSpans([{ name: "after" }]);
      await viewer.stop(AbortSignal.timeout(10_000));
    }
    await using viewer = await testConsole({ store });
    const { traces } = await viewer.get("/api/summaries");
    assert.deepEqual(traces.map(({ rootName }: { rootName: string }) => rootName), ["after"]);
  }));

write(
  "a file of another program, a broken one and one in use are refused with words",
  () =>
    inFolder(async (path) => {
      await Deno.writeTextFile(path, "no database at all ".repeat(100));
      await assert.rejects(
        testConsole({ store: path }),
        /Cannot keep telemetry in .*not a database/,
      );
      await Deno.remove(path);
      const { DatabaseSync } = await import("node:sqlite");
      const other = new DatabaseSync(path);
      other.exec("CREATE TABLE mine (a)");
      other.close();
      await assert.rejects(testConsole({ store: path }), /the file of another program/);
      await Deno.remove(path);
      const inUse = new RequestFile({ path, maxBytes: 1e6, maxAgeMs: 1e6 });
      await assert.rejects(testConsole({ store: path }), /locked/);
      inUse.close();
    }),
);

const request = (receivedMs: number, length = 1_000) => ({
  signal: "traces" as const,
  contentType: "application/json",
  contentEncoding: "",
  receivedMs,
  body: new Uint8Array(length),
});

write("the oldest go when they are too many bytes, or too old", () =>
  inFolder((path) => {
    const file = new RequestFile({ path, maxBytes: 20_000, maxAgeMs: 1_000 });
    const times = () => file.readAfter(0, 1_000).map(({ request }) => request.receivedMs);
    for (let i = 0; i < 50; i++) file.write([request(i)], 50);
    assert.ok(file.bytes <= 20_000, `${file.bytes}`);
    assert.equal(times().at(-1), 49);
    assert.equal(file.bytes, times().length * 1_064);
    const [oldest] = times();
    file.write([request(1_040)], oldest! + 1_001);
    assert.equal(times()[0], oldest! + 1, "one was too old");
    // More than everything in one request: it is there alone.
    file.write([request(1_041, 30_000)], 1_041);
    assert.deepEqual(times(), []);
    assert.equal(file.bytes, 0);
    file.write([request(1_042)], 1_042);
    file.close();
    const again = new RequestFile({ path, maxBytes: 20_000, maxAgeMs: 1_000 });
    assert.deepEqual([again.requests, again.bytes], [1, 1_064]);
    assert.equal(again.startOfNewest(100), again.readAfter(0, 1)[0]!.seq);
    assert.equal(again.startOfNewest(1_000), 0);
    again.clear();
    assert.deepEqual([again.requests, again.bytes], [0, 0]);
    again.close();
    return Promise.resolve();
  }));

write("what cannot be read again costs itself", () =>
  inFolder(async (path) => {
    const file = new RequestFile({ path, maxBytes: 1e6, maxAgeMs: 1e12 });
    const good = { ...request(Date.now()), contentType: "application/x-protobuf" };
    file.write([
      { ...good, body: tracesRequest([{ name: "a" }]) },
      { ...good, contentEncoding: "gzip" },
      { ...good, body: tracesRequest([{ name: "b" }]) },
    ], Date.now());
    file.close();
    const lines: string[] = [];
    await using viewer = await testConsole({ store: path }, { lines });
    assert.equal((await viewer.get("/api/summaries")).held, 2);
    assert.ok(lines.some((line) => /could not be read.*unreadable=1/.test(line)), lines.join("\n"));
  }));
