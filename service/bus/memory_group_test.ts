import assert from "node:assert/strict";
import { drainMicrotasks, VirtualWorld } from "../world/virtual_world.ts";
import type { ConsumeOptions, ReceivedRecord } from "./bus.ts";
import { type GroupSource, MemoryGroup, Redelivery } from "./memory_group.ts";

const record = (offset: number) => ({ offset }) as unknown as ReceivedRecord;

/** A topic of the records from `base` to `end`. */
class TestSource implements GroupSource {
  base = 0;
  readonly records: ReceivedRecord[] = [];

  constructor(count: number) {
    for (let i = 0; i < count; i++) this.records.push(record(i));
  }

  get end(): number {
    return this.records.length;
  }

  recordAt(offset: number): ReceivedRecord | undefined {
    return offset < this.base ? undefined : this.records[offset];
  }
}

function groupOf(source: GroupSource) {
  const world = new VirtualWorld();
  const redelivery = new Redelivery(100, world);
  const group = new MemoryGroup(source, redelivery);
  const join = (handle: ConsumeOptions["handle"], maxInFlight?: number) =>
    group.join({ topic: "t", group: "g", handle, ...(maxInFlight && { maxInFlight }) });
  return { world, redelivery, group, join };
}

/** A member that says when it is done, and what it has got. */
function holding() {
  const got: number[] = [];
  const ends: PromiseWithResolvers<void>[] = [];
  const handle = (record: ReceivedRecord) => {
    got.push((record as unknown as { offset: number }).offset);
    const end = Promise.withResolvers<void>();
    ends.push(end);
    return end.promise;
  };
  return { got, ends, handle };
}

Deno.test("a group begins with the oldest that is kept, and loses what is trimmed away", async () => {
  const source = new TestSource(6);
  source.base = 2;
  const { group, join } = groupOf(source);
  assert.deepEqual([group.next, group.lag], [2, 4]);
  const { got, ends, handle } = holding();
  const member = join(handle, 1);
  assert.deepEqual(got, [], "dealt out behind what is under way");
  await drainMicrotasks();
  assert.deepEqual([got, group.next, group.lag], [[2], 3, 3]);
  source.base = 5;
  assert.equal(group.lag, 1);
  assert.equal(await member.lag(), 1);
  assert.deepEqual(member.partitions, [0]);
  assert.deepEqual(await member.progress(), new Map([[0, { waiting: 1, done: 3n }]]));
  ends[0]!.resolve();
  await drainMicrotasks();
  assert.deepEqual([got, group.lag], [[2, 5], 0]);
});

Deno.test("a member has as many under way as it may, a thousand where it does not say", async () => {
  const few = groupOf(new TestSource(5));
  const member = holding();
  const reader = few.join(member.handle, 2);
  await drainMicrotasks();
  assert.deepEqual([member.got, reader.inFlight, reader.hasRoom], [[0, 1], 2, false]);
  member.ends[1]!.resolve();
  await drainMicrotasks();
  assert.deepEqual([member.got, reader.inFlight], [[0, 1, 2], 2]);

  const many = groupOf(new TestSource(2_000));
  const all = holding();
  many.join(all.handle);
  await drainMicrotasks();
  assert.equal(all.got.length, 1_024);
});

Deno.test("the member with the least to do is given the next, in turns where several have", async () => {
  const source = new TestSource(3);
  const { join, group } = groupOf(source);
  const members = [holding(), holding()];
  for (const { handle } of members) join(handle);
  await drainMicrotasks();
  assert.deepEqual(members.map(({ got }) => got), [[0, 2], [1]]);
  source.records.push(record(3));
  group.deal();
  await drainMicrotasks();
  assert.deepEqual(members.map(({ got }) => got), [[0, 2], [1, 3]]);
  source.records.push(record(4));
  group.deal();
  group.deal();
  await drainMicrotasks();
  assert.deepEqual(members.map(({ got }) => got), [[0, 2, 4], [1, 3]]);
  for (const { ends } of members) ends.forEach(({ resolve }) => resolve());
  const next = async (): Promise<(number | undefined)[]> => {
    source.records.push(record(source.end));
    group.deal();
    await drainMicrotasks();
    return members.map(({ got }) => got.at(-1));
  };
  assert.deepEqual(await next(), [4, 5], "the other was served last");
  members[1]!.ends.at(-1)!.resolve();
  await drainMicrotasks();
  assert.deepEqual(await next(), [6, 5], "its turn, as both are idle");
  assert.deepEqual(await next(), [6, 7]);
  members[1]!.ends.at(-1)!.resolve();
  await drainMicrotasks();
  assert.deepEqual(await next(), [6, 8], "not its turn, but it has less to do");
});

Deno.test("what is rejected comes again after its wait, before anything new", async () => {
  const { world, join, group } = groupOf(new TestSource(3));
  const { got, ends, handle } = holding();
  const member = join(handle, 1);
  await drainMicrotasks();
  ends[0]!.reject(new Error("not this time"));
  await world.advance(99);
  assert.deepEqual([got, member.inFlight], [[0], 1], "it keeps its place meanwhile");
  await world.advance(1);
  assert.deepEqual([got, group.lag], [[0, 0], 2]);
  ends[1]!.resolve();
  await drainMicrotasks();
  assert.deepEqual(got, [0, 0, 1]);
});

Deno.test("a member that leaves gives back what it has rejected at once, and takes nothing", async () => {
  const { world, join, group } = groupOf(new TestSource(3));
  const { got, ends, handle } = holding();
  const member = join(handle, 2);
  await drainMicrotasks();
  let isClosed = false;
  const closing = member.close().then(() => isClosed = true);
  ends[0]!.reject(new Error("not here"));
  await drainMicrotasks();
  assert.deepEqual([group.lag, isClosed, world.pendingTimers], [2, false, 0]);
  ends[1]!.resolve();
  await closing;
  assert.deepEqual([got, group.lag], [[0, 1], 2]);
  const heir = holding();
  join(heir.handle);
  await drainMicrotasks();
  assert.deepEqual(heir.got, [0, 2]);
});

Deno.test("a member that leaves at its deadline hands over what is under way, once", async () => {
  const { join, group } = groupOf(new TestSource(2));
  const { ends, handle } = holding();
  const member = join(handle);
  await drainMicrotasks();
  const deadline = new AbortController();
  const closing = member.close(deadline.signal);
  deadline.abort();
  await closing;
  assert.deepEqual([group.lag, member.inFlight], [2, 0]);
  ends[0]!.reject(new Error("too late"));
  ends[1]!.resolve();
  await drainMicrotasks();
  assert.equal(group.lag, 2, "they were given back already");
  const heir = holding();
  join(heir.handle);
  await drainMicrotasks();
  assert.deepEqual(heir.got, [0, 1]);

  const idle = join(holding().handle);
  await idle.close();
});

Deno.test("Redelivery lets nothing come again once it is closed", async () => {
  const { world, redelivery } = groupOf(new TestSource(0));
  const called: string[] = [];
  redelivery.later(() => called.push("a"));
  await world.advance(100);
  redelivery.later(() => called.push("b"));
  assert.equal(world.pendingTimers, 1);
  redelivery.close();
  assert.equal(world.pendingTimers, 0);
  await world.advance(1_000);
  assert.deepEqual(called, ["a"]);
});
