/**
 * Answers as bytes, into a sink that is none of a socket. What goes over one is in `connection_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { drainMicrotasks } from "../world/virtual_world.ts";
import {
  type AnswerSink,
  type AnswerTerms,
  dateText,
  pieceBytes,
  rawAnswer,
  writeAnswer,
  writeBody,
} from "./answer.ts";

/** What takes all that is written, until it is told otherwise. */
class TestSink implements AnswerSink {
  readonly pieces: Buffer[] = [];
  isGone = false;
  /** What `write()` gives, after so many. */
  room: (count: number) => true | Promise<boolean> = () => true;
  listeners = new Set<() => void>();

  write(bytes: Uint8Array): true | Promise<boolean> {
    this.pieces.push(Buffer.from(bytes));
    return this.room(this.pieces.length);
  }

  onGone(callback: () => void): () => void {
    this.listeners.add(callback);
    return () => this.listeners.delete(callback);
  }

  leave(): void {
    this.isGone = true;
    for (const callback of this.listeners) callback();
  }

  /** All of it; the time is what it is. */
  get text(): string {
    return Buffer.concat(this.pieces).toString("latin1")
      .replace(/date: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n/, "date: D\r\n");
  }
}

const terms: AnswerTerms = { method: "GET", version: "1.1", keepsAlive: true, idleTimeoutS: 7 };
const keeps = "date: D\r\nconnection: keep-alive\r\nkeep-alive: timeout=7\r\n\r\n";
const closes = "date: D\r\nconnection: close\r\n\r\n";

/** What an answer is written as, and whether its connection goes on. */
async function written(
  response: Response,
  other: Partial<AnswerTerms> = {},
): Promise<[text: string, keepsAlive: boolean]> {
  const sink = new TestSink();
  const keepsAlive = await writeAnswer(response, { ...terms, ...other }, sink);
  assert.equal(sink.listeners.size, 0);
  return [sink.text, keepsAlive];
}

function streamOf(...pieces: string[]): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  return ReadableStream.from(pieces.map((piece) => encoder.encode(piece)));
}

Deno.test("answers of types that are whole go out with their length, whatever they declare", async () => {
  for (
    const type of [
      ...["application/json", "application/problem+json", "application/x-protobuf"],
      ...["text/html; charset=utf-8", "text/plain ;x"],
    ]
  ) {
    const headers = { "content-type": type, "content-length": "99", "transfer-encoding": "x" };
    assert.deepEqual(
      await written(new Response(streamOf("a", "bc"), { headers })),
      [`HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: 3\r\n${keeps}abc`, true],
    );
  }
});

Deno.test("an answer of another type goes out as it comes: in chunks, by its length, or to the end", async () => {
  const chunks = "transfer-encoding: chunked\r\n";
  const event = { "content-type": "text/event-stream" };
  const eventField = "content-type: text/event-stream\r\n";
  const stream = () => new Response(streamOf("a", "", "x".repeat(17)), { headers: event });
  const chunked = `1\r\na\r\n11\r\n${"x".repeat(17)}\r\n0\r\n\r\n`;
  assert.deepEqual(
    await written(stream()),
    [`HTTP/1.1 200 OK\r\n${eventField}${chunks}${keeps}${chunked}`, true],
  );
  assert.deepEqual(
    await written(stream(), { version: "1.0" }),
    [`HTTP/1.1 200 OK\r\n${eventField}${closes}a${"x".repeat(17)}`, false],
  );
  for (const version of ["1.0", "1.1"]) {
    assert.deepEqual(
      await written(
        new Response(streamOf("a", "bc"), { headers: { ...event, "content-length": "3" } }),
        { version },
      ),
      [`HTTP/1.1 200 OK\r\n${eventField}content-length: 3\r\n${keeps}abc`, true],
    );
    assert.deepEqual(
      await written(new Response(null, { status: 599, headers: { "content-length": "9" } }), {
        version,
      }),
      [`HTTP/1.1 599 \r\ncontent-length: 0\r\n${keeps}`, true],
    );
  }
  for (const length of ["3x", "x3", "-3"]) {
    assert.deepEqual(
      await written(new Response(streamOf("a"), { headers: { "content-length": length } })),
      [`HTTP/1.1 200 OK\r\n${chunks}${keeps}1\r\na\r\n0\r\n\r\n`, true],
    );
  }
});

Deno.test("an answer without a body has the length that it declares, and 204 none", async () => {
  let cancelled = 0;
  const body = () => new ReadableStream({ cancel: () => void cancelled++ });
  const declared = { headers: { "content-length": "42" } };
  const head = { method: "HEAD" };
  assert.deepEqual(
    await written(new Response(body(), declared), head),
    [`HTTP/1.1 200 OK\r\ncontent-length: 42\r\n${keeps}`, true],
  );
  assert.equal(cancelled, 1, "of a HEAD that a route for GET has answered");
  assert.deepEqual(
    await written(new Response(body()), { ...head, keepsAlive: false }),
    [`HTTP/1.1 200 OK\r\n${closes}`, false],
  );
  assert.deepEqual(
    await written(new Response(null, { status: 304, ...declared })),
    [`HTTP/1.1 304 Not Modified\r\ncontent-length: 42\r\n${keeps}`, true],
  );
  assert.deepEqual(
    await written(new Response(null, { status: 204, ...declared })),
    [`HTTP/1.1 204 No Content\r\n${keeps}`, true],
  );
});

