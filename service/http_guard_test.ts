import assert from "node:assert/strict";
import { commandLine } from "./command_line.ts";
import { Hono } from "hono";
import { Guard, guardFlags, type GuardOptions, parseOrigins } from "./http_guard.ts";
import { listen } from "./http_server.ts";
import { StartError } from "./life_cycle.ts";
import { noDeadline } from "./testing/context.ts";
import { testWith } from "./testing/permissions.ts";

type Fields = Record<string, string>;

/** A server behind the guard that answers everything, and says what it has let through. */
function guarded(options: GuardOptions = {}) {
  const app = new Hono();
  const passed: string[] = [];
  app.use(new Guard(options).middleware());
  app.all("*", (c) => {
    passed.push(`${c.req.method} ${c.req.path}`);
    return c.text("passed");
  });
  const ask = (
    path: string,
    headers: Fields = {},
    method = "GET",
    base = "http://127.0.0.1:4242",
  ) => app.request(new Request(`${base}${path}`, { method, headers }));
  const status = async (path: string, headers: Fields = {}, method = "GET") =>
    (await ask(path, { host: "127.0.0.1:4242", ...headers }, method)).status;
  return { passed, ask, status };
}

/** What a browser sends with requests of a page elsewhere that may or may not carry an `Origin`. */
const foreign: Record<string, Fields> = {
  "another site": { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
  "another site, an old browser": { origin: "https://evil.example" },
  "an image or a form of another site": { "sec-fetch-site": "cross-site" },
  "another port": { origin: "http://127.0.0.1:9999", "sec-fetch-site": "same-site" },
  "another port, an old browser": { origin: "http://127.0.0.1:9999" },
  "an image of another port": { "sec-fetch-site": "same-site" },
  "another name of loopback": { origin: "http://localhost:4242" },
  "a sandboxed page": { origin: "null" },
  "a page that is no HTTP": { origin: "chrome-extension://127.0.0.1:4242" },
  "a site that the browser does not call ours": {
    origin: "http://127.0.0.1:4242",
    "sec-fetch-site": "cross-site",
  },
};

for (const [who, headers] of Object.entries(foreign)) {
  Deno.test(`guard refuses ${who}: reading, writing and WebSockets`, async () => {
    const { ask, passed, status } = guarded();
    for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]) {
      assert.equal(await status("/api/reset", headers, method), 403, method);
    }
    if (headers.origin !== "http://127.0.0.1:4242") {
      assert.equal(await status("/ws", { ...headers, upgrade: "websocket" }), 403, "upgrade");
    }
    assert.deepEqual(passed, []);
    const answer = await ask("/", { host: "127.0.0.1:4242", ...headers });
    const problem = await answer.json();
    assert.equal(problem.title, "Foreign origin");
    assert.match(problem.detail, /--allowed-origin/);
    assert.equal(answer.headers.get("access-control-allow-origin"), null);
  });
}

Deno.test("guard lets through its own page, programs and links from elsewhere", async () => {
  const { status } = guarded();
  const own = { origin: "http://127.0.0.1:4242" };
  const through: [string, Fields, string][] = [
    ["curl", {}, "POST"],
    ["its own page", { ...own, "sec-fetch-site": "same-origin" }, "DELETE"],
    ["its own page in an old browser", own, "POST"],
    ["its own page reads", { "sec-fetch-site": "same-origin" }, "GET"],
    ["a person who types the address", { "sec-fetch-site": "none" }, "GET"],
    ["its own page's WebSocket", { ...own, upgrade: "websocket" }, "GET"],
    [
      "its own page's WebSocket, whose ws: a browser takes for another site",
      { ...own, upgrade: "websocket", "sec-fetch-site": "cross-site" },
      "GET",
    ],
    ["localhost", { host: "localhost:1", origin: "http://localhost:1" }, "POST"],
    ["a proxy that ends TLS", { host: "localhost", origin: "https://localhost" }, "POST"],
    ["a default port that is named", { host: "localhost:80", origin: "http://localhost" }, "POST"],
    [
      "a link from elsewhere",
      {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
      },
      "GET",
    ],
  ];
  for (const [who, headers, method] of through) {
    assert.equal(await status("/", headers, method), 200, who);
  }
});

