/**
 * A stream of HTTP/2 as a request and its answer, without a connection below it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type http2 from "node:http2";
import { pieceBytes } from "../http1/answer.ts";
import { drainMicrotasks } from "../world/virtual_world.ts";
import { type ExchangeOwner, Http2Exchange, tooLarge } from "./exchange.ts";
import { nodeHttp2 } from "./node_http2.ts";

type Fields = http2.OutgoingHttpHeaders;

/** What an exchange does to its stream, as far as it does. */
class TestStream extends EventEmitter {
  readonly endAfterHeaders: boolean;
  destroyed = false;
  closed = false;
  /** What `write()` gives: whether there is room for more. */
  hasRoom = true;
  written = "";
  readonly sizes: number[] = [];
  readonly told: unknown[] = [];
  #isPaused = false;

  constructor(endAfterHeaders: boolean) {
    super();
    this.endAfterHeaders = endAfterHeaders;
  }

  write(bytes: Uint8Array): boolean {
    this.written += new TextDecoder().decode(bytes);
    this.sizes.push(bytes.length);
    return this.hasRoom;
  }

  respond({ date, ...fields }: Fields, options?: object): void {
    assert.ok(Math.abs(Date.parse(String(date)) - Date.now()) < 60_000);
    this.told.push(options ? [fields, options] : [fields]);
  }

  additionalHeaders(fields: Fields): void {
    this.told.push(fields);
  }

  end(): void {
    this.told.push("end");
  }

  close(code: number): void {
    this.closed = true;
    this.told.push(`close ${code}`);
  }

  isPaused(): boolean {
    return this.#isPaused;
  }

  pause(): void {
    this.#isPaused = true;
    this.told.push("pause");
  }

  resume(): void {
    this.#isPaused = false;
    this.told.push("resume");
  }
}

const plain = { ":method": "GET", ":path": "/", ":authority": "a" };

function exchangeOf(headers: http2.IncomingHttpHeaders = plain, hasBody = false) {
  const stream = new TestStream(!hasBody);
  const time = { nowMs: 1_000 };
  const closed: Http2Exchange[] = [];
  const peer: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.7", port: 4711 };
  const owner = {
    peer,
    monotonicMs: () => time.nowMs,
    onClose: (one: Http2Exchange) => void closed.push(one),
  } as unknown as ExchangeOwner;
  const exchange = new Http2Exchange(
    stream as unknown as http2.ServerHttp2Stream,
    headers,
    owner,
  );
  /** Answers, and gives what the stream was told of it. */
  const answer = async (response: Response) => {
    const from = stream.told.length;
    exchange.answer(response);
    await drainMicrotasks();
    return stream.told.slice(from);
  };
  return { stream, exchange, owner, time, closed, answer };
}

Deno.test("the head of a stream is that of a request of HTTP/1.1", () => {
  const head = {
    ...{ method: "GET", target: "/", fields: ["host", "a"], host: "a", hosts: 1, version: "2" },
    ...{ expect: undefined, keepsAlive: true, hasBody: false, asksForWebSocket: false },
  };
  for (
    const [headers, facts] of [
      [plain, {}],
      [{ ...plain, host: "a" }, {}],
      [{ ...plain, host: "b" }, { hosts: 2 }],
      [{ ":method": "GET", ":path": "/", host: "b" }, { host: "b", fields: ["host", "b"] }],
      [{}, { method: "", target: "", fields: [], host: undefined, hosts: 0 }],
      [
        { ...plain, expect: "100-Continue" },
        { expect: "100-continue", fields: ["host", "a", "expect", "100-Continue"] },
      ],
      [
        { ...plain, accept: "x", gone: undefined, "set-cookie": ["b", "c"] },
        { fields: ["host", "a", "accept", "x", "set-cookie", "b", "set-cookie", "c"] },
      ],
    ] as const
  ) {
    const { exchange } = exchangeOf(headers as http2.IncomingHttpHeaders);
    assert.deepEqual(exchange.head, { ...head, ...facts });
    assert.equal(exchange.body, undefined);
    assert.equal(exchange.awaitsBody, false);
  }
  const { exchange, owner } = exchangeOf(plain, true);
  assert.equal(exchange.head.hasBody, true);
  assert.notEqual(exchange.body, undefined);
  assert.equal(exchange.peer, owner.peer);
  assert.equal(exchange.sinceMs, 1_000);
});