Deno.test("an answer that says close, or has to, ends its connection", async () => {
  const type = "content-type: text/plain";
  for (
    const [body, contentType, status] of [["x", "text/plain", 200], [null, "a/b", 204]] as const
  ) {
    for (
      const [connection, keepsAlive, goesOn] of [
        ["close", true, false],
        ["x, Close", true, false],
        ["keep-alive", true, true],
        ["keep-alive", false, false],
      ] as const
    ) {
      const headers = { "content-type": contentType, connection };
      const [text, kept] = await written(new Response(body, { status, headers }), { keepsAlive });
      assert.equal(kept, goesOn);
      assert.ok(text.includes(goesOn ? keeps : closes), text);
    }
  }
  const headers = { connection: "close", "content-type": "text/event-stream" };
  const [text, kept] = await written(new Response(streamOf("x"), { headers }));
  assert.equal(kept, false);
  assert.ok(text.includes(closes), text);
  assert.ok(!text.includes(type));
});

Deno.test("a head has all fields in Latin-1, and the server's own time", async () => {
  const headers = new Headers([["x-name", "caf\xe9"], ["date", "yesterday"]]);
  for (const body of ["body", "caf\xe9"]) {
    const [text] = await written(new Response(body, { headers }));
    const bytes = Buffer.from(body).toString("latin1");
    assert.equal(
      text,
      `HTTP/1.1 200 OK\r\ncontent-type: text/plain;charset=UTF-8\r\nx-name: caf\xe9\r\n` +
        `content-length: ${bytes.length}\r\n${keeps}${bytes}`,
    );
  }
  const [head] = await written(new Response("x", { headers }), { method: "HEAD" });
  assert.ok(head.includes("x-name: caf\xe9\r\n"));
  assert.ok(Math.abs(Date.parse(dateText()) - Date.now()) < 60_000);
});

Deno.test("a large answer goes out in pieces, as its peer takes them, until it has gone", async () => {
  const body = "0123456789abcdef".repeat(pieceBytes / 16);
  for (
    const [text, sizes] of [
      [body, [pieceBytes]],
      [`${body}x`, [pieceBytes, 1]],
      [body + body, [pieceBytes, pieceBytes]],
      [`${body}${body}xy`, [pieceBytes, pieceBytes, 2]],
    ] as const
  ) {
    const sink = new TestSink();
    sink.room = () => Promise.resolve(true);
    assert.equal(await writeAnswer(new Response(text), terms, sink), true);
    const [head, sent] = sink.text.split("\r\n\r\n", 2);
    assert.equal(sent, text);
    const [first, ...others] = sink.pieces.map(({ length }) => length);
    assert.ok(first! - pieceBytes >= head!.length);
    assert.deepEqual([pieceBytes, ...others], sizes);
  }
  const left = new TestSink();
  left.room = (count) => Promise.resolve(count < 2);
  assert.equal(await writeAnswer(new Response(body.repeat(4)), terms, left), true);
  assert.equal(left.pieces.length, 2);
});

Deno.test("writeBody() waits for its peer, and ends the stream when that has gone", async () => {
  const room = Promise.withResolvers<boolean>();
  const sink = new TestSink();
  sink.room = () => room.promise;
  const done = writeBody(streamOf("a", "b"), sink, undefined);
  await drainMicrotasks();
  assert.equal(sink.text, "a", "the next piece waits");
  room.resolve(true);
  await done;
  assert.equal(sink.text, "ab");

  let cancelled = 0;
  const silent = new ReadableStream<Uint8Array>({ cancel: () => void cancelled++ });
  const gone = new TestSink();
  const left = writeBody(silent, gone, 3, true);
  gone.leave();
  await left;
  assert.equal(cancelled, 1);
  assert.deepEqual([gone.text, gone.listeners.size], ["", 0]);
  assert.equal(silent.locked, true, "nobody else reads it");

  const meanwhile = new TestSink();
  meanwhile.isGone = true;
  await writeBody(streamOf("a"), meanwhile, undefined);
  assert.equal(meanwhile.text, "");
});

Deno.test("writeBody() refuses a body that has not its length, and writes no more than that", async () => {
  for (
    const [pieces, length, text] of [
      [["ab"], 3, "ab"],
      [["ab", "cd"], 3, "ab"],
      [["abcd"], 3, ""],
      [["a"], 0, ""],
    ] as const
  ) {
    const sink = new TestSink();
    await assert.rejects(
      writeBody(streamOf(...pieces), sink, length),
      new Error(`The answer declares ${length} bytes and has others`),
    );
    assert.deepEqual([sink.text, sink.listeners.size], [text, 0]);
  }
  const sink = new TestSink();
  const failing = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new Error("broken")),
    cancel: () => Promise.reject(new Error("nor this")),
  });
  await assert.rejects(writeBody(failing, sink, undefined, true), new Error("broken"));
  assert.deepEqual([sink.text, sink.listeners.size], ["", 0]);
});

Deno.test("rawAnswer() is a whole answer, with its problem in JSON", () => {
  for (
    const [status, line, retry] of [
      [400, "400 Bad Request", ""],
      [503, "503 Service Unavailable", "retry-after: 1\r\n"],
      [599, "599 ", ""],
    ] as const
  ) {
    const body = `{"type":"about:blank","title":"T\u00e4","status":${status},"detail":"D"}`;
    assert.equal(
      Buffer.from(rawAnswer(status, "T\u00e4", "D")).toString(),
      `HTTP/1.1 ${line}\r\ncontent-type: application/problem+json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n${retry}\r\n${body}`,
    );
  }
});
