/**
 * The signing worker with time and bus in the test's hands: what it asks of the bus, what it counts,
 * and when a request's time is up.
 *
 * @module
 */
import assert from "node:assert/strict";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import {
  type Bus,
  BusError,
  type BusHeader,
  type ConsumeOptions,
  type ReaderState,
  type ReceivedRecord,
} from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { type TestContext, testContext } from "../../service/testing/context.ts";
import { type KeptMetrics, keptMetrics } from "../../service/testing/kept_metrics.ts";
import { KeptSpans } from "../../service/testing/kept_spans.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { generateKey } from "../keys/signing.ts";
import type { AuditLog } from "./audit_log.ts";
import {
  type SigningWorker,
  type SigningWorkerOptions,
  startSigningWorker,
} from "./signing_worker.ts";
import { decodeAnswer, type SignAnswer } from "./wire.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

interface Scene {
  worker: SigningWorker;
  context: TestContext;
  world: VirtualWorld;
  metrics: KeptMetrics;
  /** What the worker has asked of the bus. */
  consumed: ConsumeOptions;
  /** How many partitions the topic of requests was made with. */
  partitions: (number | undefined)[];
  /** How long each answer was given to be sent. */
  sendTimeoutsMs: (number | undefined)[];
  audited: unknown[];
  /** The spans that have ended. */
  spans: KeptSpans;
  answers: SignAnswer[];
  /** The bytes of the answers' ids. */
  ids: number[][];
  /** Hands a request over, as the bus does, and waits until it is done with. */
  hand(headers: BusHeader[], more?: Partial<ReceivedRecord>): Promise<void>;
}

const key = generateKey("ed25519");

async function scene(
  options: Partial<SigningWorkerOptions>,
  run: (scene: Scene) => Promise<void>,
  outer: (bus: Bus) => Bus = (bus) => bus,
): Promise<void> {
  const world = new VirtualWorld();
  const metrics = keptMetrics();
  const spans = new KeptSpans();
  const provider = new TracerProvider({
    spanProcessors: [new SimpleSpanProcessor({ exporter: spans })],
  });
  const plain = testContext({ world, meter: metrics.meter });
  const telemetry = { ...plain.telemetry, tracer: provider.getTracer("test") };
  const context: TestContext = { ...plain, telemetry };
  const inner = memoryBus({ world, maxValueBytes: 200 });
  let consumed: ConsumeOptions | undefined;
  const partitions: (number | undefined)[] = [];
  const sendTimeoutsMs: (number | undefined)[] = [];
  const bus = outer({
    ...inner,
    createTopic(name, options) {
      partitions.push(options?.partitions);
      return inner.createTopic(name, options);
    },
    consume(options) {
      consumed = options;
      return inner.consume(options);
    },
    send(topic, record, timeoutMs) {
      sendTimeoutsMs.push(timeoutMs);
      return inner.send(topic, record, timeoutMs);
    },
  });
  const audited: unknown[] = [];
  const audit: AuditLog = {
    head: "",
    count: 0,
    failed: new Promise(() => {}),
    append: (entry) => Promise.resolve(void audited.push(entry)),
    close: () => Promise.resolve(),
  };
  const answers: SignAnswer[] = [];
  const ids: number[][] = [];
  for (const topic of ["mine", "signer.v1.resp.one"]) {
    await inner.createTopic(topic);
    await inner.follow({
      ...{ topic, from: "end" },
      handle: (record) => {
        answers.push(decodeAnswer(record) as SignAnswer);
        ids.push([...record.headers[0]![1]]);
      },
    });
  }
  const worker = await startSigningWorker({
    ...{ bus, requestTopic: "signer.v1", group: "signers", algorithm: "ed25519", audit },
    key: () => key,
    ...options,
  }, context);
  await run({
    ...{ worker, context, world, metrics, consumed: consumed!, partitions, sendTimeoutsMs },
    ...{ audited, answers, ids, spans },
    hand: (headers, more = {}) =>
      consumed!.handle({
        ...{ topic: "signer.v1", partition: 3, offset: 9n, timestampMs: 0, value: bytes("hi") },
        ...more,
        headers,
      } as ReceivedRecord),
  });
  await worker.close();
  assert.equal(world.pendingTimers, 0, "nothing goes on after the close");
  await inner.close();
}

