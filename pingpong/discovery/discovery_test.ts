import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
// @ts-types="../types/dns_packet.d.ts"
import { decode, encode, type SrvAnswer, type StringAnswer } from "dns-packet";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { Link, Target } from "../client/link.ts";
import { better, discover } from "./discovery.ts";
import { startTestServer, type TestServer } from "../test_server.ts";

const files: Deno.PermissionName[] = ["read", "write"];

/** A name server on loopback that knows these records. */
function startDns(records: (SrvAnswer | StringAnswer)[]) {
  const socket = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  (async () => {
    for await (const [bytes, from] of socket) {
      const query = decode(Buffer.from(bytes));
      const { name, type } = query.questions![0]!;
      const plain = name.replace(/\.$/, "").toLowerCase();
      const answers = records.filter((one) => one.name === plain && one.type === type);
      const rcode = records.some((one) => one.name === plain) ? 0 : 3;
      const reply = encode({
        type: "response",
        id: query.id!,
        flags: 0x0480 | rcode,
        questions: query.questions!,
        answers,
      });
      await socket.send(reply, from);
    }
  })();
  const { port } = socket.addr as Deno.NetAddr;
  return {
    dnsServer: { ipAddr: "127.0.0.1", port },
    [Symbol.dispose]: () => socket.close(),
  };
}

function trustOf(...servers: TestServer[]) {
  return { pins: servers.map(({ server }) => server.certificateHash()) };
}

const srv = (port: number, priority: number): SrvAnswer => ({
  name: "_pingpong._udp.ping.test",
  type: "SRV",
  data: { target: "127.0.0.1", port, priority, weight: 0 },
});

testWith(
  files,
  "discover() asks DNS for SRV, and puts those that answer first, by priority",
  async () => {
    await using first = await startTestServer();
    await using second = await startTestServer();
    const silent = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
    const dead = (silent.addr as Deno.NetAddr).port;
    using dns = startDns([srv(dead, 0), srv(second.port, 20), srv(first.port, 10)]);
    const options = {
      trust: trustOf(first, second),
      connectTimeoutMs: 300,
      dnsServer: dns.dnsServer,
    };
    const targets = await discover("ping.test", options);
    silent.close();
    assert.deepEqual(targets.map(({ port }) => port), [first.port, second.port, dead]);
    await assert.rejects(discover("nobody.test", options), /Found no server by nobody\.test/);
  },
);

testWith(files, "discover() takes every address of a headless service", async () => {
  await using server = await startTestServer();
  using dns = startDns([
    { name: "pingpong.default.svc", type: "A", data: "127.0.0.1" },
    { name: "pingpong.default.svc", type: "A", data: "127.0.0.2" },
  ]);
  const targets = await discover(`headless:pingpong.default.svc:${server.port}`, {
    trust: trustOf(server),
    connectTimeoutMs: 300,
    dnsServer: dns.dnsServer,
  });
  // Nothing listens on 127.0.0.2: it comes last.
  assert.deepEqual(targets.map(({ host }) => host), ["127.0.0.1", "127.0.0.2"]);
});

testWith(
  files,
  "discover() reads /.well-known/pingpong.json, over HTTPS only what it can verify",
  async () => {
    await using server = await startTestServer({ path: ["/ping"] });
    const expected = {
      host: "127.0.0.1",
      port: server.port,
      path: "/ping",
      pins: [new Uint8Array(server.server.certificateHash())],
    };
    for (const url of [server.server.httpsUrl, server.server.pageUrl]) {
      const [target] = await discover(url, { trust: trustOf(server) });
      const { host, port, path, pins } = target!;
      assert.deepEqual({ host, port, path, pins }, expected);
      const ping = await server.ping({ discover: url });
      assert.equal(ping.exitCode, 0, ping.lines.join("\n"));
    }
    await assert.rejects(
      discover(server.server.httpsUrl, { trust: { pins: [new Uint8Array(32)] } }),
      { kind: "certificate" },
    );
    await assert.rejects(
      discover("http://ping.example", { trust: {} }),
      /without TLS only on this/,
    );
  },
);

