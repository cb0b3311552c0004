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
  return value === null ? "null" : new TextDecoder().decode(value);
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

Deno.test("KafkaSender counts key, headers and value, and gives the bytes back", () =>
  // 20 for itself, 4 a header.
  scene({ maxBytes: 40 }, async ({ sender, requests }) => {
    const record = (value: string | null, name = "n"): BusRecord => ({
      key: "kk",
      headers: [[name, new Uint8Array(5)]],
      value: value === null ? null : new TextEncoder().encode(value),
    });
    const sendFits = (one: BusRecord) => {
      const sent = sender.send("t", one, 5_000);
      return sent.then(() => true, (error: BusError) => error.kind);
    };
    for (
      const [one, fits] of [
        [record("x".repeat(8)), true],
        [record("x".repeat(9)), "overloaded"],
        [record("x".repeat(8), "nn"), "overloaded"],
        [record(null), true],
        // What the two before took is there again.
        [record("x".repeat(8)), true],
      ] as const
    ) {
      const ended = sendFits(one);
      await drainMicrotasks();
      requests.at(-1)?.acknowledge();
      assert.equal(await ended, fits);
    }
    assert.equal(requests.length, 3);
  }));

Deno.test("KafkaSender fills a batch to its last byte, and not beyond", () =>
  scene({ maxBatchBytes: 50 }, async ({ send, requests }) => {
    for (const value of ["a".repeat(5), "b".repeat(5), "c"]) send(value);
    await drainMicrotasks();
    assert.deepEqual(batches(requests), ["aaaaa bbbbb", "c"]);
  }));

Deno.test("KafkaSender begins its turns anywhere, and takes them one by one", async () => {
  const turns = async (seed: number): Promise<number[]> => {
    const world = new VirtualWorld({ seed });
    const seen: number[] = [];
    const sender = new KafkaSender({
      producer: {
        send: (_topic, _records, turn) => Promise.resolve(void seen.push(turn)),
        close: () => Promise.resolve(),
      },
      maxValueBytes: 100,
      world,
      maxRequests: 2,
    });
    const record: BusRecord = { headers: [], value: new Uint8Array() };
    await sender.send("a", record, 1_000);
    await sender.send("b", record, 1_000);
    await sender.close();
    await world.runUntilIdle();
    return seen;
  };
  const [one, two] = [await turns(1), await turns(2)];
  assert.ok(one.concat(two).every((turn) => Number.isInteger(turn) && turn < 1_000));
  assert.ok(new Set(one.concat(two)).size > 2, `${one} ${two}`);
});

Deno.test("KafkaSender's refusals say what, how much and where", () =>
  scene({ maxRecords: 1 }, async ({ sender, world, requests }) => {
    const record = (length: number): BusRecord => ({ headers: [], value: new Uint8Array(length) });
    const refused = (topic: string, length: number) =>
      sender.send(topic, record(length), 300).then(() => "", (error: BusError) => error.message);
    assert.equal(
      await refused("t", 101),
      "101 bytes are more than the 100 that a record may have.",
    );
    const late = refused("t", 1);
    assert.equal(await refused("t", 1), "1 records wait to be sent already.");
    await world.advance(400);
    assert.equal(await late, "Cannot send to t: no answer in time");
    requests[0]!.acknowledge();

    const unknown = refused("u".repeat(300), 1);
    for (const request of [1, 2]) {
      await world.advance(100);
      requests[request]!.fail("unknown-topic");
    }
    await unknown;
    assert.equal(
      await refused("u".repeat(300), 1),
      `There is no topic '${"u".repeat(249)}'.`,
    );
    const open = refused("t", 1);
    await sender.close();
    assert.equal(await open, "The bus was closed.");
    assert.equal(await refused("t", 1), "The bus was closed.");
  }));

Deno.test("KafkaSender says why it has failed, where a deadline ends the attempts", () =>
  scene({ maxRequests: 1 }, async ({ sender, world, requests }) => {
    const sent = sender.send("t", { headers: [], value: null }, 300);
    const failed = assert.rejects(sent, { kind: "unavailable", message: "scripted: unavailable" });
    await drainMicrotasks();
    requests[0]!.fail("unavailable");
    await world.advance(99);
    await world.advance(301);
    await failed;
  }));

