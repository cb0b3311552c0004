import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { type OrbServerOptions, startOrbServer } from "./server.ts";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";

type TestServer = { url: string; port: number; lines: string[] };

function serverTest(
  name: string,
  options: Partial<OrbServerOptions>,
  run: (server: TestServer) => Promise<void>,
): void {
  testWith(["net", "read", "write"], name, async () => {
    const dataDir = await Deno.makeTempDir();
    const context = testContext();
    const server = await startOrbServer({ orbApiPort: 0, dataDir, ...options }, context);
    try {
      await run({ url: server.url, port: server.port, lines: context.lines });
    } finally {
      await server.stop(AbortSignal.timeout(5_000));
      await Deno.remove(dataDir, { recursive: true });
    }
  });
}

async function ask(
  server: TestServer,
  path: string,
  init: RequestInit = {},
): Promise<{ status: number; type: string; body: string }> {
  const response = await fetch(`${server.url}${path}`, init);
  return {
    status: response.status,
    type: response.headers.get("content-type") ?? "",
    body: await response.text(),
  };
}

function signup(body: BodyInit | null, type = "application/json"): RequestInit {
  return { method: "POST", body, headers: { "content-type": type } };
}

const json = (image: unknown, id: unknown = "01M7YWWF73WJAQYR7RMSPYEYZP") =>
  JSON.stringify({ id, image_base64: image });
const text = "text/plain; charset=utf-8";
const problem = "application/problem+json";

serverTest("every request gets the answer of the contract", { maxBody: 1_000 }, async (server) => {
  type Case = [
    name: string,
    path: string,
    init: RequestInit,
    status: number,
    type: string,
    body: string | RegExp,
  ];
  const cases: Case[] = [
    ["an image", "/api/signup", signup(json("AQIDBAU=")), 200, text, "371dd8e3f2423f4a"],
    ["it again", "/api/signup", signup(json("AQIDBAU=")), 409, text, "Orb image already exist"],
    [
      "it again by another id",
      "/api/signup",
      signup(json("AQIDBAU=", "x")),
      409,
      text,
      "Orb image already exist",
    ],
    ["15 digits", "/api/signup", signup(json("AgI=")), 200, text, "1107fa14cb42ad7"],
    [
      "a charset and other fields",
      "/api/signup",
      signup('{"id":"1","image_base64":"BAQ=","more":{}}', "Application/JSON; charset=utf-8"),
      200,
      text,
      "3e2145f38adc6fc6",
    ],
    [
      "not base64",
      "/api/signup",
      signup(json("?")),
      409,
      text,
      /^Failed to decode Base64 image: ./,
    ],
    ["no padding", "/api/signup", signup(json("AQIDBAU")), 409, text, /^Failed to decode Base64 /],
    ["an empty image", "/api/signup", signup(json("")), 422, problem, /empty/],
    ["broken JSON", "/api/signup", signup('{"id":'), 400, problem, /not JSON/],
    ["an empty body", "/api/signup", signup(""), 400, problem, /empty/],
    ["no body", "/api/signup", signup(null), 400, problem, /empty/],
    [
      "bytes that are not UTF-8",
      "/api/signup",
      signup(new Uint8Array([0x7b, 0xff])),
      400,
      problem,
      /not JSON/,
    ],
    ["a missing id", "/api/signup", signup('{"image_base64":"AQID"}'), 422, problem, /'id'/],
    ["a missing image", "/api/signup", signup('{"id":"1"}'), 422, problem, /'image_base64'/],
    ["an id of a wrong type", "/api/signup", signup(json("AQID", 7)), 422, problem, /'id'/],
    ["an image of a wrong type", "/api/signup", signup(json(7)), 422, problem, /'image_base64'/],
    ["a list", "/api/signup", signup("[]"), 422, problem, /JSON object/],
    [
      "a body over the limit",
      "/api/signup",
      signup(json("A".repeat(1_000))),
      413,
      problem,
      /at most 1000 bytes/,
    ],
    [
      "a body over the limit, in chunks",
      "/api/signup",
      signup(ReadableStream.from([new Uint8Array(600), new Uint8Array(600)])),
      413,
      problem,
      /at most 1000 bytes/,
    ],
    [
      "another type",
      "/api/signup",
      signup(json("AQID"), "text/plain"),
      404,
      problem,
      /application/,
    ],
    [
      "a type that begins alike",
      "/api/signup",
      signup(json("AQID"), "application/json5"),
      404,
      problem,
      /./,
    ],
    ["another method", "/api/signup", { method: "PUT", body: json("AQID") }, 404, problem, /./],
    ["GET", "/api/signup", {}, 404, problem, /GET \/api\/signup/],
    ["another path", "/api/sign", signup(json("AQID")), 404, problem, /./],
    ["GET of the reset", "/api/reset", {}, 404, problem, /./],
    ["reset", "/api/reset", { method: "POST" }, 200, text, "reset completed!"],
    ["the image after the reset", "/api/signup", signup(json("AQIDBAU=")), 200, text, /^371dd8e3/],
    ["reset with a body", "/api/reset", signup("{[", "x/y"), 200, text, "reset completed!"],
    ["the image after both", "/api/signup", signup(json("AQIDBAU=")), 200, text, /^371dd8e3/],
    ["liveness", "/livez", {}, 200, text, "ok\n"],
    ["liveness's alias", "/healthz", {}, 200, text, "ok\n"],
    ["readiness", "/readyz", {}, 200, text, "ok\n"],
  ];
  for (const [name, path, init, status, type, body] of cases) {
    const answer = await ask(server, path, init);
    assert.equal(answer.status, status, `${name}: ${answer.body}`);
    assert.equal(answer.type, type, name);
    if (typeof body === "string") assert.equal(answer.body, body, name);
    else assert.match(answer.body, body, name);
    if (type === problem) assert.equal(JSON.parse(answer.body).status, status, name);
  }
});

