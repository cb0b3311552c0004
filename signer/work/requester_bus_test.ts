/**
 * What a requester does with its bus and its topic of answers, and what it counts.
 *
 * @module
 */
import { ROOT_CONTEXT } from "@opentelemetry/api";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import assert from "node:assert/strict";
import { type Bus, BusError, type FollowOptions, type ReaderState } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { keptMetrics } from "../../service/testing/kept_metrics.ts";
import { KeptSpans } from "../../service/testing/kept_spans.ts";
import { startRequester } from "./requester.ts";
import { asked, scene } from "./test_requester.ts";
import type { SignRequest } from "./wire.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** A bus that notes what is asked of it. */
function notingBus(more: Partial<Bus> = {}, options = {}) {
  const inner = memoryBus(options);
  const noted = {
    made: [] as string[],
    removed: [] as string[],
    followed: undefined as FollowOptions | undefined,
    timeoutsMs: [] as (number | undefined)[],
  };
  const bus: Bus = {
    ...inner,
    createTopic(name, options) {
      noted.made.push(name);
      return inner.createTopic(name, options);
    },
    deleteTopic(name) {
      noted.removed.push(name);
      return inner.deleteTopic(name);
    },
    follow(options) {
      if (options.topic !== "signer.v1") noted.followed = options;
      return inner.follow(options);
    },
    send(topic, record, timeoutMs) {
      if (topic === "signer.v1") noted.timeoutsMs.push(timeoutMs);
      return inner.send(topic, record, timeoutMs);
    },
    ...more,
  };
  return { bus, inner, noted };
}

Deno.test("startRequester() refuses each option that is out of range", async () => {
  const names = ["timeoutMs", "maxInFlight", "maxInFlightBytes", "maxMessageBytes"] as const;
  for (const name of [...names, "sweepIntervalMs"]) {
    await assert.rejects(scene({ [name]: 0 }, () => Promise.resolve()), {
      name: "RangeError",
      message:
        `Cannot start a requester as '${name}' must be a positive integer: current value is 0`,
    });
  }
});

Deno.test("a request says all that its service must know, within the time that it has", () => {
  const { bus, noted } = notingBus({}, { maxValueBytes: 123 });
  return scene({}, async ({ requester, requests, answer, world }) => {
    assert.equal(requester.timeoutMs, 5_000);
    assert.equal(requester.maxMessageBytes, 123);
    assert.match(requester.responseTopic, /^signer\.v1\.resp\.[0-9a-z]{8,10}-[0-9a-f]{8}$/);
    assert.equal(noted.followed!.from, "end");
    const message = Uint8Array.of(0xff);
    const asking = [
      requester.request({ message, binary: true, actor: "ann" }, ROOT_CONTEXT),
      requester.request({ message: bytes("hi") }, ROOT_CONTEXT),
    ];
    const [first, second] = await asked(requests, 2) as [SignRequest, SignRequest];
    const { msgId: _, message: sent, ...told } = first;
    assert.deepEqual([...sent], [0xff]);
    assert.deepEqual(told, {
      respTopic: requester.responseTopic,
      binary: true,
      actor: "ann",
      expiresAtMs: world.nowMs() + 5_000,
    });
    assert.deepEqual([second.binary, second.actor], [false, "anonymous"]);
    assert.notEqual(second.msgId, first.msgId);
    assert.deepEqual(noted.timeoutsMs, [5_000, 5_000]);
    for (const request of requests) await answer(request);
    await Promise.all(asking);
  }, bus);
});

Deno.test("a message of just the size that is allowed is taken, with all that is under way", () =>
  scene({ maxMessageBytes: 4, maxInFlightBytes: 8, maxInFlight: 2 }, async (one) => {
    const asking = [one.ask("1234"), one.ask("5678")];
    for (const request of await asked(one.requests, 2)) await one.answer(request);
    await Promise.all(asking);
    await assert.rejects(one.ask("12345"), {
      kind: "too-large",
      detail: "The message has 5 bytes; at most 4 are allowed.",
    });
  }));

