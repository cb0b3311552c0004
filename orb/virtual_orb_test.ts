import assert from "node:assert/strict";
import { testContext } from "../service/testing/context.ts";
import { assertNothingAddsUp } from "../service/testing/rounds.ts";
import { VirtualWorld } from "../service/world/virtual_world.ts";
import { realWorld, type World } from "../service/world/world.ts";
import { createCallPolicy } from "./delivery/call_policy.ts";
import { Delivery, type DeliveryOptions } from "./delivery/delivery.ts";
import { createSignupWire, type OrbFetch } from "./delivery/signup_wire.ts";
import { reportTelemetry, signUpImages } from "./virtual_orb.ts";

/** An orb's tools whose calls go to `answer`; the loop ends after `calls` of them. */
function testTools(
  calls: number,
  answer: (body: Record<string, unknown>, init: RequestInit) => Response,
  world: World = realWorld,
) {
  const context = testContext({ world });
  const bodies: Record<string, unknown>[] = [];
  const fetch = (_: unknown, init: RequestInit = {}) => {
    const body = JSON.parse(init.body as string);
    bodies.push(body);
    if (bodies.length >= calls) context.stop();
    try {
      return Promise.resolve(answer(body, init));
    } catch (error) {
      return Promise.reject(error);
    }
  };
  const own = {
    log: context.log,
    tracer: context.telemetry.tracer,
    meter: context.telemetry.meter,
    stopping: context.stopping,
    world,
  };
  const limits = { requestTimeoutMs: 1_000, cut: new AbortController().signal };
  const pace = { delayMs: 0, intervalMs: 0, jitter: 0 };
  function delivery(
    options: Partial<DeliveryOptions> = {},
    fetchIt: OrbFetch = (_, ...to) => fetch(...to),
  ) {
    return new Delivery({
      ...own,
      wire: createSignupWire({ ...limits, server: "http://x", api: "v1", fetch: fetchIt, world }),
      policy: createCallPolicy({ ...own, maxCalls: 1, maxWaiting: 1 }),
      maxAttempts: 1,
      ...options,
    });
  }
  return {
    bodies,
    lines: context.lines,
    stop: () => context.stop(),
    reporting: {
      ...own,
      ...limits,
      pace,
      fetch: fetch as typeof globalThis.fetch,
      url: "http://x/",
    },
    signing: { ...own, pace, orb: 1, warn: context.log.warn, delivery: delivery() },
    delivery,
  };
}

const imageOf = (...bytes: number[]) => () => Promise.resolve(new Uint8Array(bytes));

Deno.test("signUpImages() says what became of each signup, in the original's words", async () => {
  const answers = [
    () => new Response("371dd8e3f2423f4a"),
    () => new Response("Orb image already exist", { status: 409 }),
    () => new Response("", { status: 500 }),
    () => {
      throw new TypeError("connection refused");
    },
  ];
  const { signing, lines, bodies } = testTools(4, () => answers[bodies.length - 1]!());
  await signUpImages({ ...signing, nextImage: () => imageOf(1, 2, 3, 4, 5) });
  assert.deepEqual(lines, [
    "INFO ✅ Signup request successful! Unique Image Hash Token 371dd8e3f2423f4a",
    "ERROR error: ❌ Signup request conflict - Image is already used",
    'ERROR error: ❌️ Signup request failed status=500 reason="status 500"',
    "ERROR error: ❌️ Signup unable to connect connection refused",
  ]);
  for (const body of bodies) {
    assert.equal(body.image_base64, "AQIDBAU=");
    assert.match(body.id as string, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
  }
  assert.equal(new Set(bodies.map((body) => body.id)).size, 4);
});

Deno.test("only a token is a success: neither a redirect nor a login page", async () => {
  const redirected: (RequestRedirect | undefined)[] = [];
  const answers = [
    () => new Response(null, { status: 302, headers: { location: "http://x/login" } }),
    () => new Response("<html>Please log in</html>"),
    () => new Response("371dd8e3f2423f4a\n"),
    () => new Response("0371dd8e3f2423f4"),
    () => new Response(""),
  ];
  const { signing, lines, bodies } = testTools(5, (_, { redirect }) => {
    redirected.push(redirect);
    return answers[bodies.length - 1]!();
  });
  await signUpImages({ ...signing, nextImage: () => imageOf(1) });
  assert.match(lines[0]!, /^ERROR error: .*request failed status=302 .*http:\/\/x\/login/);
  for (const line of lines.slice(1)) {
    assert.match(line, /^ERROR error: .*request failed status=200 reason="the answer is no token"/);
  }
  assert.equal(lines.length, 5);
  assert.deepEqual(new Set(redirected), new Set(["manual"]));
});

Deno.test("signUpImages() goes on when an image cannot be read", async () => {
  const { signing, lines } = testTools(1, () => new Response("abc"));
  let asked = 0;
  await signUpImages({
    ...signing,
    nextImage: () => asked++ === 0 ? () => Promise.reject(new Error("gone")) : imageOf(1),
  });
  assert.deepEqual(lines, [
    "ERROR error: ❌️ Signup has no image gone",
    "INFO ✅ Signup request successful! Unique Image Hash Token abc",
  ]);
});

Deno.test("signUpImages() keeps no more than the beginning of a long answer", async () => {
  const endless = new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(4_096).fill(97)) });
  const { signing, lines } = testTools(1, () => new Response(endless));
  await signUpImages({ ...signing, nextImage: () => imageOf(1) });
  assert.match(lines[0]!, /the answer is no token/);
});

