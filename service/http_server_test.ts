import assert from "node:assert/strict";
import { hostFlags, isLoopback, listen, parseBasePath, portFlag } from "./http_server.ts";
import { StartError } from "./life_cycle.ts";
import { createLog } from "./log.ts";
import { noDeadline, testContext } from "./testing/context.ts";
import { eventually } from "./testing/eventually.ts";
import { hasIpv6 } from "./testing/ipv6.ts";
import { Peer } from "./testing/tcp_peer.ts";

const never = new AbortController().signal;

Deno.test("listen() serves on a free port and says which", async () => {
  const server = await listen(() => new Response("hi"), { port: 0, portFlag: "--port" });
  assert.equal(await (await fetch(server.url)).text(), "hi");
  assert.equal(new URL(server.url).port, String(server.port));
  await server.stop(never);
});

Deno.test("listen() names the port and the flag when the port is taken", async () => {
  const first = await listen(() => new Response(), { port: 0, portFlag: "--port" });
  await assert.rejects(
    () => listen(() => new Response(), { port: first.port, portFlag: "--orb-api-port" }),
    (error) =>
      error instanceof StartError &&
      error.message.includes(`127.0.0.1:${first.port}: the port is in use`) &&
      error.message.includes("--orb-api-port"),
  );
  await first.stop(never);
});

Deno.test("listen() refuses an address beyond loopback unless allowed or authenticated", async () => {
  const options = { host: "0.0.0.0", port: 0, portFlag: "--port" };
  await assert.rejects(listen(() => new Response(), options), /Refuses to listen on 0\.0\.0\.0/);
  for (const allowed of [{ authenticated: true }, { allowRemoteWithoutAuth: true }]) {
    const server = await listen(() => new Response(), { ...options, ...allowed });
    assert.match(server.url, /^http:\/\/127\.0\.0\.1:/);
    await server.stop(never);
  }
});

Deno.test({
  name: "listen() on localhost has both families, with one port, one limit and one end",
  ignore: !hasIpv6(),
  async fn() {
    const { promise: release, resolve } = Promise.withResolvers<void>();
    const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
    const server = await listen(async ({ url }) => {
      if (!url.endsWith("/slow")) return new Response("hi");
      enter();
      await release;
      return new Response("done");
    }, { host: "localhost", port: 0, portFlag: "--port", maxRequestsInFlight: 1 });
    assert.match(server.url, /^http:\/\/127\.0\.0\.1:/);
    for (const host of ["127.0.0.1", "[::1]", "localhost"]) {
      assert.equal(await (await fetch(`http://${host}:${server.port}`)).text(), "hi", host);
    }
    const slow = fetch(`http://[::1]:${server.port}/slow`);
    await entered;
    const second = await fetch(`http://127.0.0.1:${server.port}`);
    assert.equal(second.status, 503, "what is under way on one counts on the other");
    await second.body?.cancel();
    const stopped = server.stop(never);
    resolve();
    assert.equal(await (await slow).text(), "done");
    await stopped;
    for (const host of ["127.0.0.1", "[::1]"]) {
      await assert.rejects(fetch(`http://${host}:${server.port}`), TypeError, host);
    }
  },
});

Deno.test({
  name: "listen() on localhost says that another program has its port of IPv6",
  ignore: !hasIpv6(),
  async fn() {
    const other = await listen(() => new Response(), { host: "::1", port: 0, portFlag: "--port" });
    const lines: string[] = [];
    const log = createLog({
      name: "test",
      format: "text",
      level: "info",
      write: (line) => lines.push(line),
    });
    const server = await listen(() => new Response("hi"), {
      ...{ host: "localhost", port: other.port, portFlag: "--port", log },
    });
    assert.equal(await (await fetch(server.url)).text(), "hi");
    assert.match(
      lines.join(),
      new RegExp(`Another program has this port.*\\[::1\\]:${other.port}`),
    );
    await server.stop(never);
    await other.stop(never);
  },
});

Deno.test("isLoopback() knows loopback addresses and no look-alikes", () => {
  for (const host of ["127.0.0.1", "127.10.200.255", "::1", "[::1]", "localhost"]) {
    assert.ok(isLoopback(host));
  }
  for (
    const host of [
      "0.0.0.0",
      "::",
      "127.0.0.1.evil.example",
      "9127.0.0.1",
      "10.0.0.1",
      "localhost.evil",
    ]
  ) {
    assert.ok(!isLoopback(host), host);
  }
});

Deno.test("listen() answers 503 with Retry-After beyond its requests in flight", async () => {
  const { promise: release, resolve } = Promise.withResolvers<void>();
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  const server = await listen(async () => {
    enter();
    await release;
    return new Response("done");
  }, { port: 0, portFlag: "--port", maxRequestsInFlight: 1 });
  const first = fetch(server.url);
  await entered;
  const second = await fetch(server.url);
  assert.equal(second.status, 503);
  assert.equal(second.headers.get("retry-after"), "1");
  await second.body?.cancel();
  resolve();
  assert.equal(await (await first).text(), "done");
  await server.stop(never);
});

