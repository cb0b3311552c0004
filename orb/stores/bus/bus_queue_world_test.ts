/**
 * The queue over the bus on a back-end and a bus whose answers are the test's, in virtual time: what is
 * offered and when, what the database is asked instead, and what a lost bus costs.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Bus, BusError, type ConsumeOptions } from "../../../service/bus/bus.ts";
import { memoryBus } from "../../../service/bus/memory_bus.ts";
import { type TestContext, testContext } from "../../../service/testing/context.ts";
import { VirtualWorld } from "../../../service/world/virtual_world.ts";
import { queued, type SignupRecord } from "../../signups/signup_record.ts";
import type { RecordBackend, SignupChange } from "../record_backend.ts";
import type { RecordCommand } from "../record_commands.ts";
import { limits, signupOf } from "../test_record_steps.ts";
import { openBusQueue } from "./bus_queue.ts";

const topic = "orb.v2.queue";
const claim = { type: "claim", worker: "w", max: 2, ...limits } as const;

interface Scene {
  queue: RecordBackend;
  world: VirtualWorld;
  context: TestContext;
  /** What the database was asked, and what it answers. */
  asked: RecordCommand[][];
  answers: unknown[][];
  /** What was offered over the bus. */
  offered: string[];
  bus: Bus & { away?: Error };
  /** Hands an offer over, as the bus does. */
  deal(id: string): Promise<void>;
  consumed: ConsumeOptions[];
  changes: ((change: SignupChange) => void)[];
  closed: string[];
}

function queueTest(
  name: string,
  run: (scene: Scene) => Promise<void>,
  { takes = true, failing = 0 } = {},
): void {
  Deno.test(`bus queue: ${name}`, async () => {
    const world = new VirtualWorld();
    const context = testContext({ world });
    const [asked, answers, offered] = [[] as RecordCommand[][], [] as unknown[][], [] as string[]];
    const [consumed, closed] = [[] as ConsumeOptions[], [] as string[]];
    const changes: Scene["changes"] = [];
    const inner = memoryBus({ world });
    let failures = failing;
    const bus: Scene["bus"] = {
      ...inner,
      send(_, { value }) {
        if (bus.away) return Promise.reject(bus.away);
        offered.push(new TextDecoder().decode(value!));
        return Promise.resolve();
      },
      consume(options) {
        if (failures-- > 0) return Promise.reject(new BusError("unavailable", "no broker"));
        consumed.push(options);
        return inner.consume(options);
      },
      close() {
        closed.push("bus");
        return inner.close();
      },
    };
    await inner.createTopic(topic);
    const backend: RecordBackend = {
      ...{ system: "postgresql", maxParallel: 7 },
      apply(commands) {
        asked.push([...commands]);
        const answer = answers.shift();
        return answer instanceof Error
          ? Promise.reject(answer)
          : Promise.resolve((answer ?? commands.map(() => [])) as never);
      },
      probe: () => Promise.reject(new Error("probed")),
      onRemoteChange: (listener) => void changes.push(listener),
      close() {
        closed.push("backend");
        return Promise.resolve();
      },
    };
    const queue = openBusQueue({ backend, bus, topic, takes, log: context.log, world });
    await world.advance(0);
    await run({
      ...{ queue, world, context, asked, answers, offered, bus, consumed, changes, closed },
      deal: (id) =>
        consumed.at(-1)!.handle({
          ...{ topic, partition: 0, offset: 0n, headers: [], key: undefined, timestampMs: 0 },
          value: new TextEncoder().encode(id),
        } as never),
    });
    await queue.close();
    await queue.close();
    assert.deepEqual(closed, ["bus", "backend"], "in this order, once");
    assert.equal(world.pendingTimers, 0);
  });
}

const record = (name: string): SignupRecord => queued(signupOf(name), 1);

