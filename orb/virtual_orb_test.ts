import assert from "node:assert/strict";
import { testContext } from "../service/testing/context.ts";
import { VirtualWorld } from "../service/world/virtual_world.ts";
import { reportTelemetry, signUpImages, signupUrl } from "./virtual_orb.ts";

/** An orb's tools whose calls go to `answer`; the loop ends after `calls` of them. */
function testTools(calls: number, answer: (body: Record<string, unknown>) => Response) {
  const context = testContext();
  const bodies: Record<string, unknown>[] = [];
  return {
    bodies,
    lines: context.lines,
    tools: {
      log: context.log,
      tracer: context.telemetry.tracer,
      meter: context.telemetry.meter,
      requestTimeoutMs: 1_000,
      stopping: context.stopping,
      cut: new AbortController().signal,
      pace: { delayMs: 0, intervalMs: 0, jitter: 0 },
      fetch: ((_: unknown, init: RequestInit) => {
        const body = JSON.parse(init.body as string);
        bodies.push(body);
        if (bodies.length >= calls) context.stop();
        try {
          return Promise.resolve(answer(body));
        } catch (error) {
          return Promise.reject(error);
        }
      }) as typeof fetch,
    },
  };
}

Deno.test("signUpImages() says what became of each signup, in the original's words", async () => {
  const answers = [
    () => new Response("371dd8e3f2423f4a"),
    () => new Response("Orb image already exist", { status: 409 }),
    () => new Response("", { status: 500 }),
    () => {
      throw new TypeError("connection refused");
    },
  ];
  const { tools, lines, bodies } = testTools(4, () => answers[bodies.length - 1]!());
  const image = new Uint8Array([1, 2, 3, 4, 5]);
  await signUpImages({ ...tools, url: "http://x/", nextImage: () => Promise.resolve(image) });
  assert.deepEqual(lines, [
    "INFO ✅ Signup request successful! Unique Image Hash Token 371dd8e3f2423f4a",
    "ERROR error: ❌ Signup request conflict - Image is already used",
    "ERROR error: ❌️ Signup request failed status=500",
    "ERROR error: ❌️ Signup unable to connect connection refused",
  ]);
  for (const body of bodies) {
    assert.equal(body.image_base64, "AQIDBAU=");
    assert.match(body.id as string, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
  }
  assert.equal(new Set(bodies.map((body) => body.id)).size, 4);
});

Deno.test("signUpImages() goes on when an image cannot be read", async () => {
  const { tools, lines } = testTools(1, () => new Response("abc"));
  let asked = 0;
  await signUpImages({
    ...tools,
    url: "http://x/",
    nextImage: () =>
      asked++ === 0 ? Promise.reject(new Error("gone")) : Promise.resolve(new Uint8Array([1])),
  });
  assert.deepEqual(lines, [
    "ERROR error: ❌️ Signup has no image gone",
    "INFO ✅ Signup request successful! Unique Image Hash Token abc",
  ]);
});

Deno.test("signUpImages() keeps no more than the beginning of a long answer", async () => {
  const endless = new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(4_096).fill(97)) });
  const { tools, lines } = testTools(1, () => new Response(endless));
  await signUpImages({
    ...tools,
    url: "http://x/",
    nextImage: () => Promise.resolve(new Uint8Array([1])),
  });
  assert.ok(lines[0]!.length < 1_200);
});

Deno.test("reportTelemetry() sends fractions and Unix seconds; only 2xx counts as sent", async () => {
  const statuses = [204, 500];
  const { tools, lines, bodies } = testTools(
    2,
    () => new Response(null, { status: statuses[bodies.length - 1]! }),
  );
  const before = Math.floor(Date.now() / 1_000);
  await reportTelemetry({
    ...tools,
    url: "http://x/",
    readHost: () => ({ cpu: .25, memory: .5, disk: .75 }),
  });
  const { timestamp, ...usage } = bodies[0]!;
  assert.deepEqual(usage, { cpu_usage: .25, memory_usage: .5, disk_space: .75 });
  assert.ok((timestamp as number) >= before && (timestamp as number) <= Date.now() / 1_000);
  assert.deepEqual(lines, [
    "INFO 📡 Telemetry sent",
    "ERROR 📡 Unable to send telemetry error: the answer has status 500",
  ]);
});

Deno.test("an orb keeps its pace in the world's time, and the same seed gives the same ids", async () => {
  const run = async (seed: number) => {
    const world = new VirtualWorld({ seed });
    const sentMs: number[] = [];
    const { tools, bodies } = testTools(5, () => {
      sentMs.push(world.monotonicMs());
      return new Response("abc");
    });
    const loop = signUpImages({
      ...tools,
      world,
      pace: { delayMs: 2_000, intervalMs: 10_000, jitter: .2 },
      url: "http://x/",
      nextImage: () => Promise.resolve(new Uint8Array([1])),
    });
    await world.runUntil(loop);
    assert.equal(world.pendingTimers, 0, "no deadline of a call is left");
    return { sentMs, ids: bodies.map(({ id }) => id) };
  };
  const first = await run(7);
  assert.equal(first.sentMs[0], 2_000);
  for (let call = 1; call < 5; call++) {
    const waitedMs = first.sentMs[call]! - first.sentMs[call - 1]!;
    assert.ok(waitedMs >= 8_000 && waitedMs <= 12_000, `${waitedMs}`);
  }
  assert.equal(new Set(first.sentMs.map((ms) => ms % 1_000)).size, 5, "it varies");
  assert.deepEqual(await run(7), first);
  assert.notDeepEqual(await run(8), first);
});

Deno.test("a call that takes too long is given up", async () => {
  const world = new VirtualWorld();
  const { tools, lines } = testTools(1, () => new Response());
  const hangs = ((_: unknown, { signal }: RequestInit) => {
    tools.fetch("http://x/", { body: "{}" });
    return new Promise((_, reject) =>
      signal!.addEventListener("abort", () => reject(signal!.reason))
    );
  }) as typeof fetch;
  const loop = signUpImages({
    ...tools,
    world,
    fetch: hangs,
    url: "http://x/",
    nextImage: () => Promise.resolve(new Uint8Array([1])),
  });
  await world.runUntil(loop);
  assert.equal(world.monotonicMs(), 1_000);
  assert.match(lines.join(), /unable to connect Not done within 1000 ms/);
});

Deno.test("signupUrl() takes a base or the whole address", () => {
  assert.equal(signupUrl("http://a:4242"), "http://a:4242/api/signup");
  assert.equal(signupUrl("http://a:4242/"), "http://a:4242/api/signup");
  assert.equal(signupUrl("http://a/orb/"), "http://a/orb/api/signup");
  assert.equal(signupUrl("http://a:4242/api/signup"), "http://a:4242/api/signup");
});
