import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { type Bus, BusError, type BusHeader, type ReceivedRecord } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { importVerifier, toBase64 } from "../keys/signing.ts";
import { type TestSigner, testSigner, type TestSignerOptions } from "../test_signer.ts";
import { decodeAnswer, type SignAnswer } from "./wire.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** A worker, and the answers that a stranger with a topic of its own gets from it. */
async function scene(
  options: TestSignerOptions,
  run: (
    signer: TestSigner,
    ask: (headers: BusHeader[], value: Uint8Array | null) => Promise<void>,
    answers: SignAnswer[],
  ) => Promise<void>,
): Promise<void> {
  await using signer = await testSigner(options);
  const { bus } = signer;
  await bus.createTopic("mine");
  const answers: SignAnswer[] = [];
  await bus.follow({
    topic: "mine",
    from: "end",
    handle: (record: ReceivedRecord) => answers.push(decodeAnswer(record) as SignAnswer),
  });
  await run(signer, (headers, value) => bus.send("signer.v1", { headers, value }), answers);
}

const good = (msgId: string, topic = "mine"): BusHeader[] => [
  ["msg_id", bytes(msgId)],
  ["resp_topic", bytes(topic)],
];
const reach = (answers: SignAnswer[], count: number) =>
  eventually("the answers", () => answers.length >= count || undefined);

Deno.test("signing worker answers a stranger that sends what the original sends", () =>
  scene({}, async ({ key }, ask, answers) => {
    await ask(good("m1"), bytes("hi"));
    await reach(answers, 1);
    const { msgId, payload, keyId, algorithm, respId } = answers[0]!;
    assert.equal(msgId, "m1");
    assert.match(respId, /^[0-9a-f-]{36}$/);
    assert.equal(algorithm, "ed25519");
    assert.equal(keyId, key!.publicJwk.kid);
    assert.ok(importVerifier(key!.publicJwk).verify(bytes("hi"), Uint8Array.fromBase64(payload)));
  }));

Deno.test("signing worker in base64 answers as the original does", () =>
  scene({ algorithm: "base64" }, async (_signer, ask, answers) => {
    await ask(good("m1"), bytes("hi"));
    await reach(answers, 1);
    const { respId: _respId, ...answer } = answers[0]!;
    assert.deepEqual(answer, { msgId: "m1", payload: "aGk=", algorithm: "base64" });
  }));

Deno.test("signing worker notes who had what signed", () =>
  scene({}, async ({ audited, key }, ask, answers) => {
    await ask([...good("m1"), ["actor", bytes("ann")]], bytes("hi"));
    await reach(answers, 1);
    assert.deepEqual(audited, [{
      msgId: "m1",
      actor: "ann",
      respTopic: "mine",
      digest: "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
      algorithm: "ed25519",
      keyId: key!.publicJwk.kid,
    }]);
  }));

Deno.test("signing worker survives every kind of bad request, tells each once, and serves the next", () =>
  scene({}, async ({ context }, ask, answers) => {
    const [msgId, respTopic] = good("bad") as [BusHeader, BusHeader];
    await ask([], bytes("no headers"));
    await ask([msgId], bytes("one header"));
    await ask([respTopic, msgId], bytes("swapped"));
    await ask([["x", bytes("")], msgId, respTopic], bytes("one before"));
    await ask(good("x".repeat(200)), bytes("long id"));
    await ask(good("a", "signer.v1"), bytes("the topic of requests"));
    await ask(good("a", "signer.v1.keys"), bytes("the topic of keys"));
    await ask(good("a", "no such topic"), bytes("no topic's name"));
    await ask(good("a", "absent"), bytes("no topic"));
    await ask(good("null"), null);
    await ask(good("utf8"), new Uint8Array([0xff]));
    await ask(good("last"), bytes("hi"));
    await reach(answers, 3);
    assert.deepEqual(answers.map(({ msgId, error }) => [msgId, error]).sort(), [
      ["last", undefined],
      ["null", "invalid"],
      ["utf8", "invalid"],
    ]);
    const told = context.lines.filter((line) => /WARN/.test(line));
    assert.equal(told.length, 11, told.join("\n"));
  }));

Deno.test("signing worker signs bytes that are no UTF-8 if the request says so", () =>
  scene({ algorithm: "base64" }, async (_signer, ask, answers) => {
    await ask(
      [...good("m"), ["content_type", bytes("application/octet-stream")]],
      new Uint8Array([0xff]),
    );
    await reach(answers, 1);
    assert.equal(answers[0]!.payload, "/w==");
  }));