Deno.test("stop() waits for a request under way and cuts it at the deadline", async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  const server = await listen(async () => {
    enter();
    await new Promise(() => {});
    return new Response();
  }, { port: 0, portFlag: "--port" });
  const request = fetch(server.url);
  await entered;
  const deadline = new AbortController();
  const stopped = server.stop(deadline.signal);
  deadline.abort();
  await stopped;
  const response = await request;
  assert.equal(response.status, 503);
  assert.equal((await response.json()).title, "Shutting down");
});

Deno.test("stop() lets bodies arrive that are on their way, and takes nothing new meanwhile", async () => {
  const server = await listen(async (request) => {
    try {
      return new Response(await request.text());
    } catch (error) {
      return new Response(String(error), { status: 400 });
    }
  }, { port: 0, portFlag: "--port", maxRequestsInFlight: 1 });
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  const write = (text: string) => connection.write(new TextEncoder().encode(text));
  await write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\nha");
  const ask = async () => {
    const response = await fetch(server.url);
    await response.body?.cancel();
    return response;
  };
  await eventually("the request under way", async () => (await ask()).status === 503 || undefined);
  const stopped = server.stop(never);
  const refused = await ask();
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "1");
  await write("lf");
  const answer = await new Response(connection.readable).text();
  assert.match(answer, /^HTTP\/1\.1 200 [^]*half$/);
  await stopped;
  await assert.rejects(fetch(server.url), TypeError);
});

Deno.test("the flags of a server say what they take, and have the defaults that are written down", () => {
  for (
    const [option, usage, byDefault] of [
      [hostFlags.host(), "--host <address>", "localhost"],
      [hostFlags.basePath(), "--base-path <path>", undefined],
      [hostFlags.allowRemoteWithoutAuth(), "--allow-remote-without-auth", undefined],
      [portFlag("--page-port <port>", "port of the page", 4242), "--page-port <port>", 4_242],
    ] as const
  ) {
    assert.deepEqual([option.flags, option.defaultValue], [usage, byDefault]);
    assert.match(option.description, /^[a-z]/);
  }
  assert.equal(hostFlags.host().defaultValueDescription, "localhost, 127.0.0.1 and ::1");
  assert.equal(hostFlags.basePath().parseArg!("/orrery/", ""), "/orrery");
  const port = portFlag("--page-port <port>", "port of the page", 1);
  assert.equal(port.parseArg!("65535", 1), 65_535);
  assert.throws(() => port.parseArg!("65536", 1));
});

Deno.test("parseBasePath() takes a path, without slashes at its end, and nothing else", () => {
  for (
    const [text, path] of [
      ["/orrery", "/orrery"],
      ["/a/b_c.d~e-9//", "/a/b_c.d~e-9"],
      ["/...", "/..."],
      ["/", ""],
      ["", ""],
    ]
  ) assert.equal(parseBasePath(text!), path);
  for (const text of ["orrery", "/a b", "/a//b", "/..", "/a/../b", "/./a", "/a/.", "x/y", "/a?b"]) {
    assert.throws(() => parseBasePath(text), {
      message: "Give a path such as /orrery: letters, digits, '.', '_', '~', '-' and '/'.",
    }, text);
  }
});

/** What is answered to some bytes: the status and the problem, and whether it said why it closes. */
async function problemOf(port: number, sent: string) {
  const peer = await Peer.connect(port);
  await peer.send(sent);
  await peer.end();
  peer.close();
  const [head = "", body = ""] = peer.received.split("\r\n\r\n");
  const { title, detail } = JSON.parse(body);
  return {
    status: Number(head.split(" ")[1]),
    title,
    detail,
    closes: /^connection: close$/m.test(head),
  };
}

