import assert from "node:assert/strict";
import { drainMicrotasks, VirtualWorld } from "../world/virtual_world.ts";
import { BusError, type BusErrorKind, type BusRecord } from "./bus.ts";
import { type KafkaProducer, KafkaSender, type KafkaSenderOptions } from "./kafka_sender.ts";

/** A request that a scripted producer was given. */
interface Request {
  topic: string;
  values: string[];
  turn: number;
  atMs: number;
  acknowledge(): void;
  fail(kind: BusErrorKind): void;
}

interface Scene {
  world: VirtualWorld;
  sender: KafkaSender;
  requests: Request[];
  /** Sends, and notes under the value how it ended. */
  send(value: string, topic?: string): void;
  endings: Map<string, string>;
}

/** A sender whose broker is the test itself. */
async function scene(
  options: Partial<KafkaSenderOptions>,
  run: (scene: Scene) => Promise<void>,
): Promise<void> {
  const world = new VirtualWorld();
  const requests: Request[] = [];
  const producer: KafkaProducer = {
    send: (topic, records, turn) =>
      new Promise((resolve, reject) =>
        requests.push({
          topic,
          values: records.map(textOf),
          turn,
          atMs: world.monotonicMs(),
          acknowledge: resolve,
          fail: (kind) => reject(new BusError(kind, `scripted: ${kind}`)),
        })
      ),
    close: () => Promise.resolve(),
  };
  const sender = new KafkaSender({ producer, maxValueBytes: 100, world, ...options });
  const endings = new Map<string, string>();
  await run({
    world,
    sender,
    requests,
    endings,
    send(value, topic = "t") {
      sender.send(topic, { headers: [], value: new TextEncoder().encode(value) }, 5_000).then(
        () => endings.set(value, `sent at ${world.monotonicMs()}`),
        (error: BusError) => endings.set(value, `${error.kind} at ${world.monotonicMs()}`),
      );
    },
  });
  await sender.close();
  await world.runUntilIdle();
  assert.equal(world.pendingTimers, 0, "no timer is left behind");
}

function textOf({ value }: BusRecord): string {
  return new TextDecoder().decode(value!);
}

const batches = (requests: Request[]) => requests.map(({ values }) => values.join(" "));

Deno.test("KafkaSender sends a lone record at once, and one turn's records together", () =>
  scene({}, async ({ send, requests, world, endings }) => {
    send("a");
    await drainMicrotasks();
    assert.deepEqual(batches(requests), ["a"]);
    assert.equal(requests[0]!.atMs, 0);
    requests[0]!.acknowledge();
    for (const value of ["b", "c", "d"]) send(value);
    await world.advance(5);
    assert.deepEqual(batches(requests), ["a", "b c d"]);
    requests[1]!.acknowledge();
    await drainMicrotasks();
    assert.deepEqual([...endings.values()], ["sent at 0", ...Array(3).fill("sent at 5")]);
  }));

Deno.test("KafkaSender gathers what comes while its requests are on their way, in order", () =>
  scene({ maxRequests: 2 }, async ({ send, requests }) => {
    for (const value of ["a", "b", "c", "d"]) {
      send(value);
      await drainMicrotasks();
    }
    assert.deepEqual(batches(requests), ["a", "b"]);
    requests[0]!.acknowledge();
    await drainMicrotasks();
    assert.deepEqual(batches(requests), ["a", "b", "c d"]);
    assert.deepEqual(
      requests.map(({ turn }) => turn - requests[0]!.turn),
      [0, 1, 2],
      "each batch goes to the next partition",
    );
  }));

Deno.test("KafkaSender keeps a batch below its limits of records and bytes", () =>
  scene({ maxBatchRecords: 3, maxBatchBytes: 150 }, async ({ send, requests, endings }) => {
    for (const value of ["a", "b", "c", "d"]) send(value);
    send("x".repeat(100));
    send("y".repeat(100));
    send("z");
    for (let i = 0; i < 6; i++) {
      await drainMicrotasks();
      requests.at(-1)!.acknowledge();
      requests.at(-2)?.acknowledge();
    }
    assert.deepEqual(requests.map(({ values }) => values.map((value) => value[0]).join(" ")), [
      ...["a b c", "d x", "y z"],
    ]);
    assert.equal(endings.size, 7);
  }));

Deno.test("KafkaSender serves other topics while one is held up", () =>
  scene({ maxRequests: 1 }, async ({ send, requests }) => {
    send("a", "slow");
    send("b", "other");
    await drainMicrotasks();
    assert.deepEqual(requests.map(({ topic }) => topic), ["slow", "other"]);
  }));

