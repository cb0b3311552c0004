/**
 * Pings over networks that lose, reorder, delay and go dark, all in this process.
 *
 * @module
 */
import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { testContext } from "../service/testing/context.ts";
import { linkOpener } from "./client/failover.ts";
import { openLink } from "./client/open_link.ts";
import { Pinger } from "./client/pinger.ts";
import { Reconnection } from "./client/reconnection.ts";
import { assertWhole, quick, startTestServer, summaryOf } from "./test_server.ts";
import { startUdpRelay } from "./test_udp_relay.ts";

const files: Deno.PermissionName[] = ["read", "write"];
for (const [mode, seed] of [["bidi", 1], ["uni", 2]] as const) {
  testWith(files, `30 % loss both ways loses no ping over ${mode} (seed ${seed})`, async () => {
    await using server = await startTestServer();
    const relay = startUdpRelay(server.port, { loss: 0.3, seed });
    const ping = await server.ping({
      port: relay.port,
      mode,
      pingCount: 60,
      retries: 50,
      connectTimeoutMs: 5_000,
      ...quick,
    });
    relay.close();
    assertWhole(ping, 60);
    assert.ok(relay.counts.lost > 20, "the network was bad indeed");
  });
}

testWith(
  files,
  "30 % loss both ways is reported as loss over datagrams, each ping once",
  async () => {
    await using server = await startTestServer();
    const relay = startUdpRelay(server.port, { loss: 0.3, seed: 3 });
    const ping = await server.ping({
      port: relay.port,
      mode: "datagram",
      pingCount: 300,
      // A lost ping takes a place until it is given up: many places and a short wait are a short test.
      concurrency: 60,
      // Apart, or many share one packet and its fate.
      intervalMs: 2,
      timeoutMs: 500,
      retries: 50,
      connectTimeoutMs: 5_000,
      ...quick,
    });
    relay.close();
    const { sent, received, lost, lossRatio } = summaryOf(ping);
    assert.equal(sent, 300);
    assert.equal(received + lost, 300);
    // 1 - 0.7² = 51 % of the round trips. Pings that share a packet are lost together, so the spread is
    // wider than that of 300 coins.
    assert.ok(lossRatio > 0.3 && lossRatio < 0.75, `${lossRatio}`);
    assert.equal(ping.exitCode, 1);
  },
);

const disorder = { reordering: 0.3, duplication: 0.3, delayMs: 1, holdMs: 5 };
/** Apart, or a burst of datagrams travels in one packet and overtakes nothing. */
const apart = { pingCount: 200, concurrency: 50, intervalMs: 1 };

testWith(
  files,
  "reordering and doubling of packets double no ping of streams and lose none",
  async () => {
    await using server = await startTestServer();
    const relay = startUdpRelay(server.port, disorder);
    for (const mode of ["bidi", "uni"] as const) {
      const ping = await server.ping({ port: relay.port, mode, ...apart, ...quick });
      assertWhole(ping, 200);
      assert.equal(summaryOf(ping).duplicated, 0);
    }
    assert.ok(relay.counts.doubled > 50 && relay.counts.held > 50);
    relay.close();
  },
);

testWith(
  files,
  "reordering and doubling of datagrams double no ping, and each is accounted for",
  async () => {
    await using server = await startTestServer();
    const relay = startUdpRelay(server.port, disorder);
    const ping = await server.ping({ port: relay.port, mode: "datagram", ...apart, ...quick });
    const { sent, received, lost, duplicated, reordered } = summaryOf(ping);
    // UDP promises nothing: a socket whose buffer is full drops, on a busy machine, too.
    assert.equal(received + lost, sent, ping.lines.join("\n"));
    assert.equal(sent, 200);
    assert.equal(ping.exitCode, lost === 0 ? 0 : 1);
    assert.ok(received >= 100, `${received} of 200 answered: more than a busy machine explains`);
    assert.equal(duplicated, 0);
    assert.ok(reordered > 0, "datagrams overtook each other");
    assert.ok(relay.counts.doubled > 20 && relay.counts.held > 20);
    relay.close();
  },
);