Deno.test("what is no request says why, and closes its connection", async () => {
  let handled = 0;
  const server = await listen(() => new Response(String(handled++)), {
    ...{ port: 0, portFlag: "--port", basePath: "/base" },
  });
  for (
    const [sent, status, title, detail] of [
      [
        "GET /\r\n\r\n",
        ...[
          505,
          "HTTP version not supported",
          "This server speaks HTTP/1.1, not HTTP/0.9.",
        ] as const,
      ],
      ["GET / HTTP/1.1\r\n", 400, "Bad request", "A request has one Host header, not 0."],
      [
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n",
        ...[400, "Bad request", "A request has one Host header, not 2."] as const,
      ],
      [
        "GET / HTTP/1.1\r\nhost: a/b\r\n",
        ...[
          400,
          "Bad request",
          "The request's target or its Host header is not well-formed.",
        ] as const,
      ],
      [
        "CONNECT a:443 HTTP/1.1\r\nhost: a\r\n",
        ...[501, "Not implemented", "This server is no proxy: it makes no tunnels."] as const,
      ],
      [
        "GET / HTTP/1.1\r\nhost: a\r\nexpect: miracles\r\n",
        ...[
          417,
          "Expectation failed",
          "The only expectation that can be met is 100-continue.",
        ] as const,
      ],
    ] as const
  ) {
    assert.deepEqual(await problemOf(server.port, `${sent}\r\n`), {
      ...{ status, title, detail, closes: true },
    });
  }
  assert.equal(handled, 0);
  // An expectation that is met, and no host in HTTP/1.0.
  for (
    const sent of [
      "GET / HTTP/1.0\r\n\r\n",
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\n\r\n",
    ]
  ) {
    const peer = await Peer.connect(server.port);
    await peer.send(sent);
    await peer.end();
    assert.match(peer.received, /^HTTP\/1\.1 200 /);
    peer.close();
  }
  assert.equal(handled, 2);
  await server.stop(noDeadline);
});

Deno.test("who speaks HTTP/2 without TLS is heard of", async () => {
  let heard = 0;
  for (const onHttp2 of [() => void heard++, undefined]) {
    const server = await listen(() => new Response(), {
      ...{ port: 0, portFlag: "--port", ...(onHttp2 && { onHttp2 }) },
    });
    const { status } = await problemOf(server.port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert.deepEqual([status, heard], [400, 1]);
    await server.stop(noDeadline);
  }
});

Deno.test("a handler gets the path without the base path, and who asks", async () => {
  const seen: unknown[] = [];
  const server = await listen((request, { remoteAddr }) => {
    seen.push([new URL(request.url).pathname, remoteAddr.hostname, remoteAddr.transport]);
    return new Response();
  }, { port: 0, portFlag: "--port", basePath: "/base" });
  await (await fetch(`${server.url}/base/x`)).body?.cancel();
  assert.deepEqual(seen, [["/x", "127.0.0.1", "tcp"]]);
  assert.equal(server.host, "127.0.0.1");
  assert.throws(() => server.replaceCertificate({ cert: "", key: "" }), {
    ...{ name: "TypeError", message: "It serves no HTTPS" },
  });
  await server.stop(noDeadline);
});

Deno.test("a handler that fails says so in the log and no more than that to who asks", async () => {
  const { log, lines } = testContext();
  const fails = [() => Promise.reject(new Error("not today")), () => {
    throw new Error("not today");
  }];
  for (const fail of fails) {
    const server = await listen(fail, { port: 0, portFlag: "--port", log });
    const response = await fetch(server.url);
    assert.equal(response.status, 500);
    const { title, detail } = await response.json();
    assert.deepEqual([title, detail], [
      "Internal error",
      "The request failed on our side; the log has the cause.",
    ]);
    await server.stop(noDeadline);
  }
  assert.deepEqual(lines, Array(2).fill('WARN A request handler failed reason="not today"'));
});

Deno.test("what is too much, or comes too late, says what to do", async () => {
  const entered = Promise.withResolvers<void>();
  const server = await listen(() => {
    entered.resolve();
    return new Promise<Response>(() => {});
  }, { port: 0, portFlag: "--port", maxRequestsInFlight: 1 });
  const first = fetch(server.url);
  await entered.promise;
  const told = async (asked: Promise<Response>) => {
    const { status, headers, ...response } = await asked.then(async (one) => ({
      ...{ status: one.status, headers: one.headers },
      problem: await one.json(),
    }));
    const { title, detail } = response.problem;
    return [status, headers.get("retry-after"), title, detail];
  };
  assert.deepEqual(await told(fetch(server.url)), [
    ...[503, "1", "Overloaded", "1 requests are under way already. Try again later."],
  ]);
  const deadline = new AbortController();
  const stopped = server.stop(deadline.signal);
  assert.deepEqual(await told(fetch(server.url)), [
    ...[503, "1", "Shutting down"],
    "The server ends and takes no new requests. Send it again to another one.",
  ]);
  deadline.abort();
  assert.deepEqual(await told(first), [
    ...[503, null, "Shutting down"],
    "The server ends before the request was finished. Send it again to another one.",
  ]);
  await stopped;
});

Deno.test({
  name: "the URL of a server on IPv6 has its address in brackets, and a wildcard's is loopback",
  ignore: !hasIpv6(),
  async fn() {
    for (const [host, url] of [["::1", "http://[::1]:"], ["::", "http://127.0.0.1:"]] as const) {
      const server = await listen(() => new Response("hi"), {
        ...{ host, port: 0, portFlag: "--port", allowRemoteWithoutAuth: true },
      });
      assert.equal(server.url, `${url}${server.port}`);
      assert.equal(server.host, host);
      await server.stop(noDeadline);
    }
  },
});