Deno.test("guard takes no link that changes something or is shown inside of a page", async () => {
  const { status } = guarded();
  const link = {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  };
  assert.equal(await status("/", link, "POST"), 403);
  assert.equal(await status("/", { ...link, "sec-fetch-dest": "iframe" }), 403);
  assert.equal(await status("/", { ...link, upgrade: "websocket" }), 403);
});

Deno.test("guard behind TLS does not take its plain namesake for its own", async () => {
  const { ask } = guarded();
  const status = async (origin: string) =>
    (await ask("/", { host: "localhost:4433", origin }, "POST", "https://localhost:4433")).status;
  assert.equal(await status("https://localhost:4433"), 200);
  assert.equal(await status("http://localhost:4433"), 403);
});

Deno.test("guard knows loopback's names and its own address, and no other Host", async () => {
  const { ask, status } = guarded({ host: "127.0.0.1" });
  for (
    const host of [
      ...["127.0.0.1", "127.0.0.1:4242", "127.9.9.9:1", "localhost", "LOCALHOST:80", "localhost."],
      ...["[::1]", "[::1]:8080"],
    ]
  ) {
    assert.equal(await status("/", { host }), 200, host);
  }
  for (
    const host of [
      ...["evil.example", "evil.example:4242", "localhost.evil.example", "127.0.0.1.evil.example"],
      ...["10.0.0.7", "0.0.0.0:4242", "[2001:db8::1]", "localhost@evil.example"],
      ...["evil.example@localhost", "localhost/evil", "localhost, evil.example", "a b", "", ":80"],
    ]
  ) {
    for (const method of ["GET", "POST", "OPTIONS"]) {
      assert.equal(await status("/", { host }, method), 403, `${method} ${host}`);
    }
    assert.equal(await status("/", { host, upgrade: "websocket" }), 403, `upgrade ${host}`);
  }
  const problem = await (await ask("/", { host: "evil.example" })).json();
  assert.equal(problem.title, "Foreign host name");
  assert.match(problem.detail, /evil\.example.*--allowed-host/);
});

Deno.test("guard does not take a rebound name's page for its own", async () => {
  const { status } = guarded();
  const rebound = {
    host: "evil.example:4242",
    origin: "http://evil.example:4242",
    "sec-fetch-site": "same-origin",
  };
  assert.equal(await status("/keys/rotate", rebound, "POST"), 403);
  assert.equal(await status("/api/traces", rebound), 403);
});

Deno.test("guard takes names it is given, and addresses when it listens beyond loopback", async () => {
  const named = guarded({ allowedHosts: ["orb-server", "Bücher.Example", "2001:db8::1"] });
  assert.equal(await named.status("/", { host: "orb-server:4242" }), 200);
  assert.equal(await named.status("/", { host: "ORB-SERVER" }), 200);
  assert.equal(await named.status("/", { host: "xn--bcher-kva.example" }), 200);
  assert.equal(await named.status("/", { host: "[2001:db8::1]:80" }), 200);
  assert.equal(await named.status("/", { host: "other" }), 403);

  for (const host of ["0.0.0.0", "::", "192.0.2.1", "2001:db8::5"]) {
    const remote = guarded({ host });
    assert.equal(await remote.status("/", { host: "10.0.0.7:4242" }), 200, host);
    assert.equal(await remote.status("/", { host: "[fd00::1]:4242" }), 200, host);
    assert.equal(await remote.status("/", { host: "localhost" }), 200, host);
    assert.equal(await remote.status("/", { host: "evil.example" }), 403, host);
    // A name with digits and dots that is no address.
    assert.equal(await remote.status("/", { host: "1.2.3.4.5" }), 403, host);
  }
});

