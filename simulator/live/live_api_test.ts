import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { EventLoop, newProcess } from "../simulation/event_loop.ts";
import { SimulatedStore } from "../simulation/simulated_store.ts";
import { testSimulator } from "../test_simulator.ts";
import { findOrder, placeOrder } from "../topology/backend_one.ts";
import type { Surroundings } from "../topology/ports.ts";
import { backendSchema, initialRows } from "../topology/settings.ts";
import { parseFaultFlag } from "./faults.ts";
import { usualSettings } from "./live_settings.ts";
import type { LiveState } from "./live_state.ts";
import { liveTest } from "./test_live.ts";

const live = { durability: "process-end", instances: 1, keys: 4 } as const;

async function graphql(url: string, query: string, headers: HeadersInit = {}) {
  const response = await fetch(`${url}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ query }),
  });
  return { status: response.status, body: await response.json() };
}

async function ask(url: string, method: string, body?: unknown) {
  const response = await fetch(url, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
}

liveTest("POST /graphql places an order, and one can watch it travel", async () => {
  await using simulator = await testSimulator({ live });
  const events = await fetch(simulator.url);
  const placed = await graphql(
    simulator.url,
    'mutation { placeOrder(key: "k2", id: "o-curl") { id key sequence state trace } }',
  );
  const { trace, ...order } = placed.body.data.placeOrder;
  assert.deepEqual(order, { id: "o-curl", key: "k2", sequence: 1, state: "PLACED" });
  await eventually("its confirmation", async () => {
    const { body } = await graphql(simulator.url, '{ order(id: "o-curl") { state } }');
    return body.data.order.state === "CONFIRMED" || undefined;
  }, 30_000);

  const parts = new Set<string>();
  const traceId = trace.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  const wanted = ["frontend", "backend-1.0", "relay-1.0", "lambda-2.0", "processor-2.0"]
    .concat("relay-2.0", "lambda-1.0", "processor-1.0");
  let text = "";
  for await (const chunk of events.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines.filter((one) => one.startsWith("data: "))) {
      const event = JSON.parse(line.slice(6));
      if (event.traceId === traceId) parts.add(event.name);
    }
    if (wanted.every((part) => parts.has(part))) break;
  }
  assert.deepEqual([...parts].sort(), wanted.sort());
});

liveTest("the endpoint and the simulation's direct call of the resolver agree", async () => {
  await using simulator = await testSimulator({ live });
  const loop = new EventLoop();
  const settings = { ...usualSettings, pattern: "outbox" } as const;
  const store = new SimulatedStore(loop, {
    ...{ name: "store-1", profile: "one-writer", schema: backendSchema(settings) },
  });
  for (const [table, row] of initialRows(settings, ["k1", "k2"], ["confirmation"])) {
    store.load(table, row);
  }
  const process = newProcess("backend-1.0");
  const part = {
    ...{ store: store.connect(process), clock: { nowMs: () => 0 }, wake() {} },
  } as unknown as Surroundings;
  const orders = [["o-a", "k1"], ["o-b", "k2"], ["o-c", "k1"], ["o-a", "k1"]] as const;
  for (const [id, key] of orders) {
    const { body } = await graphql(
      simulator.url,
      `mutation { placeOrder(key: "${key}", id: "${id}") { id key sequence trace } }`,
    );
    const { trace, ...live } = body.data.placeOrder;
    let direct: unknown;
    loop.spawn(
      process,
      (function* () {
        yield* placeOrder(part, settings, { id, key, trace });
        direct = yield* findOrder(part, id);
      })(),
    );
    loop.runUntil(loop.nowMs + 1_000);
    assert.deepEqual(direct, { ...live, trace, state: "placed" });
  }
  const world = simulator.server.live!.world;
  const rows = (await world.newestOrders(10)).reverse();
  assert.deepEqual(
    rows.map(({ id, key, sequence }) => ({ id, key, sequence })),
    store.all("orders").map((row) => ({
      id: row["orderId"],
      key: row["key"],
      sequence: row["sequence"],
    })),
  );
  assert.equal(store.all("outbox").length, 3);
});

liveTest("what cannot be ordered is an error with a code, and a fault at point 1 too", async () => {
  await using simulator = await testSimulator({ live });
  const code = async (query: string) => {
    const { status, body } = await graphql(simulator.url, query);
    return [status, body.errors[0].extensions?.code];
  };
  assert.deepEqual(await code('mutation { placeOrder(key: "none") { id } }'), [
    200,
    "BAD_USER_INPUT",
  ]);
  assert.deepEqual(await code("{ orders(last: 0) { id } }"), [200, "BAD_USER_INPUT"]);
  for (const [kind, expected] of [["refuse", "UNAVAILABLE"], ["lose-answer", "TIMEOUT"]]) {
    await ask(`${simulator.url}/api/faults`, "PUT", {
      faults: [{ point: 1, kind, probability: 1 }],
    });
    assert.deepEqual(await code('mutation { placeOrder(id: "o-x") { id } }'), [200, expected]);
  }
  await ask(`${simulator.url}/api/faults`, "PUT", { faults: [] });
  const { body } = await graphql(simulator.url, 'mutation { placeOrder(id: "o-x") { sequence } }');
  assert.equal(body.data.placeOrder.sequence, 1);
});

liveTest("GraphQL is behind the guard, and has limits", async () => {
  await using simulator = await testSimulator({ live });
  const foreign = await fetch(`${simulator.url}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", origin: "http://evil.example" },
    body: '{"query":"mutation { placeOrder { id } }"}',
  });
  assert.equal(foreign.status, 403);
  await foreign.body?.cancel();
  const large = await fetch(`${simulator.url}/graphql`, {
    method: "POST",
    body: "x".repeat(70_000),
  });
  assert.equal(large.status, 413);
  await large.body?.cancel();
  const page = await fetch(`${simulator.url}/graphql`, { headers: { accept: "text/html" } });
  assert.equal(page.status, 405);
  await page.body?.cancel();
  assert.equal(simulator.server.live!.world.state().counters.placed, 0);
});