Deno.test("KafkaSender takes a producer's other errors for an outage, with their text", async () => {
  const world = new VirtualWorld();
  let attempts = 0;
  const sender = new KafkaSender({
    producer: {
      send: () => attempts++ === 0 ? Promise.reject(new Error("odd")) : new Promise(() => {}),
      close: () => Promise.resolve(),
    },
    maxValueBytes: 100,
    world,
  });
  const sent = assert.rejects(sender.send("t", { headers: [], value: null }, 1_000), {
    kind: "unavailable",
    message: "Error: odd",
  });
  await world.advance(1_200);
  await sent;
  assert.equal(attempts, 2);
  await sender.close();
});

Deno.test("KafkaSender gives a topic a second chance after each success, not once for ever", () =>
  scene({}, async ({ send, requests, world, endings }) => {
    // It keeps the lane, which is forgotten where nothing waits.
    send("on its way");
    await drainMicrotasks();
    for (const value of ["a", "b"]) {
      const last = () => requests.findLast(({ values }) => values.includes(value))!;
      send(value);
      await drainMicrotasks();
      last().fail("unknown-topic");
      await world.advance(200);
      last().acknowledge();
      await drainMicrotasks();
      assert.match(endings.get(value) ?? "", /^sent/);
    }
  }));

Deno.test("KafkaSender remembers a thousand topics that are not there, the oldest is forgotten", () =>
  scene({ unknownTopicMs: 60_000, retryDelayMs: 1, maxRetryDelayMs: 1 }, async (scene) => {
    const { send, requests, world, endings } = scene;
    for (let number = 0; number <= 1_000; number++) send(`${number}`, `topic ${number}`);
    for (const chance of [1, 2]) {
      await world.advance(1);
      for (const request of requests.slice(chance === 1 ? 0 : 1_001)) request.fail("unknown-topic");
    }
    await drainMicrotasks();
    assert.equal(endings.size, 1_001);
    const asked = requests.length;
    // By chance, as their waits are.
    const [oldest, second] = requests.slice(1_001);
    for (const request of [second, requests.at(-1)]) send("again", request!.topic);
    await drainMicrotasks();
    assert.equal(requests.length, asked, "these are remembered");
    send("again", oldest!.topic);
    await drainMicrotasks();
    assert.equal(requests.length, asked + 1);
    requests.at(-1)!.acknowledge();
  }));

Deno.test("KafkaSender sends a record alone that is larger than a batch", () =>
  scene({ maxBatchBytes: 30 }, async ({ send, requests }) => {
    for (const value of ["a", "b".repeat(100), "c"]) send(value);
    await drainMicrotasks();
    requests[0]!.acknowledge();
    await drainMicrotasks();
    assert.deepEqual(requests.map(({ values }) => values.map((value) => value[0]).join(" ")), [
      ...["a", "b", "c"],
    ]);
  }));

Deno.test("KafkaSender believes that there is no topic only when it hears so twice in a row", () =>
  scene({ maxRequests: 1 }, async ({ send, requests, world, endings }) => {
    send("a");
    await drainMicrotasks();
    for (const kind of ["unavailable", "unknown-topic", "unavailable", "unknown-topic"] as const) {
      requests.at(-1)!.fail(kind);
      await world.advance(1_000);
      assert.equal(endings.size, 0, kind);
    }
    assert.equal(requests.length, 5);
    requests.at(-1)!.acknowledge();
    await drainMicrotasks();
    assert.match(endings.get("a")!, /^sent/);
  }));

Deno.test("KafkaSender takes a topic that refuses what is too large for one that is there", () =>
  scene({}, async ({ send, requests, endings }) => {
    send("large");
    await drainMicrotasks();
    requests[0]!.fail("too-large");
    await drainMicrotasks();
    send("small");
    await drainMicrotasks();
    requests[1]!.acknowledge();
    await drainMicrotasks();
    assert.deepEqual([...endings.values()], ["too-large at 0", "sent at 0"]);
  }));

Deno.test("KafkaSender does not send what has expired between two attempts", () =>
  scene({ maxRequests: 1 }, async ({ sender, requests, world }) => {
    const sending = (timeoutMs: number, value: string) =>
      sender.send("t", { headers: [], value: new TextEncoder().encode(value) }, timeoutMs)
        .then(() => "sent", (error: BusError) => error.kind);
    const [short, long] = [sending(90, "short"), sending(5_000, "long")];
    await drainMicrotasks();
    await world.advance(60);
    requests[0]!.fail("unavailable");
    await world.advance(100);
    assert.equal(await short, "unavailable");
    assert.deepEqual(batches(requests), ["short long", "long"]);
    requests[1]!.acknowledge();
    assert.equal(await long, "sent");
    // Nothing waits: the look at deadlines ends by itself.
    await world.advance(200);
    assert.equal(world.pendingTimers, 0);
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