const good = (msgId: string, topic = "mine"): BusHeader[] => [
  ["msg_id", bytes(msgId)],
  ["resp_topic", bytes(topic)],
];
const until = (timeMs: number): BusHeader => ["expires_at", bytes(String(timeMs))];

Deno.test("signing worker asks the bus for as much as its algorithm can bear", async () => {
  const states: ReaderState[] = [];
  for (const [algorithm, maxInFlight] of [["ed25519", 1024], ["es256", 64]] as const) {
    await scene(
      { algorithm, onState: (state) => states.push(state) },
      ({ consumed, partitions }) => {
        const { topic, group, onState } = consumed;
        assert.deepEqual(
          { topic, group, maxInFlight: consumed.maxInFlight },
          { topic: "signer.v1", group: "signers", maxInFlight },
        );
        assert.ok(onState);
        assert.deepEqual(partitions, [12]);
        return Promise.resolve();
      },
    );
  }
  assert.deepEqual(new Set(states), new Set(["ok"]));
  await scene({ maxInFlight: 5 }, ({ consumed }) => {
    assert.equal(consumed.maxInFlight, 5);
    assert.equal("onState" in consumed, false);
    return Promise.resolve();
  });
  for (const name of ["maxInFlight", "sendTimeoutMs"]) {
    await assert.rejects(scene({ [name]: 0 }, () => Promise.resolve()), {
      name: "RangeError",
      message:
        `Cannot start a signing worker as '${name}' must be a positive integer: current value is 0`,
    });
  }
});

Deno.test("signing worker counts each signature by its key, and gives an answer the time that it may take", () =>
  scene({}, async ({ hand, metrics, sendTimeoutsMs, answers, audited }) => {
    await hand(good("m1", "signer.v1.resp.one"));
    await hand(good("m2"));
    assert.deepEqual(sendTimeoutsMs, [5_000, 5_000]);
    assert.deepEqual(answers.map(({ msgId }) => msgId), ["m1", "m2"]);
    assert.equal((audited[0] as { actor: string }).actor, "unknown");
    assert.deepEqual(await metrics.series("signer.signatures"), [{
      attributes: { "signer.algorithm": "ed25519", "signer.key.id": key.publicJwk.kid },
      value: 2,
    }]);
    const [duration] = (await metrics.series("signer.sign.duration"))!;
    assert.deepEqual(duration!.attributes, { "signer.algorithm": "ed25519" });
    assert.equal((duration!.value as { count: number }).count, 2);
    // An instance's own topic makes no series of its own.
    const sent = (await metrics.series("messaging.client.sent.messages"))!;
    assert.deepEqual(
      sent.map(({ attributes }) =>
        attributes["messaging.destination.template"] ?? attributes["messaging.destination.name"]
      ),
      ["signer.v1.resp.{instance}", "mine"],
    );
    assert.equal(await metrics.sum("signer.requests.refused"), undefined);
  }));

Deno.test("signing worker without a key signs as 'none', and a send takes as long as it was told", () =>
  scene(
    { algorithm: "base64", key: undefined as never, sendTimeoutMs: 7 },
    async ({ hand, metrics, sendTimeoutsMs, audited, answers }) => {
      await hand(good("m"));
      assert.equal("keyId" in answers[0]!, false);
      assert.deepEqual(sendTimeoutsMs, [7]);
      assert.equal((audited[0] as { keyId: unknown }).keyId, null);
      assert.deepEqual((await metrics.series("signer.signatures"))![0]!.attributes, {
        "signer.algorithm": "base64",
        "signer.key.id": "none",
      });
    },
  ));

Deno.test("signing worker takes a request's time to be up only beyond the grace, and counts it", () =>
  scene({}, async ({ hand, world, answers, metrics, context }) => {
    const nowMs = world.nowMs();
    await hand([...good("in time"), until(nowMs)]);
    await world.advance(1_000);
    await hand([...good("at the end of its grace"), until(nowMs)]);
    await world.advance(1);
    await hand([...good("late"), until(nowMs)]);
    assert.deepEqual(answers.map(({ msgId, error }) => [msgId, error]), [
      ["in time", undefined],
      ["at the end of its grace", undefined],
      ["late", "timeout"],
    ]);
    assert.match(answers[2]!.payload, /time was up 1001 ms before/);
    assert.match(answers[2]!.respId, /^[0-9a-f-]{36}$/);
    assert.deepEqual(await metrics.series("signer.requests.refused"), [
      { attributes: { reason: "expired" }, value: 1 },
    ]);
    assert.match(context.lines[0]!, /msgId=late lateMs=1001 partition=3 offset=9/);
  }));