Deno.test("discover() refuses a well-known document that is none", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => Response.json({ webtransport: { port: 70_000, path: "/", certificateHashes: [] } }),
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  await assert.rejects(discover(url, { trust: {} }), /no description of a server/);
  await server.shutdown();
});

Deno.test("discover() follows a well-known document that lies elsewhere, and not for ever", async () => {
  const asked: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname, origin } = new URL(request.url);
    asked.push(pathname);
    if (pathname === "/.well-known/pingpong.json") return Response.redirect(`${origin}/ping.json`);
    const webtransport = { port: 4433, path: "/ping", certificateHashes: [] };
    return Response.json({ version: 1, webtransport, websocket: { path: "/" } });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const [target] = await discover(url, { trust: {} });
  assert.deepEqual(
    { host: target!.host, port: target!.port, path: target!.path },
    { host: "127.0.0.1", port: 4433, path: "/ping" },
  );
  assert.deepEqual(asked, ["/.well-known/pingpong.json", "/ping.json"]);
  await server.shutdown();

  const round = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    ({ url }) => Response.redirect(url),
  );
  await assert.rejects(
    discover(`http://127.0.0.1:${round.addr.port}`, { trust: {} }),
    /redirects more than 3 times/,
  );
  await round.shutdown();
});

Deno.test("better() puts answering servers first, then priority, then time", () => {
  const server = (name: string, priority: number, rttMs: number | undefined) => ({
    target: { host: name, port: 1 },
    priority,
    rttMs,
  });
  const order = [
    server("dead", 0, undefined),
    server("far", 1, 9),
    server("near", 1, 2),
    server("preferred", 0, 50),
  ].toSorted(better);
  assert.deepEqual(order.map(({ target }) => target.host), ["preferred", "near", "far", "dead"]);
});

testWith(
  files,
  "discover() waits no longer for a server that lets in and does not answer",
  async () => {
    const world = new VirtualWorld();
    using dns = startDns([srv(1, 0), srv(2, 10)]);
    const closed: number[] = [];
    let probes = 0;
    const probe = (target: Target): Promise<Link> => {
      probes++;
      let onPong: Parameters<Link["receive"]>[0] = () => {};
      return Promise.resolve({
        mode: "bidi",
        remote: "scripted",
        waiting: undefined,
        closed: new Promise<never>(() => {}),
        receive: (callback) => onPong = callback,
        send: ({ id }) => {
          const pong = { kind: "pong", id: new Uint8Array(), requestId: id, data: "" } as const;
          if (target.port === 2) world.setTimeout(() => onPong(pong, 1), 5);
          return Promise.resolve();
        },
        close: () => Promise.resolve(void closed.push(target.port)),
      });
    };
    let found: Target[] | undefined;
    const options = { trust: {}, dnsServer: dns.dnsServer, connectTimeoutMs: 3_000, probe, world };
    discover("ping.test", options).then((targets) => found = targets);
    await eventually("both probes", () => probes === 2 || undefined);
    await world.advance(2_999);
    assert.equal(found, undefined);
    await world.advance(1);
    assert.deepEqual(found!.map(({ port }) => port), [2, 1]);
    assert.deepEqual(closed, [2, 1]);
    assert.equal(world.pendingTimers, 0);
  },
);

Deno.test("discover() waits no longer for a document that does not come", async () => {
  const world = new VirtualWorld();
  using mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let failure: unknown;
  discover(`http://127.0.0.1:${mute.addr.port}`, { trust: {}, connectTimeoutMs: 3_000, world })
    .catch((error) => failure = error);
  using connection = await mute.accept();
  await connection.read(new Uint8Array(1_000));
  await world.advance(2_999);
  assert.equal(failure, undefined);
  await world.advance(1);
  await eventually("its end", () => failure !== undefined || undefined);
  assert.match(String(failure), /No document from .* within 3000 ms/);
  assert.equal(world.pendingTimers, 0);
});
