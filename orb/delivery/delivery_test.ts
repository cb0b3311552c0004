import assert from "node:assert/strict";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { createCallPolicy } from "./call_policy.ts";
import { Delivery, type DeliveryOptions } from "./delivery.ts";
import { type CallResult, createSignupWire, type OrbApiVersion } from "./signup_wire.ts";

/** What a server was asked, and when. */
interface Asked {
  atMs: number;
  method: string;
  path: string;
  headers: Headers;
  body: Uint8Array;
}

const image = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 1, 2, 3]);
const signup = {
  id: "01M7YWWF73WJAQYR7RMSPYEYZP",
  orb: 1,
  readImage: () => Promise.resolve(image),
};

/** A delivery in virtual time, to a server whose answers come in turns, the last for ever. */
function deliveryTo(
  answers: (() => Response)[],
  { api = "v1", ...options }: Partial<DeliveryOptions> & { api?: OrbApiVersion } = {},
) {
  const world = new VirtualWorld({ seed: 3 });
  const context = testContext({ world });
  const asked: Asked[] = [];
  const { meter } = context.telemetry;
  const tools = { log: context.log, meter, world, stopping: context.stopping };
  const wire = createSignupWire({
    server: "http://orb.test/base/",
    api,
    requestTimeoutMs: 1_000,
    cut: new AbortController().signal,
    world,
    async fetch(_, url, init) {
      const request = new Request(url, init);
      asked.push({
        atMs: world.monotonicMs(),
        method: request.method,
        path: new URL(url).pathname,
        headers: request.headers,
        body: await request.bytes(),
      });
      return answers[Math.min(asked.length, answers.length) - 1]!();
    },
  });
  const policy = createCallPolicy({ ...tools, maxCalls: 4, maxWaiting: 4 });
  const delivery = new Delivery({ ...tools, wire, policy, maxAttempts: 5, ...options });
  const deliver = (): Promise<CallResult> => world.runUntil(delivery.deliver(signup));
  return { asked, deliver, world, stop: context.stop, delivery };
}

const busy = (headers: Record<string, string> = {}) => () =>
  new Response("", { status: 503, headers });
const token = () => new Response("371dd8e3f2423f4a");
const state = (name: string, more: object = {}) => () =>
  Response.json({ id: signup.id, state: name, ...more }, { status: 202 });

Deno.test("a signup waits as long as the server asks, then comes again with the same image", async () => {
  const { deliver, asked } = deliveryTo([busy({ "retry-after": "40" }), token]);
  assert.deepEqual(await deliver(), { kind: "accepted", token: "371dd8e3f2423f4a" });
  assert.equal(asked.length, 2);
  assert.deepEqual(asked[0]!.body, asked[1]!.body);
  const waitedMs = asked[1]!.atMs - asked[0]!.atMs;
  assert.ok(waitedMs >= 40_000 && waitedMs < 42_000, `${waitedMs}`);
});

Deno.test("Retry-After may be a date, and is capped", async () => {
  const at = deliveryTo([]);
  const inHalfAMinute = new Date(Math.ceil(at.world.nowMs() / 1_000) * 1_000 + 30_000);
  const dated = deliveryTo([busy({ "retry-after": inHalfAMinute.toUTCString() }), token]);
  await dated.deliver();
  assert.ok(dated.asked[1]!.atMs - dated.asked[0]!.atMs >= 30_000);
  const capped = deliveryTo([busy({ "retry-after": "999999" }), token]);
  await capped.deliver();
  assert.ok(capped.asked[1]!.atMs < 3_700_000);
});

Deno.test("waits double with full jitter, and end with the attempts", async () => {
  const { deliver, asked } = deliveryTo([busy()]);
  assert.deepEqual(await deliver(), { kind: "later", status: 503, reason: "status 503" });
  assert.equal(asked.length, 5);
  const waitsMs = asked.slice(1).map(({ atMs }, index) => atMs - asked[index]!.atMs);
  waitsMs.forEach((waitMs, index) => assert.ok(waitMs <= 250 * 2 ** index, `${waitsMs}`));
  assert.equal(new Set(waitsMs).size, 4, "jitter");
});