queueTest("it is its database, but for what it deals", async (scene) => {
  const { queue, asked, answers, consumed, changes } = scene;
  assert.deepEqual([queue.system, queue.maxParallel], ["postgresql", 7]);
  await assert.rejects(queue.probe(), /probed/);
  const listener = () => {};
  queue.onRemoteChange(listener);
  assert.deepEqual(changes, [listener]);
  const [{ topic, group, maxInFlight }] = consumed as [ConsumeOptions];
  assert.deepEqual([topic, group, maxInFlight], ["orb.v2.queue", "orb.v2.queue.workers", 64]);
  // Commands that are not its own go as they are, a claim by ids too.
  const byIds = { ...claim, ids: ["x"] };
  answers.push([7, [record("one")]]);
  const replies = await queue.apply([{ type: "clock" }, byIds]);
  assert.deepEqual(asked, [[{ type: "clock" }, byIds]]);
  assert.equal(replies[0], 7);
});

queueTest(
  "without an offer it asks for what is overdue, now and then, and else for nothing",
  async (scene) => {
    const { queue, asked, answers, world } = scene;
    assert.deepEqual(await queue.apply([claim]), [[]]);
    assert.deepEqual(asked, [[{ ...claim, overdueMs: 5_000 }]]);
    await world.advance(999);
    assert.deepEqual(await queue.apply([claim]), [[]]);
    assert.equal(asked.length, 1);
    // The rest is asked all the same, and each gets its own answer.
    answers.push([7, 8]);
    assert.deepEqual(await queue.apply([{ type: "clock" }, claim, { type: "clock" }]), [7, [], 8]);
    assert.deepEqual(asked[1], [{ type: "clock" }, { type: "clock" }]);
    await world.advance(1);
    answers.push([[record("one"), record("two")]]);
    assert.equal((await queue.apply([claim]))[0].length, 2);
    // It was as many as were asked for: there may be more.
    answers.push([[record("three")]]);
    await queue.apply([claim]);
    assert.equal(asked.length, 4);
    await queue.apply([claim]);
    assert.equal(asked.length, 4, "there are no more");
  },
);

queueTest(
  "what it is offered it claims by its ids; what could not be claimed waits",
  async (scene) => {
    const { queue, asked, answers, deal } = scene;
    const heard: string[] = [];
    queue.onOffered!(() => void heard.push("offer"));
    const [one, two, three] = ["one", "two", "three"].map(record);
    let settled = 0;
    for (const { id } of [one!, two!, three!]) void deal(id).then(() => settled++);
    assert.deepEqual(heard, ["offer", "offer", "offer"]);
    const failure = new Error("database is away");
    answers.push(failure as never);
    await assert.rejects(queue.apply([claim]), failure);
    assert.equal(settled, 0);
    answers.push([[one, two]]);
    await queue.apply([claim]);
    assert.deepEqual(asked.at(-1), [{ ...claim, ids: [three!.id, one!.id] }]);
    assert.equal(settled, 2);
    await queue.apply([claim]);
    assert.deepEqual(asked.at(-1), [{ ...claim, ids: [two!.id] }]);
    assert.equal(settled, 3);
  },
);

