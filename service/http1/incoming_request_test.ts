/**
 * A request as handlers see it and its body on its way to them, without a connection.
 *
 * @module
 */
import assert from "node:assert/strict";
import { piecesOf, type RequestSource, sourceOf, toRequest } from "./incoming_request.ts";
import { type BodyReader, joined, releasePieces, RequestBody } from "./request_body.ts";
import type { RequestHead } from "./request_parser.ts";

const head: RequestHead = {
  ...{ method: "POST", target: "/", fields: ["host", "a"], host: "a", hosts: 1, version: "1.1" },
  ...{ expect: undefined, keepsAlive: true, hasBody: true, asksForWebSocket: false },
};

/** A source of a request, and what it is asked. */
class TestSource implements RequestSource {
  readonly head: RequestHead;
  readonly body: RequestBody | undefined;
  readonly upgrade: RequestSource["upgrade"];
  asked = 0;
  flowed = 0;
  readonly gone: (() => void)[] = [];

  constructor(facts: Partial<RequestHead> = {}, upgrade?: RequestSource["upgrade"]) {
    this.head = { ...head, ...facts };
    this.upgrade = upgrade;
    if (this.head.hasBody) this.body = new RequestBody(() => this.flowed++);
  }

  askForBody(): void {
    this.asked++;
  }

  onGone(callback: () => void): void {
    this.gone.push(callback);
  }

  request(): Request {
    return toRequest(this, "http://127.0.0.1:1")!;
  }
}

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

Deno.test("the URL of a request is that of its target below its Host, without the base path", () => {
  const base = "https://127.0.0.1:8443";
  const urlOf = (target: string, host?: string, basePath?: string) =>
    toRequest(new TestSource({ target, host }), base, basePath)?.url;
  for (
    const [target, host, basePath, url] of [
      ["/a?b=c", "x.example:1", undefined, "https://x.example:1/a?b=c"],
      ["/a", undefined, undefined, "https://127.0.0.1:8443/a"],
      ["/a", "[::1]:8", undefined, "https://[::1]:8/a"],
      ["http://else.example/p?q#r", "a", undefined, "https://a/p?q"],
      ["*", "a", undefined, "https://a/*"],
      ["nonsense", "a", undefined, undefined],
      ["/", "a/b", undefined, undefined],
      ["/", "a?b", undefined, undefined],
      ["/", "a b", undefined, undefined],
      ["/", "", undefined, undefined],
      ["/base/x?y", "a", "/base", "https://a/x?y"],
      ["/base", "a", "/base", "https://a/"],
      ["/base?y", "a", "/base", "https://a/?y"],
      ["/basement", "a", "/base", "https://a/basement"],
      ["/x/base/y", "a", "/base", "https://a/x/base/y"],
      ["/x", "a", "/base", "https://a/x"],
      ["//x", "a", "", "https://a//x"],
    ] as const
  ) assert.equal(urlOf(target, host, basePath), url, `${target} of ${host} below ${basePath}`);
});

Deno.test("a request is one of the platform's kind, with its fields and its method", () => {
  const fields = ["host", "a", "X-One", "1", "cookie", "a=b", "x-one", "2"];
  const source = new TestSource({ fields });
  const request = source.request();
  assert.ok(request instanceof Request);
  assert.equal(request.method, "POST");
  assert.deepEqual([...request.headers], [["cookie", "a=b"], ["host", "a"], ["x-one", "1, 2"]]);
  assert.equal(request.headers, request.headers);
  assert.equal(sourceOf(request), undefined, "it does not ask for an upgrade");
  const upgrade = { socket: {}, head: new Uint8Array() } as RequestSource["upgrade"];
  const asking = new TestSource({}, upgrade);
  assert.equal(sourceOf(asking.request()), asking);
});

Deno.test("a request's signal tells once that the client has gone away, to whoever asked for it", () => {
  const source = new TestSource();
  const { signal } = source.request();
  assert.equal(source.gone.length, 1);
  assert.equal(signal.aborted, false);
  source.gone[0]!();
  assert.equal(signal.aborted, true);
  assert.deepEqual([signal.reason.name, signal.reason.message], [
    "AbortError",
    "The client went away",
  ]);
  const other = new TestSource();
  const request = other.request();
  assert.equal(request.signal, request.signal);
  assert.equal(other.gone.length, 1);
});