Deno.test("retries of a whole client are bounded by a budget, which comes back", async () => {
  const { delivery, asked, world } = deliveryTo([busy()], {
    maxAttempts: 3,
    // A circuit would open long before.
    policy: { run: (call) => call(), state: "closed" },
  });
  const deliverAll = async (count: number) => {
    const before = asked.length;
    await world.runUntil(
      Promise.all(Array.from({ length: count }, () => delivery.deliver(signup))),
    );
    return asked.length - before - count;
  };
  // 400 without it: a share of 0.2 and a reserve of 10, of which one a second comes back.
  const retries = await deliverAll(200);
  assert.ok(retries >= 45 && retries <= 55, `${retries} retries`);
  await world.runUntil(new Promise<void>((resolve) => world.setTimeout(resolve, 60_000)));
  assert.equal(await deliverAll(1), 2);
});

Deno.test("what the server will never take is not tried again", async () => {
  for (const status of [400, 413, 415, 422]) {
    const { deliver, asked } = deliveryTo([() => new Response("", { status })]);
    assert.equal((await deliver()).kind, "refused");
    assert.equal(asked.length, 1);
  }
});

Deno.test("an answer that is no orb server's decides nothing: a spooled signup is kept", async () => {
  const answers = [301, 401, 403, 404].map((status) => () => new Response("", { status }));
  const once = deliveryTo(answers);
  assert.equal((await once.deliver()).kind, "unusable");
  const kept = deliveryTo([...answers, token], { maxAttempts: Infinity });
  assert.equal((await kept.deliver()).kind, "accepted");
  assert.equal(kept.asked.length, 5);
});

Deno.test("a stop ends the waiting, and what is spooled stays undecided", async () => {
  const { delivery, world, stop } = deliveryTo([busy({ "retry-after": "3000" })], {
    maxAttempts: Infinity,
  });
  const result = delivery.deliver(signup);
  world.setTimeout(stop, 5_000);
  assert.equal((await world.runUntil(result)).kind, "later");
  assert.ok(world.monotonicMs() < 6_000);
});

Deno.test("v2 puts the bytes under the signup's id, and waits for the decision", async () => {
  const { deliver, asked } = deliveryTo([
    state("queued"),
    state("accepted", { token: "371dd8e3f2423f4a" }),
  ], { api: "v2" });
  assert.deepEqual(await deliver(), { kind: "accepted", token: "371dd8e3f2423f4a" });
  const [put, get] = asked;
  assert.deepEqual([put!.method, put!.path], ["PUT", `/base/v2/signups/${signup.id}`]);
  assert.equal(put!.headers.get("content-type"), "image/png");
  assert.equal(put!.headers.get("orb-id"), "orb-1");
  assert.deepEqual(put!.body, image);
  assert.deepEqual([get!.method, get!.path], ["GET", `/base/v2/signups/${signup.id}`]);
  assert.equal(get!.headers.get("prefer"), "wait=5");
});

Deno.test("v2: what was handed in is asked for only, unless the server has lost it", async () => {
  const { deliver, asked } = deliveryTo([
    state("queued"),
    state("processing"),
    busy(),
    () => new Response("", { status: 404 }),
    state("queued"),
    state("duplicate"),
  ], { api: "v2" });
  assert.deepEqual(await deliver(), { kind: "duplicate" });
  assert.deepEqual(asked.map(({ method }) => method), ["PUT", "GET", "GET", "GET", "PUT", "GET"]);
});

Deno.test("v2: every state has its meaning, and what is no status resource has none", async () => {
  const resultOf = async (answer: () => Response) =>
    await deliveryTo([answer], { api: "v2", maxAttempts: 1 }).deliver();
  assert.deepEqual(await resultOf(state("rejected", { reason: "no image" })), {
    kind: "rejected",
    reason: "no image",
  });
  assert.equal((await resultOf(state("dead_letter"))).kind, "rejected");
  assert.deepEqual(await resultOf(state("queued")), {
    kind: "later",
    status: 202,
    reason: "not decided yet: queued",
    handedIn: true,
  });
  for (const body of ["{}", "null", "<html>", '{"state":"fine"}']) {
    assert.equal((await resultOf(() => new Response(body))).kind, "unusable", body);
  }
  const problem = { headers: { "content-type": "application/problem+json" }, status: 409 };
  assert.deepEqual(await resultOf(() => Response.json({ detail: "Another image." }, problem)), {
    kind: "refused",
    status: 409,
    reason: "Another image.",
  });
});