Deno.test("each outcome is counted, and each answer that nobody waits for", async () => {
  const { meter, series, sum, undescribed } = keptMetrics();
  const reasons: Record<string, RegExp> = {
    malformed: /^WARN An answer is skipped: its payload is null reason=malformed msgId=x{128}$/,
    duplicate: /^WARN An answer came twice; the second is dropped reason=duplicate/,
    late: /^WARN An answer came after its request had timed out reason=late/,
    unknown: /^WARN An answer belongs to no request of this process reason=unknown msgId=forged/,
  };
  await scene(
    { timeoutMs: 1_000, maxInFlight: 1 },
    async (one) => {
      const { requests, answer, ask, world, context, bus, requester } = one;
      const first = ask("answered");
      await assert.rejects(ask("too many"), { kind: "overloaded" });
      const [request] = await asked(requests, 1) as [SignRequest];
      await world.advance(250);
      await answer(request);
      await first;
      await answer(request);
      await answer({ ...request, msgId: "forged" });
      const headers: [string, Uint8Array][] = [["msg_id", bytes("x".repeat(200))], [
        "resp_id",
        bytes("i"),
      ]];
      await bus.send(requester.responseTopic, { headers, value: null });
      await world.runUntil(assert.rejects(ask("too late"), { kind: "timeout" }));
      await answer(requests.at(-1)!);
      await eventually("four lines", () => context.lines.length >= 4 || undefined);
      for (const [reason, line] of Object.entries(reasons)) {
        assert.ok(context.lines.some((one) => line.test(one)), `${reason}: ${context.lines}`);
      }
      const durations = (await series("signer.request.duration"))!;
      assert.deepEqual(
        durations.map(({ attributes, value }) => {
          const { count, sum } = value as { count: number; sum: number };
          return [attributes.outcome, count, sum >= 1 && sum < 1.1 ? "1 s" : sum];
        }),
        [["overloaded", 1, 0], ["ok", 1, 0.25], ["timeout", 1, "1 s"]],
      );
      assert.deepEqual(
        (await series("signer.answers.dropped"))!.map(({ attributes, value }) => [
          attributes.reason,
          value,
        ]).sort(),
        Object.keys(reasons).sort().map((reason) => [reason, 1]),
      );
      assert.equal(await sum("signer.request.timeouts"), 1);
      assert.deepEqual(await undescribed(), []);
      const { buckets } = durations[0]!.value as { buckets: { boundaries: number[] } };
      assert.equal(buckets.boundaries[0], 0.001);
      // An instance's own topic makes no series of its own.
      const received = (await series("messaging.process.duration"))!.map((one) => one.attributes);
      for (const attributes of received) {
        assert.equal(attributes["messaging.destination.template"], "signer.v1.resp.{instance}");
        assert.equal("messaging.destination.name" in attributes, false);
      }
      assert.deepEqual(
        received.map((attributes) => attributes["error.type"]).sort(),
        [...Object.keys(reasons), undefined].sort(),
      );
    },
    memoryBus(),
    meter,
  );
});

Deno.test("what was never handed over is no timeout of a service", async () => {
  const { meter, sum } = keptMetrics();
  const { bus } = notingBus({ send: () => new Promise(() => {}) });
  await scene(
    { timeoutMs: 1_000 },
    async ({ ask, world }) => {
      await world.runUntil(assert.rejects(ask("a"), { kind: "unavailable" }));
      assert.equal(await sum("signer.request.timeouts"), undefined);
    },
    bus,
    meter,
  );
});

Deno.test("a request that cannot be sent is in the log, with the bus's own words", () => {
  const { bus } = notingBus({
    send: () => Promise.reject(new BusError("unavailable", "broker 7 is down")),
  });
  return scene({}, async ({ ask, context }) => {
    await assert.rejects(ask("a"), { kind: "unavailable" });
    assert.match(
      context.lines.join("\n"),
      /^WARN A request cannot be sent reason="BusError: broker 7 is down"$/,
    );
  }, bus);
});