Deno.test("reportTelemetry() sends fractions and Unix seconds; only 2xx counts as sent", async () => {
  const statuses = [204, 500];
  const { reporting, lines, bodies } = testTools(
    2,
    () => new Response(null, { status: statuses[bodies.length - 1]! }),
  );
  const before = Math.floor(Date.now() / 1_000);
  await reportTelemetry({
    ...reporting,
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
    const { signing, bodies } = testTools(5, () => {
      sentMs.push(world.monotonicMs());
      return new Response("abc");
    }, world);
    const loop = signUpImages({
      ...signing,
      pace: { delayMs: 2_000, intervalMs: 10_000, jitter: .2 },
      nextImage: () => imageOf(1),
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
  const { signing, delivery, reporting, lines } = testTools(1, () => new Response(), world);
  const hangs: OrbFetch = (_, url, { signal }) => {
    reporting.fetch(url, { body: "{}" });
    return new Promise((_, reject) =>
      signal!.addEventListener("abort", () => reject(signal!.reason))
    );
  };
  const loop = signUpImages({
    ...signing,
    delivery: delivery({}, hangs),
    nextImage: () => imageOf(1),
  });
  await world.runUntil(loop);
  assert.equal(world.monotonicMs(), 1_000);
  assert.match(lines.join(), /unable to connect Not done within 1000 ms/);
});

for (const answer of ["is taken", "fails", "has no answer"] as const) {
  Deno.test(`an orb whose every call ${answer} has as much under way after many as after one`, async () => {
    const world = new VirtualWorld({ seed: 5 });
    const { reporting, signing, bodies, stop } = testTools(Infinity, (_, { signal }) => {
      if (answer === "is taken") return new Response("371dd8e3f2423f4a");
      if (answer === "fails") throw new TypeError("connection refused");
      return new Promise<never>((_, reject) =>
        signal!.addEventListener("abort", () => reject(signal!.reason))
      ) as unknown as Response;
    }, world);
    const pace = { delayMs: 0, intervalMs: 10_000, jitter: 0 };
    const loops = Promise.all([
      reportTelemetry({ ...reporting, pace, readHost: () => ({ cpu: 1, memory: 2, disk: 3 }) }),
      signUpImages({ ...signing, pace, nextImage: () => imageOf(1) }),
    ]);
    await assertNothingAddsUp(() => world.advance(12_000), {
      counts: { timers: () => world.pendingTimers },
    });
    assert.ok(bodies.length > 50, `${bodies.length} calls`);
    stop();
    await world.runUntil(loops);
    assert.equal(world.pendingTimers, 0);
  });
}
