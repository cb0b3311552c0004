import assert from "node:assert/strict";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { assertNothingAddsUp } from "../service/testing/rounds.ts";
import { Peer } from "../service/testing/tcp_peer.ts";
import { VirtualWorld } from "../service/world/virtual_world.ts";
import { Forwarder, type ForwarderOptions, retryAfterMs } from "./forwarder.ts";
import type { ReceivedRequest } from "../service/otlp/otlp_receiver.ts";
import { testConsole, tracesRequest } from "./test_console.ts";

/** A peer with scripted answers, one a request, the last one for ever. */
function peer(answers: (number | [status: number, retryAfter: string])[], port = 0) {
  const received: {
    path: string;
    type: string | null;
    encoding: string | null;
    body: string;
    authorization: string | null;
  }[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port, onListen: () => {} },
    async (request) => {
      received.push({
        path: new URL(request.url).pathname,
        type: request.headers.get("content-type"),
        encoding: request.headers.get("content-encoding"),
        authorization: request.headers.get("authorization"),
        body: await request.text(),
      });
      const answer = answers[Math.min(received.length, answers.length) - 1]!;
      const [status, retryAfter] = typeof answer === "number" ? [answer] : answer;
      return new Response(null, {
        status,
        ...(retryAfter !== undefined && { headers: { "retry-after": retryAfter } }),
      });
    },
  );
  return {
    received,
    port: server.addr.port,
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function forwarder(endpoint: string, options: Partial<ForwarderOptions> = {}) {
  const { log, lines } = testContext();
  const made = new Forwarder({ endpoint, log, retryBaseDelayMs: 1, ...options });
  return Object.assign(made, {
    lines,
    [Symbol.asyncDispose]: () => made.stop(AbortSignal.abort()),
  });
}

function request(text: string): ReceivedRequest {
  return {
    signal: "traces",
    contentType: "application/json",
    contentEncoding: "gzip",
    body: new TextEncoder().encode(text),
  };
}

const idle = (made: Forwarder) =>
  eventually("an empty queue", () => made.stats().queuedRequests === 0 || undefined);

Deno.test("Forwarder passes a request on byte for byte, with its encodings", async () => {
  await using collector = peer([200]);
  await using made = forwarder(`${collector.endpoint.replace("//", "//user:p%40ss@")}/base/`);
  made.enqueue(request("first"));
  await idle(made);
  assert.deepEqual(collector.received[0], {
    path: "/base/v1/traces",
    type: "application/json",
    encoding: "gzip",
    body: "first",
    authorization: `Basic ${btoa("user:p@ss")}`,
  });
  assert.deepEqual(made.stats(), {
    endpoint: `${collector.endpoint}/base`,
    delivered: 1,
    dropped: {},
    retries: 0,
    queuedRequests: 0,
    queuedBytes: 0,
    lastError: null,
  });
});

for (const status of [429, 502, 503, 504]) {
  Deno.test(`Forwarder tries again after ${status}, and says so once`, async () => {
    await using collector = peer([status, status, 200]);
    await using made = forwarder(collector.endpoint);
    made.enqueue(request("a"));
    made.enqueue(request("b"));
    await idle(made);
    assert.equal(made.stats().delivered, 2);
    assert.equal(made.stats().retries, 2);
    assert.deepEqual(collector.received.slice(-2).map(({ body }) => body).sort(), ["a", "b"]);
    assert.equal(made.lines.filter((line) => line.startsWith("WARN")).length, 1);
    assert.match(made.lines.at(-1)!, /^INFO Telemetry is forwarded again/);
  });
}

Deno.test("Forwarder waits as long as Retry-After says, with all requests", async () => {
  const world = new VirtualWorld();
  const attemptsMs: number[] = [];
  await using made = forwarder("http://peer.example", {
    world,
    maxInFlight: 1,
    fetch: () => {
      attemptsMs.push(world.monotonicMs());
      const refused = { status: 503, headers: { "retry-after": "1" } };
      return Promise.resolve(new Response(null, attemptsMs.length === 1 ? refused : {}));
    },
  });
  made.enqueue(request("a"));
  made.enqueue(request("b"));
  await world.advance(2_000);
  assert.deepEqual(attemptsMs, [0, 1_000, 1_000]);
  assert.equal(made.stats().delivered, 2);
});

Deno.test("Forwarder bounds the pause that Retry-After asks for", async () => {
  await using collector = peer([[429, "86400"], 200]);
  await using made = forwarder(collector.endpoint, { retryMaxDelayMs: 20 });
  made.enqueue(request("a"));
  await idle(made);
  assert.equal(made.stats().delivered, 1);
});

for (const status of [400, 401, 413, 500]) {
  Deno.test(`Forwarder gives a request up after ${status}, and goes on with the next`, async () => {
    await using collector = peer([status, 200]);
    await using made = forwarder(collector.endpoint, { maxInFlight: 1 });
    made.enqueue(request("bad"));
    made.enqueue(request("good"));
    await idle(made);
    assert.deepEqual(collector.received.map(({ body }) => body), ["bad", "good"]);
    assert.deepEqual(made.stats().dropped, { refused: 1 });
    assert.equal(made.stats().delivered, 1);
  });
}

Deno.test("Forwarder gives up after its number of attempts", async () => {
  await using collector = peer([503]);
  await using made = forwarder(collector.endpoint, { maxAttempts: 3 });
  made.enqueue(request("a"));
  await idle(made);
  assert.equal(collector.received.length, 3);
  assert.deepEqual(made.stats().dropped, { retries_exhausted: 1 });
  assert.equal(made.stats().lastError, "status 503");
});

Deno.test("Forwarder drops what does not fit its queue, by number and by bytes", async () => {
  await using collector = peer([[503, "60"]]);
  await using byNumber = forwarder(collector.endpoint, { maxQueuedRequests: 2, maxInFlight: 1 });
  for (let i = 0; i < 5; i++) byNumber.enqueue(request("12345"));
  assert.deepEqual(byNumber.stats().dropped, { queue_full: 2 });
  await using byBytes = forwarder(collector.endpoint, { maxQueuedBytes: 12, maxInFlight: 1 });
  for (let i = 0; i < 5; i++) byBytes.enqueue(request("12345"));
  assert.deepEqual(byBytes.stats().dropped, { queue_full: 3 });
  assert.equal(byBytes.stats().queuedBytes, 10);
  await byBytes.stop(AbortSignal.abort());
  await eventually("all dropped", () => byBytes.stats().dropped.shutdown === 2 || undefined);
  assert.equal(byBytes.stats().queuedBytes, 0);
});

Deno.test("Forwarder delivers what waited while the peer was gone", async () => {
  const first = peer([200]);
  const { port, endpoint } = first;
  await first[Symbol.asyncDispose]();
  await using made = forwarder(endpoint, { maxAttempts: 1_000, retryMaxDelayMs: 20 });
  for (const text of ["a", "b", "c"]) made.enqueue(request(text));
  await eventually("a failed attempt", () => made.stats().retries > 0 || undefined);
  assert.equal(made.stats().delivered, 0);
  await using back = peer([200], port);
  await idle(made);
  assert.deepEqual(back.received.map(({ body }) => body).sort(), ["a", "b", "c"]);
  assert.equal(made.stats().lastError, null);
});

Deno.test("Forwarder delivers its queue before it stops", async () => {
  await using collector = peer([200]);
  await using made = forwarder(collector.endpoint, { maxInFlight: 1 });
  for (let i = 0; i < 20; i++) made.enqueue(request(`${i}`));
  await made.stop(new AbortController().signal);
  assert.equal(collector.received.length, 20);
  made.enqueue(request("late"));
  assert.deepEqual(made.stats().dropped, { shutdown: 1 });
});

Deno.test("Forwarder does not wait, when it stops, for a peer that cannot be reached", async () => {
  const world = new VirtualWorld({ seed: 1 });
  let attempts = 0;
  const made = forwarder("http://127.0.0.1:9999", {
    world,
    retryBaseDelayMs: 1_000,
    fetch: () => {
      attempts++;
      return Promise.reject(new TypeError("connection refused"));
    },
  });
  for (const text of ["a", "b", "c"]) made.enqueue(request(text));
  await world.advance(0);
  assert.equal(made.stats().queuedRequests, 3);
  const before = attempts;
  const started = world.monotonicMs();
  let stopped = false;
  void made.stop(new AbortController().signal).then(() => stopped = true);
  await world.advance(0);
  assert.ok(stopped);
  assert.equal(world.monotonicMs(), started);
  assert.equal(attempts, before + 1, "it may be back: one attempt tells");
  assert.deepEqual(made.stats().dropped, { shutdown: 3 });
  assert.equal(made.stats().queuedBytes, 0);
});

Deno.test("Forwarder waits, when it stops, for a peer that asks for a pause", async () => {
  await using collector = peer([[503, "1"], 200]);
  await using made = forwarder(collector.endpoint);
  made.enqueue(request("late"));
  await eventually("the first attempt", () => collector.received.length === 1 || undefined);
  await made.stop(AbortSignal.timeout(10_000));
  assert.equal(made.stats().delivered, 1);
});

Deno.test("Forwarder refuses options that are out of range", () => {
  const { log } = testContext();
  for (const option of ["maxQueuedRequests", "maxInFlight", "maxAttempts", "retryBaseDelayMs"]) {
    assert.throws(
      () => new Forwarder({ endpoint: "http://peer.example", log, [option]: 0 }),
      {
        message:
          `Cannot forward telemetry as '${option}' must be a positive integer: current value is 0`,
      },
    );
  }
});

Deno.test("retryAfterMs() reads seconds and dates", () => {
  assert.equal(retryAfterMs("3"), 3_000);
  const now = Date.parse("Sat, 21 Nov 2026 11:00:00 GMT");
  assert.equal(retryAfterMs("Sat, 21 Nov 2026 11:00:05 GMT", { nowMs: () => now }), 5_000);
  assert.equal(retryAfterMs("Sat, 21 Nov 2026 10:00:00 GMT", { nowMs: () => now }), 0);
  assert.equal(retryAfterMs("soon"), undefined);
  assert.equal(retryAfterMs(null), undefined);
});

Deno.test("a console that stops forwards what it was still taking in", async () => {
  await using collector = peer([200]);
  await using stopped = await testConsole({ forward: collector.endpoint });
  const client = await Peer.connect(Number(new URL(stopped.otlpUrl).port));
  const body = '{"resourceSpans":[]}';
  await client.send(
    `POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nexpect: 100-continue\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`,
  );
  await client.has(/100 Continue/);
  const stopping = stopped.stop(AbortSignal.timeout(20_000));
  await client.send(body);
  await client.end();
  assert.match(client.received, /HTTP\/1\.1 200 /);
  client.close();
  await stopping;
  assert.deepEqual(collector.received.map(({ body }) => body), [body]);
});

Deno.test("console forwards what it accepts and nothing else, and another console sees the same", async () => {
  await using second = await testConsole();
  await using first = await testConsole({ forward: second.otlpUrl });
  await first.sendSpans([{ name: "forwarded" }, {}]);
  const bad = await first.send("traces", new Uint8Array([0xff]));
  await bad.body?.cancel();
  await eventually("delivery", async () => {
    const { forward } = await first.get("/api/stats");
    return forward.delivered === 1 || undefined;
  });
  const [one, other] = [await first.get("/api/traces"), await second.get("/api/traces")];
  assert.deepEqual(one, other);
  assert.equal(one.data.length, 2);
  assert.deepEqual((await second.get("/api/stats")).requests.refused, {});
});

Deno.test("startConsole() refuses to forward to itself", async () => {
  await using taken = peer([200]);
  await assert.rejects(
    testConsole({ otlpPort: taken.port, forward: taken.endpoint }),
    /in use/,
  );
  const port = taken.port;
  await taken[Symbol.asyncDispose]();
  await assert.rejects(
    testConsole({ otlpPort: port, forward: `http://localhost:${port}/` }),
    /own receiver/,
  );
});

Deno.test("console counts a request as accepted although its forwarding fails", async () => {
  await using collector = peer([500]);
  await using viewer = await testConsole({ forward: collector.endpoint });
  const response = await viewer.send("traces", tracesRequest([{}]));
  await response.body?.cancel();
  assert.equal(response.status, 200);
  await eventually("the refusal", async () => {
    const { forward } = await viewer.get("/api/stats");
    return forward.dropped.refused === 1 || undefined;
  });
  const text = await (await fetch(`${viewer.pageUrl}/metrics`)).text();
  assert.match(text, /^orrery_console_forward_requests_total\{.*outcome="refused"\} 1$/m);
});

Deno.test("forwarder backs off with full jitter up to its cap, one probe at a time, and starts over after a success", async () => {
  const world = new VirtualWorld({ seed: 5 });
  // Chance at its least favourable: every pause is as long as it may be.
  const longest = Object.assign(world, { random: () => 0 });
  let failing = true;
  const attemptsMs: number[] = [];
  await using sender = forwarder("http://peer.example", {
    world: longest,
    retryBaseDelayMs: 100,
    retryMaxDelayMs: 1_000,
    maxAttempts: 100,
    fetch: () => {
      attemptsMs.push(world.monotonicMs());
      return Promise.resolve(new Response(null, { status: failing ? 503 : 200 }));
    },
  });
  for (const text of ["a", "b", "c"]) sender.enqueue(request(text));
  await world.advance(0);
  // Three at once find out that it is down; from then on one asks.
  assert.deepEqual(attemptsMs.splice(0), [0, 0, 0]);
  await world.advance(4_000);
  const pauses = attemptsMs.map((atMs, i) => atMs - (attemptsMs[i - 1] ?? 0));
  assert.deepEqual(pauses, [400, 800, 1_000, 1_000]);
  failing = false;
  await world.advance(1_000);
  assert.equal(sender.stats().delivered, 3);
  failing = true;
  attemptsMs.length = 0;
  sender.enqueue(request("d"));
  await world.advance(350);
  const beganMs = attemptsMs[0]!;
  assert.deepEqual(attemptsMs.map((atMs) => atMs - beganMs), [0, 100, 300]);
});

Deno.test("forwarder gives up what is older than its limit, though attempts are left", async () => {
  const world = new VirtualWorld();
  await using sender = forwarder("http://peer.example", {
    world,
    retryBaseDelayMs: 1_000,
    retryMaxDelayMs: 1_000,
    maxAttempts: 1_000,
    maxAgeMs: 10_000,
    fetch: () => Promise.reject(new TypeError("no route")),
  });
  sender.enqueue(request("old"));
  await world.advance(9_000);
  assert.equal(sender.stats().queuedRequests, 1);
  await world.advance(3_000);
  assert.deepEqual(sender.stats().dropped, { retries_exhausted: 1 });
  assert.equal(sender.stats().queuedBytes, 0);
  assert.match(sender.stats().lastError!, /no route/);
});

Deno.test("Forwarder has as much under way after fifty outages as after one", async () => {
  const world = new VirtualWorld();
  let attempts = 0;
  const made = forwarder("http://peer.example", {
    world,
    retryBaseDelayMs: 100,
    fetch: () => {
      if (attempts % 3 === 1) {
        attempts++;
        return Promise.reject(new TypeError("connection refused"));
      }
      return Promise.resolve(new Response(null, { status: attempts++ % 3 === 0 ? 503 : 200 }));
    },
  });
  await assertNothingAddsUp(async () => {
    for (const text of ["a", "b", "c"]) made.enqueue(request(text));
    await world.advance(600_000);
  }, {
    counts: {
      timers: () => world.pendingTimers,
      queued: () => made.stats().queuedRequests + made.stats().queuedBytes,
    },
  });
  assert.equal(made.stats().delivered, 150);
  await made.stop(AbortSignal.abort());
  assert.equal(world.pendingTimers, 0);
});
