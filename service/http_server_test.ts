import assert from "node:assert/strict";
import { isLoopback, listen } from "./http_server.ts";
import { StartError } from "./life_cycle.ts";
import { createLog } from "./log.ts";
import { eventually } from "./testing/eventually.ts";
import { hasIpv6 } from "./testing/ipv6.ts";

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
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"]) {
    assert.ok(isLoopback(host));
  }
  for (const host of ["0.0.0.0", "::", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil"]) {
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