liveTest("the API says what is there, and kills, starts, orders and heals", async () => {
  await using simulator = await testSimulator({ live });
  const url = `${simulator.url}/api`;
  const state = async () => (await ask(`${url}/live`, "GET")).body as LiveState;
  assert.deepEqual(
    (await state()).parts.map(({ name }) => name),
    ["frontend", "backend-1.0", "relay-1.0", "lambda-2.0", "processor-2.0", "janitor-1.0"]
      .concat("relay-2.0", "lambda-1.0", "processor-1.0", "janitor-2.0"),
  );
  assert.equal((await ask(`${url}/live/parts/relay-1.0/kill`, "POST")).status, 204);
  assert.equal((await ask(`${url}/live/parts/nobody/kill`, "POST")).status, 404);
  const { status, body } = await ask(`${url}/live/orders`, "POST", { count: 3, key: "k1" });
  assert.deepEqual([status, body], [202, { ids: ["o1", "o2", "o3"] }]);
  assert.equal((await ask(`${url}/live/orders`, "POST", { count: 0 })).status, 400);
  assert.equal((await ask(`${url}/live/orders`, "POST", { key: "none" })).status, 400);
  const box = async (name: string) => (await state()).boxes.find((one) => one.name === name)!;
  await eventually(
    "what waits for the relay",
    async () => (await box("outbox-1")).depth === 3 || undefined,
  );
  assert.equal((await state()).parts.find(({ name }) => name === "relay-1.0")!.state, "killed");
  assert.equal((await ask(`${url}/live/parts/relay-1.0/start`, "POST")).status, 204);
  await eventually(
    "their confirmation",
    async () => (await state()).counters.confirmed === 3 || undefined,
  );
  assert.equal((await state()).parts.find(({ name }) => name === "relay-1.0")!.starts, 2);

  const bad = await ask(`${url}/faults`, "PUT", { faults: [{ point: 2, kind: "refuse" }] });
  assert.equal(bad.status, 400);
  assert.match(bad.body.detail, /^faults\[0\]\.probability: /);
  assert.deepEqual((await ask(`${url}/faults`, "GET")).body, { faults: [] });
});

