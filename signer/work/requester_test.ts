import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import type { Bus, BusRecord } from "../../service/bus/bus.ts";
import { BusError } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { keptMetrics } from "../../service/testing/kept_metrics.ts";
import { noDeadline } from "../../service/testing/context.ts";
import { asked, scene } from "./test_requester.ts";
import type { SignRequest } from "./wire.ts";

Deno.test("request() pairs answers that come in another order", () =>
  scene({}, async ({ requests, answer, ask }) => {
    const answers = ["a", "b", "c"].map(ask);
    await asked(requests, 3);
    for (const request of requests.toReversed()) {
      await answer(request, { payload: new TextDecoder().decode(request.message) });
    }
    assert.deepEqual((await Promise.all(answers)).map(({ payload }) => payload), ["a", "b", "c"]);
  }));

Deno.test("request() gives up when no answer comes in time, once, and drops what comes late", () =>
  scene({ timeoutMs: 30_000 }, async ({ requests, answer, ask, requester, context, world }) => {
    await world.runUntil(assert.rejects(ask("a"), { name: "SignError", kind: "timeout" }));
    const waitedMs = world.monotonicMs();
    assert.ok(waitedMs >= 30_000 && waitedMs < 30_100, `it took ${waitedMs} ms`);
    assert.equal(requester.inFlight, 0);
    await answer(requests[0]!);
    await eventually(
      "the log",
      () =>
        context.lines.some((line) => /came after its request had timed out/.test(line)) ||
        undefined,
    );
  }));

Deno.test("request() drops an answer that comes twice, a stranger's and a malformed one", () =>
  scene({}, async ({ bus, requester, requests, answer, ask, context }) => {
    const first = ask("a");
    await asked(requests, 1);
    await answer(requests[0]!, { payload: "first" });
    await answer(requests[0]!, { payload: "second" });
    await answer({ ...requests[0]!, msgId: "forged" });
    await bus.send(requester.responseTopic, { headers: [], value: null });
    assert.equal((await first).payload, "first");
    await eventually("three lines", () => context.lines.length >= 3 || undefined);
    assert.match(context.lines.join("\n"), /came twice[^]*no request of this process[^]*skipped/);
  }));

Deno.test("request() hints at clocks when a service finds its time to be up while it waits", () =>
  scene({}, async ({ requests, answer, ask, context }) => {
    const asking = ask("a");
    await asked(requests, 1);
    await answer(requests[0]!, { error: "timeout" });
    await assert.rejects(asking, { kind: "timeout" });
    assert.match(context.lines.join("\n"), /WARN .*time to be up that is not: the clocks .*NTP/);
  }));

Deno.test("request() gives up each request at its own time", () =>
  scene({ timeoutMs: 1_000 }, async ({ ask, requester, world }) => {
    const early = assert.rejects(ask("a"), { kind: "timeout" });
    await world.advance(500);
    const late = assert.rejects(ask("b"), { kind: "timeout" });
    await world.advance(550);
    await early;
    assert.equal(requester.inFlight, 1);
    await world.advance(500);
    await late;
    assert.equal(requester.inFlight, 0);
  }));

Deno.test("startRequester() refuses options that are out of range", () =>
  assert.rejects(
    scene({ maxInFlight: 0 }, () => Promise.resolve()),
    /^RangeError: Cannot start a requester as 'maxInFlight' must be a positive integer: current value is 0$/,
  ));

Deno.test("request() is overloaded beyond its limits, and works again below", () =>
  scene({ maxInFlight: 2, maxInFlightBytes: 10 }, async ({ requests, answer, ask }) => {
    const held = [ask("a"), ask("b")];
    await assert.rejects(ask("c"), { kind: "overloaded", retryAfterSeconds: 1 });
    await asked(requests, 2);
    for (const request of requests) await answer(request);
    await Promise.all(held);
    const heavy = ask("12345678");
    await assert.rejects(ask("123"), { kind: "overloaded" });
    await asked(requests, 3);
    await answer(requests[2]!);
    await heavy;
  }));