Deno.test("guard leaves health to whoever asks for it, by GET", async () => {
  const { status } = guarded();
  for (const path of ["/livez", "/readyz", "/healthz"]) {
    assert.equal(await status(path, { host: "10.0.0.7" }), 200);
    assert.equal(await status(path, { host: "pod.example", ...foreign["another site"] }), 200);
    assert.equal(await status(path, { host: "10.0.0.7" }, "POST"), 403);
  }
  assert.equal(await status("/livez/more", { host: "10.0.0.7" }), 403);
});

Deno.test("guard lets every page read what is public, under any name", async () => {
  const { ask, status } = guarded({ publicPaths: ["/.well-known/pingpong.json"] });
  const path = "/.well-known/pingpong.json";
  const answer = await ask(path, { host: "ping.example", origin: "https://lab.example" });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  const preflight = { host: "localhost", origin: "null", "access-control-request-method": "GET" };
  assert.equal(await status(path, preflight, "OPTIONS"), 204);
  assert.equal(await status(path, { origin: "https://lab.example" }, "POST"), 403);
  const writing = { ...preflight, "access-control-request-method": "POST" };
  assert.equal(await status(path, writing, "OPTIONS"), 403);
});

Deno.test("guard lets pages of listed origins call, and tells their browser so", async () => {
  const { ask, passed, status } = guarded({ allowedOrigins: ["https://Shop.example:443/"] });
  const shop = {
    host: "localhost:1",
    origin: "https://shop.example",
    "sec-fetch-site": "cross-site",
  };
  const answer = await ask("/sign", shop, "POST");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("access-control-allow-origin"), "https://shop.example");
  assert.equal(answer.headers.get("access-control-allow-credentials"), null);
  assert.match(answer.headers.get("vary") ?? "", /Origin/);
  assert.equal(await status("/ws", { ...shop, upgrade: "websocket" }), 200);

  passed.length = 0;
  const preflight = await ask("/sign", {
    ...shop,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type, authorization",
  }, "OPTIONS");
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get("access-control-allow-origin"), "https://shop.example");
  assert.equal(preflight.headers.get("access-control-allow-headers"), "content-type,authorization");
  assert.match(preflight.headers.get("access-control-allow-methods")!, /POST/);
  assert.equal(preflight.headers.get("access-control-max-age"), "7200");
  assert.deepEqual(passed, [], "no route has seen the preflight");

  assert.equal(await status("/sign", { origin: "https://shop.example.evil" }, "POST"), 403);
  assert.equal(await status("/sign", { origin: "http://shop.example" }, "POST"), 403);
  // What a shared cache keeps for one of the two would be wrong for the other.
  const own = await ask("/sign", { host: "localhost:1" });
  assert.equal(own.headers.get("vary"), "Origin");
});

Deno.test("guard of a receiver for all pages answers *, for its methods", async () => {
  const { ask } = guarded({ allowedOrigins: ["*"], corsMethods: ["POST"] });
  for (const origin of ["https://any.example", "null"]) {
    const answer = await ask("/v1/traces", { host: "localhost", origin }, "POST");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  }
  const preflight = await ask("/v1/traces", {
    host: "localhost",
    origin: "https://any.example",
    "access-control-request-method": "POST",
  }, "OPTIONS");
  assert.equal(preflight.headers.get("access-control-allow-methods"), "POST");
  const rebound = { host: "evil.example", origin: "https://any.example" };
  assert.equal(
    (await ask("/v1/traces", rebound, "POST")).status,
    403,
    "the Host counts all the same",
  );
});

Deno.test("guard may let pages of any loopback origin call", async () => {
  const { status } = guarded({ loopbackOrigins: true });
  for (const origin of ["http://localhost:3000", "http://127.0.0.1:9", "https://[::1]:1"]) {
    assert.equal(await status("/", { origin, "sec-fetch-site": "same-site" }, "POST"), 200, origin);
  }
  for (const origin of ["http://localhost.evil.example", "https://evil.example", "null"]) {
    assert.equal(await status("/", { origin }, "POST"), 403, origin);
  }
});

