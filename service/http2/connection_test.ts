/**
 * A connection of HTTP/2 by its frames, in virtual time, without a socket.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { clientPrefaceBytes } from "../goaway_filter.ts";
import { type HttpExchange, takesNothing } from "../http_exchange.ts";
import { TestConnectionOwner } from "../test_connection_owner.ts";
import { eventually } from "../testing/eventually.ts";
import { Http2Connection } from "./connection.ts";

/** Types of frames (RFC 9113, section 6), as far as they are spoken here. */
const types = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** The longest payload. */
const frameBytes = 16_384;

interface Frame {
  type: number;
  flags: number;
  stream: number;
  payload: Buffer;
}

/** What is no socket, and keeps what is written. */
class TestSocket extends Duplex {
  readonly remoteAddress = "192.0.2.7";
  readonly remotePort = 4711;
  /** Keeps what is written from getting out. */
  isStuck = false;
  #written = Buffer.alloc(0);
  #stuck: (() => void) | undefined;

  setNoDelay(): void {}

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#written = Buffer.concat([this.#written, chunk]);
    if (this.isStuck) this.#stuck = done;
    else done();
  }

  /** Its peer does not close what the other side has ended. */
  isHeldOpen = false;

  override _final(done: () => void): void {
    if (!this.isHeldOpen) this.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stuck?.();
    done(error);
  }

  /** The frames so far. */
  get frames(): Frame[] {
    const frames: Frame[] = [];
    for (let at = 0; at + 9 <= this.#written.length;) {
      const length = this.#written.readUIntBE(at, 3);
      const stream = this.#written.readUInt32BE(at + 5);
      const payload = this.#written.subarray(at + 9, at + 9 + length);
      frames.push({ type: this.#written[at + 3]!, flags: this.#written[at + 4]!, stream, payload });
      at += 9 + length;
    }
    return frames;
  }
}

/** A connection, its peer, and what its server hears. */
class TestConnection extends TestConnectionOwner {
  readonly socket = new TestSocket();
  readonly connection: Http2Connection;

  constructor() {
    super({ requestTimeoutMs: 1_000 });
    this.connection = new Http2Connection(this.socket as unknown as Socket, this);
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert.equal(preface.length, clientPrefaceBytes);
    this.socket.push(Buffer.from(preface));
    this.send("settings", 0, 0);
  }

  override onHttp2(): void {
    assert.fail("it is known");
  }

  send(type: keyof typeof types, flags: number, stream: number, payload = Buffer.alloc(0)): void {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = types[type];
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    this.socket.push(Buffer.concat([head, payload]));
  }

  /** Begins a request: GET without a body, POST with one that is still to come. */
  ask(stream: number, method: "GET" | "POST" = "GET", ...fields: [string, string][]): void {
    // The static table (RFC 7541, appendix A) has the method, the scheme and the path.
    const block = [Buffer.from([method === "GET" ? 0x82 : 0x83, 0x86, 0x84, 0x41, 1, 0x61])];
    for (const [name, value] of fields) {
      block.push(Buffer.from([0, name.length]), Buffer.from(name), lengthOf(value));
      block.push(Buffer.from(value));
    }
    const whole = Buffer.concat(block);
    const isLong = whole.length > frameBytes;
    const endStream = method === "GET" ? 1 : 0;
    this.send("headers", endStream + (isLong ? 0 : 4), stream, whole.subarray(0, frameBytes));
    if (isLong) this.send("continuation", 4, stream, whole.subarray(frameBytes));
  }

  /** The next that is to be answered. */
  async asked(count: number): Promise<HttpExchange> {
    return await eventually(`request ${count}`, () => this.exchanges[count - 1]);
  }

  /** Waits for a frame. */
  async frame(type: keyof typeof types, stream: number): Promise<Frame> {
    return await eventually(
      `${type} of ${stream}`,
      () => this.socket.frames.find((one) => one.type === types[type] && one.stream === stream),
    );
  }

  has(type: keyof typeof types): boolean {
    return this.socket.frames.some((one) => one.type === types[type]);
  }

  /** Lets time pass, and looks. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.connection.look(this.nowMs);
  }

  /** All that was sent has been read: a ping comes back. */
  async settled(): Promise<void> {
    const pongs = () => this.socket.frames.filter(({ type }) => type === types.ping).length;
    const before = pongs();
    this.send("ping", 0, 0, Buffer.alloc(8));
    await eventually("a pong", () => pongs() > before || undefined);
  }
}

/** A length in the way of HPACK (RFC 7541, section 5.1). */
function lengthOf({ length }: string): Buffer<ArrayBuffer> {
  if (length < 127) return Buffer.from([length]);
  const bytes = [127];
  let rest = length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(rest % 128 + 128);
  return Buffer.from([...bytes, rest]);
}

Deno.test("a connection says what it takes: a hundred requests at once, a window for all, no push", async () => {
  const test = new TestConnection();
  const { payload } = await test.frame("settings", 0);
  const settings = new Map<number, number>();
  for (let at = 0; at < payload.length; at += 6) {
    settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
  }
  assert.equal(settings.get(3), 100);
  assert.equal(settings.get(2), 0);
  assert.equal((await test.frame("windowUpdate", 0)).payload.readUInt32BE(), 1_048_576 - 65_535);
  assert.deepEqual(test.connection.peer, {
    ...{ transport: "tcp", hostname: "192.0.2.7", port: 4711 },
  });
  test.connection.cut();
  await eventually("its end", () => test.heard[0]);
  assert.equal(test.socket.destroyed, true);
});

Deno.test("a connection without a request ends after the header's time, with one after the idle time", async () => {
  const silent = new TestConnection();
  await silent.settled();
  silent.pass(100);
  await silent.settled();
  assert.equal(silent.has("goaway"), false);
  silent.pass(1);
  await silent.frame("goaway", 0);
  await eventually("its end", () => silent.heard[0]);
  assert.deepEqual(silent.heard[0], "end");

  const test = new TestConnection();
  assert.equal(test.connection.idleSinceMs, 1_000);
  test.ask(1);
  const exchange = await test.asked(1);
  assert.equal(test.connection.isIdle, false);
  test.pass(100_000);
  exchange.answer(new Response("hi"));
  assert.equal((await test.frame("data", 1)).payload.toString(), "hi");
  await eventually("the stream's end", () => test.connection.isIdle || undefined);
  assert.equal(test.connection.idleSinceMs, 101_000);
  test.pass(10_000);
  await test.settled();
  assert.equal(test.has("goaway"), false);
  test.pass(1);
  await test.frame("goaway", 0);
  test.pass(100_000);
  assert.deepEqual(test.heard.filter((one) => one !== "end"), []);
});

Deno.test("a body that does not come is answered 408, and one that nobody reads is ended", async () => {
  const test = new TestConnection();
  test.ask(1, "POST");
  await test.asked(1);
  test.pass(1_000);
  await test.settled();
  assert.equal(test.has("headers"), false);
  test.pass(1);
  const problem = JSON.parse((await test.frame("data", 1)).payload.toString());
  assert.deepEqual(problem, {
    ...{ type: "about:blank", title: "Request Timeout", status: 408 },
    detail: "The request did not arrive in time. Send it again, whole.",
  });
  test.pass(1_000);
  await test.settled();
  assert.equal(test.has("reset"), false);
  test.pass(1);
  assert.equal((await test.frame("reset", 1)).payload.readUInt32BE(), 0);
  await eventually("the stream's end", () => test.connection.isIdle || undefined);

  const whole = new TestConnection();
  whole.ask(1, "POST");
  const { body } = await whole.asked(1);
  body!.read({ piece: () => true, end() {} });
  whole.send("data", 1, 1, Buffer.from("x"));
  await eventually("its end", () => body!.isComplete || undefined);
  whole.pass(1_000_000);
  await whole.settled();
  assert.deepEqual([whole.has("headers"), whole.has("reset")], [false, false]);
});

Deno.test("a peer that takes nothing has its stream ended, or is cut where not even frames get out", async () => {
  for (const isStuck of [false, true]) {
    const test = new TestConnection();
    test.ask(1);
    const exchange = await test.asked(1);
    await test.settled();
    test.socket.isStuck = isStuck;
    // More than a stream's window, which nobody opens any further, and than is buffered.
    exchange.answer(new Response("x".repeat(400_000)));
    const stuckSinceMs = () => (exchange as unknown as { stuckSinceMs?: number }).stuckSinceMs;
    await eventually("no room", stuckSinceMs);
    test.pass(49);
    assert.deepEqual(test.heard, []);
    test.pass(1);
    assert.equal(test.heard[0], takesNothing);
    if (isStuck) assert.equal(test.socket.destroyed, true);
    else {
      assert.equal((await test.frame("reset", 1)).payload.readUInt32BE(), 8);
      assert.equal(test.socket.destroyed, false);
      await eventually("the stream's end", () => test.connection.isIdle || undefined);
    }
    test.connection.cut();
    await eventually("its end", () => test.heard.includes("end") || undefined);
  }
});

Deno.test("a header that is too large is refused, and no handler sees it", async () => {
  const test = new TestConnection();
  test.ask(1, "GET", ["x", "y".repeat(16_380)]);
  const { payload } = await test.frame("data", 1);
  assert.equal(JSON.parse(payload.toString()).status, 431);
  assert.equal(test.exchanges.length, 0);
});

Deno.test("a connection that drains ends behind its last answer", async () => {
  const test = new TestConnection();
  test.ask(1);
  test.ask(3);
  await test.asked(2);
  test.isDraining = true;
  test.exchanges[0]!.answer(new Response("a"));
  await test.frame("data", 1);
  await test.settled();
  assert.equal(test.has("goaway"), false);
  test.exchanges[1]!.answer(new Response("b"));
  await test.frame("goaway", 0);
  await eventually("its end", () => test.heard[0]);
});

/** Asks, and takes each back at once. */
async function takeBack(test: TestConnection, from: number, count: number, code = 8) {
  const reason = Buffer.alloc(4);
  reason.writeUInt32BE(code);
  for (let number = from; number < from + count; number++) {
    test.ask(number * 2 + 1);
    test.send("reset", 0, number * 2 + 1, reason);
  }
  await eventually(
    "all of them",
    () => test.exchanges.length === from + count && test.connection.isIdle || undefined,
  );
}

Deno.test("who takes back what it asks, again and again, is cut; what is long past is forgotten", async () => {
  const test = new TestConnection();
  await takeBack(test, 0, 300);
  // A hundred a second are forgotten.
  test.pass(20);
  await takeBack(test, 300, 2);
  assert.deepEqual(test.heard, []);
  await takeBack(test, 302, 1);
  assert.equal(test.heard[0], "its peer takes back what it asks, again and again");
  assert.equal((await test.frame("goaway", 0)).payload.readUInt32BE(4), 11);
  await eventually("its end", () => test.heard.includes("end") || undefined);

  // None is forgotten ahead of its time.
  const calm = new TestConnection();
  await takeBack(calm, 0, 1);
  calm.pass(10_000);
  await takeBack(calm, 1, 300);
  assert.deepEqual(calm.heard, []);
  await takeBack(calm, 301, 1);
  assert.equal(calm.heard[0], "its peer takes back what it asks, again and again");

  const orderly = new TestConnection();
  await takeBack(orderly, 0, 305, 0);
  assert.deepEqual(orderly.heard, [], "what has ended without an error was not taken back");
  orderly.connection.cut();
});

Deno.test("a body that is broken off is an error to its reader, and none that has come whole", async () => {
  for (const code of [0, 8]) {
    const test = new TestConnection();
    test.ask(1, "POST");
    const { body } = await test.asked(1);
    const ends: (string | undefined)[] = [];
    body!.read({ piece: () => true, end: (error) => void ends.push(error?.message) });
    test.send("data", 0, 1, Buffer.from("half"));
    await test.settled();
    const reason = Buffer.alloc(4);
    reason.writeUInt32BE(code);
    test.send("reset", 0, 1, reason);
    await eventually("its end", () => ends.length > 0 || undefined);
    assert.deepEqual(ends, ["The stream ended before the whole body had come"]);
    test.connection.cut();
  }
});

Deno.test("a client that says GOAWAY is heard on, as its frame is kept from Deno", async () => {
  const test = new TestConnection();
  test.send("goaway", 0, 0, Buffer.alloc(8));
  test.ask(1);
  (await test.asked(1)).answer(new Response("hi"));
  assert.equal((await test.frame("data", 1)).payload.toString(), "hi");
  test.connection.cut();
});

Deno.test("a peer that holds its half open behind the end is cut after a while", async () => {
  const test = new TestConnection();
  test.socket.isHeldOpen = true;
  test.ask(1);
  (await test.asked(1)).answer(new Response("hi"));
  await eventually("the stream's end", () => test.connection.isIdle || undefined);
  test.connection.end();
  await test.frame("goaway", 0);
  test.pass(5_000);
  assert.deepEqual([test.socket.destroyed, test.heard], [false, []]);
  test.connection.end();
  test.pass(1);
  assert.equal(test.socket.destroyed, true);
  await eventually("its end", () => test.heard[0]);
});