Deno.test("requests give back what they held, however they end: bytes, and the gauge is 0 again", async () => {
  const { meter, sum } = keptMetrics();
  const gauge = () => sum("signer.requests.in_flight");
  await scene(
    { maxInFlightBytes: 4, timeoutMs: 1_000 },
    async ({ requests, answer, ask, world, bus }) => {
      for (const ends of ["answered", "failed", "too late", "not sent"]) {
        const failsToSend = ends === "not sent";
        if (failsToSend) await bus.deleteTopic("signer.v1");
        const first = ask("1234");
        const failure = first.then(() => undefined, ({ kind }) => kind);
        if (!failsToSend) {
          assert.equal(await gauge(), 1, ends);
          await assert.rejects(ask("5"), { kind: "overloaded" });
          const { msgId, respTopic } = (await asked(requests, 1)).at(-1)!;
          if (ends === "failed") {
            await answer({ msgId, respTopic } as SignRequest, { error: "internal" });
          } else if (ends === "answered") await answer({ msgId, respTopic } as SignRequest);
          else await world.runUntil(failure);
        }
        await failure;
        assert.equal(await gauge(), 0, ends);
        requests.length = 0;
      }
    },
    memoryBus(),
    meter,
  );
});

Deno.test("request() refuses a message that is too large before it is sent", () =>
  scene({ maxMessageBytes: 3 }, async ({ requests, ask }) => {
    await assert.rejects(ask("four"), { kind: "too-large" });
    assert.equal(requests.length, 0);
  }));

Deno.test("request() tells a service's errors in our words only", () =>
  scene({}, async ({ requests, answer, ask }) => {
    const told = ask("a");
    await asked(requests, 1);
    await answer(requests[0]!, { error: "too-large", payload: "KafkaError: broker 7 said no" });
    await assert.rejects(
      told,
      (error: Error & { kind?: string; detail?: string }) =>
        error.kind === "too-large" && !/broker|Kafka/.test(error.detail! + error.message),
    );
  }));

Deno.test("request() tells nothing of the bus when it cannot send", async () => {
  const bus = memoryBus();
  let reason: unknown = new BusError("unavailable", "broker 10.0.0.7:9092 is down");
  const broken: Bus = {
    ...bus,
    send: (topic: string, record: BusRecord) =>
      topic === "signer.v1" ? Promise.reject(reason) : bus.send(topic, record),
  };
  await scene({}, async ({ ask, requester }) => {
    await assert.rejects(
      ask("a"),
      (error: Error & { kind?: string; detail?: string }) =>
        error.kind === "unavailable" && !/10\.0\.0/.test(JSON.stringify(error) + error.message),
    );
    reason = new TypeError("a fault of ours");
    await assert.rejects(ask("a"), { kind: "internal" });
    assert.equal(requester.inFlight, 0);
  }, broken);
});

Deno.test("request() is unavailable, not timed out, while the bus does not take it", async () => {
  const bus = memoryBus();
  const stuck: Bus = {
    ...bus,
    send: (topic, record) =>
      topic === "signer.v1" ? new Promise(() => {}) : bus.send(topic, record),
  };
  await scene({ timeoutMs: 30_000 }, async ({ ask, world }) => {
    await world.runUntil(assert.rejects(ask("a"), { kind: "unavailable" }));
  }, stuck);
});

Deno.test("request() takes an answer although the acknowledgement of the request was lost", async () => {
  const bus = memoryBus();
  let fail = () => {};
  const lossy: Bus = {
    ...bus,
    send: async (topic, record) => {
      await bus.send(topic, record);
      if (topic !== "signer.v1") return;
      await new Promise<void>((_, reject) => {
        fail = () => reject(new BusError("unavailable", "lost"));
      });
    },
  };
  await scene({}, async ({ ask, requests, answer }) => {
    const asking = ask("a");
    await asked(requests, 1);
    await answer(requests[0]!);
    assert.equal((await asking).payload, "p");
    fail();
  }, lossy);
});

Deno.test("close() waits for what is under way, and ends the rest as unavailable", () =>
  scene({}, async ({ requests, answer, ask, requester }) => {
    const first = ask("a");
    await asked(requests, 1);
    const closing = requester.close(noDeadline);
    await assert.rejects(ask("b"), { kind: "unavailable" });
    await answer(requests[0]!);
    assert.equal((await first).payload, "p");
    await closing;
  }));

Deno.test("close() removes the topic of answers if it is its own", async () => {
  const bus = memoryBus();
  await scene({}, async ({ requester }) => {
    await requester.close();
    assert.deepEqual(await bus.unfollowedTopics("signer.v1.resp."), []);
  }, bus);
});

Deno.test("close() leaves a topic of answers that was given to it", async () => {
  const bus = memoryBus();
  await scene({ responseTopic: "signer.v1.resp0" }, async ({ requester }) => {
    await requester.close();
    assert.deepEqual(await bus.unfollowedTopics("signer.v1.resp"), ["signer.v1.resp0"]);
  }, bus);
});