Deno.test("a body is read in each way of a Request, once, and asked for where a client waits for that", async () => {
  for (
    const [way, wanted] of [
      ["text", '["\u00e4"]'],
      ["json", ["\u00e4"]],
      ["bytes", bytesOf('["\u00e4"]')],
      ["arrayBuffer", bytesOf('["\u00e4"]').buffer],
    ] as const
  ) {
    for (const cut of [1, 6]) {
      const source = new TestSource();
      const request = source.request();
      const bytes = bytesOf('["\u00e4"]');
      source.body!.push(bytes.slice(0, cut));
      assert.deepEqual([request.bodyUsed, source.asked], [false, 0]);
      const read = request[way]();
      assert.deepEqual([request.bodyUsed, source.asked], [true, 1]);
      if (cut < bytes.length) source.body!.push(bytes.slice(cut));
      source.body!.end();
      assert.deepEqual(await read, wanted, way);
      await assert.rejects(request[way](), new TypeError("The body has been read already"));
    }
  }
  const form = new TestSource({
    fields: ["content-type", "application/x-www-form-urlencoded"],
  });
  form.body!.push(bytesOf("a=b"));
  form.body!.end();
  assert.equal((await form.request().formData()).get("a"), "b");
  for (const [fields, type] of [[["content-type", "a/b"], "a/b"], [[], ""]] as const) {
    const source = new TestSource({ fields });
    source.body!.push(bytesOf("xy"));
    source.body!.end();
    const blob = await source.request().blob();
    assert.deepEqual([blob.type, await blob.text()], [type, "xy"]);
  }
});

Deno.test("a request without a body has none, and reads as nothing", async () => {
  const source = new TestSource({ hasBody: false });
  const request = source.request();
  assert.equal(request.body, null);
  assert.equal(request.bodyUsed, false);
  assert.equal(await request.text(), "");
  assert.equal((await new TestSource({ hasBody: false }).request().bytes()).length, 0);
});

Deno.test("piecesOf() gives a body as it came, of any request", async () => {
  const source = new TestSource();
  const pieces = ["a", "bc"].map(bytesOf);
  for (const piece of pieces) source.body!.push(piece);
  source.body!.end();
  assert.deepEqual(await piecesOf(source.request()), pieces);
  const late = new TestSource();
  const read = piecesOf(late.request());
  for (const piece of pieces) late.body!.push(piece);
  assert.equal(late.body!.isFull, false, "who wants all holds nothing back");
  late.body!.end();
  assert.deepEqual(await read, pieces);
  const other = new Request("http://a", { method: "POST", body: "abc" });
  assert.deepEqual(await piecesOf(other), [bytesOf("abc")]);
});

Deno.test("a body that does not come whole fails in each way of reading", async () => {
  for (const way of ["text", "bytes", "stream"] as const) {
    const source = new TestSource();
    source.body!.push(bytesOf("half"));
    const request = source.request();
    const read = way === "stream" ? new Response(request.body).text() : request[way]();
    source.body!.end(new Error("gone"));
    source.body!.push(bytesOf("late"));
    source.body!.end();
    await assert.rejects(read, new Error("gone"));
  }
  // It has failed before anybody reads.
  const source = new TestSource();
  source.body!.end(new Error("gone"));
  await assert.rejects(source.request().text(), new Error("gone"));
});

Deno.test("a body as a stream holds its connection back as far as it is not read", async () => {
  const source = new TestSource();
  const { body } = source;
  const request = source.request();
  const stream = request.body!;
  assert.equal(request.body, stream);
  assert.deepEqual([request.bodyUsed, source.asked], [true, 1]);
  assert.equal(body!.isFull, false);
  body!.push(new Uint8Array(65_535));
  assert.equal(body!.isFull, false);
  body!.push(new Uint8Array(1));
  assert.equal(body!.isFull, true);
  const flowed = source.flowed;
  const reader = stream.getReader();
  assert.equal((await reader.read()).value?.length, 65_535);
  assert.equal(body!.isFull, false);
  assert.equal(source.flowed, flowed + 1);
  assert.equal((await reader.read()).value?.length, 1);
  body!.end();
  assert.equal((await reader.read()).done, true);
});

Deno.test("a stream of a body gives all of it to who reads the request later", async () => {
  const source = new TestSource();
  const request = source.request();
  assert.ok(request.body);
  for (const piece of ["a", "bc"]) source.body!.push(bytesOf(piece));
  source.body!.end();
  assert.deepEqual(await piecesOf(request), [bytesOf("abc")]);
});

Deno.test("a stream of a body that is cancelled throws away what still comes", async () => {
  const source = new TestSource();
  const { body } = source;
  const stream = source.request().body!;
  body!.push(new Uint8Array(70_000));
  assert.equal(body!.isFull, true);
  await stream.cancel();
  assert.equal(body!.isFull, false);
  body!.push(new Uint8Array(70_000));
  assert.equal(body!.isFull, false);
});