Deno.test("guard may take the asked host's pages on any port for its own", () => {
  const guard = new Guard({ anyPort: true, allowedOrigins: ["https://lab.example"] });
  const source = (origin: string, host = "127.0.0.1:4433") => guard.source({ origin, host });
  assert.equal(source("http://localhost:4480"), "own");
  assert.equal(source("https://127.0.0.1:4433"), "own");
  assert.equal(source("https://ping.example:1", "ping.example"), "own");
  assert.equal(source("https://lab.example"), "allowed");
  assert.equal(source("https://evil.example"), "foreign");
  assert.equal(source("http://localhost:4480", "ping.example"), "foreign");
  assert.equal(source("null"), "foreign");
});

Deno.test("guard may refuse in a caller's own words", async () => {
  const { ask } = guarded({
    refuse: ({ kind }, request) => new Response(`${kind} ${request.method}`, { status: 418 }),
  });
  const answer = await ask("/", { host: "evil.example" }, "POST");
  assert.deepEqual([answer.status, await answer.text()], [418, "foreign-host POST"]);
});

Deno.test("guard does not begin with a name or an origin that is none", () => {
  for (
    const name of ["orb:80", "http://orb", "a b", "orb/", "*", "*.example", "", "u@h", "[::1]:1"]
  ) {
    assert.throws(() => new Guard({ allowedHosts: [name] }), StartError, name);
  }
  for (
    const origin of [
      ...["shop.example", "localhost:3000", "https://shop.example/app", "https://shop.example?x"],
      ...["ftp://shop.example", "null", "https://u@shop.example", "", "https://"],
    ]
  ) {
    assert.throws(() => new Guard({ allowedOrigins: [origin] }), StartError, origin);
  }
});

testWith(
  ["env"],
  "guardFlags read lists, from the environment too, and refuse what is none",
  () => {
    const command = () =>
      commandLine({ name: "fixture", summary: "", examples: [["fixture", ""]] })
        .addOption(guardFlags.allowedHost())
        .addOption(guardFlags.allowedOrigin())
        .exitOverride().configureOutput({ writeErr: () => {} });
    const parse = (...args: string[]) => command().parse(args, { from: "user" }).opts();
    assert.deepEqual(parse("--allowed-host", "a", "B", "--allowed-host", "c"), {
      allowedHost: ["a", "b", "c"],
    });
    assert.deepEqual(parse("--allowed-origin", "https://shop.example/,http://x:80"), {
      allowedOrigin: ["https://shop.example", "http://x"],
    });
    for (const origin of ["shop.example", "https://shop.example/path", "*"]) {
      assert.throws(
        () => parse("--allowed-origin", origin),
        /Try 'fixture --help'|is no origin/,
        origin,
      );
    }
    assert.throws(() => parse("--allowed-host", "a:80"), /is no host name/);
    assert.deepEqual(parseOrigins({ any: true })("* https://shop.example"), [
      "*",
      "https://shop.example",
    ]);
  },
);

Deno.test("guard judges what really arrives: HTTP/1.0 without a Host, and a Host of somebody's own", async () => {
  const app = new Hono();
  app.use(new Guard().middleware());
  app.all("*", (c) => c.text("passed"));
  const server = await listen(app.fetch, { port: 0, portFlag: "--port" });
  const status = async (request: string) => {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await connection.write(new TextEncoder().encode(request));
    return Number((await new Response(connection.readable).text()).split(" ")[1]);
  };
  const tail = "content-length: 0\r\nconnection: close\r\n\r\n";
  assert.equal(await status("GET / HTTP/1.0\r\n\r\n"), 200);
  assert.equal(await status(`POST / HTTP/1.1\r\nhost: 127.0.0.1\r\n${tail}`), 200);
  assert.equal(await status(`POST / HTTP/1.1\r\nhost: evil.example\r\n${tail}`), 403);
  assert.equal(
    await status(`POST http://localhost/ HTTP/1.1\r\nhost: evil.example\r\n${tail}`),
    403,
  );
  await server.stop(noDeadline);
});