testWith(files, "a NAT that forgets the port loses no ping", async () => {
  await using server = await startTestServer();
  const relay = startUdpRelay(server.port);
  const rebinding = setInterval(() => relay.rebind(), 100);
  const ping = await server.ping({ port: relay.port, pingCount: 60, intervalMs: 10, ...quick });
  clearInterval(rebinding);
  relay.close();
  assertWhole(ping, 60);
});

testWith(files, "a long way (750 ms round trip) works with the default time-outs", async () => {
  await using server = await startTestServer();
  const relay = startUdpRelay(server.port, { delayMs: 375 });
  const ping = await server.ping({ port: relay.port, pingCount: 2 });
  relay.close();
  assertWhole(ping, 2);
  assert.ok(summaryOf(ping).rttMs!.min >= 750);
});

testWith(files, "a network that is dark until both ends have given up loses no ping", async () => {
  await using server = await startTestServer();
  const relay = startUdpRelay(server.port);
  const running = server.ping({
    port: relay.port,
    pingCount: 300,
    intervalMs: 5,
    connectTimeoutMs: 500,
    ...quick,
  });
  const darkness = (async () => {
    await eventually("some pings", () => relay.counts.passed > 100 || undefined);
    relay.faults.blackhole = true;
    await eventually(
      "the server's end",
      () => server.logged.find((line) => /has ended.*by=lost/.test(line)),
    );
    // The client has given up, too, and tries to connect anew: one attempt fails in the dark.
    const { lost } = relay.counts;
    await eventually("an attempt", () => relay.counts.lost >= lost + 3 || undefined);
    relay.faults.blackhole = false;
  })();
  const ping = await running;
  await darkness;
  relay.close();
  assertWhole(ping, 300);
  assert.ok(summaryOf(ping).recovered >= 1, "the ping that was under way was sent again");
  assert.match(ping.lines.join("\n"), /connection ended \(timed out\)/);
});

testWith(files, "both ends find a dead peer within the heartbeat's 2 s, not before", async () => {
  await using server = await startTestServer();
  const relay = startUdpRelay(server.port);
  const stop = new AbortController();
  const running = server.ping(
    { port: relay.port, pingCount: 0, intervalMs: 20, json: true },
    stop.signal,
  );
  await eventually("a session", () => server.logged.find((line) => line.includes("has begun")));
  const beforeMs = performance.now();
  relay.faults.blackhole = true;
  await eventually(
    "the server's end",
    () => server.logged.find((line) => line.includes("has ended")),
  );
  const elapsedMs = performance.now() - beforeMs;
  stop.abort();
  const { lines } = await running;
  relay.close();
  assert.ok(elapsedMs > 1_000, `${elapsedMs} ms`);
  assert.match(server.logged.find((line) => line.includes("has ended"))!, /by=lost/);
  // The client noticed too, or was stopped before it could.
  assert.ok(lines.some((line) => /"kind":"(disconnected|end)"/.test(line)));
});

testWith(files, "when its server goes for good, the client goes on with the next one", async () => {
  const first = await startTestServer();
  await using second = await startTestServer();
  const trust = { pins: [first, second].map(({ server }) => server.certificateHash()) };
  const targets = [first, second].map(({ port }) => ({ host: "127.0.0.1", port }));
  const { telemetry: { tracer, meter } } = testContext();
  const remotes: string[] = [];
  let answered = 0;
  const pinger: Pinger = new Pinger({
    openLink: linkOpener(targets, "bidi", (target, mode) =>
      openLink({
        ...{ mode, target, trust, connectTimeoutMs: 300 },
        client: { name: "failing-over", run: pinger.run },
      })),
    reconnection: new Reconnection({ retryBaseDelayMs: 20 }),
    onEvent: (event) => {
      if (event.kind === "connected") remotes.push(event.remote);
      if (event.kind === "pong") answered++;
    },
    ...{ count: 200, intervalMs: 5, tracer, meter },
  });
  const running = pinger.start();
  await eventually("some pongs", () => answered > 20 || undefined);
  await first[Symbol.asyncDispose]();
  const { statistics, error } = await running;
  assert.equal(error, undefined);
  const { sent, received, lost, duplicated } = statistics.summary();
  assert.deepEqual({ sent, received, lost, duplicated }, {
    ...{ sent: 200, received: 200, lost: 0, duplicated: 0 },
  });
  assert.deepEqual(remotes, [first, second].map(({ port }) => `127.0.0.1:${port}/udp`));
});
