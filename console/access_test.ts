/** Who may use a console that others can reach. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { testWith } from "../service/testing/permissions.ts";
import { testConsole, tracesRequest } from "./test_console.ts";
import { call, framed } from "./test_grpc.ts";

Deno.test("beyond loopback every port asks for a token; a link lets one browser in, once", async () => {
  const lines: string[] = [];
  await using viewer = await testConsole({ host: "0.0.0.0" }, { lines });
  const page = (path: string, headers: HeadersInit = {}) =>
    fetch(viewer.pageUrl + path, { redirect: "manual", headers });
  const status = async (response: Promise<Response>) => {
    const { status, body } = await response;
    await body?.cancel();
    return status;
  };

  for (const path of ["/", "/api/summaries", "/api/stream", "/metrics", "/traces/00"]) {
    assert.equal(await status(page(path)), 401, path);
  }
  assert.equal(await status(page("/livez")), 200);
  const refused = await viewer.send("traces", tracesRequest([{}]));
  assert.equal(refused.status, 401);
  assert.match(await refused.text(), /OTEL_EXPORTER_OTLP_HEADERS/);

  const link = /page=(\S+)/.exec(lines.find((line) => line.includes("is ready"))!)![1]!;
  const path = new URL(link).pathname;
  const entered = await page(path);
  assert.equal(entered.status, 303);
  assert.equal(entered.headers.get("location"), "/");
  const cookie = entered.headers.get("set-cookie")!;
  assert.match(cookie, /HttpOnly; SameSite=Strict/);
  await entered.body?.cancel();
  assert.equal(await status(page(path)), 401, "the link is used up");

  const withCookie = { cookie: cookie.split(";")[0]! };
  assert.equal(await status(page("/api/summaries", withCookie)), 200);
  assert.equal(await status(page("/api/summaries", { cookie: `${withCookie.cookie}0` })), 401);

  // What senders need is told to who is in, and never to the log.
  const stream = await page("/api/stream", withCookie);
  const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("otlpHeaders")) text += (await reader.read()).value;
  await reader.cancel();
  const token = /authorization=Bearer%20(\w+)/.exec(text)![1]!;
  assert.ok(!lines.join("\n").includes(token));
  const authorization = `Bearer ${token}`;
  const sent = await viewer.send("traces", new Uint8Array(gzipSync(tracesRequest([{}]))), {
    authorization,
    "content-encoding": "gzip",
  });
  assert.equal(sent.status, 200);
  await sent.body?.cancel();
  for (const shown of [undefined, "Bearer wrong"]) {
    const { status, message } = await exportByGrpc(viewer.grpcAddress, shown);
    // UNAUTHENTICATED: an exporter does not try again.
    assert.equal(status, "16", message);
    assert.match(message, /OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20/);
  }
  assert.equal((await exportByGrpc(viewer.grpcAddress, authorization)).status, "0");
  assert.equal(await status(page("/api/summaries", { authorization })), 200);
  assert.equal(await status(page("/api/summaries", { authorization: "Bearer wrong" })), 401);
});

function exportByGrpc(address: string, authorization: string | undefined) {
  return call(
    address,
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    framed(tracesRequest([{}])),
    authorization === undefined ? {} : { authorization },
  );
}

Deno.test("who has neither gets a page that takes the token or writes a link into the log", async () => {
  const lines: string[] = [];
  await using viewer = await testConsole({ host: "0.0.0.0" }, { lines });
  const asked = await fetch(viewer.pageUrl, { headers: { accept: "text/html" } });
  assert.equal(asked.status, 401);
  assert.match(await asked.text(), /<form method="post" action="\/login">/);
  const before = lines.length;
  const post = async (body: string) => {
    const response = await fetch(`${viewer.pageUrl}/login`, { method: "POST", body });
    return await response.text();
  };
  assert.match(await post("token=guess"), /That is not the token/);
  assert.match(await post("link=1"), /A new link stands in the console's log/);
  assert.match(await post(`token=${"x".repeat(2_048)}`), /at most 2048 bytes/);
  await post("link=1");
  const said = lines.slice(before).filter((line) => line.includes("/login/"));
  assert.equal(said.length, 1, "one in ten seconds");
});

testWith(
  ["read", "write"],
  "a token of a file holds for the next start, also on loopback",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const tokenFile = `${folder}/token`;
      const tokens: string[] = [];
      for (let start = 0; start < 2; start++) {
        await using viewer = await testConsole({ tokenFile });
        const token = (await Deno.readTextFile(tokenFile)).trim();
        tokens.push(token);
        const without = await viewer.send("traces", tracesRequest([{}]));
        await without.body?.cancel();
        const sent = await viewer.send("traces", tracesRequest([{}]), {
          authorization: `Bearer ${token}`,
        });
        await sent.body?.cancel();
        assert.deepEqual([without.status, sent.status], [401, 200]);
      }
      assert.equal(tokens[0], tokens[1]);
      assert.equal((await Deno.stat(tokenFile)).mode! & 0o777, 0o600);
      await Deno.writeTextFile(tokenFile, "short");
      await assert.rejects(
        testConsole({ tokenFile }),
        /There is no token in .*at least 16 characters/,
      );
      await assert.rejects(
        testConsole({ tokenFile: `${folder}/none/token` }),
        /Cannot make the token's file/,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test("behind a proxy's path everything is found with it and without it", async () => {
  await using viewer = await testConsole({ basePath: "/orrery" });
  await viewer.sendSpans([{ name: "a" }]);
  for (const base of ["", "/orrery"]) {
    const sent = await fetch(`${viewer.otlpUrl}${base}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: tracesRequest([{}]),
    });
    await sent.body?.cancel();
    assert.equal(sent.status, 200, base);
    const answer = await fetch(`${viewer.pageUrl}${base}/api/summaries?limit=1`);
    assert.equal((await answer.json()).traces.length, 1, base);
  }
  const other = await fetch(`${viewer.pageUrl}/orreryx/api/summaries`);
  await other.body?.cancel();
  assert.equal(other.status, 404);
});