/** A reader, and what it has been told. */
function reading(wants = true): { reader: BodyReader; seen: string[] } {
  const seen: string[] = [];
  const reader: BodyReader = {
    piece: (piece) => {
      seen.push(textOf(piece));
      return wants;
    },
    end: (error) => void seen.push(error ? `error ${error.message}` : "end"),
  };
  return { reader, seen };
}

Deno.test("a body that nobody reads is kept up to 64 KiB, and then its connection waits", () => {
  let flowed = 0;
  const body = new RequestBody(() => flowed++);
  assert.deepEqual([body.isFull, body.isComplete], [false, false]);
  body.push(new Uint8Array(65_535));
  assert.equal(body.isFull, false);
  body.push(new Uint8Array(1));
  assert.equal(body.isFull, true);
  assert.equal(flowed, 0);
  const { reader, seen } = reading();
  body.read(reader);
  assert.deepEqual([seen.length, body.isFull, flowed], [2, false, 1]);
  body.push(bytesOf("x"));
  body.end();
  assert.deepEqual(seen.slice(2), ["x", "end"]);
  const whole = new RequestBody(() => {});
  whole.push(new Uint8Array(65_536));
  whole.end();
  assert.deepEqual([whole.isFull, whole.isComplete], [false, true]);
});

Deno.test("a reader that wants no more holds the body until it flows again, once each time", () => {
  let flowed = 0;
  const body = new RequestBody(() => flowed++);
  body.push(bytesOf("a"));
  const { reader, seen } = reading(false);
  body.read(reader);
  assert.deepEqual([seen, body.isFull, flowed], [["a"], true, 1]);
  body.flow();
  assert.deepEqual([body.isFull, flowed], [false, 2]);
  body.flow();
  assert.equal(flowed, 2, "it flows already");
  body.push(bytesOf("b"));
  assert.equal(body.isFull, true);
});

Deno.test("a body ends once: whole, or with the first reason", () => {
  for (
    const [first, second, told] of [[undefined, "late", "end"], ["gone", "late", "error gone"]]
  ) {
    const body = new RequestBody(() => {});
    const { reader, seen } = reading();
    body.read(reader);
    body.end(first === undefined ? undefined : new Error(first));
    body.end(new Error(second));
    body.end();
    assert.deepEqual(seen, [told]);
    assert.equal(body.isComplete, first === undefined);
  }
  let flowed = 0;
  const done = new RequestBody(() => flowed++);
  done.end();
  const { reader, seen } = reading();
  done.read(reader);
  assert.deepEqual([seen, flowed], [["end"], 0]);
});

Deno.test("takeWhole() gives what has come whole to the first who asks", () => {
  const body = new RequestBody(() => {});
  const piece = bytesOf("a");
  body.push(piece);
  assert.equal(body.takeWhole(), undefined, "it is under way");
  body.end();
  assert.deepEqual(body.takeWhole(), [piece]);
  assert.equal(body.takeWhole(), undefined, "it was taken");
});

Deno.test("discard() throws a body away, and says so to a reader that is not done", () => {
  let flowed = 0;
  const body = new RequestBody(() => flowed++);
  const { reader, seen } = reading(false);
  body.read(reader);
  body.push(bytesOf("a"));
  assert.equal(body.isFull, true);
  body.discard();
  const reason = "error The request was answered before its body was read";
  assert.deepEqual([seen, body.isFull, flowed], [["a", reason], false, 2]);
  body.push(bytesOf("b"));
  body.discard();
  assert.deepEqual([seen.length, flowed], [2, 2]);
  body.end();

  for (const error of [undefined, new Error("gone")]) {
    const ended = new RequestBody(() => {});
    const { reader, seen } = reading();
    ended.read(reader);
    ended.end(error);
    ended.discard();
    assert.equal(seen.length, 1, "it is done");
  }
});

Deno.test("joined() copies pieces into one, and releasePieces() empties them", () => {
  const pieces = ["ab", "", "c"].map(bytesOf);
  assert.equal(textOf(joined(pieces)), "abc");
  assert.equal(joined([]).length, 0);
  const [only] = pieces;
  const copy = joined([only!]);
  assert.equal(textOf(copy), "ab");
  copy[0] = 0;
  assert.equal(textOf(only), "ab", "it is a copy");
  const part = new Uint8Array(new ArrayBuffer(4), 0, 2);
  const shared = new Uint8Array(new SharedArrayBuffer(2));
  const owned = new Uint8Array(2);
  releasePieces([part, shared, owned]);
  assert.deepEqual([part.length, shared.length, owned.length], [2, 2, 0]);
});