Deno.test("guard tells caches that an answer depends on the origin, where it does, beside what they know", async () => {
  const shop = ["https://shop.example"];
  for (
    const [allowedOrigins, method, more, vary] of [
      [shop, "GET", {}, "Accept, Origin"],
      [shop, "GET", { origin: "http://127.0.0.1:4242" }, "Accept, Origin"],
      [shop, "POST", {}, "Accept"],
      [shop, "GET", { upgrade: "websocket" }, "Accept"],
      [[], "GET", {}, "Accept"],
      [["*"], "GET", {}, "Accept"],
    ] as const
  ) {
    const app = new Hono();
    app.use(new Guard({ allowedOrigins }).middleware());
    app.all("*", (c) => c.text("", 200, { vary: "Accept" }));
    const headers = { host: "127.0.0.1:4242", ...more };
    const answer = await app.request(
      new Request("http://127.0.0.1:4242/", { method, headers }),
    );
    assert.equal(answer.headers.get("vary"), vary, `${method} ${allowedOrigins}`);
  }
});

Deno.test("guard lets origins send credentials where that is wanted, each by its name", async () => {
  for (const allowedOrigins of [["*"], ["https://shop.example"]]) {
    const { ask } = guarded({ allowedOrigins, corsCredentials: true });
    const answer = await ask("/", { host: "localhost", origin: "https://shop.example" }, "POST");
    assert.equal(answer.headers.get("access-control-allow-origin"), "https://shop.example");
    assert.equal(answer.headers.get("access-control-allow-credentials"), "true");
    const preflight = await ask("/", {
      ...{ host: "localhost", origin: "https://shop.example" },
      "access-control-request-method": "PUT",
    }, "OPTIONS");
    assert.equal(
      preflight.headers.get("access-control-allow-methods"),
      "GET,HEAD,POST,PUT,PATCH,DELETE",
    );
  }
});

Deno.test("guard answers the preflight of a reader of what is public, and of nobody else", async () => {
  const { ask } = guarded({ publicPaths: ["/open"] });
  const elsewhere = { host: "evil.example", origin: "https://evil.example" };
  for (
    const [method, asked, status] of [
      ["GET", undefined, 200],
      ["HEAD", undefined, 200],
      ["OPTIONS", "GET", 204],
      ["OPTIONS", "HEAD", 204],
      ["OPTIONS", "POST", 403],
      ["OPTIONS", undefined, 403],
      ["POST", undefined, 403],
      // Only of `OPTIONS` the field says what is to come.
      ["POST", "GET", 403],
    ] as const
  ) {
    const more = asked && { "access-control-request-method": asked };
    const answer = await ask("/open", { ...elsewhere, ...more }, method);
    assert.equal(answer.status, status, `${method} ${asked}`);
    if (status === 403) continue;
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    if (status !== 204) continue;
    assert.equal(answer.headers.get("access-control-allow-methods"), "GET,HEAD");
    assert.equal(answer.headers.get("access-control-max-age"), "7200");
  }
});

Deno.test("guard takes an address for a name of its own beyond loopback, and no name that looks like one", () => {
  const guard = new Guard({ host: "0.0.0.0" });
  for (const host of ["10.0.0.1", "192.168.178.254:80", "[fe80::1]:80", "127.0.0.1"]) {
    assert.equal(guard.isKnownHost(host), true, host);
  }
  for (
    const host of [
      ...[
        "10.0.0.1.evil.example",
        "evil.example",
        "evil-10.0.0.1.example",
        "",
        "a b",
        "u@10.0.0.1",
      ],
    ]
  ) assert.equal(guard.isKnownHost(host), false, host);
  assert.equal(new Guard().isKnownHost("10.0.0.1"), false);
});