serverTest("what was refused stored nothing", {}, async (server) => {
  for (const body of [json("AQIDBAU"), json("AQIDBAU=", 1), `${json("AQIDBAU=")},`]) {
    assert.notEqual((await ask(server, "/api/signup", signup(body))).status, 200);
  }
  assert.equal((await ask(server, "/api/signup", signup(json("AQIDBAU=")))).status, 200);
});

serverTest("one of many signups of the same image at once is the first", {}, async (server) => {
  const answers = await Promise.all(
    Array.from({ length: 40 }, () => ask(server, "/api/signup", signup(json("AQIDBAU=")))),
  );
  assert.equal(answers.filter((answer) => answer.status === 200).length, 1);
  assert.equal(answers.filter((answer) => answer.status === 409).length, 39);
});

serverTest("the log has the original's lines", {}, async (server) => {
  await ask(server, "/api/signup", signup(json("AQIDBAU=", "01J")));
  await ask(server, "/api/signup", signup(json("AQIDBAU=", "01K")));
  assert.deepEqual(server.lines, [
    `INFO 🚀 Virtual Orb Test Server at http:/localhost:${server.port}`,
    `INFO The orb server is ready url=${server.url} tokens=0 event.name=orb.server.ready`,
    "INFO 📩 New Signup request Id: 01J",
    "INFO 📩 New Signup request Id: 01K",
    "INFO Orb Image already exist",
  ]);
});

serverTest("a body that is too slow is answered 408, others go on", {
  bodyTimeoutMs: 100,
}, async (server) => {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  const head =
    "POST /api/signup HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
  await socket.write(new TextEncoder().encode(head));
  assert.equal((await ask(server, "/api/signup", signup(json("AQID")))).status, 200);
  const buffer = new Uint8Array(1_024);
  const length = await socket.read(buffer);
  assert.match(new TextDecoder().decode(buffer.subarray(0, length!)), /^HTTP\/1\.1 408 /);
  socket.close();
});

serverTest("a client that goes away in the middle of its body does no harm", {}, async (server) => {
  for (let index = 0; index < 20; index++) {
    const socket = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    const head =
      "POST /api/signup HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    await socket.write(new TextEncoder().encode(head));
    socket.close();
  }
  assert.equal((await ask(server, "/api/signup", signup(json("AQID")))).status, 200);
});