Deno.test("signing worker answers with an error when the signature is too large for the bus", () =>
  scene(
    { algorithm: "base64", bus: memoryBus({ maxValueBytes: 1_000 }) },
    async (_s, ask, answers) => {
      await ask(good("m"), bytes("x".repeat(900)));
      await reach(answers, 1);
      assert.equal(answers[0]!.error, "too-large");
      assert.match(answers[0]!.payload, /1200 bytes/);
    },
  ));

Deno.test("signing worker signs nothing whose time is up, and says so, as the clocks may differ", () =>
  scene({}, async ({ audited, context }, ask, answers) => {
    const longAgo = bytes(String(Date.now() - 60_000));
    await ask([...good("old"), ["expires_at", longAgo]], bytes("hi"));
    await ask([...good("odd"), ["expires_at", bytes("soon")]], bytes("hi"));
    await reach(answers, 2);
    const [old, odd] = ["old", "odd"].map((id) => answers.find(({ msgId }) => msgId === id)!);
    assert.equal(old!.error, "timeout");
    assert.match(old!.payload, /time was up \d{5} ms before/);
    assert.equal(odd!.error, undefined);
    assert.equal(audited.length, 1);
    assert.match(context.lines.join("\n"), /its time was up when it came.*clocks.*NTP.*lateMs/s);
  }));

/** Whatever is answered: a signature, an error for a bad request, one for a request that is too old. */
const answered: readonly [what: string, headers: BusHeader[], value: Uint8Array | null][] = [
  ["a signature", [], bytes("hi")],
  ["that a request is bad", [], null],
  ["that a request is too old", [["expires_at", bytes("1")]], bytes("hi")],
];

for (const [what, headers, value] of answered) {
  Deno.test(`signing worker takes a request up again while the bus does not take its answer: ${what}`, async () => {
    for (const kind of ["unavailable", "overloaded"] as const) {
      const inner = memoryBus({ redeliverDelayMs: 1 });
      let failures = 2;
      const bus: Bus = {
        ...inner,
        send: (topic, record, timeoutMs) =>
          topic === "mine" && failures-- > 0
            ? Promise.reject(new BusError(kind, "not now"))
            : inner.send(topic, record, timeoutMs),
      };
      await scene({ bus }, async ({ context }, ask, answers) => {
        await ask([...good("m"), ...headers], value);
        await reach(answers, 1);
        assert.equal(answers[0]!.msgId, "m");
        assert.equal(failures, -1, kind);
        const again = /taken up again later reason="not now"/;
        assert.equal(context.lines.filter((line) => again.test(line)).length, 2, kind);
      });
      await inner.close();
    }
  });

  Deno.test(`signing worker is done with a request whose answer nobody can get: ${what}`, async () => {
    const inner = memoryBus({ redeliverDelayMs: 1 });
    let sends = 0;
    const bus: Bus = {
      ...inner,
      send(topic, record, timeoutMs) {
        if (topic !== "gone") return inner.send(topic, record, timeoutMs);
        sends++;
        return Promise.reject(new BusError("unknown-topic", "there is none"));
      },
    };
    await scene({ bus }, async (_signer, ask, answers) => {
      await ask([...good("m", "gone"), ...headers], value);
      await ask(good("last"), bytes("hi"));
      await reach(answers, 1);
      assert.equal(sends, 1);
    });
    await inner.close();
  });
}

Deno.test("signing worker does not answer what it could not note", async () => {
  await scene({
    worker: {
      audit: {
        head: "",
        count: 0,
        failed: new Promise(() => {}),
        append: () => Promise.reject(new Error("disk full")),
        close: () => Promise.resolve(),
      },
    },
    requester: { timeoutMs: 50 },
  }, async ({ url }, _ask, answers) => {
    const response = await fetch(`${url}/sign`, { method: "POST", body: '{"message":"hi"}' });
    assert.equal(response.status, 504);
    await response.body?.cancel();
    assert.equal(answers.length, 0);
  });
});

Deno.test("signing worker signs what comes through the REST API, whatever the algorithm", async () => {
  for (const algorithm of ["ed25519", "es256", "base64"] as const) {
    await using signer = await testSigner({ algorithm });
    const message = "hällo";
    const response = await fetch(`${signer.url}/sign`, {
      method: "POST",
      body: JSON.stringify({ message }),
    });
    const { signature, keyId, algorithm: named } = await response.json();
    assert.equal(named, algorithm);
    if (algorithm === "base64") {
      assert.equal(signature, toBase64(bytes(message)));
      assert.equal(keyId, null);
    } else {
      const verifier = importVerifier(signer.key!.publicJwk);
      assert.ok(verifier.verify(bytes(message), Uint8Array.fromBase64(signature)));
      assert.equal(keyId, signer.key!.publicJwk.kid);
    }
  }
});