Deno.test("guard judges by origin, site, scheme and port, of which a request may lack any", () => {
  const source = (asked: Parameters<Guard["source"]>[0], options: GuardOptions = {}) =>
    new Guard(options).source(asked);
  const host = "localhost:80";
  for (
    const [asked, verdict] of [
      [{ host, origin: undefined }, "own"],
      [{ host, origin: undefined, site: "none" }, "own"],
      [{ host, origin: undefined, site: "same-origin" }, "own"],
      [{ host, origin: undefined, site: "same-site" }, "foreign"],
      [{ host, origin: undefined, site: "cross-site" }, "foreign"],
      [{ host, origin: "http://localhost" }, "own"],
      [{ host, origin: "http://localhost", site: "same-site" }, "foreign"],
      [{ host, origin: "https://localhost:80" }, "own"],
      [{ host, origin: "http://localhost", scheme: "https:" }, "foreign"],
      [{ host: "", origin: "http://localhost" }, "foreign"],
      [{ host, origin: "null" }, "foreign"],
      [{ host, origin: "ftp://localhost" }, "foreign"],
      [{ host, origin: "not a URL" }, "foreign"],
    ] as const
  ) assert.equal(source(asked), verdict, JSON.stringify(asked));
  const all = { allowedOrigins: ["*"] };
  assert.equal(source({ host, origin: undefined, site: "cross-site" }, all), "allowed");
  for (const scheme of ["http", "https"]) {
    const anyPort = { allowedOrigins: [`${scheme}://localhost:*`] };
    assert.equal(source({ host: "h", origin: `${scheme}://localhost:3000` }, anyPort), "allowed");
    for (const origin of [`${scheme}://evil.example:3000`, "ws://localhost:3000", "null"]) {
      assert.equal(source({ host: "h", origin }, anyPort), "foreign", origin);
    }
  }
  for (
    const origin of [
      "http://x.example:*",
      "x http://localhost:*",
      "http://localhost:*/",
      "http://localhost:*x",
    ]
  ) {
    assert.throws(() => new Guard({ allowedOrigins: [origin] }), {
      name: "StartError",
      message: /is no origin: only a port may be \*/,
    }, origin);
  }
});

Deno.test("guard says whom it has refused, and what an operator can do, within a line", async () => {
  const { ask } = guarded();
  const detail = async (headers: Fields) => (await (await ask("/", headers)).json()).detail;
  const long = "n".repeat(300);
  assert.equal(
    await detail({ host: long }),
    `This server is not known by the name ${
      "n".repeat(200)
    }. Use 127.0.0.1 or localhost, or start it with --allowed-host and that name.`,
  );
  const ours = { host: "127.0.0.1:4242" };
  const refused = (pages: string) =>
    `Pages of ${pages} may not use this server, unless it is started with --allowed-origin and their origin.`;
  assert.equal(await detail({ ...ours, origin: "null" }), refused("other sites"));
  assert.equal(await detail({ ...ours, "sec-fetch-site": "cross-site" }), refused("other sites"));
  const origin = "https://evil.example";
  assert.equal(await detail({ ...ours, origin }), refused(`the origin ${origin}`));
  // A link that is followed, and nothing that only looks like one.
  const link = { ...ours, "sec-fetch-site": "cross-site" };
  for (
    const [mode, dest, status] of [
      ["navigate", "document", 200],
      ["navigate", "iframe", 403],
      ["no-cors", "document", 403],
    ] as const
  ) {
    const headers = { ...link, "sec-fetch-mode": mode, "sec-fetch-dest": dest };
    assert.equal((await ask("/", headers)).status, status, `${mode} ${dest}`);
  }
});

Deno.test("lists of origins may have commas, spaces and nothing between", () => {
  assert.deepEqual(parseOrigins()(" https://a.example,, \n https://b.example ", ["x"]), [
    ...["x", "https://a.example", "https://b.example"],
  ]);
  assert.throws(() => parseOrigins()("*"), /only a port may be \*/);
  assert.throws(() => parseOrigins({ any: true })("**"), /only a port may be \*/);
});