liveTest("poison is parked, and redriven once it is mended", async () => {
  await using simulator = await testSimulator({
    live: { ...live, fault: [{ kind: "poison", probability: 1 }] },
  });
  const { world } = simulator.server.live!;
  world.submitOrders(1);
  await eventually("the parked row", () => world.state().counters.deadLettered === 1 || undefined);
  assert.equal(world.state().counters.applied, 0);
  world.setFaults([]);
  const { body } = await ask(`${simulator.url}/api/live/redrive`, "POST");
  assert.deepEqual(body, { redriven: 1 });
  await eventually("its confirmation", () => world.state().counters.confirmed === 1 || undefined);
});

liveTest("the stream begins with the state, and tells each step", async () => {
  await using simulator = await testSimulator({ live });
  const stream = await fetch(`${simulator.url}/api/live/stream`);
  simulator.server.live!.world.submitOrders(1);
  const seen = new Set<string>();
  let text = "";
  for await (const chunk of stream.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/m.exec(block) ?? [];
      if (name === "state") {
        seen.add("state");
        assert.ok((JSON.parse(data!) as LiveState).parts.length > 0);
      } else if (name === "steps") {
        assert.ok(seen.has("state"));
        for (const { event } of JSON.parse(data!).steps) seen.add(event);
      }
    }
    if (["placed", "delivered", "effect", "call"].every((one) => seen.has(one))) break;
  }
});

liveTest("what the API answers is a file for --faults, and --fault comes on top", async () => {
  const point = { point: 2, kind: "refuse", probability: 0.3, minDurationMs: 5_000 };
  const beyond = [
    { kind: "crash", part: "relay-1", probability: 0.1, minDurationMs: 2_000 },
    { kind: "pause", part: "*", probability: 0.1 },
    { kind: "clock-skew", part: "lambda-2.0", skewMs: -3_000 },
    { kind: "poison", probability: 0.1 },
    { kind: "slow-consumer", probability: 0.1, minDurationMs: 4_000 },
    { kind: "full-queue", topic: "orders", capacity: 4 },
  ];
  const file = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const faults = [point, ...beyond];
    {
      await using simulator = await testSimulator({ live });
      const put = await ask(`${simulator.url}/api/faults`, "PUT", { faults });
      assert.equal(put.status, 200);
      const answer = await fetch(`${simulator.url}/api/faults`);
      await Deno.writeTextFile(file, await answer.text());
    }
    const fault = parseFaultFlag("kind=full-queue,topic=results,capacity=0");
    await using simulator = await testSimulator({ live: { ...live, faults: file, fault } });
    const { body } = await ask(`${simulator.url}/api/faults`, "GET");
    assert.deepEqual(body, { faults: [...faults, ...fault] });
  } finally {
    await Deno.remove(file);
  }
});

liveTest("what it cannot start with is said, with the flag and without the password", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/faults.json`;
    await Deno.writeTextFile(file, '{"faults":[{"point":9}]}');
    const often = `${folder}/often.json`;
    const fault = parseFaultFlag("point=2,kind=refuse,probability=0.6");
    await Deno.writeTextFile(often, JSON.stringify({ faults: fault }));
    const refused: [options: Parameters<typeof testSimulator>[0], message: RegExp][] = [
      [{ live: { ...live, faults: often, fault } }, /faults\[1\]\.probability: .*1\.2 together/],
      [{ live: { ...live, faults: file } }, /--faults .*faults\[0\]/],
      [{ live: { ...live, faults: `${folder}/none.json` } }, /Cannot read the faults of --faults/],
      [{ live: { ...live, record: file } }, /it is there already/],
      [{ live: { ...live, dataFolder: file } }, /--data-folder/],
      [
        { live: { ...live, databaseUrl: "postgres://a:secret@127.0.0.1:1/x" } },
        /at 127\.0\.0\.1:1: /,
      ],
      [{ live: { ...live, databaseUrl: "secret" } }, /--database-url is no URL/],
      [{ live: { ...live, databaseUrl: "mysql://a:secret@h/x" } }, /is not PostgreSQL's/],
    ];
    for (const [options, message] of refused) {
      await assert.rejects(testSimulator(options), (error: Error) => {
        assert.equal(error.name, "StartError", error.stack);
        assert.match(error.message, message);
        assert.ok(!error.message.includes("secret"));
        return true;
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