Deno.test("signing worker has a grace of its own", () =>
  scene({ expiryGraceMs: 5 }, async ({ hand, world, answers }) => {
    const nowMs = world.nowMs();
    await world.advance(6);
    await hand([...good("late"), until(nowMs)]);
    assert.equal(answers[0]!.error, "timeout");
  }));

Deno.test("signing worker neither signs nor answers what is of another topic", () =>
  scene({}, async ({ hand, answers, audited, context, metrics }) => {
    await hand(good("m"), { topic: "signer.v2" });
    assert.deepEqual([answers, audited], [[], []]);
    assert.match(
      context.lines.join("\n"),
      /^WARN A request is skipped: it is of the topic signer\.v2, which is not served here: another group's, by --group-id reason=foreign-topic partition=3 offset=9$/,
    );
    assert.deepEqual(await metrics.series("signer.requests.refused"), [
      { attributes: { reason: "foreign-topic" }, value: 1 },
    ]);
    const failed = (await metrics.series("messaging.process.duration"))!;
    assert.equal(failed[0]!.attributes["error.type"], "foreign-topic");
  }));

Deno.test("signing worker says of a bad request what is wrong, to its sender too, in its own bytes", () =>
  scene({}, async ({ hand, answers, ids, metrics }) => {
    const odd = Uint8Array.of(0xff, 0xfe, 1);
    await hand([["msg_id", odd], ["resp_topic", bytes("mine")]], { value: null });
    await hand([["msg_id", odd], ["resp_topic", bytes("mine")]]);
    await hand([["msg_id", odd], ["resp_topic", bytes("mine")], until(1)]);
    assert.deepEqual(answers.map(({ error }) => error), ["invalid", undefined, "timeout"]);
    assert.deepEqual(ids, Array(3).fill([...odd]));
    assert.match(answers[0]!.payload, /\.$/);
    const reasons = (await metrics.series("signer.requests.refused"))!.map(({ attributes }) =>
      attributes.reason
    );
    assert.equal(reasons.length, 2);
    assert.equal(reasons[1], "expired");
  }));

Deno.test("signing worker tells a sender of an answer that is too large how large it may be", () =>
  scene(
    { algorithm: "base64", key: undefined as never },
    async ({ hand, answers, ids, context, metrics }) => {
      const odd = Uint8Array.of(0xff, 7);
      await hand([["msg_id", odd], ["resp_topic", bytes("mine")]], {
        value: bytes("x".repeat(180)),
      });
      const [{ error, payload }] = answers as [SignAnswer];
      assert.deepEqual([ids, error], [[[...odd]], "too-large"]);
      assert.equal(
        payload,
        "The answer would have 240 bytes, more than the 200 that are allowed. Send a shorter message.",
      );
      assert.match(
        context.lines[0]!,
        /^WARN The answer is larger than the bus allows .*answerBytes=240/,
      );
      assert.deepEqual(await metrics.series("signer.requests.refused"), [
        { attributes: { reason: "too-large" }, value: 1 },
      ]);
    },
  ));

Deno.test("signing worker says which topic is missing for an answer", () =>
  scene({}, async ({ hand, context, metrics }) => {
    await hand(good("m", "absent"));
    assert.match(
      context.lines[0]!,
      /^WARN No answer can be sent: there is no such topic msgId=m respTopic=absent partition=3 offset=9/,
    );
    assert.deepEqual(await metrics.series("signer.requests.refused"), [
      { attributes: { reason: "unknown-topic" }, value: 1 },
    ]);
  }));

for (
  const [what, error, kind] of [
    ["a bus that is away", new BusError("unavailable", "away"), "unavailable"],
    ["a mistake of ours", new TypeError("oops"), "internal"],
  ] as const
) {
  Deno.test(`signing worker gives a request back because of ${what}`, () =>
    scene({}, async ({ hand, context, metrics }) => {
      await assert.rejects(hand(good("m")), error);
      assert.match(
        context.lines.join("\n"),
        new RegExp(`^WARN A request is taken up again later reason=.*${error.message}.* offset=9$`),
      );
      const [one] = (await metrics.series("messaging.process.duration"))!;
      assert.equal(one!.attributes["error.type"], kind);
    }, (bus) => ({ ...bus, send: () => Promise.reject(error) })));
}