Deno.test("a topic of its own is made again when it is gone; one that was given is its owner's", async () => {
  const gone: ReaderState = { reason: "there is no such topic" };
  for (const responseTopic of [undefined, "signer.v1.resp0", "answers"]) {
    const { bus, inner, noted } = notingBus();
    const states: ReaderState[] = [];
    await scene(
      { ...(responseTopic && { responseTopic }), onState: (state) => states.push(state) },
      async ({ requester }) => {
        const topic = requester.responseTopic;
        const made = () => noted.made.filter((name) => name === topic).length;
        assert.equal(made(), 1);
        noted.followed!.onState!("ok");
        assert.equal(made(), 1);
        noted.followed!.onState!(gone);
        assert.equal(made(), responseTopic === undefined ? 2 : 1);
        assert.deepEqual(states.slice(-2), ["ok", gone]);
        await requester.close();
        noted.followed!.onState!(gone);
        assert.equal(made(), responseTopic === undefined ? 2 : 1, "not while it closes");
        assert.deepEqual(noted.removed, responseTopic === undefined ? [topic] : []);
      },
      bus,
    );
    await inner.close();
  }
});

Deno.test("a topic that cannot be made again is tried again at the next report", () => {
  let refuse = false;
  const { bus, noted } = notingBus();
  const { createTopic } = bus;
  bus.createTopic = (name, options) =>
    refuse ? Promise.reject(new BusError("unavailable", "away")) : createTopic(name, options);
  return scene({}, async ({ requester, context }) => {
    refuse = true;
    noted.followed!.onState!({ reason: "away" });
    await Promise.resolve();
    refuse = false;
    noted.followed!.onState!({ reason: "there is no such topic" });
    assert.equal(noted.made.filter((name) => name === requester.responseTopic).length, 2);
    assert.deepEqual(context.lines, []);
  }, bus);
});

Deno.test("startRequester() leaves no topic behind when it cannot read it, and says the first reason", async () => {
  const why = new BusError("unavailable", "cannot be read");
  for (const responseTopic of [undefined, "given"]) {
    for (const removing of ["works", "fails"]) {
      const { bus, noted, inner } = notingBus({ follow: () => Promise.reject(why) });
      const { deleteTopic } = bus;
      bus.deleteTopic = (name) =>
        deleteTopic(name).then(() => {
          if (removing === "fails") throw new Error("cannot be removed");
        });
      const options = { bus, requestTopic: "signer.v1", ...(responseTopic && { responseTopic }) };
      await assert.rejects(startRequester(options, testContext()), why);
      assert.deepEqual(noted.removed, responseTopic ? [] : noted.made);
      await inner.close();
    }
  }
});

Deno.test("a topic of answers that cannot be removed is left to others, with a line in the log", () => {
  const { bus } = notingBus({ deleteTopic: () => Promise.reject(new Error("no ACL")) });
  return scene({}, async ({ requester, context, world, ask }) => {
    await requester.close();
    assert.deepEqual(context.lines, [
      `WARN Cannot remove the topic of answers; another instance will sweep it topic=${requester.responseTopic} reason="no ACL"`,
    ]);
    assert.equal(world.pendingTimers, 0, "nothing goes on");
    await assert.rejects(ask("late"), {
      kind: "unavailable",
      detail: "This instance is stopping. Try again.",
    });
  }, bus);
});

Deno.test("what is under way at the end of a close ends as unavailable, and is late then", () =>
  scene({}, async ({ requester, requests, ask, answer, context }) => {
    const ends = assert.rejects(ask("a"), { kind: "unavailable" });
    const [request] = await asked(requests, 1) as [SignRequest];
    const closing = requester.close(AbortSignal.abort());
    await ends;
    assert.equal(requester.inFlight, 0);
    await answer(request).catch(() => {});
    await closing;
    assert.deepEqual(context.lines.filter((line) => !/late/.test(line)), []);
  }));

Deno.test("topics of instances that are gone are removed, and each is said", () =>
  scene({ sweepIntervalMs: 1_000 }, async ({ bus, world, context }) => {
    const gone = "signer.v1.resp.mwqbz535-abaab331";
    await bus.createTopic(gone);
    for (let look = 0; look < 3; look++) await world.advance(1_000);
    assert.deepEqual(context.lines, [
      `INFO Removed the topic of an instance that is gone topic=${gone}`,
    ]);
  }));

Deno.test("a reader that has given up is told", async () => {
  const why = new Error("away for too long");
  const { bus } = notingBus();
  const { follow } = bus;
  const failed = Promise.reject(why);
  failed.catch(() => {});
  bus.follow = async (options) => {
    const follower = await follow(options);
    return {
      close: () => follower.close(),
      caughtUp: follower.caughtUp,
      failed,
    } as typeof follower;
  };
  await scene({}, async ({ requester }) => {
    await assert.rejects(requester.failed, why);
  }, bus);
});