Deno.test("KafkaSender tries again what failed, later and later, before what came after it", () =>
  scene({ maxRequests: 1, retryDelayMs: 100, maxRetryDelayMs: 400 }, async (scene) => {
    const { send, requests, world, endings } = scene;
    send("a");
    await drainMicrotasks();
    for (let i = 0; i < 5; i++) {
      requests.at(-1)!.fail("unavailable");
      if (i === 0) send("b");
      await world.advance(400);
      assert.equal(requests.length, i + 2);
    }
    const waits = requests.slice(1).map(({ atMs }, i) => atMs - 400 * i);
    waits.forEach((waitMs, i) => {
      const mostMs = Math.min(400, 100 * 2 ** i);
      assert.ok(waitMs <= mostMs && waitMs >= mostMs / 2, `wait ${i} was ${waitMs} ms`);
    });
    assert.deepEqual(requests.at(-1)!.values, ["a", "b"]);
    requests.at(-1)!.acknowledge();
    await drainMicrotasks();
    assert.equal(endings.get("a"), "sent at 2000");
    assert.equal(endings.get("b"), "sent at 2000");
  }));

Deno.test("KafkaSender ends every wait at its deadline, also of what is on its way", () =>
  scene({ maxRequests: 1 }, async ({ send, requests, world, endings }) => {
    send("on its way");
    await world.advance(1_000);
    send("waits");
    await world.advance(4_000);
    assert.deepEqual([...endings], [["on its way", "unavailable at 5000"]]);
    await world.advance(1_000);
    assert.equal(endings.get("waits"), "unavailable at 6000");
    requests[0]!.acknowledge();
    await drainMicrotasks();
    assert.deepEqual(batches(requests), ["on its way"], "what has expired is not sent");
  }));

Deno.test("KafkaSender halves a batch that is too large, so that none is refused because of another", () =>
  scene({}, async ({ send, requests, endings }) => {
    for (const value of ["a", "b", "large", "c"]) send(value);
    for (let done = 0; done < 7; done++) {
      await drainMicrotasks();
      const request = requests[done];
      if (!request) break;
      if (request.values.includes("large")) request.fail("too-large");
      else request.acknowledge();
    }
    await drainMicrotasks();
    assert.deepEqual(Object.fromEntries(endings), {
      a: "sent at 0",
      b: "sent at 0",
      c: "sent at 0",
      large: "too-large at 0",
    });
  }));

Deno.test("KafkaSender gives a topic that is not there a second chance, then refuses it for a while", () =>
  scene({ unknownTopicMs: 1_000 }, async ({ send, requests, world, endings }) => {
    send("first");
    await drainMicrotasks();
    requests[0]!.fail("unknown-topic");
    await world.advance(100);
    assert.equal(requests.length, 2, "a topic made a moment ago may not be known everywhere");
    requests[1]!.fail("unknown-topic");
    await drainMicrotasks();
    assert.equal(endings.get("first"), "unknown-topic at 100");

    send("second");
    await drainMicrotasks();
    assert.equal(endings.get("second"), "unknown-topic at 100");
    assert.equal(requests.length, 2, "nobody is asked");
    await world.advance(1_000);
    send("third");
    await drainMicrotasks();
    requests[2]!.acknowledge();
    await drainMicrotasks();
    assert.equal(endings.get("third"), "sent at 1100");
  }));

Deno.test("KafkaSender refuses what is too large, and what would be too much", () =>
  scene({ maxRecords: 2 }, async ({ send, requests, endings }) => {
    send("x".repeat(101));
    send("a");
    send("b");
    send("c");
    await drainMicrotasks();
    assert.equal(endings.get("x".repeat(101)), "too-large at 0");
    assert.equal(endings.get("c"), "overloaded at 0");
    requests[0]!.acknowledge();
    await drainMicrotasks();
    send("d");
    await drainMicrotasks();
    assert.deepEqual(batches(requests), ["a b", "d"]);
  }));

Deno.test("KafkaSender refuses what would be too many bytes", () =>
  scene({ maxBytes: 100 }, async ({ send, endings }) => {
    send("x".repeat(70));
    send("y".repeat(70));
    await drainMicrotasks();
    assert.deepEqual([...endings.values()], ["overloaded at 0"]);
  }));

Deno.test("close() rejects what waits, at once, also between two attempts", () =>
  scene({}, async ({ send, requests, sender, endings }) => {
    send("a");
    await drainMicrotasks();
    requests[0]!.fail("unavailable");
    await drainMicrotasks();
    await sender.close();
    send("b");
    await drainMicrotasks();
    assert.deepEqual([...endings.values()], ["unavailable at 0", "unavailable at 0"]);
    assert.equal(requests.length, 1);
  }));
