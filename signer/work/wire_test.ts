import assert from "node:assert/strict";
import type { BusHeader, BusRecord, ReceivedRecord } from "../../service/bus/bus.ts";
import {
  decodeAnswer,
  decodeRequest,
  defaultRequestTopic,
  encodeAnswer,
  encodeRequest,
  keysTopic,
  serviceGroup,
} from "./wire.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | null) => value && new TextDecoder().decode(value);

function received(record: BusRecord): ReceivedRecord {
  return { topic: "t", partition: 0, offset: 0n, key: undefined, ...record } as ReceivedRecord;
}

function request(headers: BusHeader[], value: Uint8Array | null = bytes("hi")) {
  return decodeRequest(received({ headers, value }), ["signer.v1", "signer.v1.keys"]);
}

const good: BusHeader[] = [["msg_id", bytes("m")], ["resp_topic", bytes("r")]];

Deno.test("encodeRequest() puts msg_id and resp_topic first, as the original does", () => {
  const record = encodeRequest(
    { msgId: "m", respTopic: "r", message: bytes("hi"), actor: "me", expiresAtMs: 5, binary: true },
    [["traceparent", bytes("tp")]],
  );
  assert.deepEqual(record.headers.map(([name, value]) => [name, text(value)]), [
    ["msg_id", "m"],
    ["resp_topic", "r"],
    ["content_type", "application/octet-stream"],
    ["actor", "me"],
    ["expires_at", "5"],
    ["traceparent", "tp"],
  ]);
  assert.equal(text(record.value), "hi");
  assert.equal(record.key, undefined);
});

Deno.test("decodeRequest() reads what the original sends, and what we send", () => {
  assert.deepEqual(request(good), {
    msgId: "m",
    respTopic: "r",
    message: bytes("hi"),
    binary: false,
  });
  const ours = {
    msgId: "m",
    respTopic: "r",
    message: new Uint8Array([255]),
    actor: "me",
    expiresAtMs: 5,
    binary: true,
  };
  assert.deepEqual(decodeRequest(received(encodeRequest(ours)), []), ours);
});

Deno.test("decodeRequest() refuses each kind of bad request with its reason", () => {
  const reasonOf = (...args: Parameters<typeof request>) => {
    const result = request(...args);
    return "reason" in result ? [result.reason, result.msgId] : "taken";
  };
  assert.deepEqual(reasonOf([]), ["headers", undefined]);
  assert.deepEqual(reasonOf([good[1]!, good[0]!]), ["headers", undefined]);
  assert.deepEqual(reasonOf([["x", bytes("")], ...good]), ["headers", undefined]);
  assert.deepEqual(reasonOf([["msg_id", bytes("")], good[1]!]), ["msg-id", undefined]);
  assert.deepEqual(reasonOf([["msg_id", bytes("x".repeat(129))], good[1]!]), ["msg-id", undefined]);
  for (const topic of ["", "a b", "signer.v1", "signer.v1.keys", "__consumer_offsets"]) {
    assert.deepEqual(reasonOf([good[0]!, ["resp_topic", bytes(topic)]]), ["resp-topic", undefined]);
  }
  assert.deepEqual(reasonOf(good, null), ["null-payload", "m"]);
  assert.deepEqual(reasonOf(good, new Uint8Array([0xc3, 0x28])), ["invalid-utf8", "m"]);
});

Deno.test("decodeAnswer() reads what the original answers, and what we answer", () => {
  const original = received({
    headers: [["msg_id", bytes("m")], ["resp_id", bytes("i")]],
    value: bytes("aGk="),
  });
  assert.deepEqual(decodeAnswer(original), { msgId: "m", respId: "i", payload: "aGk=" });
  const ours = { msgId: "m", respId: "i", payload: "sig", algorithm: "ed25519", keyId: "k" };
  assert.deepEqual(decodeAnswer(received(encodeAnswer(ours))), ours);
  const error = { msgId: "m", respId: "i", payload: "no", error: "too-large" as const };
  assert.deepEqual(decodeAnswer(received(encodeAnswer(error))), error);
});

Deno.test("decodeAnswer() says why something is no answer, and takes a stranger's error for internal", () => {
  const both: BusHeader[] = [["msg_id", bytes("m")], ["resp_id", bytes("i")]];
  const answer = (headers: BusHeader[], value: Uint8Array | null = bytes("x")) =>
    decodeAnswer(received({ headers, value }));
  assert.match(answer([]) as string, /first two headers/);
  assert.match(answer([both[1]!, both[0]!]) as string, /first two headers/);
  assert.match(answer(both, null) as string, /null/);
  assert.match(answer(both, new Uint8Array([0xff])) as string, /UTF-8/);
  const strange = answer([...both, ["error", bytes("KafkaError: broker 1 …")]]);
  assert.equal((strange as { error: string }).error, "internal");
});