Deno.test("an answer of a type that is whole goes out with its length, in pieces as there is room", async () => {
  const { stream, exchange, time, answer } = exchangeOf();
  time.nowMs = 2_000;
  assert.deepEqual([exchange.isAnswered, exchange.answeredMs], [false, undefined]);
  const headers = [["content-type", "text/plain ; x"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]]
    .concat([["connection", "close"], ["keep-alive", "x"], ["proxy-connection", "x"]])
    .concat([["transfer-encoding", "x"], ["upgrade", "x"], ["date", "x"], ["content-length", "9"]]);
  const response = new Response("hello", { headers: headers as [string, string][] });
  assert.deepEqual(await answer(response), [
    [{
      ...{ ":status": 200, "content-type": "text/plain ; x", "content-length": 5 },
      "set-cookie": ["a=1", "b=2"],
    }],
    "end",
  ]);
  assert.equal(stream.written, "hello");
  stream.emit("drain");
  assert.deepEqual([exchange.isAnswered, exchange.answeredMs], [true, 2_000]);

  const exact = exchangeOf();
  await exact.answer(new Response("x".repeat(2 * pieceBytes)));
  assert.deepEqual(exact.stream.sizes, [pieceBytes, pieceBytes]);
  const large = exchangeOf();
  large.stream.hasRoom = false;
  const told = large.answer(new Response("x".repeat(2 * pieceBytes + 1)));
  assert.deepEqual(await told, [[{
    ...{ ":status": 200, "content-type": "text/plain;charset=UTF-8" },
    "content-length": 2 * pieceBytes + 1,
  }]]);
  assert.deepEqual(large.stream.sizes, [pieceBytes]);
  large.stream.hasRoom = true;
  large.stream.emit("drain");
  await drainMicrotasks();
  assert.deepEqual(large.stream.sizes, [pieceBytes, pieceBytes, 1]);
  assert.equal(large.stream.told.at(-1), "end");
});

Deno.test("an answer without a body, or to HEAD, ends with its head", async () => {
  let cancelled = 0;
  const body = () => new ReadableStream({ cancel: () => void cancelled++ });
  const ends = { endStream: true };
  const toHead = exchangeOf({ ...plain, ":method": "HEAD" });
  assert.deepEqual(
    await toHead.answer(new Response(body(), { headers: { "content-length": "7" } })),
    [[{ ":status": 200, "content-length": "7" }, ends], "end"],
  );
  assert.equal(cancelled, 1);
  for (const status of [204, 304]) {
    const { answer } = exchangeOf();
    assert.deepEqual(await answer(new Response(null, { status })), [
      [{ ":status": status }, ends],
      "end",
    ]);
  }
  const { answer } = exchangeOf();
  assert.deepEqual(await answer(new Response(null, { status: 404 })), [
    [{ ":status": 404 }],
    "end",
  ]);
});

Deno.test("an answer of another type goes out as it comes, and not beyond its length", async () => {
  const encoder = new TextEncoder();
  const streamOf = (...pieces: string[]) =>
    ReadableStream.from(pieces.map((piece) => encoder.encode(piece)));
  const type = { "content-type": "text/event-stream" };
  const plainly = exchangeOf();
  assert.deepEqual(
    await plainly.answer(new Response(streamOf("a", "bc"), { headers: type })),
    [[{ ":status": 200, ...type }], "end"],
  );
  assert.equal(plainly.stream.written, "abc");
  for (const [pieces, end] of [[["a", "bc"], "end"], [["a"], "close 2"], [["abcd"], "close 2"]]) {
    const { answer } = exchangeOf();
    const headers = { ...type, "content-length": "3" };
    const told = await answer(new Response(streamOf(...pieces as string[]), { headers }));
    assert.deepEqual(told, [[{ ":status": 200, ...headers }], end]);
  }
  assert.equal(nodeHttp2().constants.NGHTTP2_INTERNAL_ERROR, 2);
  const failing = exchangeOf();
  const broken = new ReadableStream({ pull: (c) => c.error(new Error("broken")) });
  assert.deepEqual(await failing.answer(new Response(broken)), [[{ ":status": 200 }], "close 2"]);
});

Deno.test("of two answers the first is it, and none goes to who has left", async () => {
  const { stream, answer } = exchangeOf();
  await answer(new Response("first"));
  let cancelled = 0;
  const failing = () => {
    cancelled++;
    return Promise.reject(new Error("nobody's affair"));
  };
  assert.deepEqual(await answer(new Response(new ReadableStream({ cancel: failing }))), []);
  assert.equal(cancelled, 1);
  const used = new Response("x");
  await used.text();
  assert.deepEqual(await answer(used), []);
  assert.deepEqual(await answer(new Response()), []);
  assert.equal(stream.written, "first");

  for (const how of ["destroyed", "closed"] as const) {
    const left = exchangeOf();
    left.stream[how] = true;
    assert.equal(left.exchange.isGone, true);
    const body = new ReadableStream({ cancel: () => void cancelled++ });
    assert.deepEqual(await left.answer(new Response(body)), []);
    assert.equal(left.exchange.isAnswered, false);
    assert.equal(await left.exchange.write(new Uint8Array(1)), false);
  }
  assert.equal(cancelled, 3);

  // It leaves while the answer is made.
  const meanwhile = exchangeOf();
  meanwhile.exchange.answer(new Response("x"));
  meanwhile.stream.closed = true;
  await drainMicrotasks();
  assert.deepEqual(meanwhile.stream.told, []);
});