Deno.test("signing worker tells of partitions that nobody reads, and when they are read again", async () => {
  let waiting = 1;
  await scene({}, async ({ world, context, worker, metrics }) => {
    await world.advance(60_000);
    assert.deepEqual(context.lines, [
      "WARN Requests wait in partitions that nobody reads: start a service, or restart the one that has them topic=signer.v1 group=signers partitions=2,5",
    ]);
    assert.deepEqual((await metrics.series("signer.partitions.unread"))![0]!.attributes, {
      "messaging.destination.name": "signer.v1",
      "messaging.consumer.group.name": "signers",
    });
    assert.equal(await worker.lag(), 4);
    waiting = 0;
    await world.advance(5_000);
    assert.match(
      context.lines[1]!,
      /^INFO All partitions of the request topic are read again topic=signer\.v1 group=signers$/,
    );
  }, (bus) => ({
    ...bus,
    async consume(options) {
      const reader = await bus.consume(options);
      return {
        ...reader,
        close: (deadline) => reader.close(deadline),
        failed: reader.failed,
        lag: () => Promise.resolve(4),
        progress: () => Promise.resolve(new Map([5, 2].map((one) => [one, { waiting, done: 0n }]))),
      };
    },
  }));
});

Deno.test("signing worker says in its spans which request it was, how large, and which key signed", async () => {
  for (const algorithm of ["ed25519", "base64"] as const) {
    const hasKey = algorithm !== "base64";
    await scene(
      { algorithm, key: hasKey ? () => key : undefined as never },
      async ({ hand, spans }) => {
        await hand(good("m"));
        const [signed, , processed] = spans.getFinishedSpans();
        assert.equal(signed!.name, "sign");
        assert.deepEqual(signed!.attributes, {
          "signer.algorithm": algorithm,
          ...(hasKey && { "signer.key.id": key.publicJwk.kid }),
        });
        assert.equal(signed!.parentSpanContext!.spanId, processed!.spanContext().spanId);
        assert.equal(processed!.attributes["messaging.message.conversation_id"], "m");
        assert.equal(processed!.attributes["messaging.message.body.size"], 2);
        assert.equal(processed!.attributes["messaging.consumer.group.name"], "signers");
        spans.reset();
        await hand([], { value: null });
        const [refused] = spans.getFinishedSpans();
        assert.equal(refused!.attributes["messaging.message.body.size"], 0);
        assert.equal("messaging.message.conversation_id" in refused!.attributes, false);
      },
    );
  }
});

Deno.test("signing worker describes what it measures, and a signature's time in microseconds' buckets", () =>
  scene({}, async ({ hand, metrics, world }) => {
    await hand(good("m"));
    await hand([]);
    await world.advance(60_000);
    assert.deepEqual(await metrics.undescribed(), []);
    const [one] = (await metrics.series("signer.sign.duration"))!;
    const { sum, buckets } = one!.value as { sum: number; buckets: { boundaries: number[] } };
    assert.deepEqual([sum, buckets.boundaries[0]], [0, 0.00001]);
  }));

Deno.test("signing worker warns so often a second, of the world's", () =>
  scene({}, async ({ hand, context, world }) => {
    for (let number = 0; number < 100; number++) await hand([]);
    const told = context.lines.length;
    assert.ok(told < 100);
    await world.advance(5_000);
    await hand([]);
    assert.ok(context.lines.length > told);
  }));

Deno.test("signing worker is told when requests cannot be read for good, and when no answer needs it", async () => {
  const why = new Error("away for too long");
  const failed = Promise.reject(why);
  failed.catch(() => {});
  await scene({}, async ({ worker }) => {
    await assert.rejects(worker.failed, why);
  }, (bus) => ({
    ...bus,
    async consume(options) {
      const reader = await bus.consume(options);
      return { ...reader, failed, close: (deadline) => reader.close(deadline) };
    },
  }));
  // Whoever asked too late has gone; only that is no reason to take it up again.
  for (const kind of ["unknown-topic", "unavailable"] as const) {
    const error = new BusError(kind, "no");
    await scene({}, async ({ hand }) => {
      const handing = hand([...good("m"), until(1)]);
      if (kind === "unknown-topic") await handing;
      else await assert.rejects(handing, error);
      const refusing = hand(good("m"), { value: null });
      if (kind === "unknown-topic") await refusing;
      else await assert.rejects(refusing, error);
    }, (bus) => ({ ...bus, send: () => Promise.reject(error) }));
  }
});
