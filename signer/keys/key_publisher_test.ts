import assert from "node:assert/strict";
import { type Bus, BusError, type ReaderState } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { PublishedKey } from "./key_files.ts";
import { publishKeys } from "./key_publisher.ts";
import type { KeyStore } from "./key_store.ts";
import { generateKey } from "./signing.ts";

/** A store of which the test says what it holds. */
function fakeStore() {
  let active = generateKey("ed25519");
  const published: PublishedKey[] = [];
  const add = () =>
    published.unshift({
      ...active.publicJwk,
      ...{ state: "active", version: published.length + 1, created_at: "" },
    });
  add();
  const store: KeyStore = {
    get active() {
      return active;
    },
    get keys() {
      return [...published];
    },
    onChange: () => {},
    rotate() {
      active = generateKey("ed25519");
      add();
      store.onChange(store.keys);
      return Promise.resolve(published[0]!);
    },
    retire: () => Promise.reject(new Error("not here")),
    revoke: () => Promise.reject(new Error("not here")),
    failed: new Promise(() => {}),
    close: () => Promise.resolve(),
  };
  return store;
}

/** A bus that refuses to send as long as the test says so. */
function gatedBus() {
  const inner = memoryBus();
  const gate = { open: true, attempts: 0 };
  const bus: Bus = {
    ...inner,
    createTopic: (name, options) => inner.createTopic(name, options),
    send(topic, record, timeoutMs) {
      gate.attempts++;
      return gate.open
        ? inner.send(topic, record, timeoutMs)
        : Promise.reject(new BusError("unavailable", "not authorized"));
    },
  };
  return { bus, gate };
}

Deno.test("publishKeys() lets a new key sign only once it is published", async () => {
  const world = new VirtualWorld();
  const { bus, gate } = gatedBus();
  const store = fakeStore();
  const states: ReaderState[] = [];
  const publisher = publishKeys({
    bus,
    topic: "keys",
    store,
    world,
    onState: (state) => states.push(state),
  });
  await publisher.published;
  assert.deepEqual(states, ["ok"]);
  const first = store.active;
  gate.open = false;
  await store.rotate();
  await world.advance(60_000);
  assert.equal(publisher.signingKey, first);
  gate.open = true;
  await world.advance(10_000);
  assert.equal(publisher.signingKey, store.active);
  assert.equal(states.at(-1), "ok");
  publisher.stop();
  assert.equal(world.pendingTimers, 0);
});

Deno.test("publishKeys() publishes anew when the topic was removed, or made again by another", async () => {
  const world = new VirtualWorld();
  const bus = memoryBus({ world });
  const store = fakeStore();
  const states: ReaderState[] = [];
  const publisher = publishKeys({
    ...{ bus, topic: "keys", store, world },
    onState: (state) => states.push(state),
  });
  await publisher.published;
  for (const remade of [false, true]) {
    await bus.deleteTopic("keys");
    if (remade) await bus.createTopic("keys", { compacted: true });
    await world.advance(11_000);
    const read: string[] = [];
    const follower = await bus.follow({
      topic: "keys",
      from: "beginning",
      handle: ({ key }) => void read.push(key!),
    });
    await follower.caughtUp;
    assert.deepEqual(read, store.keys.map(({ kid }) => kid));
    await follower.close();
  }
  assert.match(JSON.stringify(states), /is gone.*ok.*was made again.*ok/);
  publisher.stop();
  assert.equal(world.pendingTimers, 0);
});

Deno.test("publishKeys() puts what is revoked on the topic before the keys", async () => {
  const bus = memoryBus();
  const store = fakeStore();
  const { kid } = store.active.publicJwk;
  const revocation = { kid, reason: "its disk was stolen", revoked_by: "ann", revoked_at: "" };
  const publisher = publishKeys({ bus, topic: "keys", store, revocations: () => [revocation] });
  await publisher.published;
  publisher.stop();
  const read: string[] = [];
  const follower = await bus.follow({
    ...{ topic: "keys", from: "beginning" },
    handle: ({ key }) => void read.push(key!),
  });
  await follower.caughtUp;
  await follower.close();
  assert.deepEqual(read, [`revoked:${kid}`, kid]);
});