Deno.test("a peer that takes nothing is stuck from when it began until it takes something", async () => {
  const { stream, exchange, time, closed } = exchangeOf();
  assert.equal(exchange.write(new Uint8Array(1)), true);
  assert.equal(exchange.stuckSinceMs, undefined);
  stream.hasRoom = false;
  time.nowMs = 2_000;
  const first = exchange.write(new Uint8Array(1));
  time.nowMs = 3_000;
  const second = exchange.write(new Uint8Array(1));
  assert.equal(exchange.stuckSinceMs, 2_000);
  stream.emit("drain");
  assert.equal(exchange.stuckSinceMs, undefined);
  assert.deepEqual(await Promise.all([first, second]), [true, true]);
  const third = exchange.write(new Uint8Array(1));
  assert.equal(exchange.stuckSinceMs, 3_000);
  stream.emit("error", new Error("reset"));
  stream.emit("close");
  assert.equal(await third, false);
  assert.deepEqual(closed, [exchange]);
});

Deno.test("a body comes as its reader takes it, and its end with it", async () => {
  const { stream, exchange, answer } = exchangeOf(plain, true);
  const seen: string[] = [];
  const data = (text: string) => stream.emit("data", new TextEncoder().encode(text));
  data("x".repeat(65_535));
  assert.deepEqual(stream.told, []);
  data("y");
  assert.deepEqual(stream.told, ["pause"]);
  let wants = true;
  exchange.body!.read({
    piece: (piece) => seen.push(String(piece.length)) > 0 && wants,
    end: (error) => void seen.push(error?.message ?? "end"),
  });
  assert.deepEqual([stream.told, seen], [["pause", "resume"], ["65535", "1"]]);
  wants = false;
  data("z");
  assert.deepEqual(stream.told, ["pause", "resume", "pause"]);
  exchange.body!.flow();
  assert.deepEqual(stream.told, ["pause", "resume", "pause", "resume"]);
  stream.emit("end");
  stream.emit("close");
  assert.deepEqual(seen, ["65535", "1", "1", "end"]);

  const cut = exchangeOf(plain, true);
  const ends: unknown[] = [];
  cut.exchange.body!.read({ piece: () => true, end: (error) => void ends.push(error) });
  cut.stream.emit("close");
  assert.deepEqual(ends, [new Error("The stream ended before the whole body had come")]);

  const unread = exchangeOf(plain, true);
  unread.stream.emit("data", new Uint8Array(70_000));
  await unread.answer(new Response("x"));
  assert.equal(unread.exchange.body!.isFull, false, "what was answered reads no more");
  assert.equal(unread.stream.isPaused(), false);
  assert.deepEqual(await answer(new Response(null, { status: 204 })), [
    [{ ":status": 204 }, { endStream: true }],
    "end",
  ]);
});

Deno.test("a client that waits for it is told once that its body is wanted, if it is there", async () => {
  const expecting = { ...plain, expect: "100-Continue" };
  const asked = exchangeOf(expecting, true);
  assert.equal(asked.exchange.awaitsBody, true);
  asked.exchange.askForBody();
  asked.exchange.askForBody();
  assert.deepEqual(asked.stream.told, [{ ":status": 100 }]);
  assert.equal(asked.exchange.awaitsBody, false);
  const left = exchangeOf(expecting, true);
  left.stream.closed = true;
  left.exchange.askForBody();
  assert.deepEqual(left.stream.told, []);
  const answered = exchangeOf(expecting, true);
  await answered.answer(new Response(null, { status: 204 }));
  const told = answered.stream.told.length;
  answered.exchange.askForBody();
  assert.equal(answered.stream.told.length, told);
  const nothing = exchangeOf(plain, true);
  nothing.exchange.askForBody();
  assert.deepEqual(nothing.stream.told, []);
  assert.equal(exchangeOf(expecting, false).exchange.awaitsBody, false);
});

Deno.test("who is asked by a client that goes away is told, unless it takes that back", () => {
  const { stream, exchange } = exchangeOf();
  const told: string[] = [];
  exchange.onGone(() => told.push("a"));
  const back = exchange.onGone(() => told.push("b"));
  exchange.onGone(() => told.push("c"));
  back();
  stream.emit("close");
  assert.deepEqual(told, ["a", "c"]);
  stream.closed = true;
  exchange.onGone(() => told.push("late"))();
  assert.deepEqual(told, ["a", "c", "late"]);
  const left = exchangeOf();
  left.stream.closed = true;
  left.exchange.onGone(() => told.push("d"))();
  assert.equal(told.at(-1), "d");
});

Deno.test("tooLarge() refuses a header beyond 16 KiB, its target counted in", async () => {
  const head = (target: string, ...fields: string[]) => exchangeHead(target, fields);
  assert.equal(tooLarge(head("/".repeat(384), "x".repeat(16_000))), undefined);
  const refusal = tooLarge(head("/".repeat(384), "x".repeat(15_999), "ab"));
  assert.equal(refusal?.status, 431);
  const { title, detail } = await refusal!.json();
  assert.deepEqual([title, detail], [
    "Request Header Fields Too Large",
    "The header is too large. Send less of it.",
  ]);
});

function exchangeHead(target: string, fields: readonly string[]) {
  return { ...exchangeOf().exchange.head, target, fields };
}