Deno.test("an answer that was asked for is no line in the log", () =>
  scene({}, async ({ ask, requests, answer, context }) => {
    const asking = ask("a");
    await answer((await asked(requests, 1))[0]!);
    await asking;
    const failing = ask("b");
    await answer((await asked(requests, 2))[1]!, { error: "internal" });
    await assert.rejects(failing, { kind: "internal" });
    assert.deepEqual(context.lines, []);
  }));

Deno.test("a lost acknowledgement counts nothing twice, and says nothing", async () => {
  const { meter, sum } = keptMetrics();
  const lost = Promise.withResolvers<void>();
  const { bus, inner } = notingBus();
  bus.send = async (topic, record, timeoutMs) => {
    await inner.send(topic, record, timeoutMs);
    if (topic === "signer.v1") await lost.promise;
  };
  await scene(
    {},
    async ({ ask, requests, answer, context, requester }) => {
      const asking = ask("a");
      await answer((await asked(requests, 1))[0]!);
      await asking;
      lost.reject(new BusError("unavailable", "lost"));
      await requester.close();
      assert.equal(await sum("signer.requests.in_flight"), 0);
      assert.deepEqual(context.lines, []);
    },
    bus,
    meter,
  );
});

Deno.test("an answer to what could not be sent is late; a topic that was given is named in the metrics", async () => {
  const { meter, series } = keptMetrics();
  const { bus, inner } = notingBus();
  let sent: Uint8Array | undefined;
  bus.send = (topic, record, timeoutMs) => {
    if (topic !== "signer.v1") return inner.send(topic, record, timeoutMs);
    sent = record.headers[0]![1];
    return Promise.reject(new BusError("unavailable", "away"));
  };
  await scene(
    { responseTopic: "answers" },
    async ({ ask, answer, context }) => {
      await assert.rejects(ask("a"), { kind: "unavailable" });
      const msgId = new TextDecoder().decode(sent);
      await answer({ msgId, respTopic: "answers" } as SignRequest);
      await eventually(
        "its line",
        () => context.lines.some((line) => /reason=late/.test(line)) || undefined,
      );
      const [one] = (await series("messaging.process.duration"))!;
      assert.equal(one!.attributes["messaging.destination.name"], "answers");
    },
    bus,
    meter,
  );
});

Deno.test("a requester warns so often a second, of the world's", () =>
  scene({}, async ({ bus, requester, context, world }) => {
    const send = async (count: number) => {
      for (let number = 0; number < count; number++) {
        await bus.send(requester.responseTopic, { headers: [], value: null });
      }
    };
    await send(100);
    await eventually("lines", () => context.lines.length >= 5 || undefined);
    await world.advance(0);
    const told = context.lines.length;
    assert.ok(told < 100);
    await world.advance(5_000);
    await send(1);
    await eventually("another", () => context.lines.length > told || undefined);
  }));

Deno.test("a requester says in its spans which request it was, and how large", () => {
  const spans = new KeptSpans();
  const provider = new TracerProvider({
    spanProcessors: [new SimpleSpanProcessor({ exporter: spans })],
  });
  const [id, size] = ["messaging.message.conversation_id", "messaging.message.body.size"] as const;
  return scene(
    {},
    async ({ ask, requests, answer, bus, requester }) => {
      const asking = ask("four");
      const [request] = await asked(requests, 1) as [SignRequest];
      await answer(request, { payload: "signed" });
      await asking;
      const [sent, answered] = spans.getFinishedSpans().map(({ attributes }) => attributes);
      assert.deepEqual([sent![id], sent![size]], [request.msgId, 4]);
      assert.equal(sent!["messaging.destination.name"], "signer.v1");
      assert.deepEqual([answered![id], answered![size]], [request.msgId, 6]);
      spans.reset();
      await bus.send(requester.responseTopic, { headers: [], value: null });
      const none = await eventually("its span", () => spans.getFinishedSpans()[0]);
      assert.equal(none.attributes[size], 0);
      assert.equal(id in none.attributes, false);
    },
    memoryBus(),
    undefined,
    provider.getTracer("test"),
  );
});