serverTest(
  "pages of other sites may neither sign up nor reset, and nobody by another name",
  {},
  async (server) => {
    assert.equal((await ask(server, "/api/signup", signup(json("AQID")))).status, 200);
    const own = `http://127.0.0.1:${server.port}`;
    const foreign: [string, Record<string, string>][] = [
      ["another site's page", { origin: "https://evil.example" }],
      ["another site's form", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }],
      ["a page of another port", { origin: "http://127.0.0.1:1", "sec-fetch-site": "same-site" }],
      ["a sandboxed page", { origin: "null" }],
      ["a rebound name", { host: "evil.example", origin: "http://evil.example" }],
      ["another name", { host: `evil.example:${server.port}` }],
    ];
    for (const [who, headers] of foreign) {
      for (const [path, body] of [["/api/reset", ""], ["/api/signup", json("BAQ=")]] as const) {
        const head = { "content-type": "application/json", ...headers };
        assert.equal(await rawStatus(server.port, path, head, body), 403, `${who} at ${path}`);
      }
    }
    assert.equal(
      (await ask(server, "/api/signup", signup(json("AQID")))).status,
      409,
      "it is still there",
    );
    const programs: Record<string, string>[] = [{}, { origin: own }, { host: "localhost" }];
    for (const headers of programs) {
      assert.equal(await rawStatus(server.port, "/api/reset", headers, ""), 200);
    }
    assert.equal(await rawStatus(server.port, "/readyz", { host: "orb.example" }, "", "GET"), 200);
  },
);

serverTest("names and origins that it is given are fine", {
  allowedHost: ["orb-server"],
  allowedOrigin: ["https://shop.example"],
}, async ({ port }) => {
  const shop = { host: `orb-server:${port}`, origin: "https://shop.example" };
  assert.equal(await rawStatus(port, "/api/reset", shop, ""), 200);
  assert.equal(await rawStatus(port, "/api/reset", { ...shop, host: "orb" }, ""), 403);
});

/** The status of a request whose `Host` and `Origin` are the test's: `fetch` does not let one say so. */
async function rawStatus(
  port: number,
  path: string,
  headers: Record<string, string>,
  body: string,
  method = "POST",
): Promise<number> {
  using socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const fields = Object.entries({
    host: `127.0.0.1:${port}`,
    "content-length": String(body.length),
    connection: "close",
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  const request = `${method} ${path} HTTP/1.1\r\n${fields.join("")}\r\n${body}`;
  await socket.write(new TextEncoder().encode(request));
  return Number((await new Response(socket.readable).text()).split(" ")[1]);
}

testWith(
  ["net", "read", "write"],
  "a server that stops answers all that is under way",
  async () => {
    const dataDir = await Deno.makeTempDir();
    const count = 20;
    const options = { orbApiPort: 0, dataDir, maxRequests: count };
    const server = await startOrbServer(options, testContext());
    const body = (index: number) => json(`AAA${index % 10}`);
    const sockets = await Promise.all(
      Array.from(
        { length: count },
        () => Deno.connect({ hostname: "127.0.0.1", port: server.port }),
      ),
    );
    const write = (socket: Deno.Conn, text: string) => socket.write(new TextEncoder().encode(text));
    for (const [index, socket] of sockets.entries()) {
      const head =
        `POST /api/signup HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${
          body(index).length
        }\r\nconnection: close\r\n\r\n`;
      await write(socket, `${head}{`);
    }
    // As many as may be under way at once: so all of them are.
    await eventually("all requests under way", async () => {
      const response = await fetch(`${server.url}/livez`);
      await response.body?.cancel();
      return response.status === 503 || undefined;
    });
    const stopped = server.stop(AbortSignal.timeout(30_000));
    const statuses = await Promise.all(sockets.map(async (socket, index) => {
      await write(socket, body(index).slice(1));
      return Number((await new Response(socket.readable).text()).split(" ")[1]);
    }));
    await stopped;
    assert.deepEqual(Map.groupBy(statuses, (status) => status).get(200)?.length, 10, `${statuses}`);
    assert.deepEqual(Map.groupBy(statuses, (status) => status).get(409)?.length, 10, `${statuses}`);
    await Deno.remove(dataDir, { recursive: true });
  },
);