queueTest("what waits is offered: at once, or when it is due", async (scene) => {
  const { queue, answers, offered, world } = scene;
  const [one, two] = [record("one"), record("two")];
  const ask = async (command: RecordCommand, reply: unknown) => {
    answers.push([reply]);
    await queue.apply([command]);
    return offered.splice(0);
  };
  const submit = { type: "submit", signup: one, maxQueued: 9 } as const;
  assert.deepEqual(await ask(submit, { result: "new", record: one }), [one.id]);
  const decided = { ...one, state: "accepted" };
  assert.deepEqual(await ask(submit, { result: "new", record: decided }), []);
  assert.deepEqual(await ask(submit, { result: "same", record: one }), []);
  assert.deepEqual(await ask(submit, { result: "full", depth: 9 }), []);
  const changed = { result: "changed", record: two };
  const lost = { result: "lost" };
  const held = { id: two.id, fence: 1 };
  assert.deepEqual(await ask({ type: "release", ...held }, changed), [two.id]);
  assert.deepEqual(await ask({ type: "release", ...held }, lost), []);
  assert.deepEqual(await ask({ type: "requeue", id: two.id }, changed), [two.id]);
  assert.deepEqual(await ask({ type: "requeue", id: two.id }, lost), []);
  assert.deepEqual(await ask({ type: "extend", ...held, leaseMs: 9 }, changed), []);
  assert.deepEqual(await ask({ type: "reset" }, null), []);
  const retry = (delayMs: number, reply: unknown = changed) =>
    ask({ type: "retry", ...held, reason: "r", delayMs, maxAttempts: 3 }, reply);
  assert.deepEqual(await retry(0), [two.id]);
  assert.deepEqual(await retry(0, lost), []);
  assert.deepEqual(await retry(0, { ...changed, record: { ...two, state: "dead_letter" } }), []);
  // A little later than the database takes it for due.
  assert.deepEqual(await retry(100), []);
  await world.advance(109);
  assert.deepEqual(offered, []);
  await world.advance(1);
  assert.deepEqual(offered.splice(0), [two.id]);
  // A minute is the longest that is waited for; beyond, a sweep finds it.
  await retry(60_000);
  await retry(60_001);
  await world.advance(60_010);
  assert.deepEqual(offered.splice(0), [two.id]);
  await world.advance(60_010);
  assert.deepEqual(offered, []);
  await retry(1_000);
});

queueTest("no more waits are kept than 10,000", async (scene) => {
  const { queue, answers, offered, world } = scene;
  const one = record("one");
  const retry = {
    ...{
      type: "retry",
      id: one.id,
      fence: 1,
      reason: "r",
      delayMs: 1_000,
      maxAttempts: 3,
    } as const,
  };
  const commands = Array.from({ length: 10_001 }, () => retry);
  answers.push(commands.map(() => ({ result: "changed", record: one })));
  await queue.apply(commands);
  assert.equal(world.pendingTimers, 10_000);
  await world.advance(1_010);
  assert.equal(offered.length, 10_000);
});

queueTest("an offer that cannot be sent is in the log, unless it closes", async (scene) => {
  const { queue, answers, bus, context, world } = scene;
  const one = record("one");
  bus.away = new BusError("unavailable", "no broker");
  const submit = { type: "submit", signup: one, maxQueued: 9 } as const;
  answers.push([{ result: "new", record: one }], [{ result: "new", record: one }]);
  await queue.apply([submit]);
  await world.advance(0);
  assert.deepEqual(context.lines, [
    `WARN A signup could not be offered over the bus; it is decided some seconds later id=${one.id} reason="no broker"`,
  ]);
  await world.advance(5_000);
  const applying = queue.apply([submit]);
  const closing = queue.close();
  await applying;
  await closing;
  assert.equal(context.lines.length, 1);
});

queueTest(
  "a bus that cannot be read is tried again after ten seconds, and said to be",
  async (scene) => {
    const { consumed, context, world } = scene;
    const line =
      'WARN The bus cannot be read; until it can, signups are decided some seconds later reason="no broker"';
    assert.deepEqual([consumed.length, context.lines], [0, [line]]);
    await world.advance(9_999);
    assert.equal(context.lines.length, 1);
    await world.advance(1);
    assert.deepEqual([consumed.length, context.lines], [0, [line, line]]);
    await world.advance(10_000);
    assert.equal(consumed.length, 1);
  },
  { failing: 2 },
);

queueTest("what is no signup's id is left out, with a line so often a second", async (scene) => {
  const { deal, context, queue, asked, world } = scene;
  const { id } = record("one");
  await deal("");
  await world.advance(1_500);
  for (const odd of [`${id}x`, `x${id}`]) await deal(odd);
  assert.equal(context.lines.length, 2);
  assert.equal(context.lines[0], "WARN Something on the bus is no signup's id; it is left out");
  await queue.apply([claim]);
  assert.equal("ids" in asked[0]![0]!, false);
});

queueTest("a server that decides nothing takes no offers", async ({ consumed }) => {
  assert.equal(consumed.length, 0);
  await Promise.resolve();
}, { takes: false });