Deno.test("an id is bytes: what is no text, or begins with a byte order mark, comes back unchanged", () => {
  const ids = [
    Uint8Array.from({ length: 16 }, (_, i) => 0xf0 + i),
    new Uint8Array([0xef, 0xbb, 0xbf, 0x6d]),
    new Uint8Array([0x6d, 0xfc]),
    bytes("\ufffd"),
    bytes("m"),
  ];
  const seen = new Set<string>();
  for (const id of ids) {
    const decoded = request([["msg_id", id], ["resp_topic", bytes("r")]]);
    assert.ok("message" in decoded);
    seen.add(decoded.msgId);
    const { msgId, msgIdBytes } = decoded;
    const answer = encodeAnswer({
      ...{ msgId, respId: "x", payload: "p" },
      ...(msgIdBytes && { msgIdBytes }),
    });
    assert.deepEqual(new Uint8Array(answer.headers[0]![1]), id);
    const refused = request([["msg_id", id], ["resp_topic", bytes("r")]], null);
    assert.ok("reason" in refused);
    assert.deepEqual(refused.msgIdBytes, msgIdBytes);
  }
  assert.equal(seen.size, ids.length, "no two are one in the audit log");
});

Deno.test("what two environments share follows from their topic: they do not meet by default", () => {
  assert.equal(defaultRequestTopic, "signer.v1");
  assert.equal(serviceGroup("signer.v1"), "signer.v1.service");
  assert.equal(keysTopic("signer.v1"), "signer.v1.keys");
  for (const nameOf of [serviceGroup, keysTopic]) {
    assert.notEqual(nameOf("test.v1"), nameOf("signer.v1"));
  }
});

Deno.test("decodeRequest() says what it has found, and no more of it than a line holds", () => {
  const long = "n".repeat(150);
  for (
    const [headers, value, detail] of [
      [[], "x", "the first two headers must be msg_id and resp_topic, not none"],
      [
        [[long, bytes("")], ["b", bytes("")], ["c", bytes("")]],
        "x",
        `the first two headers must be msg_id and resp_topic, not ${"n".repeat(40)}, b`,
      ],
      [[["msg_id", bytes("")], good[1]!], "x", "msg_id must have 1 to 128 bytes"],
      [[["msg_id", bytes("m".repeat(129))], good[1]!], "x", "msg_id must have 1 to 128 bytes"],
      [
        [good[0]!, ["resp_topic", bytes(`${long} `)]],
        "x",
        `no answer may go to '${"n".repeat(100)}'`,
      ],
      [good, null, "the payload must not be null"],
      [
        good,
        new Uint8Array([255]),
        "the payload must be UTF-8, or have content_type application/octet-stream",
      ],
    ] as const satisfies readonly (readonly [BusHeader[], unknown, string])[]
  ) {
    const refused = request([...headers], typeof value === "string" ? bytes(value) : value);
    assert.equal("reason" in refused && refused.detail, detail);
  }
  const longest = request([["msg_id", bytes("m".repeat(128))], good[1]!]);
  assert.equal("reason" in longest, false);
});

Deno.test("decodeRequest() takes of an actor 256 characters, and a time that is one", () => {
  const more = (name: string, value: string) => {
    const read = request([...good, [name, bytes(value)]]);
    assert.ok(!("reason" in read));
    return read;
  };
  assert.equal(more("actor", "a".repeat(300)).actor, "a".repeat(256));
  for (const [time, read] of [["5", 5], ["0", undefined], ["-1", undefined], ["x", undefined]]) {
    assert.equal(more("expires_at", String(time)).expiresAtMs, read);
  }
  assert.equal(more("expires_at", "Infinity").expiresAtMs, undefined);
});

Deno.test("decodeAnswer() needs both of its headers, and takes no more of the others than they may have", () => {
  const answer = (headers: BusHeader[]) => decodeAnswer(received({ headers, value: bytes("s") }));
  const [msgId, respId]: BusHeader[] = [["msg_id", bytes("m")], ["resp_id", bytes("i")]];
  const neither = "its first two headers are not msg_id and resp_id";
  for (const headers of [[], [msgId!], [respId!, msgId!], [["x", bytes("")], respId!]]) {
    assert.equal(answer(headers as BusHeader[]), neither);
  }
  const read = answer([
    msgId!,
    respId!,
    ["alg", bytes("a".repeat(50))],
    ["kid", bytes("k".repeat(300))],
  ]);
  assert.ok(typeof read !== "string");
  assert.deepEqual([read.algorithm, read.keyId], ["a".repeat(40), "k".repeat(200)]);
});

Deno.test("a text that comes again is encoded once, and a flood of others changes none", () => {
  const topicOf = (name: string) =>
    encodeRequest({ msgId: "m", respTopic: name, message: bytes(""), binary: false })
      .headers[1]![1];
  const first = topicOf("again");
  assert.equal(topicOf("again"), first);
  for (let number = 0; number < 1_500; number++) {
    assert.equal(text(topicOf(`t${number}`)), `t${number}`);
  }
  assert.notEqual(topicOf("again"), first, "the first thousand were let go");
  assert.equal(text(topicOf("again")), "again");
  // No more than asked for: an answer in the original's form has two headers.
  const plain = encodeAnswer({ msgId: "m", respId: "i", payload: "p" });
  assert.deepEqual(plain.headers.map(([name]) => name), ["msg_id", "resp_id"]);
  assert.equal(
    encodeRequest({ msgId: "m", respTopic: "r", message: bytes(""), binary: false }).headers.length,
    2,
  );
});