Deno.test("publishKeys() waits longer and longer after failures, and stops at once", async () => {
  const world = new VirtualWorld();
  const { bus, gate } = gatedBus();
  gate.open = false;
  const publisher = publishKeys({ bus, topic: "keys", store: fakeStore(), world });
  await world.advance(600_000);
  assert.ok(gate.attempts > 60 && gate.attempts < 130, `${gate.attempts} attempts in 10 minutes`);
  publisher.stop();
  await publisher.published;
  assert.equal(world.pendingTimers, 0);
});

Deno.test("publishKeys() makes a compacted topic, says why it cannot publish, and begins its waits anew", async () => {
  const world = new VirtualWorld();
  const { bus, gate } = gatedBus();
  const { createTopic } = bus;
  const made: unknown[] = [];
  bus.createTopic = (name, options) => {
    made.push([name, options]);
    return createTopic(name, options);
  };
  gate.open = false;
  const store = fakeStore();
  const states: ReaderState[] = [];
  const publisher = publishKeys({
    ...{ bus, topic: "keys", store, world },
    onState: (state) => states.push(state),
  });
  await world.advance(0);
  assert.deepEqual(states, [{ reason: "not authorized" }]);
  assert.deepEqual(made[0], ["keys", { compacted: true }]);
  await world.advance(60_000);
  gate.open = true;
  await world.advance(11_000);
  await publisher.published;
  // After a success the next failure is waited for as the first was: a second and a half at most.
  gate.open = false;
  await store.rotate();
  await world.advance(0);
  gate.open = true;
  await world.advance(1_600);
  assert.equal(publisher.signingKey, store.active);
  publisher.stop();
});

Deno.test("publishKeys() looks for its topic only between two rounds, and publishes what is there as it is", async () => {
  const world = new VirtualWorld();
  const { bus, gate } = gatedBus();
  const { describeTopic } = bus;
  const store = fakeStore();
  const answer = Promise.withResolvers<void>();
  let described = 0;
  const states: ReaderState[] = [];
  const publisher = publishKeys({
    ...{ bus, topic: "keys", store, world },
    onState: (state) => states.push(state),
  });
  await publisher.published;
  // The topic is as it was: nothing is published.
  const attempts = gate.attempts;
  await world.advance(30_000);
  assert.equal(gate.attempts, attempts);
  // While keys are under way it is not looked for.
  bus.describeTopic = async (name) => {
    described++;
    await answer.promise;
    return await describeTopic(name);
  };
  gate.open = false;
  await store.rotate();
  await world.advance(25_000);
  assert.equal(described, 0);
  // One that begins meanwhile is a round of its own: the answer before it says nothing any more.
  gate.open = true;
  answer.resolve();
  await world.advance(11_000);
  assert.equal(
    states.filter((state) => state !== "ok" && /gone|again/.test(state.reason)).length,
    0,
  );
  publisher.stop();
});

Deno.test("publishKeys() takes a topic that it cannot look at for one that is still to be looked at", async () => {
  const world = new VirtualWorld();
  const { bus, gate } = gatedBus();
  const { describeTopic } = bus;
  let isAway = true;
  bus.describeTopic = (name) =>
    isAway ? Promise.reject(new BusError("unavailable", "away")) : describeTopic(name);
  const store = fakeStore();
  const publisher = publishKeys({ bus, topic: "keys", store, world });
  await publisher.published;
  assert.equal(publisher.signingKey, store.active);
  assert.equal(gate.attempts, 1);
  await world.advance(30_000);
  isAway = false;
  await world.advance(11_000);
  assert.equal(gate.attempts, 2, "once more, as it may be another one");
  await world.advance(30_000);
  assert.equal(gate.attempts, 2);
  publisher.stop();
});
